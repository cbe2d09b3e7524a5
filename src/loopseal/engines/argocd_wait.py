"""One wait for one Argo CD application: what the driver's questions mean here."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final

from loopseal.domain.proposal import Application
from loopseal.domain.revision import State, Verdict
from loopseal.engines import telemetry
from loopseal.engines.ancestors import Ancestors
from loopseal.engines.argocd_health import explained, wanted
from loopseal.engines.argocd_objects import Objects
from loopseal.engines.argocd_rest import Rest
from loopseal.engines.argocd_verdict import HEALTHS, TIMERS, judge, positions, with_windows
from loopseal.engines.fields import Memory, Object, number, ripens, texts
from loopseal.engines.nudges import FORBIDDEN_PAUSE, Nudges
from loopseal.engines.relations import Oracle
from loopseal.engines.watches import Cell, Watch
from loopseal.errors import Code, Refused
from loopseal.ports import Clock, Wait

_SAME_SECOND: Final = 1.1
"""Seconds: times in an Application have one second, and only a later one proves a comparison after the sync."""
_UNSTARTED: Final = 5.0
"""Seconds that automated sync may take to start before sync windows are asked for; usually it takes 0.1."""
_WINDOWS_AGE: Final = 30.0
_TOLD_MOSTLY: Final = (30.0, 60.0)
"""Seconds. A controller that was restarted tells of no health that changed meanwhile, until its own resync (120 s and
more): seen with Argo CD 3.2. Most rollouts are over sooner, and nothing is asked."""
_MAY_BE_OLD: Final = frozenset({"DEGRADED", "MISSING", "OUT_OF_SYNC_AFTER_SYNC"})
"""Failures that the status shows, and that may have passed without its saying so."""
_NOT_STARTING: Final = frozenset({"AUTO_SYNC_NOT_STARTING", "NEEDS_SYNC"})


@dataclass(slots=True)
class ArgoWait:
    """A `driver.Subject`. Judges whole objects only, and remembers what judges want remembered."""

    wait: Wait
    applications: Rest | Objects
    cell: Cell
    watch: Watch
    nudges: Nudges
    ancestors: Ancestors
    clock: Clock
    wake: asyncio.Event
    engine: str = "argocd"
    memory: Memory = field(default_factory=dict)
    refreshed: bool = False
    may_refresh: bool = True
    _ticket: int = field(init=False)
    _windows: Mapping[str, object] = field(default_factory=dict)
    _windows_at: float = float("-inf")
    _not_before: float = float("-inf")

    def __post_init__(self) -> None:
        self._ticket = self.nudges.ticket(self.lane)

    @property
    def application(self) -> Application:
        """What is waited for."""
        return self.wait.application

    @property
    def lane(self) -> Hashable:
        """What refreshes are shared by."""
        return (self.applications.namespace(self.application), self.application.name)

    @property
    def live(self) -> bool:
        """Whether the stream is open."""
        return self.watch.live

    async def look(self, max_age: float) -> Verdict | None:
        """The verdict on the application as it is known."""
        return await self._judged(await self.cell.current(max_age))

    async def confirm(self, verdict: Verdict) -> Verdict | None:
        """What the status says of now only after one more refresh; the end of an operation on a fresh answer."""
        if (verdict.state in {State.SUCCEEDED, State.SUPERSEDED} or verdict.reason in _MAY_BE_OLD) and self.may_refresh:
            ticket = self.nudges.ticket(self.lane)
            await self._refresh(ticket, urgent=True)
        return await self._judged(await self.cell.fresh())

    async def nudge(self) -> bool:
        """One refresh, our own or somebody else's since our last."""
        return self.clock.monotonic() < self._not_before or await self._refresh(self._ticket)

    def pauses(self, verdict: Verdict) -> tuple[float, ...]:
        """A refresh in the second in which the sync ended proves nothing; and health is told, mostly."""
        if verdict.reason in HEALTHS:
            return _TOLD_MOSTLY
        return (_SAME_SECOND if verdict.reason == "NOT_RECONCILED_SINCE_SYNC" else 0.0, *self.wait.tolerance.nudge)

    def ripens(self) -> float:
        """Seconds until one of the judge's clocks runs out."""
        return ripens(self.memory, TIMERS, self.wait.tolerance, self.clock.now().timestamp())

    async def _refresh(self, ticket: int, *, urgent: bool = False) -> bool:
        async def send() -> None:
            with telemetry.acting(self.engine, "refresh", f"Application {self.application}"):
                app = await self.applications.refresh(self.application)
            if app is not None:
                self.cell.put(app)

        try:
            done = await self.nudges.ask(self.lane, send, ticket=ticket, urgent=urgent)
        except Refused as error:
            if error.code is not Code.ENGINE_FORBIDDEN:
                raise
            self.may_refresh = False  # it is watched all the same, and found by Argo CD's own timer
            self._not_before = self.clock.monotonic() + FORBIDDEN_PAUSE
            return True
        self.may_refresh = True
        if done:
            self._ticket, self.refreshed = self.nudges.ticket(self.lane), True
        return done

    async def _judged(self, app: Object | None) -> Verdict | None:
        if app is None:
            self.memory.clear()
            return None
        now, tolerance = self.clock.now().timestamp(), self.wait.tolerance
        said = await self._decided(app, now)
        if wanted(said, tolerance):
            healths = await self.applications.with_health(app)
            again = said if healths.app is app else await self._decided(healths.app, now)
            said = explained(again, healths, tolerance)
        unstarted = (
            said.reason == "WAITING_FOR_AUTO_SYNC" and now - (number(self.memory, "wedged") or now) >= _UNSTARTED
        )
        if said.reason in _NOT_STARTING or unstarted:
            return with_windows(said, await self._sync_windows())
        return said

    async def _decided(self, app: Object, now: float) -> Verdict:
        """The judgement on `app`; on the same application at the same time it may be asked for twice."""
        baseline = texts(self.wait.baseline, "revisions")
        ours = positions(app, self.wait.source)

        def decide(relation: Oracle, memory: Memory) -> Verdict:
            return judge(
                app,
                self.wait.revision,
                ours,
                relation,
                now,
                memory,
                self.wait.tolerance,
                baseline=baseline,
                refreshed=self.refreshed,
            )

        return await self.ancestors.judged(decide, self.memory)

    async def _sync_windows(self) -> Mapping[str, object]:
        now = self.clock.monotonic()
        if now - self._windows_at >= _WINDOWS_AGE:
            self._windows, self._windows_at = await self.applications.windows(self.application), now
        return self._windows
