"""One wait for one object of Flux: what the driver's questions mean here."""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from loopseal.domain.revision import Verdict
from loopseal.engines import telemetry
from loopseal.engines.ancestors import Ancestors
from loopseal.engines.fields import Memory, Object, ripens, text
from loopseal.engines.flux_inventory_reader import InventoryReader
from loopseal.engines.flux_kustomization import TIMERS
from loopseal.engines.flux_object import REQUESTED_AT
from loopseal.engines.flux_places import KUSTOMIZATION, Place
from loopseal.engines.flux_tree import Read, Request, Seen, Tree
from loopseal.engines.kubernetes import Cluster, Following, Kind, asking
from loopseal.engines.nudges import FORBIDDEN_PAUSE, Nudges
from loopseal.engines.watches import Cell, Watch
from loopseal.errors import Code, Refused
from loopseal.ports import Clock, Wait

_ENQUEUED: Final = 15.0
"""Seconds that a Kustomization is left alone: a new artifact of its source wakes it without being asked."""
_FAILING: Final = 2.0


class Shared:
    """What all waits on one cluster share: a watch for each kind and namespace, refreshes, and what was asked last."""

    def __init__(self, cluster: Cluster, clock: Clock, refreshes_per_minute: float) -> None:
        self.cluster, self.clock = cluster, clock
        self.nudges = Nudges(refreshes_per_minute, clock)
        self.inventories = InventoryReader(cluster, clock)
        self._watches: dict[tuple[Kind, str], Watch] = {}
        self._asked: dict[Place, Request] = {}

    def watch(self, kind: Kind, namespace: str) -> Watch:
        """The one watch of this kind in this namespace."""
        key = (kind, namespace)
        if key not in self._watches:
            following = Following(self.cluster, kind, namespace)
            self._watches[key] = Watch("flux", following.connect, self.clock)
        return self._watches[key]

    async def request(self, place: Place, why: str) -> Request:
        """Ask the controller to look at an object (`reconcile.fluxcd.io/requestedAt`); anybody may see who asked."""
        now = self.clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z")
        token = f"{now}/{why}"
        with telemetry.acting("flux", "refresh", str(place)):
            change = asking(REQUESTED_AT, token)
            found = await self.cluster.patch(place.kind, place.namespace, place.name, change)
        asked = Request(token, text(found, "status", "lastHandledReconcileAt"))
        self._asked[place] = asked
        return asked

    def asked(self, place: Place) -> Request | None:
        """What was asked of it last, by any of the waits."""
        return self._asked.get(place)

    async def aclose(self) -> None:
        """Let go of the watches."""
        for watch in self._watches.values():
            await watch.aclose()


@dataclass(slots=True)
class FluxWait:
    """A `driver.Subject`. Follows every object that turns out to matter until `stack` is closed."""

    wait: Wait
    root: Place
    shared: Shared
    ancestors: Ancestors
    stack: AsyncExitStack
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    engine: str = "flux"
    memories: dict[str, Memory] = field(default_factory=dict)
    requests: dict[Place, Request] = field(default_factory=dict)
    may_ask: bool = True
    _cells: dict[Place, Cell] = field(default_factory=dict)
    _watches: set[Watch] = field(default_factory=set)
    _tickets: dict[Place, int] = field(default_factory=dict)
    _helps: Place | None = None
    _not_before: float = float("-inf")

    @property
    def live(self) -> bool:
        """Whether every stream is open."""
        return all(watch.live for watch in self._watches)

    async def look(self, max_age: float) -> Verdict | None:
        """The verdict on the objects as they are known."""

        async def read(place: Place) -> Object | None:
            return await (await self._cell(place)).current(max_age)

        return await self._seen(read)

    async def confirm(self, verdict: Verdict) -> Verdict | None:
        """The verdict on every object read anew: at the commit still, and nothing suspended meanwhile."""
        del verdict  # all are confirmed alike

        async def read(place: Place) -> Object | None:
            return await (await self._cell(place)).fresh()

        return await self._seen(read)

    async def _seen(self, read: Read) -> Verdict | None:
        tree = Tree(
            self.wait,
            self.root,
            read,
            self.shared.inventories.live,
            self.ancestors,
            self.shared.clock,
            self.memories,
            self.requests,
            self.may_ask,
        )
        seen: Seen | None = await tree.seen()
        self._helps = seen.place if seen is not None else None
        return seen.verdict if seen is not None else None

    async def _cell(self, place: Place) -> Cell:
        if place not in self._cells:
            watch = self.shared.watch(place.kind, place.namespace)
            follow = watch.follow(
                place.name, lambda: self.shared.cluster.get(place.kind, place.namespace, place.name), self.wake
            )
            self._cells[place] = await self.stack.enter_async_context(follow)
            self._tickets[place] = self.shared.nudges.ticket(place)
            self._watches.add(watch)
        return self._cells[place]

    async def nudge(self) -> bool:
        """Ask the controller of the object that stands in the way."""
        place = self._helps
        now = self.shared.clock.monotonic()
        if place is None or now < self._not_before:
            return True

        async def send() -> None:
            await self.shared.request(place, self.wait.revision[:12])

        try:
            done = await self.shared.nudges.ask(place, send, ticket=self._tickets.get(place, 0))
        except Refused as error:
            if error.code is not Code.ENGINE_FORBIDDEN:
                raise
            self.may_ask = False  # it is watched all the same, and found by Flux's own interval
            self._not_before = now + FORBIDDEN_PAUSE
            return True
        self.may_ask = True
        asked = self.shared.asked(place)
        if done and asked is not None:
            self._tickets[place], self.requests[place] = self.shared.nudges.ticket(place), asked
        return done

    def pauses(self, verdict: Verdict) -> tuple[float, ...]:
        """A source is asked at once; a Kustomization is woken by its source, and tries again by itself."""
        first = _FAILING if verdict.reason.startswith("FAILED_ONCE_") else 0.0
        if verdict.reason == "NOT_ATTEMPTED" and self._helps is not None and self._helps.kind == KUSTOMIZATION:
            first = _ENQUEUED
        return (first, *self.wait.tolerance.nudge)

    def ripens(self) -> float:
        """Seconds until one of the judges' clocks runs out."""
        now, tolerance = self.shared.clock.now().timestamp(), self.wait.tolerance
        return min((ripens(memory, TIMERS, tolerance, now) for memory in self.memories.values()), default=math.inf)
