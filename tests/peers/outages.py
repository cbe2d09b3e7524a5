"""Processes that are killed and started again, whoever wants it: one for all lanes of a cluster."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.peers.processes import PeerError


@dataclass(slots=True)
class Outages:
    """Processes that are down, and for how many lanes: the first to want it kills, the last one starts it again.

    `supervise` starts again what ended by itself, as a kubelet would: controllers do when the API server is away.
    """

    processes: Any
    kills: Counter[str] = field(default_factory=Counter)
    moments: list[tuple[float, str]] = field(default_factory=list)
    """What was killed and what was started again, and when (monotonic)."""
    _wanted: Counter[str] = field(default_factory=Counter)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def down(self, name: str) -> None:
        """Kill it, unless it is down."""
        self._wanted[name] += 1
        async with self._lock(name):
            if self._wanted[name] == 1:
                self.kills[name] += 1
                self.moments.append((time.monotonic(), f"{name} is killed"))
                await asyncio.to_thread(self.processes.kill, name)

    async def up(self, name: str) -> None:
        """Start it again, unless somebody else wants it down."""
        self._wanted[name] -= 1
        await self._start(name)

    async def supervise(self) -> None:
        """Until cancelled."""
        while True:
            for name in self.processes.names:
                await self._start(name)
            await asyncio.sleep(0.5)

    async def _start(self, name: str) -> None:
        async with self._lock(name):
            if not self._wanted[name] and not self.processes.running(name):
                with suppress(PeerError):  # it ended at once, because another is down: it is tried again
                    await asyncio.to_thread(self.processes.start, name)
                    self.moments.append((time.monotonic(), f"{name} is ready again"))

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())
