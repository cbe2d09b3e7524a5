"""Loopback ports that belong to one cluster for as long as it lives, however often its processes start again.

The kernel gives ports above 32767 to whoever connects somewhere (`ip_local_port_range`), so a free port of those may be
gone by the time a killed process wants it back. These lie below, in blocks that are locked as files: two clusters at
once, of any process on this machine, never meet.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, Self

HOST: Final = "127.0.0.1"
FIRST, LAST, SIZE = 20_000, 32_000, 40
"""The range, and how many ports a block has."""


class Ports:
    """A block of ports, handed out by name. A context manager: leaving it gives the block back.

    Raises RuntimeError when every block is taken.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir())
        self._names: dict[str, int] = {}
        self._lock: IO[bytes] | None = None
        self._free: Iterator[int] = iter(())

    def __enter__(self) -> Self:
        blocks = range(FIRST, LAST, SIZE)
        turn = os.getpid() % len(blocks)  # those that start at once try different blocks first
        for first in (*blocks[turn:], *blocks[:turn]):
            if (lock := self._take(first)) is None:
                continue
            ports = range(first, first + SIZE)
            if all(map(_is_free, ports)):
                self._lock, self._free = lock, iter(ports)
                return self
            lock.close()
        raise RuntimeError(f"every block of ports between {FIRST} and {LAST} is taken")

    def __exit__(self, *_: object) -> None:
        if self._lock:
            self._lock.close()

    def __getitem__(self, name: str) -> int:
        """The port of this name, always the same."""
        if name not in self._names:
            self._names[name] = next(self._free)
        return self._names[name]

    def __contains__(self, port: int) -> bool:
        """Whether it was handed out here."""
        return port in self._names.values()

    def address(self, name: str) -> str:
        """Such as `127.0.0.1:20004`."""
        return f"{HOST}:{self[name]}"

    def _take(self, first: int) -> IO[bytes] | None:
        file = (self._folder / f"loopseal-ports-{os.getuid()}-{first}.lock").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file


def _is_free(port: int) -> bool:
    """Whether nobody listens on it; ports of connections that have ended do not count."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((HOST, port))
        except OSError:
            return False
    return True
