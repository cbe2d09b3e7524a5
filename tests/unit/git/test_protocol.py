"""What git's peers say: requests as documented, answers recorded from git 2.39, and every damage one kind of error."""

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.errors import Code, Unreachable
from loopseal.git import protocol
from loopseal.git.pktline import DELIMITER, END, FLUSH, decode, encode
from loopseal.git.protocol import PeerError
from loopseal.git.remote import Fetch
from tests.unit.git.hostile import hostile

A, B, C = ("a" * 40, "b" * 40, "c" * 40)
SHA256 = "d" * 64

V2 = encode(
    [
        "version 2\n",
        "agent=git/2.39.5\n",
        "ls-refs=unborn\n",
        "fetch=shallow wait-for-done filter\n",
        "server-option\n",
        "object-format=sha1\n",
        "object-info\n",
        FLUSH,
    ]
)
V0 = encode(
    [
        f"{A} HEAD\x00multi_ack thin-pack side-band side-band-64k ofs-delta shallow filter object-format=sha1 agent=git/2.39.5\n",
        f"{A} refs/heads/main\n",
        f"{B} refs/tags/v1\n",
        f"{A} refs/tags/v1^{{}}\n",
        FLUSH,
    ]
)
SMART = encode(["# service=git-upload-pack\n", FLUSH])


# --- greetings


@pytest.mark.parametrize("before", [b"", SMART])
def test_a_greeting_of_version_2(before):
    told = protocol.advertisement(before + V2)
    assert (told.version, told.filters, told.object_format, told.refs) == (2, True, "sha1", {})
    assert not told.atomic
    assert not protocol.advertisement(V2.replace(b" filter\n", b" filtex\n")).filters


@pytest.mark.parametrize("before", [b"", SMART])
def test_a_greeting_of_version_0(before):
    told = protocol.advertisement(before + V0)
    assert told.version == 0
    assert told.refs == {"HEAD": A, "refs/heads/main": A, "refs/tags/v1": B}
    assert not told.filters  # not by version 0
    assert told.capabilities["agent"] == "git/2.39.5"
    assert "side-band-64k" in told.capabilities


def test_a_greeting_of_version_1_and_of_receive_pack():
    told = protocol.advertisement(encode(["version 1\n"]) + V0)
    assert (told.version, told.refs["HEAD"]) == (1, A)
    receive = encode([f"{A} refs/heads/main\0report-status delete-refs side-band-64k atomic\n", FLUSH])
    assert protocol.advertisement(receive).atomic


def test_a_greeting_of_an_empty_repository():
    empty = encode([f"{'0' * 40} capabilities^{{}}\0report-status atomic object-format=sha1\n", FLUSH])
    told = protocol.advertisement(empty)
    assert (told.refs, told.atomic) == ({}, True)


def test_a_greeting_of_a_shallow_sha256_repository():
    told = protocol.advertisement(
        encode([f"{SHA256} refs/heads/main\0object-format=sha256\n", f"shallow {SHA256}\n", FLUSH])
    )
    assert (told.object_format, told.refs) == ("sha256", {"refs/heads/main": SHA256})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"0000",
        SMART,
        V2[:-4],
        V0[:-4],
        V0[:-5],
        encode(["nonsense\n", FLUSH]),
        encode([f"{A}\n", FLUSH]),
        encode([FLUSH, "x", FLUSH]),
    ],
)
def test_greetings_that_none_can_be(raw):
    with pytest.raises(Unreachable) as caught:
        protocol.advertisement(raw)
    assert caught.value.code is Code.GIT_PROTOCOL


def test_what_follows_a_greeting_is_kept():
    told, rest = protocol.split_advertisement(V2 + b"0008NAK\n")
    assert (told.version, rest) == (2, b"0008NAK\n")
    assert protocol.split_advertisement(V0)[1] == b""
    with pytest.raises(Unreachable, match="greeting is cut off"):
        protocol.split_advertisement(V0[:-4])
    with pytest.raises(PeerError, match=r"Repository not found"):
        protocol.split_advertisement(encode(["ERR Repository not found.\n"]))


# --- refs


def test_asking_for_refs():
    assert list(decode(protocol.ask_refs(["refs/heads/main", "refs/x/"]))) == [
        *(b"command=ls-refs\n", b"agent=loopseal", b"object-format=sha1", DELIMITER),
        *(b"ref-prefix refs/heads/main\n", b"ref-prefix refs/x/\n", FLUSH),
    ]


@pytest.mark.parametrize("prefix", ["", "a\nb", "a\0", "a\r"])
def test_a_prefix_cannot_add_a_line(prefix):
    with pytest.raises(ValueError, match="one line"):
        protocol.ask_refs([prefix])


def test_refs_as_told():
    answer = encode(
        [f"{A} refs/heads/main\n", f"{B} refs/tags/v1 peeled:{A}\n", f"{C} HEAD symref-target:refs/heads/main\n"]
    )
    unborn = encode(["unborn HEAD symref-target:refs/heads/none\n", FLUSH])
    assert protocol.refs(answer + unborn) == {"refs/heads/main": A, "refs/tags/v1": B, "HEAD": C}
    assert protocol.refs(b"0000") == {}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        encode([f"{A} x\n"]),
        encode([f"{A}\n", FLUSH]),
        encode([f"{SHA256} x\n", FLUSH]),
        encode([DELIMITER, FLUSH]),
    ],
)
def test_lists_of_refs_that_none_can_be(raw):
    with pytest.raises(Unreachable):
        protocol.refs(raw)


def test_there_may_not_be_too_many_refs(monkeypatch):
    monkeypatch.setattr(protocol, "MAX_REFS", 3)
    with pytest.raises(Unreachable, match="not readable"):
        protocol.refs(encode([*(f"{A} refs/heads/{number}\n" for number in range(4)), FLUSH]))


def test_only_what_was_asked_for_is_kept():
    known = {"refs/heads/a": A, "refs/tags/b": B}
    assert protocol.wanted(known, ["refs/heads/"]) == {"refs/heads/a": A}
    assert protocol.wanted(known, []) == known


# --- objects, version 2


def test_asking_for_objects():
    request = Fetch((A, B), haves=(C,), depth=1, filter="tree:2", shallow=(C,))
    said = list(decode(protocol.ask_objects(request)))
    assert said[:4] == [b"command=fetch\n", b"agent=loopseal", b"object-format=sha1", DELIMITER]
    assert said[-2:] == [b"done\n", FLUSH]
    lines = [
        f"want {A}\n",
        f"want {B}\n",
        f"have {C}\n",
        f"shallow {C}",
        "deepen 1",
        "filter tree:2",
        "thin-pack",
        "ofs-delta",
    ]
    assert {text.encode() for text in lines} <= set(said)
    first = protocol.ask_objects(Fetch((A,)))
    assert not any(word in first for word in (b"thin-pack", b"filter", b"deepen", b"shallow", b"have"))


@pytest.mark.parametrize(
    "request_",
    [
        Fetch(("main",)),
        Fetch((A,), haves=("x\n",)),
        Fetch((A,), shallow=(SHA256,)),
        Fetch((A,), filter="tree:0\nwant x"),
    ],
)
def test_nothing_but_ids_reaches_a_request(request_):
    with pytest.raises(ValueError, match=r"not an object id|one line"):
        protocol.ask_objects(request_)


def v2_answer(*packets, before=()):
    return encode([*before, "packfile\n", *packets, FLUSH])


def test_the_pack_in_an_answer():
    bands = [b"\x01PA", b"\x02Counting objects\r", b"\x01CK"]
    assert protocol.objects(v2_answer(*bands)) == b"PACK"
    sections = ["acknowledgments\n", f"ACK {A}\n", "ready\n", DELIMITER, "shallow-info\n", f"shallow {B}\n", DELIMITER]
    assert protocol.objects(v2_answer(*bands, before=sections)) == b"PACK"
    assert protocol.objects(v2_answer(b"\x01PACK") + b"0002") == b"PACK"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"0000",
        v2_answer(b"\x01PACK")[:-4],
        v2_answer(b"\x04x"),
        v2_answer(b""),
        v2_answer(b"\x01P", DELIMITER),
        encode(["acknowledgments\n", "NAK\n", FLUSH]),
        encode(["surprise\n", FLUSH]),
        encode([END, "packfile\n", b"\x01x"]),
    ],
)
def test_answers_that_none_can_be(raw):
    with pytest.raises(Unreachable) as caught:
        protocol.objects(raw)
    assert caught.value.code is Code.GIT_PROTOCOL


@pytest.mark.parametrize(
    "raw",
    [
        encode(["ERR upload-pack: not our ref " + A]),
        v2_answer(b"\x01PA", b"\x03upload-pack: not our ref"),
        v2_answer(b"ERR not our ref"),
        encode(["shallow-info\n", "ERR not our ref"]),
    ],
)
def test_what_the_host_says_instead(raw):
    with pytest.raises(PeerError, match="not our ref") as caught:
        protocol.objects(raw)
    assert caught.value.hint


def test_what_a_host_says_is_cut_and_cleaned():
    error = protocol.peer_error(b"Authorization: Basic c2VjcmV0c2VjcmV0 \x1b[31m" + b"x" * 5000)
    assert "c2VjcmV0" not in error.message
    assert "\x1b" not in error.message
    assert len(error.message) < 400


# --- objects, version 0

OFFERED = {"side-band-64k": "", "ofs-delta": "", "thin-pack": "", "shallow": ""}


def test_asking_by_version_0():
    said = list(
        decode(protocol.ask_objects_v0(Fetch((A, B), haves=(C,), depth=1, shallow=(C,), filter="tree:0"), OFFERED))
    )
    assert said == [
        f"want {A} side-band-64k ofs-delta thin-pack shallow agent=loopseal\n".encode(),
        *(f"want {B}\n".encode(), f"shallow {C}\n".encode(), b"deepen 1\n", FLUSH),
        *(f"have {C}\n".encode(), b"done\n"),
    ]
    bare = list(decode(protocol.ask_objects_v0(Fetch((A,)), {})))
    assert bare == [f"want {A}  agent=loopseal\n".encode(), FLUSH, b"done\n"]


def test_the_pack_in_an_answer_of_version_0():
    bands = encode([b"\x01PA", b"\x02progress", b"\x01CK", FLUSH])
    assert protocol.objects_v0(encode(["NAK\n"]) + bands, Fetch((A,)), OFFERED) == b"PACK"
    assert protocol.objects_v0(encode([f"ACK {A}\n"]) + bands, Fetch((A,)), OFFERED) == b"PACK"
    deep = encode([f"shallow {A}\n", f"unshallow {B}\n", FLUSH, "NAK\n"])
    assert protocol.objects_v0(deep + bands, Fetch((A,), depth=1), OFFERED) == b"PACK"
    assert protocol.objects_v0(encode(["NAK\n"]) + b"PACKraw", Fetch((A,)), {}) == b"PACKraw"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"0000",
        encode(["NAK\n", b"\x01PACK"]),
        encode(["hello\n"]),
        encode(["NAK\n", b"\x09x"]),
        encode(["NAK\n", "ERR no\n"]),
    ],
)
def test_answers_of_version_0_that_none_can_be(raw):
    with pytest.raises(Unreachable):
        protocol.objects_v0(raw, Fetch((A,)), OFFERED)


# --- damage

GOOD = {
    "advertisement v2": (V2, protocol.advertisement),
    "advertisement v0": (SMART + V0, protocol.advertisement),
    "split": (V0 + b"0008NAK\n", protocol.split_advertisement),
    "refs": (encode([f"{A} refs/heads/main\n", f"{B} refs/tags/v1 peeled:{A}\n", FLUSH]), protocol.refs),
    "objects": (v2_answer(b"\x01PACK", before=["shallow-info\n", f"shallow {B}\n", DELIMITER]), protocol.objects),
    "objects v0": (encode(["NAK\n", b"\x01PACK", FLUSH]), lambda raw: protocol.objects_v0(raw, Fetch((A,)), OFFERED)),
}


@pytest.mark.parametrize("name", GOOD)
def test_damage_is_one_kind_of_error(name):
    good, parse = GOOD[name]
    dice = random.Random(name)
    for _ in range(800):
        raw = bytearray(good)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(raw))
            match dice.randrange(3):
                case 0:
                    raw[at] = dice.randrange(256)
                case 1:
                    del raw[at : at + dice.randint(1, 9)]
                    raw += b"0"
                case 2:
                    raw[at : at + 4] = "".join(dice.choices(string.hexdigits, k=4)).encode()
        with hostile():
            parse(bytes(raw))


@given(st.binary(max_size=120), st.sampled_from(sorted(GOOD)))
def test_random_bytes_are_one_kind_of_error(raw, name):
    with hostile():
        GOOD[name][1](raw)
