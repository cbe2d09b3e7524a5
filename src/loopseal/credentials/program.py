"""Runs a program that prints a secret: no shell, no input, bounded in time and size, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Final

from loopseal.errors import Code, ConfigError

MAX_BYTES: Final = 64 * 1024
"""Bytes of standard output."""


class _Output(asyncio.SubprocessProtocol):
    """Collects standard output; `ended` is done when the program has ended, or has said too much."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended = asyncio.get_running_loop().create_future()
        self.exited = asyncio.Event()

    def pipe_data_received(self, _fd: int, data: bytes) -> None:
        self.data += data
        if len(self.data) > MAX_BYTES:
            self._end()

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, _error: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def output(words: Sequence[str], environ: Mapping[str, str], seconds: float, *, where: str) -> bytes:
    """What the program prints on standard output; standard error is thrown away. Raises ConfigError."""
    transport, protocol = await _start(words, environ, where)
    try:
        async with asyncio.timeout(seconds):
            await protocol.ended
    except TimeoutError:
        raise _unusable(where, f"did not end within {seconds:g} s", "It must not ask anything.") from None
    finally:
        await _clear(transport, protocol)
    if len(protocol.data) > MAX_BYTES:
        raise _unusable(where, f"printed more than {MAX_BYTES} bytes", "It must print the secret alone.")
    status = transport.get_returncode()
    if status != 0:
        raise _unusable(where, f"ended with status {status}", "Run it by hand, as this user, to see why.")
    return bytes(protocol.data)


async def _clear(transport: asyncio.SubprocessTransport, protocol: _Output) -> None:
    """End the program and what it started. It is reaped before its transport is closed, as asyncio wants it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(transport.get_pid(), signal.SIGKILL)
    with contextlib.suppress(TimeoutError):  # a program of another user cannot be killed
        async with asyncio.timeout(2):
            await protocol.exited.wait()
    transport.close()


async def _start(
    words: Sequence[str], environ: Mapping[str, str], where: str
) -> tuple[asyncio.SubprocessTransport, _Output]:
    try:
        return await asyncio.get_running_loop().subprocess_exec(
            _Output,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environ,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no usable name"
        raise _unusable(where, f"cannot be started: {reason}", "Is it installed, and in PATH?") from None


def _unusable(where: str, message: str, hint: str) -> ConfigError:
    return ConfigError(Code.CONFIG_SECRET, message, where=where, hint=hint)
