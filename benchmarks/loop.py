"""Claim: right after the push our wait says healthy as soon as it is true, and never before. How long from push to
"healthy", how often each way is wrong, and how many calls it makes: ours beside what people use, on the real peers.

    python benchmarks/loop.py [--engine argocd|flux] [--runs 30] [--json] [--markdown] [--rehearse]

Every way plays the same random runs on applications of its own: our commit is a good, slow, broken or empty one, others
commit just before and after it. Wrong is judged by the truth at that moment: the live Deployment's image and whether it
is available, as the API server shows it. `--rehearse` takes the simulators instead of the real peers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from loopseal.domain.revision import State, Tolerance
from loopseal.engines.flux_object import condition, generation
from loopseal.ports import Wait
from loopseal.settings import EngineSettings
from loopseal.testing.background import Background
from tests.peers.lanes import HOME, REQUESTED, Engines, Lane
from tests.peers.live import Live
from tests.peers.processes import PeerError
from tests.peers.relay import Relay, relay
from tests.recorded.usual_predicates import argocd_app_wait, flux_ready
from tests.simulators.schedules import LASTING, Truth

RESYNC = 30
"""Seconds of Argo CD's resync and of Flux's source interval in this run; their defaults are 120 to 180 and 60."""
LIMIT = 90.0
"""Seconds after which every way gives up."""
POLL = 30.0
TOLERANCE = Tolerance(settle=1.0, error_grace=25.0, degraded_grace=5.0, drift_grace=8.0, wedge=30.0)

Said = bool | None
"""Success, failure, or nothing within the limit."""


@dataclass(frozen=True)
class Draw:
    """One random run: our commit, and (seconds after ours, kind) of those by others; before it where negative."""

    ours: str
    others: tuple[tuple[float, str], ...]


def draw(seed: int) -> Draw:
    dice = random.Random(f"loop{seed}")
    ours = dice.choices(("good", "slow", "broken", "noop"), (70, 10, 12, 8))[0]
    kinds = (("good", "slow", "noop"), (70, 10, 20))
    before = [(-dice.uniform(0.0, 2.0), dice.choices(*kinds)[0]) for _ in range(dice.choice((0, 0, 1)))]
    after = [(dice.uniform(0.05, 4.0), dice.choices(*kinds)[0]) for _ in range(dice.choice((0, 1, 1, 2)))]
    return Draw(ours, tuple(sorted(before + after)))


@dataclass
class Attempt:
    """One wait of one way, going on. `calls` are its own calls of an API."""

    lane: Lane
    commit: str
    cluster: Any
    calls: int = 0

    def shown(self) -> Mapping[str, Any]:
        """The engine's object as a watch last told it."""
        return self.lane.live.get(*self.lane.place) or {}

    async def watched(self, fits: Callable[[Mapping[str, Any]], bool]) -> Said:
        """Until a watch tells of an object that fits: one list and one watch."""
        self.calls += 2
        news = asyncio.Event()
        stop = self.lane.live.listen(lambda _: news.set())
        try:
            while not fits(self.shown()):
                news.clear()
                await news.wait()
        finally:
            stop()
        return True

    async def asked(self) -> None:
        """One call that asks the engine to look: GET ?refresh=normal, or requestedAt on the source."""
        self.calls += 1
        if self.lane.is_flux:
            patch = {"metadata": {"annotations": {REQUESTED: datetime.now(UTC).isoformat()}}}
            await asyncio.to_thread(self.cluster.kube.patch, "GitRepository", "flux-system", self.lane.name, patch)
        else:
            path = f"/api/v1/applications/{self.lane.name}?project=default&refresh=normal"
            await asyncio.to_thread(self.cluster.argocd.request, "GET", path, account="bot")

    async def read(self, kind: str = "") -> Mapping[str, Any]:
        """One GET of the object (or of its source)."""
        self.calls += 1
        _, namespace, name = self.lane.place
        return await asyncio.to_thread(self.cluster.kube.get, kind or self.lane.place[0], namespace, name) or {}


Way = Callable[[Attempt], Awaitable[Said]]


async def app_wait(attempt: Attempt) -> Said:
    """`argocd app wait --sync --health --operation`, started right after the push."""
    return await attempt.watched(argocd_app_wait)


async def refresh_and_app_wait(attempt: Attempt) -> Said:
    """`argocd app get --refresh`, then `argocd app wait`."""
    await attempt.asked()
    return await attempt.watched(argocd_app_wait)


async def kubectl_wait(attempt: Attempt) -> Said:
    """`kubectl wait kustomization --for=condition=Ready`, started right after the push."""
    return await attempt.watched(flux_ready)


async def flux_reconcile(attempt: Attempt) -> Said:
    """`flux reconcile kustomization --with-source`: of the source, then of the Kustomization, annotate and poll every
    2 s until `lastHandledReconcileAt` is another one and kstatus is Current; finally Ready must be True (flux2 v2.7).
    """
    for kind in ("GitRepository", "Kustomization"):
        before = _handled(await attempt.read(kind))
        token = {"metadata": {"annotations": {REQUESTED: datetime.now(UTC).isoformat()}}}
        attempt.calls += 1
        await asyncio.to_thread(attempt.cluster.kube.patch, kind, "flux-system", attempt.lane.name, token)
        while True:
            await asyncio.sleep(2.0)
            found = await attempt.read(kind)
            if condition(found, "Stalled").true:
                return False
            if _handled(found) != before and _current(found):
                break
    return condition(found, "Ready").true


def _handled(found: Mapping[str, Any]) -> str:
    return str((found.get("status") or {}).get("lastHandledReconcileAt", ""))


def _current(found: Mapping[str, Any]) -> bool:
    """kstatus Current, for an object of Flux."""
    seen = (found.get("status") or {}).get("observedGeneration") == generation(found)
    return seen and not condition(found, "Reconciling").true and condition(found, "Ready").true


def at_revision(attempt: Attempt) -> Callable[[Mapping[str, Any]], bool]:
    """Exactly our revision, synced and healthy: what a careful script asks."""

    def fits(found: Mapping[str, Any]) -> bool:
        status = found.get("status") or {}
        if attempt.lane.is_flux:
            return flux_ready(found) and str(status.get("lastAppliedRevision", "")).endswith(attempt.commit)
        sync, health = status.get("sync") or {}, status.get("health") or {}
        told = (sync.get("revision"), sync.get("status"), health.get("status"))
        return told == (attempt.commit, "Synced", "Healthy")

    return fits


async def poll(attempt: Attempt) -> Said:
    """Every 30 s: ask the engine to look, read, and compare with our revision."""
    fits = at_revision(attempt)
    while True:
        await attempt.asked()
        if fits(await attempt.read()):
            return True
        await asyncio.sleep(POLL)


async def nobody_asks(attempt: Attempt) -> Said:
    """No webhook, no refresh: the controllers' own timers find the commit; a watch waits for our revision."""
    return await attempt.watched(at_revision(attempt))


@dataclass(frozen=True)
class Contestant:
    """One way, on `lanes` applications. Ours is one of `lanes.WAYS` in `engine`."""

    name: str
    engine: str
    way: Way | None
    lanes: int = 3


CONTESTANTS = {
    "argocd": (
        Contestant("loopseal, Argo CD's API", "argocd", None),
        Contestant("loopseal, Application objects", "argocd_objects", None),
        Contestant("`argocd app wait`", "argocd", app_wait),
        Contestant("`argocd app get --refresh`, then `app wait`", "argocd", refresh_and_app_wait),
        Contestant("poll every 30 s for the revision", "argocd", poll, 5),
        Contestant("no webhook, nobody asks", "argocd", nobody_asks, 5),
    ),
    "flux": (
        Contestant("loopseal", "flux", None),
        Contestant("`kubectl wait --for=condition=Ready`", "flux", kubectl_wait),
        Contestant("`flux reconcile kustomization --with-source`", "flux", flux_reconcile, 3),
        Contestant("poll every 30 s for the revision", "flux", poll, 5),
        Contestant("no webhook, nobody asks", "flux", nobody_asks, 5),
    ),
}


@dataclass(frozen=True)
class Result:
    """One wait. Seconds are from the push; `live` is when it was true first, or None."""

    seed: int
    said: Said
    seconds: float
    live: float | None
    wrong: str
    calls: int


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
    return {name: _summary(found, calls) for name, (found, calls) in zip(names, results, strict=True)}


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


def _summary(results: list[Result], calls: float | None) -> dict[str, Any]:
    right = sorted(one.seconds for one in results if one.said and not one.wrong)
    lag = sorted(one.seconds - one.live for one in results if one.said and not one.wrong and one.live is not None)
    return {
        "waits": len(results),
        "right": sum(not one.wrong for one in results),
        "early": sum(one.wrong == "early" for one in results),
        "timed_out": sum(one.wrong == "timed out" for one in results),
        "false_alarms": sum(one.wrong == "false alarm" for one in results),
        "seconds_median": round(statistics.median(right), 1) if right else None,
        "seconds_slowest": round(right[-1], 1) if right else None,
        "after_live_median": round(statistics.median(lag), 1) if lag else None,
        "calls_per_wait": round(statistics.mean(one.calls for one in results) if calls is None else calls, 1),
        "results": [asdict(one) for one in results],
    }


HEAD = "| way | waits | right | early | timed out | false alarms | median | slowest | after it was live | calls |"
COLUMNS = (
    "waits", "right", "early", "timed_out", "false_alarms", "seconds_median", "seconds_slowest", "after_live_median",
    "calls_per_wait",
)  # fmt: skip


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures of one engine."""
    lines = [HEAD, "|---" * (len(COLUMNS) + 1) + "|"]
    for name, figures in found.items():
        cells = ["-" if figures[key] is None else str(figures[key]) for key in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page(found: Mapping[str, Any]) -> str:
    """The page of the documentation."""
    out = PAGE.format(limit=LIMIT, poll=POLL, resync=RESYNC, **found)
    names = {"argocd": "Argo CD", "flux": "Flux"}
    return out + "".join(f"\n## {names[one]}\n\n{table(found[one])}" for one in names if one in found)


PAGE = """\
# From push to healthy: ours beside what people use

Written by `python benchmarks/loop.py --markdown` on {date}, on {peers} ({machine}).

Every way plays the same random runs on applications of its own: our commit is good (70 %), slow (10 %), broken (12 %)
or touches nothing of the application (8 %); others commit up to two seconds before and four seconds after it.

* **early**: it says success while the live Deployment is not that of our commit or of a later one, or is not
  available, as the API server shows it at that moment. **timed out**: it says nothing within {limit:.0f} s. **false
  alarm**: it says failure while nothing has failed. The rest is **right**; so is a broken commit reported as failed.
* Seconds are from the end of the push to a right "success" (median, slowest), and from the first moment at which it was
  true (after it was live, median); ours waits for health to hold for 1 s before it says so (`settle`, 10 s by default).
* **calls** are requests per wait to Argo CD's or the Kubernetes API, streams included, Git not.
* Argo CD's resync and Flux's source interval are {resync} s here, so that the runs without a refresh end today; their
  defaults are 120 to 180 s and usually 60 s: *nobody asks* is that much slower in real life.
* `argocd app wait` is its documented predicate (sync, health, operation; v3.2) on every event of a watch;
  `flux reconcile` is its documented sequence (v2.7), given up after {limit:.0f} s instead of 5 minutes.
* *Poll* asks the engine to look at once and every {poll:.0f} s, and wants exactly our revision: where another commit
  came first, it never comes. The same is true of *nobody asks*.
"""


def peers(*, rehearse: bool) -> str:
    """What was measured."""
    if rehearse:
        return "the simulators (a rehearsal)"
    from tests.peers import pins

    chosen = {"Argo CD": "argocd", "Flux": "kustomize-controller", "Kubernetes": "kube-apiserver", "kwok": "kwok"}
    return ", ".join(f"{name} {pins.program(program).version}" for name, program in chosen.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=CONTESTANTS, action="append")
    parser.add_argument("--runs", type=int, default=30, help="of every way")
    parser.add_argument("--rehearse", action="store_true", help="on the simulators")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--markdown", action="store_true", help="the page of the documentation")
    options = parser.parse_args()
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", file=sys.stderr, flush=True)

    found: dict[str, Any] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "peers": peers(rehearse=options.rehearse)}
    found["machine"] = "2 cores, everything on it"
    for engine in options.engine or CONTESTANTS:
        with tempfile.TemporaryDirectory(prefix="loop-") as folder, ExitStack() as stack:
            try:
                cluster = stack.enter_context(_cluster(Path(folder) / "cluster", engine, rehearse=options.rehearse))
            except PeerError as error:
                print(error, file=sys.stderr)
                return 1
            tell(f"{engine}: the cluster is up")
            found[engine] = asyncio.run(contest(cluster, Path(folder), engine, options.runs, tell))
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        print(page(found) if options.markdown else "\n".join(table(found[one]) for one in CONTESTANTS if one in found))
    return 0


def _cluster(folder: Path, engine: str, *, rehearse: bool) -> Any:
    if rehearse:
        from tests.peers.rehearsal import Rehearsal

        return Rehearsal(folder, resync=RESYNC)
    from tests.peers.cluster import Cluster

    return Cluster(folder, argocd=engine == "argocd", flux=engine == "flux", resync=RESYNC)


if __name__ == "__main__":
    raise SystemExit(main())
