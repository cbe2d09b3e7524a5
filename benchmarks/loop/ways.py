"""What takes part: the ways in which people wait for a commit, by their documented predicates, and what they play."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from loopseal.engines.flux_object import condition, generation
from tests.peers.lanes import REQUESTED, Lane
from tests.recorded.usual_predicates import argocd_app_wait, flux_ready

POLL = 30.0
"""Seconds between two looks of those who poll."""

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
