"""Pushes as git-receive-pack is asked, and its reports: recorded shapes, hosts' words, damage."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.errors import Unreachable
from loopseal.git.pktline import DELIMITER, FLUSH, encode
from loopseal.git.protocol import PeerError
from loopseal.git.remote import ZERO, Outcome, RefUpdate
from loopseal.git.updates import ask_updates, report
from tests.unit.git.hostile import hostile

A, B = "a" * 40, "b" * 40
MAIN, MARK = "refs/heads/main", "refs/loopseal/change/x"
ONE = [RefUpdate(MAIN, A, B)]
BOTH = [*ONE, RefUpdate(MARK, ZERO, B)]


def banded(*lines, progress=(), flush=True):
    told = encode([*lines, FLUSH]) if flush else encode(lines)
    return encode([*(b"\x02" + one for one in progress), b"\x01" + told, FLUSH])


def test_asking_for_one_update():
    expected = encode([f"{A} {B} {MAIN}\0report-status side-band-64k agent=loopseal", FLUSH]) + b"PACK"
    assert ask_updates(ONE, b"PACK") == expected


def test_several_updates_are_atomic():
    assert ask_updates(BOTH, b"PACK") == (
        encode([f"{A} {B} {MAIN}\0report-status side-band-64k atomic agent=loopseal", f"{ZERO} {B} {MARK}", FLUSH])
        + b"PACK"
    )


def test_deletions_alone_carry_no_pack():
    assert ask_updates([RefUpdate(MAIN, A, ZERO)], b"PACK").endswith(b"0000")


@pytest.mark.parametrize(
    "update",
    [
        RefUpdate("a\nb", A, B),
        RefUpdate("a\0b", A, B),
        RefUpdate("", A, B),
        RefUpdate(MAIN, "", B),
        RefUpdate(MAIN, A, "HEAD"),
    ],
)
def test_nothing_can_add_to_a_command(update):
    with pytest.raises(ValueError, match=r"one line|object id"):
        ask_updates([update], b"")


def test_a_report_of_success():
    told = report(banded("unpack ok\n", f"ok {MAIN}\n", f"ok {MARK}\n"), BOTH)
    assert told.ok
    assert told.refs == {MAIN: (Outcome.OK, ""), MARK: (Outcome.OK, "")}


def test_a_report_without_side_band():
    assert report(encode(["unpack ok\n", f"ok {MAIN}\n", FLUSH]), ONE).ok


def test_a_report_in_pieces():
    told = encode(["unpack ok\n", f"ok {MAIN}\n", FLUSH])
    pieces = [b"\x01" + told[at : at + 7] for at in range(0, len(told), 7)]
    assert report(encode([*pieces, FLUSH]), ONE).ok


def test_a_report_of_version_2_with_options():
    lines = ["unpack ok\n", f"ok {MAIN}\n", f"option refname {MAIN}\n", "option forced-update\n"]
    assert report(banded(*lines), ONE).ok


def test_what_hooks_say_is_kept_and_cleaned():
    words = [b"remote: protected branch\n", b"token=supersecretvalue \x07\n"]
    told = report(banded("unpack ok\n", f"ng {MAIN} pre-receive hook declined\n", progress=words), ONE)
    outcome, why = told.refs[MAIN]
    assert outcome is Outcome.REJECTED
    assert not told.ok
    assert "pre-receive hook declined" in why
    assert "protected branch" in why
    assert "supersecretvalue" not in why


def test_a_pack_that_did_not_unpack_rejects_everything():
    told = report(banded("unpack index-pack abnormal exit\n", f"ng {MAIN} unpacker error\n", f"ok {MARK}\n"), BOTH)
    assert {outcome for outcome, _ in told.refs.values()} == {Outcome.REJECTED}
    assert "index-pack abnormal exit" in told.refs[MAIN][1]
    silent = report(banded("unpack error\n"), BOTH)
    assert not silent.ok
    assert set(silent.refs) == {MAIN, MARK}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"0000",
        banded("unpack ok\n", f"ok {MAIN}\n")[:-4],
        banded("unpack ok\n", f"ok {MAIN}\n", flush=False),
        banded("unpack ok\n"),
        banded("unpack ok\n", f"ok {MARK}\n"),
        banded("unpack ok\n", f"maybe {MAIN}\n"),
        banded(f"ok {MAIN}\n"),
        encode([DELIMITER, FLUSH]),
        encode([b"\x01" + encode(["unpack ok\n", DELIMITER, FLUSH]), FLUSH]),
    ],
)
def test_reports_that_none_can_be(raw):
    with pytest.raises(Unreachable):
        report(raw, ONE)


def test_an_error_instead_of_a_report():
    with pytest.raises(PeerError, match="access denied"):
        report(encode(["ERR access denied\n"]), ONE)


def test_damage_never_reads_as_success_of_another_ref():
    good = banded("unpack ok\n", f"ok {MAIN}\n", progress=[b"hello"])
    dice = random.Random(7)
    for _ in range(1500):
        raw = bytearray(good)
        for _ in range(dice.randint(1, 3)):
            raw[dice.randrange(len(raw))] = dice.randrange(256)
        with hostile():
            assert set(report(bytes(raw), ONE).refs) == {MAIN}


@given(st.binary(max_size=150))
def test_random_bytes_are_one_kind_of_error(raw):
    with hostile():
        report(raw, ONE)
