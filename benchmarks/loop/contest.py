"""All ways side by side on one cluster, each on applications of its own, judged by what is live."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.loop.page import LIMIT, RESYNC, Result, summary
from benchmarks.loop.ways import CONTESTANTS, Attempt, Contestant, Draw, Said, draw
from loopseal.domain.revision import State, Tolerance
from loopseal.ports import Wait
from loopseal.settings import EngineSettings
from loopseal.testing.background import Background
from tests.peers.lanes import HOME, Engines, Lane
from tests.peers.live import Live
from tests.peers.relay import Relay, relay
from tests.simulators.schedules import LASTING, Truth

TOLERANCE = Tolerance(settle=1.0, error_grace=25.0, degraded_grace=5.0, drift_grace=8.0, wedge=30.0)


@dataclass
class Field:
    """What every contestant plays on."""

    cluster: Any
    live: Live
    engines: Engines
    tell: Callable[[str], None]


@dataclass
class Runner:
    """One lane of one contestant."""

    ground: Field
    contestant: Contestant
    lane: Lane
    settings: EngineSettings | None = None
    wire: Relay | None = None
    results: list[Result] = field(default_factory=list)

    async def work(self, seeds: Iterator[int]) -> list[Result]:
        await self.lane.open()
        await self._interval()
        await self.lane.recover(push=False)
        for seed in seeds:
            result = await self._run(seed)
            self.results.append(result)
            shown = {True: "success", False: "failure", None: "nothing"}[result.said]
            self.ground.tell(f"{self.contestant.name}, run {seed}: {shown} after {result.seconds:.1f} s {result.wrong}")
            await self.lane.recover()
        return self.results

    async def _interval(self) -> None:
        if self.lane.is_flux:
            patch = {"spec": {"interval": f"{RESYNC}s"}}
            place = ("GitRepository", "flux-system", self.lane.name)
            await asyncio.to_thread(self.ground.cluster.kube.patch, *place, patch)

    async def _run(self, seed: int) -> Result:
        plan, truth = draw(seed), self.lane.truth()
        stop = self.lane.live.listen(truth._on_change)  # noqa: SLF001 - what `Truth` does with a store by itself
        start = plan.others[0][0] if plan.others and plan.others[0][0] < 0 else 0.0
        began = time.monotonic() - start
        others = asyncio.create_task(self._others(plan, began))
        await asyncio.sleep(max(0.0, began - time.monotonic()))
        truth.commit = await self.lane.commit(plan.ours)
        pushed = time.monotonic()
        truth.note()
        calls = self.wire.requests if self.wire else 0
        attempt = Attempt(self.lane, truth.commit, self.ground.cluster)
        said = await self._said(attempt)
        seconds = time.monotonic() - pushed
        await self.lane.look(truth)
        wrong = _wrong(truth, said)
        made = attempt.calls if self.contestant.way else (self.wire.requests if self.wire else 0) - calls
        await others
        stop()
        live = next((at - pushed for at, up in truth.good if up), None)
        return Result(seed, said, round(seconds, 2), None if live is None else round(max(0.0, live), 2), wrong, made)

    async def _others(self, plan: Draw, began: float) -> None:
        for at, kind in plan.others:
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            await self.lane.commit(kind)

    async def _said(self, attempt: Attempt) -> Said:
        try:
            async with asyncio.timeout(LIMIT):
                return await (self.contestant.way(attempt) if self.contestant.way else self._ours(attempt))
        except TimeoutError:
            return None

    async def _ours(self, attempt: Attempt) -> Said:
        assert self.settings is not None
        engine = self.ground.engines.make(self.settings)
        wait = Wait(self.lane.application, attempt.commit, self.lane.source, TOLERANCE)
        try:
            async for verdict in engine.wait(wait, self.lane.graph):
                if verdict.state.final:
                    return verdict.state is State.SUCCEEDED
        finally:
            await engine.aclose()
        return None


def _wrong(truth: Truth, said: Said) -> str:
    """What is wrong with that, now that the truth has just been looked at; empty when nothing is."""
    now = time.monotonic()
    if said:
        return "" if truth.was(truth.good, now) else "early"
    if said is None:
        return "timed out"
    return "" if truth.was(truth.failed, now) or truth.was(truth.unwell, now, LASTING) else "false alarm"


async def contest(cluster: Any, folder: Path, engine: str, runs: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """All contestants of one engine, side by side."""
    engines = Engines(cluster, folder)
    with ExitStack() as stack:
        background = stack.enter_context(Background())
        own = "Kustomization" if engine == "flux" else "Application"
        async with Live(cluster.kube, ("Deployment", "ConfigMap", own)) as live:
            ground = Field(cluster, live, engines, tell)
            jobs = [
                _compete(ground, contestant, number, runs, lambda url: stack.enter_context(relay(background, url)))
                for number, contestant in enumerate(CONTESTANTS[engine])
            ]
            results = await asyncio.gather(*jobs)
    names = [contestant.name for contestant in CONTESTANTS[engine]]
    return {name: summary(found, calls) for name, (found, calls) in zip(names, results, strict=True)}


async def _compete(
    ground: Field, contestant: Contestant, number: int, runs: int, relays: Callable[[str], Relay]
) -> tuple[list[Result], float | None]:
    account, seeds = f"waits-{contestant.engine.replace('_', '-')}-{number}", iter(range(runs))
    url = ground.cluster.argocd.url if contestant.engine == "argocd" else ground.cluster.kube.url
    await asyncio.to_thread(ground.engines.prepare, account)
    runners = []
    for index in range(contestant.lanes):
        lane = Lane(ground.cluster, ground.live, contestant.engine, f"way-{number}-{index}")
        runner = Runner(ground, contestant, lane)
        if contestant.way is None:
            runner.wire = relays(url)
            runner.settings = ground.engines.settings(contestant.engine, lambda _, url=runner.wire.url: url, account)
        runners.append(runner)
    found = await asyncio.gather(*(runner.work(seeds) for runner in runners))
    results = sorted((one for part in found for one in part), key=lambda one: one.seed)
    encrypted = contestant.way is None and url.startswith("https:")
    return results, _audited(ground.cluster.audit_log, account) / len(results) if encrypted else None


def _audited(log: Path, account: str) -> int:
    """Requests of this service account in the API server's own log: those within TLS cannot be counted on the way."""
    user, seen = f"system:serviceaccount:{HOME}:{account}", set()
    with log.open(encoding="utf-8") as file:
        for line in file:
            if user in line:
                event = json.loads(line)
                seen.add(event["auditID"])
    return len(seen)
