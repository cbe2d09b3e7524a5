"""The loop of one wait, the same for every engine: look, confirm what would end it, tell what changed, nudge, sleep.

    look      judge the object as it is known now; streams and polls say when
    confirm   a verdict that ends the wait is said only after asking the peer once more
    nudge     while a verdict wants a refresh: mostly at once, then after 2, 4, 8, … seconds (`Tolerance.nudge`, ±20 %)
    sleep     until there are news, a grace or the settling is over, or the next nudge or poll is due

Does not live here: what an engine answers (its `Subject`), what that means (the judges), and deadlines (the caller's).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from loopseal.domain.revision import Action, State, Tolerance, Verdict
from loopseal.engines import telemetry
from loopseal.engines.watches import within
from loopseal.errors import Code, Refused, Unreachable
from loopseal.ports import Clock

_SETTLING: Final = 5.0
"""Seconds between looks while health settles."""
_SOON: Final = frozenset({"SETTLING", "OBJECTS_NOT_READY", "OBJECTS_FAILED"})
"""Reasons about objects that no stream may tell of."""
_BLINK: Final = 0.1
"""Seconds between two looks, at least: a clock that is about to run out has then run out."""
_BLIND: Final = 5.0
"""Seconds between polls while no stream tells of changes."""
_RETRY: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds between attempts while the peer does not answer; the stream's return ends the pause."""
_NO_BUDGET: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds until a nudge is tried again that the server's budget did not allow, longer each time: many may want one."""
REFUSED: Final = 60.0
"""Seconds for which a refusal may pass. An API server of Kubernetes that has just started says that it is ready a
moment before its authorizer has read any role, and refuses everybody; while it is away, Argo CD's API server says
`permission denied` of applications that it cannot read (Kubernetes v1.36, Argo CD v3.2)."""
_DELETING: Final = frozenset({"APP_DELETING", "DELETING", "SOURCE_DELETING"})


class Subject(Protocol):
    """One wait, as its engine sees it. All of it may raise Refused or Unreachable."""

    @property
    def engine(self) -> str:
        """The engine's kind, for metrics."""
        ...

    @property
    def wake(self) -> asyncio.Event:
        """Set when there are news."""
        ...

    @property
    def live(self) -> bool:
        """Whether a stream would tell of news."""
        ...

    async def look(self, max_age: float) -> Verdict | None:
        """The verdict on what is known, read anew when older than `max_age` seconds; None when there is no object."""
        ...

    async def confirm(self, verdict: Verdict) -> Verdict | None:
        """The verdict on what the peer answers to a question asked after this call; for success after a refresh."""
        ...

    async def nudge(self) -> bool:
        """Ask the controller to look again; False when the budget forbids it now."""
        ...

    def pauses(self, verdict: Verdict) -> tuple[float, ...]:
        """Seconds to wait before the first nudge for this verdict, then before each further one; the last repeats."""
        ...

    def ripens(self) -> float:
        """Seconds until the verdict may become another by time alone; infinity when it will not."""
        ...


def _step(pauses: tuple[float, ...], count: int) -> float:
    """The pause after so many before it; the last one repeats."""
    return pauses[min(count, len(pauses) - 1)]


@dataclass(slots=True)
class _Nudging:
    """When the next nudge is due. Another reason begins a new row."""

    reason: str = ""
    pauses: tuple[float, ...] = (0.0,)
    count: int = 0
    denied: int = 0
    due: float = 0.0

    def begin(self, reason: str, pauses: tuple[float, ...], now: float) -> None:
        """A nudge is wanted for this reason; if it is a new one, after the first of its pauses."""
        if reason != self.reason:
            self.reason, self.pauses, self.count, self.denied = reason, pauses, 0, 0
            self.due = now + pauses[0]

    def sent(self, now: float) -> None:
        """It was asked for, or refused: the next one is due a step later."""
        self.count, self.denied = self.count + 1, 0
        pause = _step(self.pauses[1:] or (_BLIND,), self.count - 1)
        self.due = now + pause * random.uniform(0.8, 1.2)  # noqa: S311 - spreads requests, guards nothing

    def put_off(self, now: float) -> None:
        """The budget did not allow it."""
        self.due = now + _step(_NO_BUDGET, self.denied) * random.uniform(0.5, 1.5)  # noqa: S311 - as above
        self.denied += 1


@dataclass(slots=True)
class Drive:
    """What one wait remembers between two looks."""

    subject: Subject
    tolerance: Tolerance
    clock: Clock
    poll: float
    seen: bool = False
    refused: float | None = None
    began: float = field(init=False)
    failures: int = 0
    nudging: _Nudging = field(default_factory=_Nudging)

    def __post_init__(self) -> None:
        self.began = self.clock.monotonic()

    async def verdict(self) -> Verdict:
        """What can be said now. Raises Refused when the peer does not let us look at all."""
        said = await self._asked(lambda: self.subject.look(self._age()))
        if said.state.final:
            said = await self._asked(lambda: self.subject.confirm(said))
        return said

    def _age(self) -> float:
        return self.poll if self.subject.live else min(self.poll, _BLIND)

    async def _asked(self, question: Callable[[], Awaitable[Verdict | None]]) -> Verdict:
        try:
            said = await question()
        except Unreachable as error:
            self.failures += 1
            return Verdict(State.PENDING, "ENGINE_UNREACHABLE", str(error))
        except Refused as error:
            self.failures = 0
            if error.code is not Code.ENGINE_FORBIDDEN:
                raise
            return self._forbidden(error)
        self.failures, self.refused = 0, None
        if said is None:
            return self._missing("it does not exist")
        self.seen = True
        if said.reason in _DELETING and self._may_come():
            return Verdict(State.PENDING, "NOT_CREATED", "it is being deleted and may be created anew")
        return said

    def _may_come(self) -> bool:
        return self.clock.monotonic() - self.began < self.tolerance.create_grace

    def _missing(self, message: str) -> Verdict:
        if self._may_come():
            return Verdict(State.PENDING, "NOT_CREATED", f"{message}, yet")
        return Verdict(State.FAILED, "APP_MISSING", "it was deleted while we waited" if self.seen else message)

    def _forbidden(self, error: Refused) -> Verdict:
        """Argo CD says so of missing ones too. At the start it is an answer, if it stays; later our sight is gone."""
        if self._may_come():
            return Verdict(State.PENDING, "NOT_CREATED", "it does not exist yet, or may not be read")
        now = self.clock.monotonic()
        if self.refused is None:
            self.refused = now
        if not self.seen and now - self.refused >= REFUSED:
            raise error
        return Verdict(State.PENDING, "ENGINE_FORBIDDEN", str(error))

    async def nudge(self, said: Verdict) -> None:
        """Nudge if `said` wants it and it is due. A peer that does not answer is not a reason to end a wait."""
        now = self.clock.monotonic()
        if said.action is not Action.NUDGE:
            self.nudging.reason = ""
            return
        self.nudging.begin(said.reason, self.subject.pauses(said), now)
        if now < self.nudging.due:
            return
        try:
            sent = await self.subject.nudge()
        except (Unreachable, Refused) as error:
            telemetry.logger.debug("nudge failed: %s", error)
            sent = True
        if sent:
            self.nudging.sent(self.clock.monotonic())
            self.subject.wake.set()
        else:
            self.nudging.put_off(now)

    async def sleep(self, said: Verdict) -> None:
        """Until there is something to look at."""
        pause = self._age() * random.uniform(0.9, 1.1)  # noqa: S311 - as above
        if self.failures:
            pause = _step(_RETRY, self.failures - 1) * random.uniform(0.8, 1.2)  # noqa: S311 - as above
        elif said.reason in _SOON or (self.refused is not None and not self.seen):
            pause = min(_SETTLING, max(0.1, self.tolerance.settle))
        if said.action is Action.NUDGE:
            pause = min(pause, max(0.0, self.nudging.due - self.clock.monotonic()))
        pause = min(pause, max(_BLINK, self.subject.ripens()))
        await within(self.clock, pause, self.subject.wake)
        self.subject.wake.clear()


async def drive(
    subject: Subject, tolerance: Tolerance, clock: Clock, *, poll: float, application: str
) -> AsyncGenerator[Verdict, None]:
    """Verdicts of `subject` as they change, in the name of `application`, ending after a final one."""
    wait = Drive(subject, tolerance, clock, poll)
    told: Verdict | None = None
    with telemetry.waiting(subject.engine):
        while True:
            said = await wait.verdict()
            if not said.same_as(told):
                told = said
                telemetry.told(subject.engine, said.state, said.reason)
                yield replace(said, application=application)
            if said.state.final:
                return
            await wait.nudge(said)
            await wait.sleep(said)
