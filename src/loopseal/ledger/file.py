r"""A ledger in one file of JSON lines, shared by processes of one machine.

* One line is one event: ``{"v":1,"change":"…","seq":0,"event":{…}}`` and a newline. Lines are only ever added.
* An append holds an exclusive flock(2) while it looks for what others wrote, compares, writes and syncs. A reader needs
  no lock: it takes whole lines only.
* A line without its newline was torn by a crash, and nobody was told that it was written. The next append removes it,
  or ends it when the event is all there.
* When a write fails (full disk, limits) the file is cut back to where it was.

An object remembers where the lines of each change are, so reading one change costs its own lines plus what is new.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import re
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from loopseal import wire
from loopseal.domain.change import Event
from loopseal.errors import Code, ConfigError, Conflict, LoopsealError, Unreachable

FORMAT: Final = 1
LOCK_SECONDS: Final = 10.0
MAX_LINE: Final = wire.MAX_TEXT

_LOCK_PAUSE: Final = 0.01
_PIECE: Final = 1024 * 1024
_START: Final = b'{"v":1,"change":"'
_HEAD: Final = re.compile(rb'\{"v":1,"change":("(?:[^"\\]|\\.){1,400}"),"seq":(-?\d{1,9}),"event":\{')
_EDIT_FILE: Final = frozenset(
    {errno.EACCES, errno.EEXIST, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}
)


class Ledger:
    """Events in a file (port `Ledger`). The file and its folder are made with the first event, for this user only."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._guard = threading.Lock()
        self._lines: dict[str, list[tuple[int, int]]] = {}
        """Offset and length of the lines of each change."""
        self._end = 0
        """Where the last whole line that we know of ends."""
        self._inode = (0, 0)

    async def read(self, change: str) -> Sequence[Event]:
        """All events of one change, in order."""
        return await asyncio.to_thread(self._read, change)

    async def append(self, change: str, expected: int, event: Event) -> None:
        """Write `event` as number `expected`, synced to the disk. Raises Conflict when another came first."""
        line = _line(change, expected, event)
        await asyncio.to_thread(self._append, change, expected, line)

    def _read(self, change: str) -> tuple[Event, ...]:
        with self._guard, self._failures():
            try:
                file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return ()
            with _closing(file):
                self._catch_up(file)
                lines = [os.pread(file, length, offset) for offset, length in self._lines.get(change, ())]
        return tuple(self._event(line) for line in lines)

    def _append(self, change: str, expected: int, line: bytes) -> None:
        with self._guard, self._failures(), self._opened() as file:
            self._catch_up(file)
            self._heal(file)
            there = len(self._lines.get(change, ()))
            if there != expected:
                raise Conflict(
                    Code.LEDGER_CONFLICT,
                    f"event {expected} cannot be written: there are {there}",
                    where=f"{self._path}: {change}",
                    hint="Read the change again and decide anew.",
                )
            self._write(file, line)
            self._lines.setdefault(change, []).append((self._end, len(line)))
            self._end += len(line)

    def _write(self, file: int, line: bytes) -> None:
        """The whole line, synced, or nothing of it."""
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.pwrite(file, rest, self._end + len(line) - len(rest)) :]
            os.fsync(file)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file, self._end)
            raise

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The file, made if it is not there, under the exclusive lock."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with _closing(file):
            self._lock(file)
            if os.fstat(file).st_size == 0:
                _sync_folder(self._path.parent)  # a new file
            yield file

    def _lock(self, file: int) -> None:
        for _ in range(int(LOCK_SECONDS / _LOCK_PAUSE)):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOCK_PAUSE)
            else:
                return
        raise Unreachable(
            Code.LEDGER_WRITE,
            f"another process has held the ledger for {LOCK_SECONDS:g} s",
            where=str(self._path),
            hint="Look for a stopped process that has the file open.",
        )

    def _catch_up(self, file: int) -> None:
        """Take note of the whole lines that were added since; begin anew when it is another file."""
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise self._broken("this is no regular file")
        inode = (status.st_dev, status.st_ino)
        if inode != self._inode or status.st_size < self._end:
            self._lines, self._end, self._inode = {}, 0, inode
        for line in _whole_lines(file, self._end):
            self._note(line)

    def _note(self, line: bytes) -> None:
        head = _HEAD.match(line)
        if head is None:
            raise self._broken("a line is no event of this ledger")
        known = self._lines.setdefault(json.loads(head[1]), [])
        if int(head[2]) != len(known):
            raise self._broken(f"event {int(head[2])} of a change stands where number {len(known)} belongs")
        known.append((self._end, len(line)))
        self._end += len(line)

    def _heal(self, file: int) -> None:
        """Deal with a torn last line. Only under the lock: nobody is writing it now."""
        size = os.fstat(file).st_size
        if size == self._end:
            return
        tail = os.pread(file, MAX_LINE, self._end)
        if not _ours(tail):
            raise self._broken("the end of the file is no event of this ledger")
        try:
            self._event(tail)
        except LoopsealError:
            os.ftruncate(file, self._end)
            os.fsync(file)
            return
        os.pwrite(file, b"\n", size)
        os.fsync(file)
        self._note(tail + b"\n")

    def _event(self, line: bytes) -> Event:
        data = wire.parse_json(line, code=Code.LEDGER_INVALID)
        if not isinstance(data, dict) or set(data) != {"v", "change", "seq", "event"}:
            raise self._broken("a line is no event of this ledger")
        event: Event = wire.load(Event, data["event"], code=Code.LEDGER_INVALID)
        return event

    def _broken(self, message: str) -> ConfigError:
        return ConfigError(
            Code.LEDGER_INVALID,
            message,
            where=f"{self._path} at byte {self._end}",
            hint="It was changed by hand, or is no ledger. Put the file aside; a new one is begun.",
        )

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn what the operating system says into our errors."""
        try:
            yield
        except OSError as error:
            kind = ConfigError if error.errno in _EDIT_FILE else Unreachable
            hint = (
                "Name a file that this user may write, in `ledger.path`."
                if kind is ConfigError
                else "Make room on the disk; nothing was half-written."
            )
            message = f"the ledger cannot be used: {error.strerror}"
            raise kind(Code.LEDGER_WRITE, message, where=str(self._path), hint=hint) from None


def _ours(tail: bytes) -> bool:
    """Whether this can be the beginning of a line of ours, or the zeros that some file systems leave after a crash."""
    return tail[: len(_START)] == _START[: len(tail)] or not tail.strip(b"\0")


def _line(change: str, seq: int, event: Event) -> bytes:
    line = json.dumps(
        {"v": FORMAT, "change": change, "seq": seq, "event": wire.dump(event)},
        ensure_ascii=False,
        separators=(",", ":"),
        allow_nan=False,
    )
    data = line.encode() + b"\n"
    if len(data) > MAX_LINE or not _HEAD.match(data):
        raise ConfigError(
            Code.LEDGER_WRITE,
            f"the event has no usable change id, or more than {MAX_LINE} bytes",
            where=change[:60],
            hint="A change id has 26 characters; files this large do not belong into one change.",
        )
    return data


def _whole_lines(file: int, offset: int) -> Iterator[bytes]:
    """The lines from `offset` on that have their newline."""
    rest = b""
    while piece := os.pread(file, _PIECE, offset):
        offset += len(piece)
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line + b"\n"


def _sync_folder(folder: Path) -> None:
    """A new file is there after a crash only when its folder was synced as well (fsync(2))."""
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    with _closing(file):
        os.fsync(file)


@contextmanager
def _closing(file: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(file)
