"""Which way to a repository its address and mode ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from loopseal.errors import Code, ConfigError
from loopseal.git.remote import Remote
from loopseal.git.remotes.access import Access
from loopseal.git.remotes.channel import Channel
from loopseal.git.remotes.fallback import Fallback
from loopseal.git.remotes.http import HttpChannel
from loopseal.git.remotes.local import LocalChannel
from loopseal.git.remotes.process import Bounds
from loopseal.git.remotes.program import ProgramRemote
from loopseal.git.remotes.ssh import Identity, SshChannel, address_of
from loopseal.git.remotes.wire import WireRemote
from loopseal.net import clean
from loopseal.ports import Secrets

if TYPE_CHECKING:
    import httpx2

MODES: Final = ("auto", "wire", "shallow", "git")
LIMIT: Final = 64 * 1024 * 1024
"""Bytes of one answer: partial fetches are a few KiB, a whole tree at depth 1 some MiB."""

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def open_remote(
    url: str,
    *,
    secrets: Secrets | None = None,
    credential: str = "",
    username: str = "",
    mode: str = "auto",
    ca: str = "",
    known_hosts: str = "",
    timeout: float = 30.0,
    unsafe_http: bool = False,
    limit: int = LIMIT,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> Remote:
    """The remote at `url`, by the fields of `RepositorySettings`. Nothing is sent yet. Raises ConfigError.

    `auto` speaks Git's protocol as far as the host understands it, and falls back to the `git` program; `wire` never
    does; `shallow` asks for no tree filters; `git` uses the program from the start. `limit` bounds one answer, in
    bytes; `transport` replaces the network for `http://` (a simulator in the same process).
    """
    if mode not in MODES:
        raise ConfigError(
            Code.CONFIG_INVALID, f"unknown mode {clean(mode, 40)!r}", where=clean(url, 200), hint=f"One of {MODES}."
        )
    _check(url, unsafe=unsafe_http)
    access = Access(secrets, credential, username)
    bounds = Bounds(silence=timeout, total=timeout * 20, output=limit)

    def program() -> Remote:
        return ProgramRemote(url, access, bounds, ca=ca, known_hosts=known_hosts)

    if mode == "git":
        return program()
    channel: Channel
    if (address := address_of(url)) is not None:
        channel = SshChannel(url, address, Identity(access, known_hosts, timeout), bounds)
    elif _is_local(url):
        channel = LocalChannel(url, bounds)
    else:
        channel = HttpChannel(url, access, ca=ca, timeout=timeout, limit=limit, transport=transport)
    wire = WireRemote(channel, tree_filters=mode != "shallow")
    return Fallback(wire, program) if mode == "auto" and transport is None else wire


def _is_local(url: str) -> bool:
    return url.startswith(("file://", "/"))


def _check(url: str, *, unsafe: bool) -> None:
    """SSH, a local folder, https, or http where nobody can listen; never with a credential inside."""
    if _is_local(url) or address_of(url) is not None:
        return
    try:
        parts = urlsplit(url)
        host, secret = parts.hostname or "", parts.username is not None
    except ValueError as error:
        raise ConfigError(Code.CONFIG_INVALID, "not a usable address", where=clean(url, 200)) from error
    where = clean(url, 200)
    if secret:
        raise ConfigError(
            Code.CONFIG_INVALID,
            "an address must not hold a user name or password",
            where=where,
            hint="Put them where `credential` points to.",
        )
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise ConfigError(
            Code.CONFIG_INVALID,
            "not an address of a repository that is known here",
            where=where,
            hint="Use https://, ssh://, user@host:path or file://.",
        )
    if parts.scheme == "http" and host not in _LOOPBACK and not unsafe:
        raise ConfigError(
            Code.CONFIG_INVALID,
            "plain http:// would send the credential in clear",
            where=where,
            hint="Use https://, or set `unsafe_http: true` if you must.",
        )
