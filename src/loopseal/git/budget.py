"""How often one host may be pushed to: a token bucket, and pauses that the host asks for.

GitHub recommends at most six pushes a minute to one repository; GitLab answers 429 when its own limit is passed. A push
goes at once while there are tokens; else it waits, and the changes that come meanwhile share it.
"""

from __future__ import annotations

import asyncio
from typing import Final

from loopseal.ports import Clock

_BURST: Final = 3
"""A third of a minute's pushes may go at once: at 6 a minute two, then one every ten seconds."""


class Budget:
    """The pushes that one host takes, shared by all its repositories on one event loop. 0 a minute: no limit."""

    def __init__(self, clock: Clock, pushes_per_minute: float = 0.0) -> None:
        self._clock, self._rate, self._capacity = clock, 0.0, 1.0
        self._counted = self._until = float("-inf")
        self._turn = asyncio.Lock()
        self.limit(pushes_per_minute)
        self._tokens = self._capacity

    def limit(self, pushes_per_minute: float) -> None:
        """At most so many; of several limits the strictest holds."""
        rate = pushes_per_minute / 60.0
        if rate > 0 and (not self._rate or rate < self._rate):
            self._rate, self._capacity = rate, max(1.0, pushes_per_minute / _BURST)

    async def take(self) -> None:
        """Wait for the right to push once. First come, first served."""
        async with self._turn:
            while (wait := self._wait()) > 0:
                await self._clock.sleep(wait)
            if self._rate:
                self._tokens -= 1.0

    def give_back(self) -> None:
        """The push that was taken for was not needed."""
        if self._rate:
            self._tokens = min(self._capacity, self._tokens + 1.0)

    def pause(self, seconds: float) -> None:
        """The host asked for silence: no push begins before that is over."""
        self._until = max(self._until, self._clock.monotonic() + seconds)

    def _wait(self) -> float:
        now = self._clock.monotonic()
        if self._rate:
            self._tokens = min(self._capacity, self._tokens + (now - self._counted) * self._rate)
        self._counted = now
        lacking = (1.0 - self._tokens) / self._rate if self._rate and self._tokens < 1.0 else 0.0
        return max(self._until - now, lacking if lacking > _INSTANT else 0.0)


_INSTANT: Final = 1e-6
"""Seconds that are rounding, not waiting."""


class Budgets:
    """One budget per host."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_host: dict[str, Budget] = {}

    def of(self, host: str, pushes_per_minute: float = 0.0) -> Budget:
        """The budget of `host`; where repositories name several limits, the strictest holds for all."""
        budget = self._by_host.setdefault(host, Budget(self._clock, pushes_per_minute))
        budget.limit(pushes_per_minute)
        return budget
