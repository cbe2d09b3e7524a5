"""Asking a controller to look again: at most as often as its server's budget allows, once for all who ask.

Argo CD loses a refresh that arrives while it compares (fixed in 3.6 only), and Flux acknowledges one without doing
anything, so asking once is never enough: the driver asks again after 2, 4, 8, … seconds for as long as a verdict wants
it. This module shares and meters the asking. Does not live here: how an engine is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

from loopseal.ports import Clock

FORBIDDEN_PAUSE: Final = 30.0
"""Seconds until a server that refused to be asked is asked again: one that has just started refuses everybody."""
_FORGET: Final = 1024
"""Lanes kept although nobody asks in them now."""


class Budget:
    """A token bucket: a minute's worth may be taken at once. Urgent takers may take the next minute's in advance."""

    def __init__(self, per_minute: float, clock: Clock) -> None:
        self._size = max(1.0, per_minute)
        self._rate = self._size / 60.0
        self._tokens, self._at, self._clock = self._size, clock.monotonic(), clock

    def take(self, *, urgent: bool = False) -> float:
        """Take one token and answer 0, or answer in how many seconds there will be one."""
        now = self._clock.monotonic()
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._rate)
        self._at = now
        floor = -self._size if urgent else 0.0
        if self._tokens - 1.0 >= floor:
            self._tokens -= 1.0
            return 0.0
        return (floor + 1.0 - self._tokens) / self._rate


@dataclass(slots=True)
class _Lane:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    begun: int = 0
    answered: int = 0


class Nudges:
    """All refreshes of one server."""

    def __init__(self, per_minute: float, clock: Clock) -> None:
        self._budget, self._clock = Budget(per_minute, clock), clock
        self._lanes: dict[Hashable, _Lane] = {}

    def ticket(self, key: Hashable) -> int:
        """A mark in the row of refreshes of `key`: one that begins after it is a refresh of one's own."""
        lane = self._lanes.get(key)
        return lane.begun if lane else 0

    async def ask(
        self, key: Hashable, send: Callable[[], Awaitable[None]], *, ticket: int, urgent: bool = False
    ) -> bool:
        """See to it that a refresh of `key` was sent and answered after `ticket` was drawn; raises what `send` raises.

        Somebody else's refresh counts as well. False when the budget is used up; urgent callers wait for it instead.
        """
        lane = self._lane(key)
        async with lane.lock:
            if lane.answered > ticket:
                return True
            while (pause := self._budget.take(urgent=urgent)) > 0:
                if not urgent:
                    return False
                await self._clock.sleep(pause)
            lane.begun += 1
            await send()
            lane.answered = lane.begun
            return True

    def _lane(self, key: Hashable) -> _Lane:
        lane = self._lanes.get(key)
        if lane is None:
            if len(self._lanes) >= _FORGET:
                self._lanes = {name: one for name, one in self._lanes.items() if one.lock.locked()}
            lane = self._lanes[key] = _Lane()
        return lane
