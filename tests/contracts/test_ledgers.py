"""What every ledger owes its callers, and what the one in a file owes a machine that crashes."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from loopseal import ledger as room
from loopseal import ports
from loopseal.domain.change import Blocked, Event, Proposed, replay
from loopseal.domain.proposal import Proposal, change_id
from loopseal.errors import Code, ConfigError, Conflict, Unreachable
from loopseal.ledger import file, memory
from tests import strategies

KINDS = sorted(path.stem for path in Path(room.__path__[0]).glob("*.py") if path.stem != "__init__")
AT = datetime(2026, 1, 1, tzinfo=UTC)
ONE, TWO = change_id("one"), change_id("two")

Make = Callable[[], ports.Ledger]


def event(number: int = 0) -> Event:
    return Blocked(AT, "SUSPENDED", f"event {number} · größer ✓\u2028\n")


def append(ledger: ports.Ledger, change: str, expected: int, what: Event | None = None) -> None:
    asyncio.run(ledger.append(change, expected, what or event(expected)))


def read(ledger: ports.Ledger, change: str) -> list[Event]:
    return list(asyncio.run(ledger.read(change)))


# Every kind.


@pytest.fixture(params=KINDS)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> ports.Ledger:
    kind: Any = importlib.import_module(f"loopseal.ledger.{request.param}").Ledger
    made: ports.Ledger = kind() if request.param == "memory" else kind(str(tmp_path / "state" / "ledger.jsonl"))
    return made


def test_both_kinds_are_here():
    assert KINDS == ["file", "memory"]


def test_an_unknown_change_has_no_events(ledger: ports.Ledger):
    assert read(ledger, ONE) == []


def test_what_is_appended_is_read_in_order(ledger: ports.Ledger):
    for number in range(3):
        append(ledger, ONE, number)
        append(ledger, TWO, number, event(number + 10))
    assert read(ledger, ONE) == [event(0), event(1), event(2)]
    assert read(ledger, TWO) == [event(10), event(11), event(12)]


@pytest.mark.parametrize("expected", [-1, 0, 2, 99])
def test_another_came_first(ledger: ports.Ledger, expected: int):
    append(ledger, ONE, 0)
    with pytest.raises(Conflict) as caught:
        append(ledger, ONE, expected)
    assert caught.value.code is Code.LEDGER_CONFLICT
    assert caught.value.hint
    assert read(ledger, ONE) == [event(0)]
    append(ledger, ONE, 1)
    assert read(ledger, ONE) == [event(0), event(1)]


def test_of_many_racers_one_wins(ledger: ports.Ledger):
    async def race() -> list[BaseException | None]:
        return await asyncio.gather(
            *(ledger.append(ONE, 0, event(number)) for number in range(20)), return_exceptions=True
        )

    outcomes = asyncio.run(race())
    assert outcomes.count(None) == 1
    assert all(isinstance(outcome, Conflict) for outcome in outcomes if outcome is not None)
    assert read(ledger, ONE) == [event(outcomes.index(None))]


def test_what_was_read_does_not_change_afterwards(ledger: ports.Ledger):
    append(ledger, ONE, 0)
    before = asyncio.run(ledger.read(ONE))
    append(ledger, ONE, 1)
    assert list(before) == [event(0)]


@settings(max_examples=25)
@given(change=strategies.changes())
def test_a_change_comes_back_whole(tmp_path_factory: pytest.TempPathFactory, change: Any):
    for ledger in (memory.Ledger(), file.Ledger(str(tmp_path_factory.mktemp("ledger") / "x.jsonl"))):
        for number, one in enumerate(change.events):
            append(ledger, change.id, number, one)
        assert replay(read(ledger, change.id)) == change


# The file.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def filled(path: Path) -> Path:
    one = file.Ledger(str(path))
    for number in range(3):
        append(one, ONE, number)
    return path


def test_lines_are_what_the_docs_say(filled: Path):
    lines = filled.read_text(encoding="utf-8").splitlines(keepends=False)
    first = json.loads(filled.read_bytes().split(b"\n")[0])
    assert first["v"] == 1
    assert (first["change"], first["seq"], first["event"]["type"]) == (ONE, 0, "Blocked")
    assert list(first) == ["v", "change", "seq", "event"]
    assert lines


def test_file_and_folder_are_for_this_user_only(tmp_path: Path):
    path = tmp_path / "a" / "ledger.jsonl"
    append(file.Ledger(str(path)), ONE, 0)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o077) == (0o600, 0)


def test_reading_makes_no_file(path: Path):
    assert read(file.Ledger(str(path)), ONE) == []
    assert not path.exists()


def test_two_objects_see_each_other(path: Path):
    left, right = file.Ledger(str(path)), file.Ledger(str(path))
    append(left, ONE, 0)
    assert read(right, ONE) == [event(0)]
    append(right, ONE, 1)
    with pytest.raises(Conflict):
        append(left, ONE, 1)
    append(left, ONE, 2)
    assert read(right, ONE) == [event(0), event(1), event(2)]


def test_a_file_put_aside_begins_anew(filled: Path):
    ledger = file.Ledger(str(filled))
    assert len(read(ledger, ONE)) == 3
    filled.rename(filled.with_suffix(".old"))
    assert read(ledger, ONE) == []
    append(ledger, ONE, 0)
    assert read(ledger, ONE) == [event(0)]


def test_every_torn_end_is_healed_and_nothing_before_it_is_lost(filled: Path):
    whole = filled.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(start, len(whole)):
        filled.write_bytes(whole[:cut])
        ledger = file.Ledger(str(filled))
        assert read(ledger, ONE) == [event(0), event(1)]
        complete = cut == len(whole) - 1  # all but the newline
        if complete:
            with pytest.raises(Conflict):
                append(ledger, ONE, 2)
        else:
            append(ledger, ONE, 2)
        assert filled.read_bytes() == whole
        assert read(ledger, ONE) == read(file.Ledger(str(filled)), ONE) == [event(0), event(1), event(2)]


def test_zeros_that_a_file_system_left_are_removed(filled: Path):
    whole = filled.read_bytes()
    filled.write_bytes(whole + b"\0" * 500)
    append(file.Ledger(str(filled)), ONE, 3)
    assert filled.read_bytes().startswith(whole + b"{")
    assert len(read(file.Ledger(str(filled)), ONE)) == 4


@pytest.mark.parametrize(
    "foreign", [b"my notes", b"my notes\n", b"{}\n", b'{"v":2,"change":"x","seq":0,"event":{}}\n', b"\n"]
)
def test_a_file_that_is_no_ledger_is_left_alone(path: Path, foreign: bytes):
    path.write_bytes(foreign)
    with pytest.raises(ConfigError) as caught:
        append(file.Ledger(str(path)), ONE, 0)
    assert caught.value.code is Code.LEDGER_INVALID
    assert "at byte 0" in caught.value.where
    assert path.read_bytes() == foreign


def test_a_missing_line_is_noticed(filled: Path):
    lines = filled.read_bytes().splitlines(keepends=True)
    filled.write_bytes(lines[0] + lines[2])
    with pytest.raises(ConfigError, match="event 2 of a change stands where number 1 belongs"):
        read(file.Ledger(str(filled)), ONE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"SUSPENDED"', b"7          "),
        (b'"reason"', b'"raeson"'),
        (b'"event":{', b'"event":{{'),
        (b"}}\n", b'},"x":1}\n'),
    ],
)
def test_a_line_changed_by_hand_is_refused(filled: Path, old: bytes, new: bytes):
    filled.write_bytes(filled.read_bytes().replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        read(file.Ledger(str(filled)), ONE)
    assert caught.value.code is Code.LEDGER_INVALID


@pytest.mark.parametrize("change", ["", "x" * 500])
def test_a_change_id_that_no_line_can_carry(path: Path, change: str):
    with pytest.raises(ConfigError) as caught:
        append(file.Ledger(str(path)), change, 0)
    assert caught.value.code is Code.LEDGER_WRITE
    assert not path.exists()


def test_odd_change_ids_are_kept_apart(path: Path):
    ledger = file.Ledger(str(path))
    for change in ('a"b', "a\\", "a\\u0041", "größe", "a\n"):
        append(ledger, change, 0)
    assert read(file.Ledger(str(path)), "a\\u0041") == [event(0)]
    assert read(file.Ledger(str(path)), "aA") == []


def test_an_event_that_has_no_form_is_refused_before_the_file_is_touched(path: Path):
    with pytest.raises(ConfigError, match="surrogate"):
        append(file.Ledger(str(path)), ONE, 0, Blocked(AT, "\ud800", ""))
    assert not path.exists()


@pytest.mark.parametrize("name", [".", "folder", "file/ledger.jsonl", "n" * 300])
def test_places_where_no_ledger_can_be(tmp_path: Path, name: str):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as caught:
        append(file.Ledger(f"{tmp_path}/{name}"), ONE, 0)
    assert caught.value.code is Code.LEDGER_WRITE
    assert "ledger.path" in caught.value.hint


def test_a_device_is_no_ledger():
    with pytest.raises(ConfigError, match="no regular file"):
        append(file.Ledger("/dev/full"), ONE, 0)
    with pytest.raises(ConfigError, match="no regular file"):
        read(file.Ledger("/dev/zero"), ONE)


class Limited:
    """Files of this process may grow to `size` bytes only, as on a full disk (EFBIG instead of ENOSPC)."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __enter__(self) -> None:
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self._handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._size, self._before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)
        signal.signal(signal.SIGXFSZ, self._handler)


@pytest.mark.parametrize("room_left", [0, 1, 40])
def test_a_full_disk_leaves_nothing_half_written(filled: Path, room_left: int):
    whole = filled.read_bytes()
    ledger = file.Ledger(str(filled))
    with Limited(len(whole) + room_left), pytest.raises(Unreachable) as caught:
        append(ledger, ONE, 3)
    assert (caught.value.code, caught.value.where) == (Code.LEDGER_WRITE, str(filled))
    assert filled.read_bytes() == whole
    append(ledger, ONE, 3)
    assert len(read(file.Ledger(str(filled)), ONE)) == 4


def test_a_lock_that_is_never_given_back(filled: Path, monkeypatch: pytest.MonkeyPatch):
    import fcntl

    monkeypatch.setattr(file, "LOCK_SECONDS", 0.05)
    with filled.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Unreachable, match="another process has held the ledger"):
            append(file.Ledger(str(filled)), ONE, 3)
        assert len(read(file.Ledger(str(filled)), ONE)) == 3  # readers need no lock
    append(file.Ledger(str(filled)), ONE, 3)


# Several processes.

WORKER = """
import asyncio, sys
from datetime import UTC, datetime
from loopseal.domain.change import Blocked
from loopseal.errors import Conflict
from loopseal.ledger.file import Ledger

async def main(path, change, name, count):
    ledger, written = Ledger(path), 0
    print("ready", flush=True)
    sys.stdin.readline()
    while written < count:
        expected = len(await ledger.read(change))
        try:
            await ledger.append(change, expected, Blocked(datetime(2026, 1, 1, tzinfo=UTC), name, str(written)))
        except Conflict:
            continue
        written += 1
        print(written, flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
"""


def worker(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path), ONE, name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def start(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_processes_that_race_lose_nothing(path: Path):
    workers = [worker(path, name, 40) for name in ("left", "right")]
    for process in workers:
        start(process)
    assert [len(process.communicate(timeout=120)[0].split()) for process in workers] == [40, 40]
    assert [process.returncode for process in workers] == [0, 0]
    events = read(file.Ledger(str(path)), ONE)
    for name in ("left", "right"):
        mine = [one.message for one in events if isinstance(one, Blocked) and one.reason == name]
        assert mine == [str(number) for number in range(40)]


@pytest.mark.parametrize("after", [1, 7, 23])
def test_what_was_acknowledged_survives_a_kill(path: Path, after: int):
    process = worker(path, "killed", 100_000)
    start(process)
    assert process.stdout is not None
    told = 0
    while told < after:
        told = int(process.stdout.readline())
    process.kill()
    rest = process.communicate(timeout=60)[0].split()
    told = int(rest[-1]) if rest else told
    survivor = file.Ledger(str(path))
    events = read(survivor, ONE)
    assert len(events) in {told, told + 1}  # the last one may have been written and not yet told
    append(survivor, ONE, len(events))
    assert len(read(file.Ledger(str(path)), ONE)) == len(events) + 1


# Size.


def test_reading_one_change_costs_its_own_lines(path: Path, monkeypatch: pytest.MonkeyPatch):
    line = b'{"v":1,"change":"%s","seq":%d,"event":{"type":"Blocked","at":"2026-01-01T00:00:00Z","reason":"r","message":"m"}}\n'
    changes = [change_id(str(number)) for number in range(1000)]
    path.write_bytes(b"".join(line % (change.encode(), seq) for seq in range(20) for change in changes))
    ledger = file.Ledger(str(path))
    assert len(read(ledger, changes[7])) == 20
    pread, seen = os.pread, []
    monkeypatch.setattr(os, "pread", lambda *args: seen.append(args[1]) or pread(*args))
    assert len(read(ledger, changes[8])) == 20
    append(ledger, changes[8], 20)
    assert len(read(ledger, changes[8])) == 21
    assert len(seen) < 60  # each line once, and a look at the end


def test_large_events_pass(path: Path):
    from loopseal.domain.proposal import PutFile
    from tests.unit.wire.golden import PROPOSAL

    large = Proposal(
        PROPOSAL.id, PROPOSAL.target, "", (PutFile("apps/payments/x", "x" * 3_000_000),), "r", PROPOSAL.actor
    )
    append(file.Ledger(str(path)), large.id, 0, Proposed(AT, large, "sha256:1"))
    (back,) = read(file.Ledger(str(path)), large.id)
    assert back == Proposed(AT, large, "sha256:1")
