"""Random schedules: what happens in the world of one wait, drawn from a seed and played in virtual time.

A world is one repository, one application on a simulated peer, and one waiter (the real engine) for one commit of ours.
Around it: commits by others, before and after ours; broken, refused and slow rollouts; a force push; drift; lost
refreshes, a stale ref cache, slow and failing fetches, a server that is killed, cuts, bursts of errors, half-open
streams; controllers paused and restarted; and the waiter killed and begun anew. All trouble ends after a minute.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from loopseal.domain.proposal import Application
from loopseal.domain.revision import Relation, State, Tolerance, Verdict, relation
from loopseal.ports import Credential, Engine, Secret, Source, Wait
from loopseal.testing.clock import run
from loopseal.testing.faults import Faults
from loopseal.testing.gitview import MemoryRepositories, MemoryRepository
from loopseal.testing.health import argo, condition
from loopseal.testing.serve import kubeconfig
from loopseal.testing.store import Change
from loopseal.testing.transport import AppTransport

URL = "http://git.test/apps.git"
OURS_AT = 8.0
CALM_AT = 70.0
BOUND = 150.0
"""Seconds of calm within which a wait must have ended when the world allows it to."""

TROUBLE = (
    "slow-fetch", "fetch-error", "server-down", "cut", "burst", "half-open", "slow-server", "paused", "restart", "hold",
)  # fmt: skip
"""What goes wrong with any peer; `hold` is skip-reconcile with Argo CD and suspension with Flux."""

LASTING = 2.0
"""Seconds after which a state that may pass counts as a failure for the oracle; every tolerance below is longer."""

TOLERANCE = Tolerance(settle=0.5, error_grace=25.0, degraded_grace=5.0, drift_grace=8.0, wedge=30.0)
REACHED = frozenset({Relation.EQUAL, Relation.DESCENDANT})


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens at a time."""

    at: float
    what: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """All steps, in order; the step `ours` is the commit that is waited for."""

    seed: int
    steps: tuple[Step, ...]


def draw(seed: int, kind: str) -> Schedule:
    """The schedule of a seed."""
    dice = random.Random(f"{kind}{seed}")
    steps = [Step(OURS_AT, "ours", _commit(dice))]
    steps += [Step(dice.uniform(6.0, 30.0), "foreign", _commit(dice)) for _ in range(dice.choice((0, 0, 1, 1, 2, 3)))]
    if dice.random() < 0.05:
        steps.append(Step(dice.uniform(9.0, 30.0), "force-push"))
    if dice.random() < 0.05 and kind != "flux":  # Flux does not look between two passes: nobody is told
        steps.append(Step(dice.uniform(9.0, 30.0), "drift"))
    for _ in range(dice.choice((0, 0, 1, 1, 2, 3))):
        steps += _fault(dice, kind)
    steps += [Step(dice.uniform(OURS_AT, 45.0), "kill-waiter") for _ in range(dice.choice((0, 0, 1, 2)))]
    return Schedule(seed, tuple(sorted(steps, key=lambda step: step.at)))


def _commit(dice: random.Random) -> str:
    return dice.choices(("good", "slow", "broken", "invalid", "unreadable", "noop"), (50, 12, 18, 6, 4, 10))[0]


def _fault(dice: random.Random, kind: str) -> list[Step]:
    begin = dice.uniform(6.0, 40.0)
    end = begin + dice.uniform(0.5, 20.0)
    what = dice.choice(("gone", *TROUBLE) if kind == "flux" else ("lost", "stale", *TROUBLE))
    if what in {"lost", "stale", "cut", "burst", "restart", "gone"}:
        return [Step(begin, what, dice.randrange(1, 4))]
    return [Step(begin, what, True), Step(end, what, False)]


@dataclass(slots=True)
class Outcome:
    """What became of one schedule."""

    verdict: Verdict | None
    at: float
    verdicts: list[Verdict]
    truth: Truth
    nudges: int
    began: float
    waiters: int
    ended: float
    evidence: str | None
    spoken: str


class Truth:
    """What the world itself shows of our commit, over time: is it (or a descendant) live and well? has it failed?

    The world is a simulator's store, or a memory of a real cluster that looks like one. `repository` has `parents`,
    `clock` tells `monotonic()`; `name` is the application's, and that of the namespace it deploys to.
    """

    def __init__(
        self, store: Any, repository: Any, clock: Any, judge: Callable[..., tuple[bool, bool]], *, name: str = "web"
    ) -> None:
        self._store, self._repository, self._clock, self._judge, self._name = store, repository, clock, judge, name
        self.commit = ""
        self.contents: dict[str, tuple[str, str]] = {}
        """Commit -> (serial, image) of its tree."""
        self.good: list[tuple[float, bool]] = []
        self.failed: list[tuple[float, bool]] = []
        """A failure that is definite as soon as it shows: of an operation, of a pass."""
        self.unwell: list[tuple[float, bool]] = []
        """One that may be a passing state, and counts when it lasts: degraded, different, not comparable."""
        store.listen(self._on_change)

    def _on_change(self, change: Change) -> None:
        if self.commit and change.object["kind"] in {"Deployment", "ConfigMap", "Application", "Kustomization"}:
            self.note()

    def note(self) -> None:
        """Look at the world and remember what changed."""
        live = self._live()
        sound = self._sound() and live
        failed, unwell = self._judge(self._store, self._relation, live=live, name=self._name)
        for line, now in ((self.good, sound), (self.failed, failed), (self.unwell, unwell)):
            if not line or line[-1][1] != now:
                line.append((self._clock.monotonic(), now))

    def _live(self) -> bool:
        """Whether what is live is the content of our commit or of a descendant."""
        settings = self._store.get("ConfigMap", self._name, "settings")
        web = self._store.get("Deployment", self._name, "web")
        if settings is None or web is None:
            return False
        image = web["spec"]["template"]["spec"]["containers"][0]["image"]
        found = (settings["data"]["serial"], image)
        return any(content == found and self._relation(sha) in REACHED for sha, content in self.contents.items())

    def _sound(self) -> bool:
        told = argo(self._store.get("Deployment", self._name, "web"))
        return told is not None and told[0] == "Healthy"

    def _relation(self, observed: str) -> Relation:
        return relation(observed, self.commit, self._repository.parents)

    @staticmethod
    def was(line: list[tuple[float, bool]], at: float, lasting: float = 0.0) -> bool:
        """Whether the line was up in the second before `at`, and had been for `lasting` seconds."""
        spans = zip(line, [*line[1:], (float("inf"), False)], strict=True)
        return any(
            up and start <= at and stop >= at - 1.0 and min(stop, at) - start >= lasting
            for (start, up), (stop, _) in spans
        )

    @staticmethod
    def since(line: list[tuple[float, bool]]) -> float | None:
        """Since when the line is up, if it is."""
        return line[-1][0] if line and line[-1][1] else None


def argocd_failed(
    store: Any, relation_to: Callable[[str], Relation], *, live: bool, name: str = "web"
) -> tuple[bool, bool]:
    """Whether Argo CD itself shows a failed operation at our commit or a descendant; whether it shows anything amiss."""
    app = store.get("Application", "argocd", name)
    status = (app or {}).get("status") or {}
    state = status.get("operationState") or {}
    result = (state.get("syncResult") or {}).get("revision", "")
    failed = state.get("phase") in {"Failed", "Error"} and relation_to(result) in REACHED
    degraded = live and (status.get("health") or {}).get("status") in {"Degraded", "Missing"}
    differs = state.get("phase") == "Succeeded" and (status.get("sync") or {}).get("status") == "OutOfSync"
    return failed, bool(degraded or differs or status.get("conditions"))


def flux_failed(
    store: Any, relation_to: Callable[[str], Relation], *, live: bool, name: str = "web"
) -> tuple[bool, bool]:
    """Whether Flux itself shows a failed pass over our commit or a descendant."""
    del live
    item = store.get("Kustomization", "flux-system", name) or {}
    attempted = str((item.get("status") or {}).get("lastAttemptedRevision", "")).rpartition(":")[2]
    ready = condition(item, "Ready")
    return ready.get("status") == "False" and relation_to(attempted) in REACHED, False


class Secrets:
    """One token, with a value that must never be seen again."""

    VALUE = "bot-token"

    async def resolve(self, reference: str) -> Credential:
        config = json.dumps(kubeconfig("http://kubernetes.test", self.VALUE))
        return Credential(Secret(config if reference == "env:KUBECONFIG" else self.VALUE))

    def forget(self, reference: str) -> None:
        del reference


@dataclass(slots=True)
class Counting(httpx2.AsyncBaseTransport):
    """A transport that counts what asks a controller to look again."""

    inner: AppTransport
    nudges: int = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.nudges += "refresh=" in str(request.url) or (request.method == "PATCH")
        return await self.inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


@dataclass(slots=True)
class World:
    """One repository, one peer, one wait. `restart` restarts the controllers, `hold` stops reconciliation, `poison` spoils the ref cache."""

    schedule: Schedule
    repository: MemoryRepository
    peer: Any
    way: AppTransport
    faults: list[Faults]
    make_engine: Callable[[httpx2.AsyncBaseTransport, Callable[[str, Mapping[str, Any]], None]], Engine]
    application: Application
    judge: Callable[..., tuple[bool, bool]]
    restart: Callable[[], Any]
    hold: Callable[[bool], None]
    poison: Callable[[str], None] = lambda _: None
    verdicts: list[Verdict] = field(default_factory=list)
    serial: int = 0
    waiters: int = 0
    names_resources: bool = True
    evidence: str = ""
    spoken: list[str] = field(default_factory=list)
    said_at: float = 0.0

    async def play(self) -> Outcome:
        """Everything, until the wait ends or the bound is over."""
        random.seed(self.schedule.seed)
        clock, truth = self.peer.clock, Truth(self.peer.store, self.repository, self.peer.clock, self.judge)
        self._commit(truth, "good")
        await clock.sleep(5.0)
        base = self.repository.tip
        counting = Counting(self.way)
        waiter: asyncio.Task[Verdict] | None = None
        began = 0.0
        for step in self.schedule.steps:
            await clock.sleep(max(0.0, step.at - clock.monotonic()))
            if step.what == "ours":
                truth.commit = self._commit(truth, step.value)
                truth.note()
                began = clock.monotonic()
                waiter = self._wait(truth, counting)
            elif step.what == "kill-waiter":
                if waiter is not None and not waiter.done():
                    waiter.cancel()
                    await asyncio.gather(waiter, return_exceptions=True)
                    waiter = self._wait(truth, counting)
            else:
                await self._happen(truth, step, base)
            if waiter is not None and waiter.done():
                break
        assert waiter is not None
        await asyncio.wait({waiter}, timeout=max(0.0, CALM_AT + BOUND - clock.monotonic()))
        ended = clock.monotonic()
        verdict = waiter.result() if waiter.done() else None
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        truth.note()
        await counting.aclose()
        spoken = "\n".join((*self.spoken, *map(repr, self.verdicts), self.evidence))
        evidence = self.evidence if self.names_resources else None
        at = self.said_at or ended
        return Outcome(verdict, at, self.verdicts, truth, counting.nudges, began, self.waiters, ended, evidence, spoken)

    def _wait(self, truth: Truth, transport: httpx2.AsyncBaseTransport) -> asyncio.Task[Verdict]:
        self.waiters += 1
        self.said_at = 0.0
        return asyncio.ensure_future(self._follow(truth, transport))

    async def _follow(self, truth: Truth, transport: httpx2.AsyncBaseTransport) -> Verdict:
        engine = self.make_engine(_Kept(transport), self._tap)
        wait = Wait(self.application, truth.commit, Source(URL, "main", ("apps/web/settings.yaml",)), TOLERANCE)
        try:
            async for verdict in engine.wait(wait, _Graph(self.repository)):
                self.verdicts.append(verdict)
                if verdict.state.final:
                    self.said_at = self.peer.clock.monotonic()
                    self.evidence = await self._evidence(engine, verdict)
                    return verdict
        finally:
            await engine.aclose()
        raise AssertionError("a wait ended without a final verdict")

    async def _evidence(self, engine: Engine, verdict: Verdict) -> str:
        """What a person would be shown of a failure, with the failing resources as `Kind/name`."""
        if verdict.state is not State.FAILED:
            return ""
        found = await engine.evidence(self.application, verdict)
        named = [f"{one.kind}/{one.name}" for one in verdict.resources]
        return "\n".join((*named, *(f"{title}\n{text}" for title, text in found.sections)))

    def _tap(self, channel: str, body: Mapping[str, Any]) -> None:
        if len(self.spoken) < 20:
            self.spoken.append(f"{channel} {body}")

    def _commit(self, truth: Truth, kind: str) -> str:
        self.serial += 1
        files, content = change(kind, self.serial)
        sha = self.repository.commit(files, f"{kind} {self.serial}")
        truth.contents[sha] = content or truth.contents[self.repository.parents[sha][0]]
        return sha

    async def _happen(self, truth: Truth, step: Step, base: str) -> None:
        match step.what:
            case "foreign":
                self._commit(truth, step.value)
            case "force-push":
                self.serial += 1
                sha = self.repository.commit(instead(self.serial), "instead", onto=base)
                truth.contents[sha] = (str(self.serial), truth.contents[base][1])
            case "drift":
                self.peer.store.patch("ConfigMap", "web", "settings", {"data": {"serial": "by hand"}})
            case "stale":
                self.poison(base)
            case "restart":
                await self.restart()
            case "hold":
                self.hold(step.value)
            case what:
                for faults in self.faults:
                    _set(faults, what, step.value)


def change(kind: str, serial: int) -> tuple[dict[str, str | None], tuple[str, str] | None]:
    """The files of one commit, and the (serial, image) that is live when it is; None: the same as its parent's."""
    if kind == "noop":
        return {"apps/other/note.txt": str(serial)}, None
    tag = {"broken": "broken", "slow": "slow"}.get(kind, f"v{serial}")
    replicas = -3 if kind == "invalid" else 1
    files: dict[str, str | None] = {
        "apps/web/settings.yaml": _SETTINGS.format(serial),
        "apps/web/web.yaml": _WEB.format(replicas=replicas, tag=tag),
        "apps/web/bad.yaml": _BAD if kind == "unreadable" else None,
    }
    applied = kind not in {"invalid", "unreadable"}
    return files, (str(serial), f"registry.test/web:{tag}") if applied else ("never", "")


def instead(serial: int) -> dict[str, str | None]:
    """The files of the commit that a force push puts in place of others; the image stays that of its parent."""
    return {"apps/web/settings.yaml": _SETTINGS.format(serial), "apps/web/bad.yaml": None}


def _set(faults: Faults, what: str, value: Any) -> None:
    match what:
        case "lost":
            faults.lost_refreshes = value
        case "slow-fetch":
            faults.fetch_delay = 4.0 if value else 0.0
        case "fetch-error":
            faults.fetch_error = "repository not found: " if value else ""
        case "server-down":
            (faults.kill if value else faults.restart)()
        case "cut":
            faults.cut_streams()
        case "burst":
            faults.burst += [503, 502, 429][:value]
        case "half-open":
            faults.silent = value
        case "slow-server":
            faults.slow = 1.5 if value else 0.0
        case "paused":
            faults.paused = value
        case "gone":
            faults.gone = value
        case other:
            raise AssertionError(other)


class _Kept(httpx2.AsyncBaseTransport):
    """The transport outlives the engines: each of them closes its own client."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self._inner.handle_async_request(request)


class _Graph:
    """`ports.Ancestry` over the graph in memory."""

    def __init__(self, repository: MemoryRepository) -> None:
        self._repository = repository

    async def relation(self, observed: str, wanted: str) -> Relation:
        return relation(observed, wanted, self._repository.parents)


_SETTINGS = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{serial: "{}"}}\n'
_WEB = """apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: {replicas}
  progressDeadlineSeconds: 12
  selector: {{matchLabels: {{app: web}}}}
  template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: web, image: "registry.test/web:{tag}"}}]}}}}
"""
_BAD = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  : {{{ not yaml\n"


def broken(outcome: Outcome, schedule: Schedule, repository: Any) -> list[str]:
    """Which invariants this outcome breaks; empty when none."""
    out, truth = [], outcome.truth
    said = outcome.verdict.state if outcome.verdict else None
    contained = relation(repository.tip, truth.commit, repository.parents) in REACHED
    if said is State.SUCCEEDED and not truth.was(truth.good, outcome.at):
        out.append("I1: succeeded while our commit was not live and well")
    broke = truth.was(truth.failed, outcome.at) or truth.was(truth.unwell, outcome.at, LASTING)
    if said is State.FAILED and not broke:
        out.append("I3: false alarm, nothing has failed")
    if said is State.SUPERSEDED and contained:
        out.append("superseded although the branch contains our commit")
    if said is None:
        if (since := truth.since(truth.good)) is not None and outcome.ended - since > BOUND - 5.0:
            out.append("I2: live and well for long, and not said")
        if any(
            (since := truth.since(line)) is not None and outcome.ended - since > BOUND - 5.0
            for line in (truth.failed, truth.unwell)
        ):
            out.append("I3: failed for long, and not said")
        if not contained:
            out.append("our commit is gone from the branch, and not said")
        out.append(f"no final verdict: {outcome.verdicts[-1:]}")
    rolled_out = {"DEGRADED", "HealthCheckFailed"}
    named = outcome.evidence is None or "Deployment/web" in outcome.evidence
    if outcome.verdict and outcome.verdict.reason in rolled_out and not named:
        out.append("I3: the failing resource is not named")
    minutes = (outcome.ended - outcome.began) / 60.0
    if outcome.nudges > outcome.waiters * (30 + 30 * minutes):
        out.append(f"I5: {outcome.nudges} nudges")
    if Secrets.VALUE in outcome.spoken:
        out.append("I7: the token was spoken")
    return out


def play(make: Callable[[Schedule, MemoryRepository], Any], schedule: Schedule) -> tuple[Outcome, list[str]]:
    """Play one schedule in virtual time. `make` gives an async context manager of a World."""
    repository = MemoryRepository()

    async def main() -> Outcome:
        async with make(schedule, repository) as world:
            return await world.play()

    outcome = run(main)
    return outcome, broken(outcome, schedule, repository)


def git(repository: MemoryRepository) -> MemoryRepositories:
    """The view that the simulated controllers have."""
    return MemoryRepositories({URL: repository})
