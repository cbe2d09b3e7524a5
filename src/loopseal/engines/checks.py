"""What both engines make of questions asked side by side: answers, refusals, findings.

Lives here: turning what came of a call into a finding, and looking at an address before anything is sent there.
Does not: the calls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from loopseal.domain.revision import Tolerance
from loopseal.engines.answers import Missing
from loopseal.errors import Code, ConfigError, LoopsealError, Refused
from loopseal.ports import Finding, Level
from loopseal.settings import EngineSettings

T = TypeVar("T")


def address_of(settings: EngineSettings, where: str, *, url: str = "", simulated: bool = False) -> str:
    """The address, if a credential may be sent to it. Raises ConfigError."""
    address = url or settings.url
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ConfigError(
            Code.CONFIG_INVALID,
            "not an address of the form https://host",
            where=where,
            hint="Write https:// and the host; credentials go under `credential`.",
        )
    if parts.scheme == "http" and not (settings.unsafe_http or simulated or _loopback(parts.hostname)):
        raise ConfigError(
            Code.CONFIG_INVALID,
            "plain http:// would send the credential in clear",
            where=where,
            hint="Use https://, or set `unsafe_http: true` if you accept that.",
        )
    return address


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What came of one call of several: a value, or why there is none."""

    value: T | None = None
    error: LoopsealError | None = None

    @property
    def forbidden(self) -> bool:
        """Whether we may not ask."""
        return self.error is not None and self.error.code is Code.ENGINE_FORBIDDEN

    def known(self) -> T | None:
        """The value; None where it may not be asked for. Raises any other error."""
        if self.error is not None and not self.forbidden:
            raise self.error
        return self.value


async def outcome(call: Awaitable[T]) -> Outcome[T]:
    """Await `call` without raising what may be told as a finding: for calls made side by side."""
    try:
        return Outcome(await call)
    except Missing:
        return Outcome()
    except LoopsealError as error:
        return Outcome(error=error)


def missing(engine: str, name: str, tolerance: Tolerance, error: LoopsealError | None = None) -> Sequence[Finding]:
    """The finding for an application that is not there, or that may not be read: to Argo CD both look the same."""
    if error is not None:
        code, message, hint = f"{engine}.no_get", error.message, error.hint
    else:
        code, message, hint = f"{engine}.missing", f"{name} does not exist", "Correct its name, namespace or project."
    if tolerance.create_grace > 0:
        return [Finding(Level.NOTE, code, f"{message}; it may be created within {tolerance.create_grace:.0f} s", name)]
    return [Finding(Level.ERROR, code, message, name, hint)]


def unreadable(engine: str, name: str, error: LoopsealError) -> Finding:
    """The finding for an object that is needed and may not be read."""
    return Finding(Level.ERROR, f"{engine}.no_get", error.message, name, error.hint)


def no_such(name: str, where: str) -> Refused:
    """What to raise for an application that is not there."""
    return Refused(
        Code.ENGINE_NOT_FOUND, f"{name} does not exist", where=where, hint="Correct its name, namespace or project."
    )


def told(engine: str, version: Outcome[str], may: Outcome[bool], *, where: str) -> Sequence[Finding]:
    """Findings of a connection test: does it answer, and does it know us?"""
    for error in (version.error, may.error):
        if error is not None:
            return [Finding(Level.ERROR, error.code, error.message, error.where or where, error.hint)]
    found = [Finding(Level.NOTE, f"{engine}.version", f"answers as {version.value or 'an unknown version'}", where)]
    if not may.value:
        hint = "Single applications may be allowed all the same: `loopseal targets check` asks for each."
        found.append(Finding(Level.NOTE, f"{engine}.rights", "we may not read everything here", where, hint))
    return found
