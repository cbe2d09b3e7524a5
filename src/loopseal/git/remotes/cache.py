"""A private bare repository and the `git` program on it, cut off from the user's configuration and hooks.

The credential stands in git's only configuration file, which this user alone can read; it is never among arguments or
variables. What git says is classified here, and only to name an error: it decides nothing about a push.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from loopseal.errors import Code, ConfigError, LoopsealError, Refused, Unreachable
from loopseal.git.remotes.access import Access
from loopseal.git.remotes.process import Bounds, Finished, run
from loopseal.git.remotes.ssh import Identity, private_folder, write_private
from loopseal.net import clean

_VARIABLES: Final = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
}


class PrivateGit:
    """git, ours alone. The folder is made at the first use and goes with `aclose`."""

    def __init__(self, url: str, access: Access, identity: Identity | None, bounds: Bounds, ca: str) -> None:
        self.url, self._access, self._identity, self._bounds, self._ca = url, access, identity, bounds, ca
        self._folder: Path | None = None
        self._config = b""

    @property
    def shallow(self) -> bool:
        """Whether the repository has commits without their parents."""
        return self._folder is not None and (self._folder / "cache.git" / "shallow").exists()

    async def run(self, *arguments: str, data: bytes = b"") -> Finished:
        """Git with these arguments in the repository, whatever comes of it."""
        folder = await self._ready()
        return await self._started(["git", "-C", f"{folder / 'cache.git'}", *arguments], data)

    async def local(self, *arguments: str, data: bytes = b"") -> bytes:
        """The output of a command that speaks to nobody. Raises Unreachable when it fails."""
        ended = await self.run(*arguments, data=data)
        if ended.code:
            raise Unreachable(Code.GIT_PROTOCOL, f"git {arguments[0]}: {self.words(ended)}", where=self.url)
        return ended.out

    async def contact(self, *arguments: str) -> Finished:
        """A command that speaks to the host. A refused credential is read anew, once. Raises what went wrong."""
        ended = await self.run(*arguments)
        if ended.code and (error := self.failure(ended)).code is Code.GIT_AUTHENTICATION and self._access.reference:
            self._access.forget()
            ended = await self.run(*arguments)
        if ended.code:
            error = self.failure(ended)
            raise error
        return ended

    def words(self, ended: Finished) -> str:
        """What git said, fit to be shown."""
        return self._access.redact(clean(ended.words, 300)) or f"ended with {ended.code}"

    def failure(self, ended: Finished) -> LoopsealError:
        """The error that git's last words name; Unreachable when they name none."""
        words = self.words(ended)
        for pattern, kind, code, hint in _FAILURES:
            if pattern.search(ended.words):
                return kind(code, words, where=self.url, hint=hint)
        return Unreachable(Code.GIT_UNREACHABLE, words, where=self.url, hint="See what git says.")

    async def aclose(self) -> None:
        """Remove the repository, the credential and the key."""
        if self._identity is not None:
            await self._identity.aclose()
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        self._folder, self._config = None, b""

    async def _started(self, argv: Sequence[str], data: bytes) -> Finished:
        variables = {**_VARIABLES, "GIT_CONFIG_GLOBAL": f"{self._folder}/config"}
        if self._ca:
            variables["GIT_SSL_CAINFO"] = self._ca  # the variable, where somebody set it, goes before the file
        if self._identity is not None:
            variables["GIT_SSH_COMMAND"] = shlex.join(["ssh", *await self._identity.options()])
            variables["GIT_SSH_VARIANT"] = "ssh"
        patient = Bounds(silence=self._bounds.total, total=self._bounds.total, output=self._bounds.output)
        return await run(argv, data, variables=variables, bounds=patient, where=self.url)

    async def _ready(self) -> Path:
        """The folder, with a configuration that holds the credential as it is now."""
        authorization = "" if self._identity else await self._access.authorization()
        config = _config(authorization, self._bounds.silence)
        fresh = self._folder is None
        folder = self._folder = self._folder or await private_folder(self)
        if config != self._config:
            await asyncio.to_thread(write_private, folder / "config", config)
            self._config = config
        if fresh:
            ended = await self._started(["git", "init", "--bare", "--quiet", f"{folder / 'cache.git'}"], b"")
            if ended.code:
                raise ConfigError(Code.CONFIG_UNREADABLE, f"git init: {self.words(ended)}", where=f"{folder}")
        return folder


def _config(authorization: str, silence: float) -> bytes:
    """Git's only configuration."""
    http = {"followRedirects": "false", "lowSpeedLimit": "1", "lowSpeedTime": f"{max(int(silence), 1)}"}
    if authorization:
        http["extraHeader"] = f"Authorization: {authorization}"
    sections = {
        "http": http,
        "gc": {"auto": "0"},
        "credential": {"helper": ""},
        "protocol": {"allow": "never"},
        **{f'protocol "{name}"': {"allow": "always"} for name in ("https", "http", "ssh", "file")},
        "init": {"defaultBranch": "main", "templateDir": ""},
        "advice": {"detachedHead": "false"},
    }
    return "".join(_section(name, values.items()) for name, values in sections.items()).encode()


def _section(name: str, values: Iterable[tuple[str, str]]) -> str:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return f"[{name}]\n" + "".join(f"\t{key} = {quoted(value)}\n" for key, value in values)


_TOKEN_HINT: Final = "Is the credential still valid, and is its user name right?"  # noqa: S105 - words
_FAILURES: Final[tuple[tuple[re.Pattern[str], type[LoopsealError], Code, str], ...]] = (
    (re.compile("Host key verification failed"), Refused, Code.GIT_HOST_KEY, "Check the host's key: `known_hosts`."),
    (
        re.compile(r"Authentication failed|could not read (Username|Password)|error: 401|Permission denied \("),
        Refused,
        Code.GIT_AUTHENTICATION,
        _TOKEN_HINT,
    ),
    (re.compile("error: 403"), Refused, Code.GIT_FORBIDDEN, "The credential may not do this. Ask for access."),
    (
        re.compile(r"not found|does not (appear to be|exist)|error: 404|No such", re.IGNORECASE),
        ConfigError,
        Code.GIT_NOT_FOUND,
        "Check `url`. Hosts answer the same when the credential may not read it.",
    ),
    (re.compile("unable to update url base|error: 30"), ConfigError, Code.GIT_MOVED, "Change `url` to the new place."),
    (
        re.compile("error: 429"),
        Unreachable,
        Code.GIT_RATE_LIMITED,
        "Set `pushes_per_minute` to the host's budget; waiting changes then share a push.",
    ),
    (
        re.compile(r"[Tt]imed out|too slow|Operation too slow"),
        Unreachable,
        Code.NET_TIMEOUT,
        "Is the host up, and is the way to it open?",
    ),
    (
        re.compile("certificate|SSL|TLS"),
        Unreachable,
        Code.NET_TLS,
        "Check the certificate, or name its authority in `ca`.",
    ),
    (
        re.compile("mismatched (algorithms|object format)|object-format|unsupported object format"),
        ConfigError,
        Code.GIT_OBJECT_FORMAT,
        "Nothing was written. Use a SHA-1 repository.",
    ),
    (re.compile("not our ref|unadvertised object|no such remote ref|not a valid object|bad object"), Unreachable,
     Code.GIT_OBJECT_MISSING, "The branch may have been rewritten; it is read anew on the next attempt."),
)  # fmt: skip
