"""Framing: what is encoded comes back, in whatever pieces; what is malformed is one kind of error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.errors import Code, Unreachable
from loopseal.git.pktline import DELIMITER, END, FLUSH, MAX_LINE, Reader, decode, encode, line
from tests.unit.git.hostile import hostile

packets = st.lists(st.binary(max_size=300) | st.sampled_from([FLUSH, DELIMITER, END]), max_size=20)


def test_the_examples_of_gitprotocol_common():
    assert line("a\n") == b"0006a\n"
    assert line("a") == b"0005a"
    assert line("foobar\n") == b"000bfoobar\n"
    assert line("") == b"0004"
    assert encode([FLUSH, DELIMITER, END]) == b"000000010002"
    assert line("ä") == b"0006\xc3\xa4"


@given(packets)
def test_what_is_encoded_comes_back(sent):
    assert list(decode(encode(sent))) == sent


@given(packets, st.data())
def test_it_comes_back_in_whatever_pieces_it_arrives(sent, data):
    raw, reader, got = encode(sent), Reader(), []
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        got += reader.feed(raw[:size])
        raw = raw[size:]
    reader.close()
    assert got == sent


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1), st.data())
def test_a_stream_cut_anywhere_is_noticed(sent, data):
    raw = encode(sent)
    whole = {0}
    for content in sent:
        whole.add(max(whole) + len(content) + 4)
    cut = data.draw(st.integers(1, len(raw) - 1).filter(lambda at: at not in whole))
    with pytest.raises(Unreachable) as caught:
        list(decode(raw[:cut]))
    assert caught.value.code is Code.GIT_PROTOCOL


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(raw):
    with hostile():
        list(decode(raw))


@pytest.mark.parametrize(
    "raw", [b"0003", b"fff1" + b"x" * 0xFFED, b"ffff", b"+005a", b"0x05a", b" 005", b"00_5", b"HTTP/1.1"]
)
def test_lengths_that_no_line_has(raw):
    with pytest.raises(Unreachable, match="packet line"):
        list(decode(raw))


def test_the_longest_line_passes_and_one_more_byte_does_not():
    content = b"x" * (MAX_LINE - 4)
    assert list(decode(line(content))) == [content]
    with pytest.raises(ValueError, match="at most 65516 bytes"):
        line(content + b"x")


def test_what_follows_the_last_whole_packet_is_kept():
    reader = Reader()
    assert list(reader.feed(b"0006a\n000")) == [b"a\n"]
    assert reader.rest == b"000"
    assert list(reader.feed(b"0")) == [FLUSH]
    assert reader.rest == b""
