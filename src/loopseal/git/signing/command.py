"""Signatures by a program of the user's: keys in an HSM, a vault, a smart card.

It reads the bytes to sign on standard input and writes the armoured signature to standard output.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from loopseal.errors import Code, ConfigError, Unreachable
from loopseal.net import clean

_MAX_OUTPUT: Final = 64 * 1024
_ARMOUR: Final = re.compile(
    r"-----BEGIN (SSH SIGNATURE|PGP SIGNATURE|SIGNED MESSAGE)-----\n"
    r"(?:[A-Za-z]+: [\x20-\x7e]*\n)*\n?"
    r"(?:[A-Za-z0-9+/=]{1,76}\n)+"
    r"-----END \1-----\n"
)
"""SSH (PROTOCOL.sshsig), OpenPGP (RFC 9580 §6.2) and S/MIME as git takes it."""


class CommandSigner:
    """Signs by running a program, once for each signature."""

    def __init__(self, command: Sequence[str], *, timeout: float = 30.0) -> None:
        self._command, self._timeout = tuple(command), timeout

    @property
    def name(self) -> str:
        """For people: the program without its arguments, which may say too much."""
        return f"command {self._command[0]}"

    @property
    def public(self) -> str:
        """Empty: only the program knows."""
        return ""

    async def sign(self, data: bytes, *, at: int) -> str:
        """What the program answers, if it looks like a signature. Which time it carries is the program's affair."""
        del at
        status, output, complaint = await self._run(data)
        if status:
            raise Unreachable(
                Code.NET_UNREACHABLE,
                f"the signing program failed with status {status}: {clean(complaint, 300)}",
                where=self.name,
                hint="Run it by hand: it reads bytes on standard input and writes an armoured signature.",
            )
        text = output.decode("ascii", "replace").replace("\r\n", "\n").strip() + "\n"
        if not _ARMOUR.fullmatch(text):
            raise self._refused(
                "the signing program does not answer with one armoured signature",
                "It must write a detached SSH or PGP signature to standard output, and nothing else.",
            )
        return text

    async def _run(self, data: bytes) -> tuple[int, bytes, str]:
        """(status, output, complaints) of one run; the program does not outlive it."""
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, stderr=pipe)
        except (OSError, ValueError) as error:
            raise self._refused(
                f"the signing program cannot be started: {type(error).__name__}", "Check `sign.command`."
            ) from error
        try:
            async with asyncio.timeout(self._timeout):
                _, output, complaint = await asyncio.gather(
                    _feed(process, data), _read(process, process.stdout), _read(process, process.stderr)
                )
                if output is None or complaint is None:
                    raise self._refused("the signing program writes too much", "A signature is a few hundred bytes.")
                status = await process.wait()
        except TimeoutError as error:
            raise Unreachable(
                Code.NET_TIMEOUT,
                f"the signing program took more than {self._timeout:g} s",
                where=self.name,
                hint="Run it by hand: does it wait for somebody?",
            ) from error
        finally:
            await _end(process)
        return status, output, complaint.decode("utf-8", "replace")

    def _refused(self, message: str, hint: str) -> ConfigError:
        return ConfigError(Code.CONFIG_SIGNING_KEY, message, where=self.name, hint=hint)


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    stdin = process.stdin
    if stdin is not None:
        with suppress(OSError):  # a program that does not want to read all of it may still answer
            stdin.write(data)
            await stdin.drain()
        stdin.close()
        with suppress(OSError):
            await stdin.wait_closed()


async def _read(process: asyncio.subprocess.Process, stream: asyncio.StreamReader | None) -> bytes | None:
    """All that is written there; None, and the end of the program, when it is too much."""
    out = b""
    while stream is not None and (piece := await stream.read(_MAX_OUTPUT)):
        out += piece
        if len(out) > _MAX_OUTPUT:
            _kill(process)
            return None
    return out


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
    transport = getattr(process, "_transport", None)  # its pipes stay open while a grandchild, or unread bytes, do
    if transport is not None:
        transport.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    _kill(process)
    await process.wait()
