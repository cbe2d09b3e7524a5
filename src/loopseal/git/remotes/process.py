"""Helper programs: started without a shell, bounded in time and output, never outliving their caller.

Variables are set through env(1), so that the parent's own environment is neither read nor changed; nothing secret is
ever among arguments or variables.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from loopseal.errors import Code, ConfigError, Unreachable

CHUNK: Final = 64 * 1024
MAX_WORDS: Final = 16 * 1024
"""Bytes of standard error that are kept: its end."""

_NO_PROGRAM: Final = 127
"""Exit code of env(1) when there is no such program; also of a shell at the other end of an SSH connection."""

_INHERITED: Final = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_QUARANTINE_PATH",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_SSL_NO_VERIFY",
    "GIT_TRACE",
    "GIT_TRACE_PACKET",
    "GIT_TRACE_CURL",
)
"""Variables of a surrounding git (a hook) or of somebody's debugging, which would mislead, weaken or expose ours."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended: exit code (negative: by that signal), standard output, and the end of standard error."""

    code: int
    out: bytes
    words: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """`silence`: seconds without a byte of output until it is given up, `total`: seconds in all; `output`: bytes."""

    silence: float = 30.0
    total: float = 600.0
    output: int = 64 * 1024 * 1024


def with_environment(argv: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """`argv` run by env(1) with these variables, in the C locale, free of a surrounding git."""
    unset = [part for name in _INHERITED if name not in variables for part in ("-u", name)]
    return ["env", *unset, "LC_ALL=C", *(f"{name}={value}" for name, value in variables.items()), *argv]


async def run(
    argv: Sequence[str], data: bytes = b"", *, variables: Mapping[str, str], bounds: Bounds, where: str
) -> Finished:
    """Run a program to its end, with `data` on its standard input. Raises Unreachable, ConfigError (not installed)."""
    try:
        process = await start(argv, variables, PIPE)
    except OSError as error:
        raise ConfigError(Code.CONFIG_EXTRA_MISSING, f"cannot start {argv[0]}: {error}", where=where) from error
    feeding = asyncio.create_task(_feed(process, data))
    listening = asyncio.create_task(_last_words(process))
    try:
        async with asyncio.timeout(bounds.total):
            out = await _bounded(process, bounds, where)
            words = await listening
            code = await process.wait()
    except TimeoutError as error:
        raise Unreachable(
            Code.NET_TIMEOUT,
            f"{argv[0]} heard nothing in time",
            where=where,
            hint="Is the host up, and is the way to it open?",
        ) from error
    finally:
        await end(process, feeding, listening)
    if code == _NO_PROGRAM and words.startswith("env:"):
        raise ConfigError(Code.CONFIG_EXTRA_MISSING, f"{argv[0]} is not installed", where=where)
    return Finished(code, out, words)


async def succeeds(argv: Sequence[str], *, variables: Mapping[str, str], seconds: float) -> bool:
    """Whether a program that says nothing ends well in time. What it leaves in the background is left alone."""
    process = await start(argv, variables, DEVNULL)
    try:
        async with asyncio.timeout(seconds):
            return await process.wait() == 0
    except TimeoutError:
        return False
    finally:
        if process.returncode is None:
            kill(process)
            await process.wait()


async def start(argv: Sequence[str], variables: Mapping[str, str], ends: int) -> Process:
    """A program in a session of its own, `ends` (PIPE or DEVNULL) at its three streams. To be ended with `end`.

    Whoever is cancelled meanwhile leaves no half-started program behind.
    """
    command = with_environment(argv, variables)
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(*command, stdin=ends, stdout=ends, stderr=ends, start_new_session=True)
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with suppress(OSError):
            await end(await starting)
        raise


async def end(process: Process, *tasks: asyncio.Task[None] | asyncio.Task[str]) -> None:
    """Leave nothing behind, also when we are cancelled or gave up: the whole process group goes, and these tasks."""
    if process.returncode is None:
        kill(process)
    for task in tasks:
        task.cancel()
    try:
        await asyncio.gather(*tasks, return_exceptions=True)
        await process.wait()
    finally:
        transport = getattr(process, "_transport", None)
        if transport is not None:
            transport.close()  # closes pipes that a grandchild may still hold


async def _feed(process: Process, data: bytes) -> None:
    stdin = process.stdin
    assert stdin is not None  # noqa: S101 - it is a pipe
    with suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(data)
        await stdin.drain()
    with suppress(BrokenPipeError, ConnectionResetError):
        stdin.close()
        await stdin.wait_closed()


async def _bounded(process: Process, bounds: Bounds, where: str) -> bytes:
    stdout = process.stdout
    assert stdout is not None  # noqa: S101 - it is a pipe
    out = bytearray()
    while True:
        async with asyncio.timeout(bounds.silence):
            chunk = await stdout.read(CHUNK)
        if not chunk:
            return bytes(out)
        out += chunk
        if len(out) > bounds.output:
            raise Unreachable(
                Code.NET_TOO_LARGE,
                f"git answered with more than {bounds.output} bytes",
                where=where,
                hint="Look at what is so large there, or narrow what is asked for.",
            )


async def _last_words(process: Process) -> str:
    stderr = process.stderr
    assert stderr is not None  # noqa: S101 - it is a pipe
    words = b""
    while chunk := await stderr.read(CHUNK):
        words = (words + chunk)[-MAX_WORDS:]
    return words.decode("utf-8", "replace")


def kill(process: Process) -> None:
    """End a program that `start` started, and all that it has started itself."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
