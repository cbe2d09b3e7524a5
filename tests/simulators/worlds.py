"""The worlds of the random schedules: an Argo CD and a Flux, each with one application named `web`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from loopseal.domain.proposal import Application
from loopseal.engines import argocd as argocd_engine
from loopseal.engines import flux as flux_engine
from loopseal.settings import EngineSettings
from loopseal.testing.argocd import ArgoCD, Pace
from loopseal.testing.cluster import Cluster, User
from loopseal.testing.flux import Flux
from loopseal.testing.gitview import MemoryRepository
from tests.simulators import schedules
from tests.simulators.schedules import URL, Schedule, Secrets, World

PACE = Pace(resync=60.0, ref_cache=60.0, grace=20.0)
RETRY = {"limit": 1, "backoff": {"duration": "5s", "factor": 1}}


def _users() -> dict[str, User]:
    """What the documented roles allow: read, watch and annotate the engines' own objects, look at workloads."""
    verbs = ("get", "list", "watch")
    groups = ("argoproj.io", "source.toolkit.fluxcd.io", "kustomize.toolkit.fluxcd.io")
    rules = [f"{verb} {group}/* *" for group in groups for verb in (*verbs, "patch")]
    rules += [f"{verb} {what} *" for what in ("apps/deployments", "/pods", "/events", "/configmaps") for verb in verbs]
    return {Secrets.VALUE: User("bot", tuple(rules))}


@asynccontextmanager
async def argocd(schedule: Schedule, repository: MemoryRepository) -> AsyncIterator[World]:
    """Argo CD through its API, with automated sync, pruning, and one retry."""
    settings = EngineSettings("argocd", url="http://argocd.test", credential="env:TOKEN", project="default")
    async with _argocd(repository) as peer:
        yield _world(schedule, repository, peer, settings)


@asynccontextmanager
async def argocd_objects(schedule: Schedule, repository: MemoryRepository) -> AsyncIterator[World]:
    """The same Argo CD, watched through its Application objects in Kubernetes."""
    settings = EngineSettings("argocd", kubeconfig="env:KUBECONFIG", namespace="argocd")
    async with _argocd(repository) as peer:
        world = _world(schedule, repository, peer, settings)
        # the way to the cluster breaks with the one fault object, what goes on behind it with the other;
        # an Application object does not carry the health of its resources (resourceHealthSource: appTree)
        world.way, world.names_resources = peer.cluster.transport(), False
        world.faults.append(peer.cluster.faults)
        yield world


@asynccontextmanager
async def _argocd(repository: MemoryRepository) -> AsyncIterator[ArgoCD]:
    async with ArgoCD(schedules.git(repository), cluster=Cluster(users=_users()), pace=PACE) as peer:
        peer.create("web", url=URL, path="apps/web", automated={"prune": True}, retry=RETRY)
        yield peer


def _world(schedule: Schedule, repository: MemoryRepository, peer: ArgoCD, settings: EngineSettings) -> World:
    def hold(on: bool) -> None:
        annotations = {"argocd.argoproj.io/skip-reconcile": "true" if on else None}
        peer.store.patch("Application", "argocd", "web", {"metadata": {"annotations": annotations}})

    return World(
        schedule,
        repository,
        peer,
        peer.transport(),
        [peer.faults],
        lambda transport, tap: argocd_engine.Engine(
            settings, name="argo", secrets=Secrets(), clock=peer.clock, tap=tap, transport=transport
        ),
        Application("argo", "web", project="default"),
        schedules.argocd_failed,
        peer.restart_controller,
        hold,
        lambda sha: peer.poison(URL, "main", sha),
    )


@asynccontextmanager
async def flux(schedule: Schedule, repository: MemoryRepository) -> AsyncIterator[World]:
    """Flux: one GitRepository and one Kustomization with `wait: true`."""
    async with Flux(schedules.git(repository), cluster=Cluster(users=_users()), requeue=5.0) as peer:
        peer.create_source("apps", url=URL, interval="60s")
        peer.create("web", source="apps", path="./apps/web", retryInterval="6s", timeout="30s", interval="60s")
        settings = EngineSettings("flux", url="http://kubernetes.test", credential="env:TOKEN")

        def hold(on: bool) -> None:
            peer.store.patch("Kustomization", "flux-system", "web", {"spec": {"suspend": on}})

        yield World(
            schedule,
            repository,
            peer,
            peer.transport(),
            [peer.faults],
            lambda transport, tap: flux_engine.Engine(
                settings, name="eu1", secrets=Secrets(), clock=peer.clock, tap=tap, transport=transport
            ),
            Application("eu1", "web", namespace="flux-system", kind="Kustomization"),
            schedules.flux_failed,
            peer.restart_controllers,
            hold,
        )
