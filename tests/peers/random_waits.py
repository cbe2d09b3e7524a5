"""Random schedules played on real engines, in real time: many lanes at once, one cluster, its processes killed meanwhile.

What is drawn is what the simulators' random schedules draw (`tests.simulators.schedules.draw`, from the same seeds),
2.5 times as fast, as far as it can be made to happen to a real peer:

| drawn | on the real peers |
|---|---|
| `ours`, `foreign`, `force-push`, `drift`, `hold`, `kill-waiter` | the same |
| `server-down` | SIGKILL of argocd-server, or of kube-apiserver where the wait goes there; started again at its end |
| `paused`, `restart` | SIGKILL of the application controller or the kustomize-controller; started again, or at once |
| `slow-server` | SIGKILL of the repo-server or the source-controller, started again at its end |
| `fetch-error`, `slow-fetch` | the Git host breaks this repository's connections, or answers 4 s late |
| `cut`, `burst` | every connection of this wait is reset |
| `half-open` | the connections of this wait stay and fall silent |
| `lost`, `stale`, `gone` | nothing: these happen by themselves or not at all |

A kill hits every lane at once, so a seed repeats what is done, not what the others do meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loopseal.domain.revision import State, Verdict
from loopseal.ports import Engine, Wait
from loopseal.settings import EngineSettings
from loopseal.testing.background import Background
from tests.peers.kube import KubeError
from tests.peers.lanes import ACCOUNT, PATIENCE, WAYS, Engines, Lane
from tests.peers.live import Live
from tests.peers.outages import Outages
from tests.peers.random_waits_page import IMPOSSIBLE, Report, Run, page
from tests.peers.relay import Relay, relay
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
        stop = lane.live.listen(truth._on_change)
        base, began, waiter = lane.tip, lane.live.monotonic(), None
        start = lane.live.monotonic() - OURS_AT * PACE + 0.5
        for step in self.schedule.steps:
            await self._until(start + step.at * PACE, waiter)
            if waiter is not None and waiter.done():
                break
            if step.what == "ours":
                truth.commit = await lane.commit(step.value)
                truth.note()
                began = lane.live.monotonic()
                waiter = self._wait(truth)
            elif step.what == "kill-waiter":
                if waiter is not None:
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


async def play(cluster: Any, folder: Path, seeds: Mapping[str, Iterable[int]], lanes: int, tell: Any) -> Report:
    """Every seed of every way, on `lanes` lanes per way at once."""
    began = time.monotonic()
    engines = Engines(cluster, folder)
    await asyncio.to_thread(engines.prepare, ACCOUNT)
    outages, runs = Outages(cluster.processes), list[Run]()
    todo = {way: iter(chosen) for way, chosen in seeds.items()}
    total = sum(len(list(chosen)) for chosen in seeds.values())

    async def work(lane: Lane, way: Relay) -> None:
        settings = engines.settings(lane.way, lambda _: way.url)
        for seed in todo[lane.way]:
            schedule = schedules.draw(seed, lane.way)
            done = await Play(lane, schedule, engines, settings, way, outages).run()
            runs.append(done)
            tell(
                f"{len(runs):3}/{total} {done.way} seed {seed}: {done.state} {done.reason} after {done.seconds:.1f} s"
                f"{''.join(f' WRONG: {one}' for one in done.wrong)}"
            )
            await lane.recover()

    with ExitStack() as stack:
        background = stack.enter_context(Background())
        own = {"Kustomization" if way == "flux" else "Application" for way in seeds}
        async with Live(cluster.kube, ("Deployment", "ConfigMap", *own)) as live:
            made = [Lane(cluster, live, way, f"{way.replace('_', '-')}-{one}") for way in seeds for one in range(lanes)]
            await asyncio.gather(*(lane.open() for lane in made))
            await asyncio.gather(*(lane.recover(push=False) for lane in made))
            tell(f"{len(made)} applications are healthy")
            targets = {way: cluster.argocd.url if way == "argocd" else cluster.kube.url for way in seeds}
            ways = [stack.enter_context(relay(background, targets[lane.way])) for lane in made]
            supervisor = asyncio.create_task(outages.supervise())
            try:
                await asyncio.gather(*map(work, made, ways))
            finally:
                supervisor.cancel()
                await asyncio.gather(supervisor, return_exceptions=True)
    tell(f"killed: {', '.join(f'{name} {count}' for name, count in outages.kills.most_common()) or 'nothing'}")
    return Report(tuple(runs), dict(outages.kills), round(time.monotonic() - began, 1))


def seeds_of(first: int, count: int) -> dict[str, range]:
    """`count` seeds in all, a third for each way."""
    each = -(-count // len(WAYS))
    return {way: range(first, first + each) for way in WAYS}


def main(argv: list[str] | None = None) -> int:
    """Play them and print one line for each."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers.random_waits", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--lanes", type=int, default=4, help="per way")
    parser.add_argument("--way", action="append", choices=WAYS, help="only this one")
    parser.add_argument("--rehearse", action="store_true", help="on the simulators")
    parser.add_argument("--json", type=Path, help="write the runs here")
    parser.add_argument("--page", type=Path, help="write the page of the documentation here")
    options = parser.parse_args(argv)
    seeds = {way: one for way, one in seeds_of(options.first, options.count).items() if way in (options.way or WAYS)}
    began = time.monotonic()

    def tell(text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - began:6.1f} s  {text}\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory(prefix="waits-") as made, ExitStack() as stack:
        folder = Path(made)
        cluster = stack.enter_context(_cluster(folder / "cluster", seeds, rehearse=options.rehearse))
        tell("the cluster is up")
        report = asyncio.run(play(cluster, folder, seeds, options.lanes, tell))
    runs = report.runs
    if options.json:
        options.json.write_text(json.dumps(asdict(report), indent=1) + "\n")
    if options.page:
        options.page.write_text(page(report, f"{datetime.now(UTC):%Y-%m-%d}"))
    wrong = [run for run in runs if run.wrong]
    tell(f"{len(runs)} waits, {len(wrong)} wrong: {dict(Counter(run.state for run in runs))}")
    return 1 if wrong else 0


def _cluster(folder: Path, ways: Iterable[str], *, rehearse: bool) -> Any:
    if rehearse:
        from tests.peers.rehearsal import Rehearsal

        return Rehearsal(folder)
    from tests.peers.cluster import Cluster

    return Cluster(folder, argocd=any(way != "flux" for way in ways), flux="flux" in ways, resync=60)


if __name__ == "__main__":
    raise SystemExit(main())
