"""SSH through the user's OpenSSH program, on one held connection.

OpenSSH brings host keys, agents, jump hosts and hardware keys as people have set them up. The connection is held by a
control master in a private folder and goes with `aclose`, or by itself a minute after the last use. Host keys are
always checked, nothing is ever asked for, and no secret is among the arguments.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from loopseal.errors import Code, ConfigError, LoopsealError, Refused, Unreachable
from loopseal.git.pktline import malformed
from loopseal.git.protocol import Advertisement, Service, split_advertisement
from loopseal.git.remote import AmbiguousPush
from loopseal.git.remotes.access import Access
from loopseal.git.remotes.process import Bounds, Finished, run, succeeds
from loopseal.net import clean

FAILED: Final = 255
"""Exit code of ssh(1) when ssh itself failed; else it is the remote command's."""

_SOCKET_PATH: Final = 100
"""Bytes that the path of a Unix socket may have (108 less what OpenSSH appends while it makes one)."""

_SCP: Final = re.compile(r"(?P<user>[^@:/\s]+@)?(?P<host>[^@:/\s]+):(?P<path>(?!//|:)\S.*)")


@dataclass(frozen=True, slots=True)
class Address:
    """What an SSH address names. Parts that begin with a dash are refused: they would be options."""

    host: str
    path: str
    user: str = ""
    port: int = 0

    @property
    def destination(self) -> str:
        """`user@host`, as ssh(1) takes it."""
        return f"{self.user}@{self.host}" if self.user else self.host


def address_of(url: str) -> Address | None:
    """The address in `ssh://user@host:port/path` or `user@host:path`; None when it is neither. Raises ConfigError."""
    if url.startswith(("ssh://", "git+ssh://")):
        found = _split(url)
    elif "://" not in url and (scp := _SCP.fullmatch(url)):
        found = Address(scp["host"], scp["path"], (scp["user"] or "").removesuffix("@"))
    else:
        return None
    if not found.host or not found.path or any(part.startswith("-") for part in (found.host, found.user, found.path)):
        raise ConfigError(Code.CONFIG_INVALID, "not a usable SSH address", where=clean(url, 200))
    return found


def _split(url: str) -> Address:
    try:
        parts = urlsplit(url)
        port, password = parts.port or 0, parts.password
    except ValueError as error:
        raise ConfigError(Code.CONFIG_INVALID, "not a usable SSH address", where=clean(url, 200)) from error
    if password is not None:
        raise ConfigError(
            Code.CONFIG_INVALID,
            "an address must not hold a password",
            where=clean(url, 200),
            hint="Use a key: put it where `credential` points to.",
        )
    path = unquote(parts.path)
    path = path[1:] if path.startswith("/~") else path
    return Address(parts.hostname or "", path, unquote(parts.username or ""), port)


class Identity:
    """A private folder with what ssh(1) reads from files: our key, and the socket of the held connection."""

    def __init__(self, access: Access, known_hosts: str = "", timeout: float = 30.0) -> None:
        self._access, self._known_hosts, self._timeout = access, known_hosts, timeout
        self._folder: Path | None = None
        self._key: bytes | None = None

    async def options(self) -> list[str]:
        """Options for ssh(1), the key written anew when it changed."""
        key = await self._access.private_key()
        folder = self._folder = self._folder or await private_folder(self)
        if key != self._key:
            await asyncio.to_thread(write_private, folder / "key", key)
            self._key = key
        seconds = max(int(self._timeout), 1)
        named = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "ConnectTimeout": f"{min(seconds, 10)}",
            "ServerAliveInterval": f"{max(seconds // 3, 1)}",
            "ServerAliveCountMax": "3",
            "ForwardAgent": "no",
            "ClearAllForwardings": "yes",
            "SendEnv": "GIT_PROTOCOL",
        }
        if key:
            named |= {"IdentityFile": f"{folder / 'key'}", "IdentitiesOnly": "yes", "IdentityAgent": "none"}
        if self._known_hosts:
            named |= {"UserKnownHostsFile": self._known_hosts, "GlobalKnownHostsFile": "/dev/null"}
        return [part for name, value in named.items() for part in ("-o", f"{name}={value}")]

    @property
    def socket(self) -> Path | None:
        """Where the held connection listens; None before `options`, or where the path would be too long."""
        path = self._folder / "held" if self._folder else None
        return path if path is not None and len(os.fsencode(path)) < _SOCKET_PATH else None

    def forget(self) -> None:
        """The host refused the key: read it anew next time."""
        self._access.forget()

    def redact(self, text: str) -> str:
        """`text` without the key."""
        return self._access.redact(text)

    async def aclose(self) -> None:
        """Remove the folder and the key in it."""
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        self._folder = self._key = None


class SshChannel:
    """One repository by SSH."""

    def __init__(self, url: str, address: Address, identity: Identity, bounds: Bounds) -> None:
        self._url, self._address, self._identity, self._bounds = url, address, identity, bounds
        self._holding = asyncio.Lock()

    @property
    def url(self) -> str:
        """Where it is."""
        return self._url

    async def advertise(self, service: Service) -> Advertisement:
        """The greeting that every connection begins with; a flush says that we want nothing."""
        return split_advertisement((await self._run(service, b"0000", 2)).out)[0]

    async def ask(self, service: Service, body: bytes, version: int) -> bytes:
        """One request on one channel of the held connection, sent without waiting for the greeting."""
        try:
            greeting, answer = split_advertisement((await self._run(service, body, version)).out)
        except Unreachable as error:
            if service is Service.RECEIVE:
                raise AmbiguousPush(str(error)) from error
            raise
        if service is Service.UPLOAD and greeting.version != version and 2 in {version, greeting.version}:  # noqa: PLR2004 - of the protocol
            raise malformed(f"the host speaks protocol version {greeting.version}, not {version}")
        return answer

    def redact(self, text: str) -> str:
        """`text` without our key."""
        return self._identity.redact(text)

    async def aclose(self) -> None:
        """End the held connection and remove the key."""
        if (socket := self._identity.socket) is not None and socket.exists():
            await succeeds(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "--", "held"], variables={}, seconds=5)
        await self._identity.aclose()

    async def _run(self, service: Service, body: bytes, version: int) -> Finished:
        options = [*await self._identity.options(), *await self._held()]
        command = f"{service} {_quoted(self._address.path)}"
        argv = ["ssh", *options, *self._port(), "--", self._address.destination, command]
        variables = {"GIT_PROTOCOL": "version=2"} if version == 2 and service is Service.UPLOAD else {}  # noqa: PLR2004 - of the protocol
        ended = await run(argv, body, variables=variables, bounds=self._bounds, where=self._url)
        if ended.code and not ended.out:
            error = ssh_failure(ended, self._url, self._identity)
            if error.code is Code.GIT_AUTHENTICATION:
                self._identity.forget()
            raise error
        return ended

    async def _held(self) -> list[str]:
        """Options that use the held connection, made now if it is not there. Without one each call connects itself."""
        async with self._holding:
            options = await self._identity.options()
            socket = self._identity.socket
            if socket is None:
                return ["-o", "ControlPath=none"]
            through = ["-o", f"ControlPath={socket}"]
            if not socket.exists():
                master = ["ssh", *options, *through, "-o", "ControlMaster=yes", "-o", "ControlPersist=60", "-fN"]
                argv = [*master, *self._port(), "--", self._address.destination]
                await succeeds(argv, variables={"GIT_PROTOCOL": "version=2"}, seconds=self._bounds.silence)
            return [*through, "-o", "ControlMaster=no"]

    def _port(self) -> list[str]:
        return ["-p", str(self._address.port)] if self._address.port else []


def ssh_failure(ended: Finished, where: str, identity: Identity) -> LoopsealError:
    """What it means that ssh(1) ended badly without a byte from the host.

    The exit code decides between ssh and the host; OpenSSH has one code for all its own failures, so its two best known
    sentences tell a refused key and an unknown host apart from a broken way. They never decide about a push.
    """
    words = identity.redact(clean(ended.words, 300))
    if ended.code != FAILED:
        return ConfigError(
            Code.GIT_NOT_FOUND,
            f"the host runs no git here ({ended.code}): {words}",
            where=where,
            hint="Check the path in `url`. Hosts answer the same when the key may not read it.",
        )
    if "Host key verification failed" in words:
        return Refused(
            Code.GIT_HOST_KEY,
            f"the host's key is not the known one: {words}",
            where=where,
            hint="Put the host's key, checked on another way, into the file that `known_hosts` names.",
        )
    if "Permission denied" in words:
        return Refused(
            Code.GIT_AUTHENTICATION,
            f"the host refused the key: {words}",
            where=where,
            hint="Is the public key registered at the host, and is `credential` its private key?",
        )
    return Unreachable(
        Code.GIT_UNREACHABLE, f"no SSH connection: {words}", where=where, hint="Is the host up, the way to it open?"
    )


def _quoted(path: str) -> str:
    """`path` for the shell at the host."""
    if any(not char.isprintable() for char in path):
        raise ConfigError(Code.CONFIG_INVALID, "the path of the repository holds control characters")
    return shlex.quote(path)


async def private_folder(owner: object) -> Path:
    """A new folder that only this user may enter. It goes with its owner at the latest, or with the process."""
    folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="loopseal-")
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def write_private(path: Path, data: bytes) -> None:
    """A file that only this user ever could read."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 - of a descriptor
        file.write(data)
