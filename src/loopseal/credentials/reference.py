"""References of the settings -> credentials: `env:NAME`, `file:/path`, `command:program args`, `connection:id`.

* What was read is kept until `forget`: a peer that refuses a credential makes it be read anew, so rotation is noticed.
* One trailing newline is not part of a secret; keys in files (PEM, OpenSSH, armoured OpenPGP) keep theirs. Bytes that
  are no UTF-8, such as a binary OpenPGP key, come as surrogate escapes: ``.encode("utf-8", "surrogateescape")``.
* A command gets no shell and no input. It prints the secret alone, or `username=` and `password=` lines as a Git
  credential helper does (gitcredentials(7)). What it writes to standard error is not kept.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import stat
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from loopseal.credentials import program
from loopseal.errors import Code, ConfigError
from loopseal.ports import Credential, Finding, Level, Secret
from loopseal.settings import environment

MAX_BYTES: Final = 64 * 1024
"""Bytes of one secret in a file."""
COMMAND_SECONDS: Final = 30.0

Connections: TypeAlias = Callable[[str], Awaitable[Credential]]
"""Resolves the id of an Airflow connection; raises ConfigError where there is none."""


class References:
    """Resolves references (port `Secrets`) on one event loop. `connections` is what Airflow supplies."""

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        connections: Connections | None = None,
        command_seconds: float = COMMAND_SECONDS,
    ) -> None:
        self._environ = environment() if environ is None else environ
        self._connections, self._command_seconds = connections, command_seconds
        self._kept: dict[str, Credential] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def resolve(self, reference: str) -> Credential:
        """The credential behind `reference`; callers at the same time share one reading. Raises ConfigError."""
        if reference not in self._kept:
            async with self._locks.setdefault(reference, asyncio.Lock()):
                if reference not in self._kept:
                    self._kept[reference] = await self._read(reference)
            self._locks.pop(reference, None)
        return self._kept[reference]

    def forget(self, reference: str) -> None:
        """Read it anew next time."""
        self._kept.pop(reference, None)

    async def check(self, reference: str) -> Sequence[Finding]:
        """What is wrong with it, without using it: it cannot be read, or others may read it."""
        try:
            await self._read(reference)
        except ConfigError as error:
            return [Finding(Level.ERROR, error.code, error.message, error.where, error.hint)]
        scheme, _, rest = reference.partition(":")
        if scheme == "file" and await asyncio.to_thread(_open_to_others, rest):
            hint = f"chmod 600 {shlex.quote(rest)}"
            return [Finding(Level.WARNING, Code.CONFIG_SECRET, "other users may read it", f"file:{rest}", hint)]
        return []

    async def _read(self, reference: str) -> Credential:
        scheme, colon, rest = reference.partition(":")
        if not colon or not rest.strip():
            raise _unusable("(a reference)", "is no reference", "Use env:NAME, file:/path, connection:id or command:….")
        match scheme:
            case "env":
                return _bare(self._variable(rest), reference)
            case "file":
                return _bare(await asyncio.to_thread(_file, rest), reference)
            case "command":
                return await self._command(rest)
            case "connection":
                return await self._connection(rest)
            case _:
                raise _unusable("(a reference)", "has no scheme we know", "Use env:, file:, connection: or command:.")

    def _variable(self, name: str) -> str:
        if name not in self._environ:
            raise _unusable(f"env:{name}", "this variable is not set", "Set it where this process is started.")
        return self._environ[name]

    async def _connection(self, name: str) -> Credential:
        if self._connections is None:
            raise _unusable(
                f"connection:{name}", "connections exist only within Airflow", "Use env:, file: or command: here."
            )
        return await self._connections(name)

    async def _command(self, line: str) -> Credential:
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise _unusable("command:…", f"is no command line ({error})", "Check the quotes.") from None
        where = f"command:{words[0]}"  # the arguments may say too much
        text = _decode(await program.output(words, dict(self._environ), self._command_seconds, where=where))
        lines = [one for one in text.split("\n") if one]
        fields = dict(one.split("=", 1) for one in lines if re.fullmatch(r"[a-z_]+(\[\])?=.*", one))
        if "password" in fields and all("=" in one for one in lines):
            return Credential(_secret(fields["password"], where), fields.get("username", ""))
        return _bare(text, where)


def _unusable(where: str, message: str, hint: str) -> ConfigError:
    return ConfigError(Code.CONFIG_SECRET, message, where=where, hint=hint)


def _secret(value: str, where: str) -> Secret:
    if not value.strip():
        raise _unusable(where, "is empty", "Put the secret there.")
    return Secret(value)


def _bare(text: str, where: str) -> Credential:
    if not text.startswith("-----BEGIN "):
        text = text.removesuffix("\n").removesuffix("\r")
    return Credential(_secret(text, where))


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _file(name: str) -> str:
    where, path = f"file:{name}", Path(name)
    if not path.is_absolute():
        raise _unusable(where, "needs an absolute path", "Workers run in folders of their own.")
    try:
        if not path.is_file():  # before opening: a pipe would wait for its writer
            path.stat()
            raise _unusable(where, "is no regular file", "Name the file that holds the secret.")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no usable name"
        raise _unusable(where, f"cannot be read: {reason}", "This process needs the right to read it.") from None
    if len(data) > MAX_BYTES:
        raise _unusable(where, f"has more than {MAX_BYTES} bytes", "Is it the right file?")
    return _decode(data)


def _open_to_others(name: str) -> bool:
    return bool(Path(name).stat().st_mode & stat.S_IROTH)
