"""Deltas: what is made applies, here and in git; what is hostile is one kind of error and stays within its limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.errors import Code, Unreachable
from loopseal.git import delta
from tests.unit.git.hostile import hostile

LIMIT = 1 << 24


@st.composite
def spliced(draw):
    base = draw(st.binary(max_size=400))
    edits, done = [], 0
    for _ in range(draw(st.integers(0, 4))):
        offset = draw(st.integers(done, len(base)))
        removed = draw(st.integers(0, len(base) - offset))
        edits.append((offset, removed, draw(st.binary(max_size=300))))
        done = offset + removed
    return base, edits


@given(spliced())
def test_splices_apply(case):
    base, edits = case
    wanted, done = b"", 0
    for offset, removed, inserted in edits:
        wanted += base[done:offset] + inserted
        done = offset + removed
    wanted += base[done:]
    made = delta.splices(len(base), edits)
    assert delta.apply(base, made, limit=LIMIT) == wanted
    assert delta.sizes(made)[:2] == (len(base), len(wanted))


@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=50), st.binary(max_size=50))
def test_between_finds_one_splice(head, tail, old, new):
    base, result = head + old + tail, head + new + tail
    assert delta.apply(base, delta.between(base, result), limit=LIMIT) == result


@given(st.binary(max_size=200))
def test_between_equal_bytes_only_copies(data):
    made = delta.between(data, data)
    assert delta.apply(data, made, limit=LIMIT) == data
    assert len(made) <= 10


def test_a_big_tree_edited_in_place_is_a_few_bytes():
    base = bytes(range(256)) * 274  # about the size of a folder of 2,000 names
    result = base[:35_000] + b"\xff" * 20 + base[35_020:]
    assert len(delta.between(base, result)) < 45


@pytest.mark.parametrize("size", [0xFFFF, 0x10000, 0x10001, 0xFFFFFF, 0x1000000, 0x1000001])
def test_copies_at_the_edges_of_their_encoding(size):
    base = bytes(size + 3)
    assert (
        delta.apply(base, delta.splices(len(base), [(size, 1, b"x")]), limit=1 << 26)
        == base[:size] + b"x" + base[size + 1 :]
    )


@pytest.mark.parametrize("edits", [[(3, 2, b""), (4, 1, b"")], [(0, 11, b"")], [(0, -1, b"")], [(11, 0, b"")]])
def test_edits_that_cannot_be(edits):
    with pytest.raises(ValueError, match="overlap or leave"):
        delta.splices(10, edits)


BASE = b"0123456789"


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (b"", "no readable size"),
        (b"\x80" * 20, "no readable size"),
        (b"\xff" * 9 + b"\x01" + b"\x01", "no readable size"),
        (b"\x0a", "no readable size"),
        (b"\x09\x01\x01a", "a base of 9 bytes"),
        (b"\x0a\x01", "fewer bytes"),
        (b"\x0a\x02\x01a", "fewer bytes"),
        (b"\x0a\x01\x02ab", "outside"),
        (b"\x0a\x01\x00", "outside"),  # instruction 0 is reserved
        (b"\x0a\x05\x05ab", "outside"),
        (b"\x0a\x01\x91\x0a\x01", "outside"),  # copies from behind the end
        (b"\x0a\x02\x91\x09\x02", "outside"),
        (b"\x0a\x05\x9f\x00", "in the middle of an instruction"),
        (b"\x0a\x05\x80", "outside"),  # 65,536 bytes that are not there
        (b"\x0a\xff\xff\xff\xff\x0f\x90\x0a", "at most"),
    ],
)
def test_hostile_deltas(made, why):
    with pytest.raises(Unreachable, match=why) as caught:
        delta.apply(BASE, made, limit=LIMIT)
    assert caught.value.code is Code.GIT_PROTOCOL


@given(st.binary(max_size=60))
def test_random_deltas_are_one_kind_of_error(made):
    with hostile():
        assert len(delta.apply(BASE, b"\x0a" + made, limit=1000)) <= 1000
