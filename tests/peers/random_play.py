"""One random schedule played on one lane of a real cluster, in real time, and what is wrong with how it ended.

What each step is made of is told in `tests.peers.random_waits`, which plays many of these at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from loopseal.domain.revision import State, Verdict
from loopseal.ports import Engine, Wait
from loopseal.settings import EngineSettings
from tests.peers.kube import KubeError
from tests.peers.lanes import PATIENCE, Engines, Lane
from tests.peers.outages import Outages
from tests.peers.random_waits_page import IMPOSSIBLE, Run
from tests.peers.relay import Relay
from tests.peers.timeline import Timeline
from tests.simulators import schedules
from tests.simulators.schedules import OURS_AT, TOLERANCE, Outcome, Schedule, Step, Truth

PACE = 0.4
"""Seconds here per second of a schedule."""
DEADLINE = 200.0
"""Seconds after which a wait counts as hung; the longest that a world without trouble needs is about 40."""
SERVERS = {"argocd": "argocd-server", "argocd_objects": "kube-apiserver", "flux": "kube-apiserver"}
CONTROLLERS = {
    "argocd": "argocd-application-controller",
    "argocd_objects": "argocd-application-controller",
    "flux": "kustomize-controller",
}
FETCHERS = {"argocd": "argocd-repo-server", "argocd_objects": "argocd-repo-server", "flux": "source-controller"}
KILLED = {"server-down": SERVERS, "paused": CONTROLLERS, "slow-server": FETCHERS}


@dataclass(slots=True)
class Play:
    """One schedule on one lane."""

    lane: Lane
    schedule: Schedule
    engines: Engines
    settings: EngineSettings
    way: Relay
    outages: Outages
    timeline: Timeline
    verdicts: list[Verdict] = field(default_factory=list)
    evidence: str = ""
    spoken: list[str] = field(default_factory=list)
    waiters: int = 0
    _said: float = 0.0
    """When the verdict came; the API server was asked for the truth at once, and had answered at `_looked`."""
    _looked: float = 0.0
    _holding: asyncio.Lock = field(default_factory=asyncio.Lock)
    _undo: list[Step] = field(default_factory=list)
    _jobs: list[asyncio.Task[None]] = field(default_factory=list)

    async def run(self) -> Run:
        """Everything, until the wait ends or is hung; the lane's world is put back in order."""
        lane, truth = self.lane, self.lane.truth()
        stops = [lane.live.listen(truth._on_change), lane.live.listen(self.timeline.on_change)]
        base, began, waiter = lane.tip, lane.live.monotonic(), None
        start = lane.live.monotonic() - OURS_AT * PACE + 0.5
        for step in self.schedule.steps:
            await self._until(start + step.at * PACE, waiter)
            if waiter is not None and waiter.done():
                break
            if step.what == "ours":
                truth.commit = await lane.commit(step.value)
                self.timeline.note(f"ours: {step.value} {truth.commit[:8]}")
                truth.note()
                began = lane.live.monotonic()
                waiter = self._wait(truth)
            elif step.what == "kill-waiter":
                if waiter is not None:
                    self.timeline.note("the waiter is killed")
                    waiter.cancel()
                    await asyncio.gather(waiter, return_exceptions=True)
                    waiter = self._wait(truth)
            else:
                self._jobs.append(asyncio.create_task(self._happen(step, base)))
        assert waiter is not None
        await asyncio.wait({waiter}, timeout=DEADLINE)
        at = self._said or lane.live.monotonic()
        if not self._said:
            await lane.look(truth)
            self._looked = lane.live.monotonic()
        outcome = await self._outcome(waiter, truth, began, at)
        for stop in stops:
            stop()
        await self._calm_down()
        error = waiter.exception() if waiter.done() and not waiter.cancelled() else None
        wrong = [f"raised {error}"] if error else self._judged(outcome)
        last = outcome.verdict or (self.verdicts[-1] if self.verdicts else None)
        state = str(last.state) if outcome.verdict and last else "none"
        steps = tuple(f"{step.what}={step.value}" for step in self.schedule.steps)
        reason = last.reason if last else ""
        return Run(self.schedule.seed, lane.way, steps, state, reason, round(at - began, 2), tuple(wrong))

    async def _until(self, moment: float, waiter: asyncio.Task[Verdict] | None) -> None:
        """Until this moment, or until the wait has ended."""
        left = max(0.0, moment - self.lane.live.monotonic())
        if waiter is None:
            await asyncio.sleep(left)
        else:
            await asyncio.wait({waiter}, timeout=left)

    async def _outcome(self, waiter: asyncio.Task[Verdict], truth: Truth, began: float, at: float) -> Outcome:
        verdict = waiter.result() if waiter.done() and waiter.exception() is None else None
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        evidence = self.evidence if self.lane.way != "argocd_objects" else None
        spoken = "\n".join((*self.spoken, *map(repr, self.verdicts), self.evidence))
        return Outcome(verdict, at, self.verdicts, truth, 0, began, self.waiters, at, evidence, spoken)

    def _judged(self, outcome: Outcome) -> list[str]:
        """What is wrong with it: what is so when the verdict came, and when the API server was asked because of it."""
        looked = replace(outcome, at=self._looked)
        found = [schedules.broken(one, self.schedule, self.lane) for one in (outcome, looked)]
        if not all(found):
            return []
        lines = {"good": outcome.truth.good, "failed": outcome.truth.failed, "unwell": outcome.truth.unwell}
        shown = {name: [(round(at - outcome.began, 2), up) for at, up in line[-4:]] for name, line in lines.items()}
        return [
            *found[0],
            f"at {outcome.at - outcome.began:.2f} s, looked at {self._looked - outcome.began:.2f} s: {shown}",
        ]

    def _wait(self, truth: Truth) -> asyncio.Task[Verdict]:
        self.waiters += 1
        self._said = 0.0
        return asyncio.create_task(self._follow(truth))

    async def _follow(self, truth: Truth) -> Verdict:
        engine = self.engines.make(self.settings, self._tap)
        wait = Wait(self.lane.application, truth.commit, self.lane.source, TOLERANCE)
        try:
            async for verdict in engine.wait(wait, self.lane.graph):
                self.verdicts.append(verdict)
                self.timeline.note(f"verdict {verdict.state} {verdict.reason} at {(verdict.observed or '-')[:8]}")
                if verdict.state.final:
                    self._said = self.lane.live.monotonic()
                    await self.lane.look(truth)
                    self._looked = self.lane.live.monotonic()
                    await self._collect(engine, verdict)
                    return verdict
        finally:
            await engine.aclose()
        raise AssertionError("a wait ended without a final verdict")

    async def _collect(self, engine: Engine, verdict: Verdict) -> None:
        if verdict.state is State.FAILED:
            found = await engine.evidence(self.lane.application, verdict)
            named = [f"{one.kind}/{one.name}" for one in verdict.resources]
            self.evidence = "\n".join((*named, *(f"{title}\n{text}" for title, text in found.sections)))

    def _tap(self, channel: str, body: Mapping[str, Any]) -> None:
        if len(self.spoken) < 20:
            self.spoken.append(f"{channel} {body}")

    async def _happen(self, step: Step, base: str) -> None:
        """One step; those that begin something (`True`) are ended at the latest when the wait is over."""
        self.timeline.note(f"step {step.what} {step.value}")
        if step.value is True:
            self._undo.append(step)
        elif step.value is False:
            begun = next((one for one in self._undo if one.what == step.what), None)
            if begun is None:
                return
            self._undo.remove(begun)
        match step.what:
            case "foreign":
                await self.lane.commit(step.value)
            case "force-push":
                await self.lane.force_push(base)
            case "drift":
                await _patiently(self.lane.drift)
            case "hold":
                async with self._holding:  # in the order of the steps, however long the API server is away
                    await _patiently(lambda: self.lane.hold(on=step.value))
            case "cut" | "burst":
                self.way.cut()
            case "half-open":
                self.way.freeze(on=step.value)
            case "restart":
                await self.outages.down(CONTROLLERS[self.lane.way])
                await self.outages.up(CONTROLLERS[self.lane.way])
            case "fetch-error" | "slow-fetch":
                self._hinder(step)
            case what if chosen := KILLED.get(what):
                await (self.outages.down if step.value else self.outages.up)(chosen[self.lane.way])
            case what if what not in IMPOSSIBLE:
                raise AssertionError(what)

    def _hinder(self, step: Step) -> None:
        """Make the Git host break this repository's connections, or answer late; or stop that."""
        git, name = self.lane.cluster.git, self.lane.repository
        match step.what, step.value:
            case "fetch-error", True:
                git.down.add(name)
            case "fetch-error", _:
                git.down.discard(name)
            case _, True:
                git.slow[name] = lambda *_: 4.0
            case _:
                git.slow.pop(name, None)

    async def _calm_down(self) -> None:
        await asyncio.gather(*self._jobs)
        for step in tuple(self._undo):
            await self._happen(Step(0.0, step.what, value=False), "")


async def _patiently(work: Callable[[], Awaitable[None]]) -> None:
    """As an administrator whose API server may be down just now."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            await work()
        except (OSError, KubeError):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.3)
        else:
            return
