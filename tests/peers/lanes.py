"""Lanes: one repository, one application that follows it, and the ways to wait for it. Many lanes share one cluster.

Lives here: making a lane, committing to it, disturbing it, and its truth. Does not: what happens when (`random_waits`)
and how fast it is (`benchmarks/loop`). What a commit may be is the random schedules' (`tests.simulators.schedules`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loopseal.credentials.reference import References
from loopseal.domain.proposal import Application
from loopseal.domain.revision import Relation, relation
from loopseal.engines import argocd as argocd_engine
from loopseal.engines import flux as flux_engine
from loopseal.ports import Engine, Source, Tap
from loopseal.settings import EngineSettings
from loopseal.testing import objects
from loopseal.wiring import SystemClock
from tests.peers.kube import KubeError
from tests.peers.live import Live
from tests.simulators import schedules
from tests.simulators.schedules import Truth

WAYS = ("argocd", "argocd_objects", "flux")
"""How a wait looks: Argo CD's own API, its Application objects in Kubernetes, Flux's objects in Kubernetes."""

ACCOUNT, HOME = "loopseal-waits", "default"
"""The service account that waits, and its namespace."""

RETRY = {"limit": 1, "backoff": {"duration": "5s", "factor": 1}}
REQUESTED = "reconcile.fluxcd.io/requestedAt"
PATIENCE = 180.0
"""Seconds within which a lane must come back to a good state."""


def rights(account: str, namespace: str = HOME) -> list[dict[str, Any]]:
    """What a waiter needs in Kubernetes: look at the engines' objects, ask for a refresh, look at workloads."""
    engines = ["argoproj.io", "source.toolkit.fluxcd.io", "kustomize.toolkit.fluxcd.io"]
    own = ["applications", "gitrepositories", "kustomizations"]
    rules = [
        {"apiGroups": engines, "resources": own, "verbs": ["get", "list", "watch", "patch"]},
        {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": ["get", "list", "watch"]},
        {
            "apiGroups": [""],
            "resources": ["pods", "pods/log", "events", "configmaps"],
            "verbs": ["get", "list", "watch"],
        },
    ]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": account}}
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account}
    binding = {**role, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": [subject]}
    return [{**role, "rules": rules}, binding]


class Graph:
    """`ports.Ancestry` over the commits that a lane knows."""

    def __init__(self) -> None:
        self.parents: dict[str, tuple[str, ...]] = {}

    async def relation(self, observed: str, wanted: str) -> Relation:
        """What `observed` is to `wanted`."""
        return relation(observed, wanted, self.parents)


@dataclass(slots=True)
class Lane:
    """One application `name` on the branch main of a repository of its own. `way` is one of `WAYS`."""

    cluster: Any
    live: Live
    way: str
    name: str
    graph: Graph = field(default_factory=Graph)
    contents: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Commit -> (serial, image) that is live when it is."""
    tip: str = ""
    serial: int = 0
    _pushing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def parents(self) -> Mapping[str, tuple[str, ...]]:
        """Commit -> its parents."""
        return self.graph.parents

    @property
    def repository(self) -> str:
        """Its name at the Git server."""
        return f"{self.name}.git"

    @property
    def is_flux(self) -> bool:
        """Whether Flux follows it; otherwise Argo CD does."""
        return self.way == "flux"

    @property
    def application(self) -> Application:
        """As a target names it."""
        if self.is_flux:
            return Application("engine", self.name, namespace="flux-system", kind="Kustomization")
        return Application("engine", self.name, project="default")

    @property
    def source(self) -> Source:
        """Where its commits are."""
        return Source(self.cluster.git.url(self.repository), "main", ("apps/web/settings.yaml",))

    @property
    def place(self) -> tuple[str, str, str]:
        """Kind, namespace and name of the object that is waited for."""
        return ("Kustomization", "flux-system", self.name) if self.is_flux else ("Application", "argocd", self.name)

    async def open(self) -> None:
        """Make it all, from a good commit on."""
        await self.commit("good")
        await asyncio.to_thread(self._create)

    def _create(self) -> None:
        kube, url = self.cluster.kube, self.cluster.git.url(self.repository)
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}})
        if self.is_flux:
            kube.apply(objects.git_repository(self.name, url=url, interval="60s"))
            patience = {"retryInterval": "6s", "timeout": "30s", "interval": "60s"}
            kube.apply(objects.kustomization(self.name, source=self.name, path="./apps/web", **patience))
        else:
            automated = {"prune": True}
            kube.apply(objects.application(self.name, url=url, path="apps/web", automated=automated, retry=RETRY))

    async def commit(self, kind: str) -> str:
        """One commit on top of the branch, of a kind of `schedules.change`, as if somebody else had pushed it."""
        async with self._pushing:
            self.serial += 1
            files, content = schedules.change(kind, self.serial)
            return await self._push(files, f"{kind} {self.serial}", content or self.contents[self.tip])

    async def force_push(self, base: str) -> str:
        """Put another commit on `base`, in place of all that came after it."""
        async with self._pushing:
            self.serial += 1
            content = (str(self.serial), self.contents[base][1])
            return await self._push(schedules.instead(self.serial), "instead", content, onto=base)

    async def _push(
        self, files: Mapping[str, str | None], message: str, content: tuple[str, str], onto: str = ""
    ) -> str:
        git, parent = self.cluster.git, onto or self.tip
        more = {"onto": onto} if onto else {}
        sha: str = await asyncio.to_thread(git.commit, self.repository, files, message=message, **more)
        self.graph.parents[sha] = (parent,) if parent else ()
        self.contents[sha], self.tip = content, sha
        return sha

    def truth(self) -> Truth:
        """The oracle of one wait; set its `commit`."""
        judge = schedules.flux_failed if self.is_flux else schedules.argocd_failed
        made = Truth(self.live, self, self.live, judge, name=self.name)
        made.contents = self.contents
        return made

    async def look(self, truth: Truth) -> None:
        """Ask the API server itself, now, and let the oracle note it."""
        for place in (("ConfigMap", self.name, "settings"), ("Deployment", self.name, "web"), self.place):
            await self.live.look(*place)
        truth.note()

    async def nudge(self) -> None:
        """As an administrator would: ask the engine to look at the branch."""
        kube, kind = self.cluster.kube, self.place[0]
        if self.is_flux:
            token = {"metadata": {"annotations": {REQUESTED: f"lane {self.live.monotonic()}"}}}
            await asyncio.to_thread(kube.patch, "GitRepository", "flux-system", self.name, token)
            await asyncio.to_thread(kube.patch, kind, "flux-system", self.name, token)
        else:
            refresh = {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}}
            await asyncio.to_thread(kube.patch, kind, "argocd", self.name, refresh)

    async def hold(self, *, on: bool) -> None:
        """Suspend the Kustomization, or let Argo CD skip the application; and take it back."""
        skip = {"metadata": {"annotations": {"argocd.argoproj.io/skip-reconcile": "true" if on else None}}}
        patch = {"spec": {"suspend": on}} if self.is_flux else skip
        await asyncio.to_thread(self.cluster.kube.patch, *self.place, patch)

    async def drift(self) -> None:
        """Change a live object by hand."""
        patch = {"data": {"serial": "by hand"}}
        await asyncio.to_thread(self.cluster.kube.patch, "ConfigMap", self.name, "settings", patch)

    async def recover(self, *, push: bool = True) -> None:
        """Until a good commit is live and well, and the engine says so. Raises AssertionError."""
        truth = self.truth()
        truth.commit = await self.commit("good") if push else self.tip
        end = self.live.monotonic() + PATIENCE
        while True:
            if push and self._given_up():
                truth.commit = await self.commit("good")
            with suppress(OSError, KubeError):  # of an API server that is down just now
                await self.nudge()
            for _ in range(12):
                await asyncio.sleep(0.25)
                truth.note()
                if truth.since(truth.good) is not None and self._calm():
                    return
            if self.live.monotonic() > end:
                shown = (self.live.get(*self.place) or {}).get("status")
                raise AssertionError(f"{self.name} does not recover within {PATIENCE:g} s: {shown}")

    def _given_up(self) -> bool:
        """Whether Argo CD tries the tip no more, because a kill came into its last attempt."""
        found = self.live.get(*self.place) or {}
        operation = (found.get("status") or {}).get("operationState") or {}
        tried = (operation.get("syncResult") or {}).get("revision")
        return "operation" not in found and operation.get("phase") in {"Failed", "Error"} and tried == self.tip

    def _calm(self) -> bool:
        """Whether the engine has nothing left to do and says that all is well at the tip."""
        found = self.live.get(*self.place) or {}
        status = found.get("status") or {}
        if self.is_flux:
            ready = next((one for one in status.get("conditions") or () if one["type"] == "Ready"), {})
            return ready.get("status") == "True" and status.get("lastAppliedRevision", "").endswith(self.tip)
        sync, health = status.get("sync") or {}, status.get("health") or {}
        idle = "operation" not in found and (status.get("operationState") or {}).get("phase") != "Running"
        told = (sync.get("status"), health.get("status"), sync.get("revision"))
        return idle and told == ("Synced", "Healthy", self.tip)


@dataclass(frozen=True, slots=True)
class Engines:
    """Makes our engines as a deployment would: from settings whose references name files in `folder`."""

    cluster: Any
    folder: Path
    clock: SystemClock = field(default_factory=SystemClock)

    def prepare(self, account: str = ACCOUNT) -> None:
        """Write the credentials: a kubeconfig of the service account, and Argo CD's token of `bot`."""
        token = self.cluster.token(account, HOME)
        for one in rights(account):
            self.cluster.kube.apply(one)
        self._write(f"{account}.kubeconfig", self.cluster.kubeconfig_for(token))
        if (argocd := getattr(self.cluster, "argocd", None)) is not None:
            self._write("argocd.token", argocd.token("bot"))

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")

    def settings(
        self, way: str, replaced: Callable[[str], str] = lambda url: url, account: str = ACCOUNT
    ) -> EngineSettings:
        """Of one way; `replaced` gives the address that stands for a peer's own (a relay's)."""
        if way == "argocd":
            credential = f"file:{self.folder / 'argocd.token'}"
            url = replaced(self.cluster.argocd.url)
            return EngineSettings("argocd", url=url, credential=credential, project="default")
        text = (self.folder / f"{account}.kubeconfig").read_text(encoding="utf-8")
        url = self.cluster.kube.url
        name = f"{account}-{abs(hash(replaced(url))):x}.kubeconfig"
        self._write(name, text.replace(url, replaced(url)))
        kind = "flux" if way == "flux" else "argocd"
        return EngineSettings(
            kind, kubeconfig=f"file:{self.folder / name}", namespace="" if kind == "flux" else "argocd"
        )

    def make(self, settings: EngineSettings, tap: Tap | None = None) -> Engine:
        """An engine on the running loop; close it."""
        module = flux_engine if settings.kind == "flux" else argocd_engine
        made: Engine = module.Engine(settings, name="engine", secrets=References(), clock=self.clock, tap=tap)
        return made
