"""A bearer token that is fetched when it is needed, kept, and fetched once more when the peer refuses it.

Lives here: keeping and renewing. Does not: where a token comes from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from loopseal.ports import Clock, Secret, Secrets

_EARLY: Final = 30.0
"""Seconds before its end at which a token is renewed."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and for how many seconds it may be kept; None: until it is refused."""

    secret: Secret
    lifetime: float | None = None


Fetch: TypeAlias = Callable[[bool], Awaitable[Token]]
"""Gets a token; True says that the last one was refused, so that no cache may answer."""


class Bearer:
    """The `Authorization` header of one peer. Any number of calls share one token and one renewal."""

    def __init__(self, fetch: Fetch, clock: Clock) -> None:
        self._fetch, self._clock = fetch, clock
        self._lock = asyncio.Lock()
        self._token: Token | None = None
        self._until: float | None = None
        self._refused = False

    async def headers(self) -> Mapping[str, str]:
        """The header for one call; nothing where there is no token."""
        async with self._lock:
            if self._token is None or (self._until is not None and self._clock.monotonic() >= self._until):
                self._token, self._refused = await self._fetch(self._refused), False
                life = self._token.lifetime
                self._until = None if life is None else self._clock.monotonic() + max(1.0, life - _EARLY)
            value = self._token.secret.reveal()
        return {"authorization": f"Bearer {value}"} if value else {}

    def refused(self, sent: Mapping[str, str]) -> None:
        """The peer answered 401 to what `headers` gave: fetch anew, unless another call has done so meanwhile."""
        if self._token is not None and f"Bearer {self._token.secret.reveal()}" == sent.get("authorization", ""):
            self._token, self._refused = None, True


def from_reference(secrets: Secrets, reference: str) -> Fetch:
    """Tokens behind a reference of the settings; without one, none."""

    async def fetch(refused: bool) -> Token:  # noqa: FBT001 - the one argument of a `Fetch`
        if not reference:
            return Token(Secret(""))
        if refused:
            secrets.forget(reference)
        return Token((await secrets.resolve(reference)).secret)

    return fetch
