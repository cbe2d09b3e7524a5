"""What the engines' tests run in: a simulated Argo CD or Flux in virtual time, a repository in memory, and counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from loopseal.domain.proposal import Application
from loopseal.domain.revision import Relation, State, Tolerance, Verdict, relation
from loopseal.engines import argocd, flux
from loopseal.errors import Code, ConfigError
from loopseal.ports import Credential, Secret, Source, Wait
from loopseal.settings import EngineSettings
from loopseal.testing.argocd import ArgoCD
from loopseal.testing.clock import LoopClock
from loopseal.testing.cluster import User
from loopseal.testing.flux import Flux
from loopseal.testing.gitview import MemoryRepositories, MemoryRepository
from loopseal.testing.transport import AppTransport

URL = "https://git.test/platform/apps.git"
SOURCE = Source(URL, "main", ("apps/**",))
QUICK = Tolerance(settle=2.0, error_grace=10.0, degraded_grace=5.0, drift_grace=5.0, wedge=20.0)


def deployment(image: str = "web:v1", **spec: Any) -> str:
    return f"""apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 1
  progressDeadlineSeconds: {spec.get("deadline", 600)}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, image: "registry.test/{image}"}}]}}
"""


def settings_map(value: str) -> str:
    return f'apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{value: "{value}"}}\n'


@dataclass
class Vault:
    """`ports.Secrets` over a dict; counts, and may give another value once a reference was forgotten."""

    values: dict[str, str] = field(default_factory=dict)
    renewed: dict[str, str] = field(default_factory=dict)
    resolved: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)

    async def resolve(self, reference: str) -> Credential:
        self.resolved.append(reference)
        if reference not in self.values:
            raise ConfigError(Code.CONFIG_SECRET, "no such secret", where=reference, hint="Set it.")
        return Credential(Secret(self.values[reference]))

    def forget(self, reference: str) -> None:
        self.forgotten.append(reference)
        if reference in self.renewed:
            self.values[reference] = self.renewed[reference]


class Counting(httpx2.AsyncBaseTransport):
    """Counts what goes through, by method and path, and how many streams are open."""

    def __init__(self, inner: AppTransport) -> None:
        self.inner = inner
        self.calls: list[tuple[str, str, Mapping[str, str]]] = []
        self.requests: list[httpx2.Request] = []
        self.opened = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        params = dict(request.url.params)
        self.requests.append(request)
        self.calls.append((request.method, request.url.path, params))
        if "stream" in request.url.path or params.get("watch") == "true":
            self.opened += 1
        return await self.inner.handle_async_request(request)

    def count(self, method: str, part: str, **params: str) -> int:
        return sum(
            one == method and part in path and all(found.get(key) == value for key, value in params.items())
            for one, path, found in self.calls
        )

    async def aclose(self) -> None:
        await self.inner.aclose()


def leftovers(world: World) -> set[str]:
    """Names of our tasks, and paths of calls that are still open."""
    tasks = {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("loopseal")}
    return tasks | {call.request.url.path for call in world.wire.inner._calls if not call._left.is_set()}


class Graph:
    """`ports.Ancestry` over a repository in memory. `unknown` are commits it cannot tell about now."""

    def __init__(self, repository: MemoryRepository) -> None:
        self._repository = repository
        self.asked = 0
        self.unknown: set[str] = set()

    async def relation(self, observed: str, wanted: str) -> Relation:
        self.asked += 1
        await asyncio.sleep(0.01)
        if {observed, wanted} & self.unknown:
            return Relation.UNKNOWN
        return relation(observed, wanted, self._repository.parents)


@dataclass
class World:
    """One engine before one simulator."""

    peer: Any
    git: MemoryRepository
    engine: Any
    wire: Counting
    vault: Vault
    graph: Graph
    heard: list[tuple[str, Mapping[str, Any]]]
    app: Application

    def wait(
        self, revision: str = "", tolerance: Tolerance = QUICK, app: Application | None = None, **facts: Any
    ) -> Any:
        wanted = Wait(app or self.app, revision or self.git.tip, SOURCE, tolerance, **facts)
        return self.engine.wait(wanted, self.graph)

    async def verdicts(self, revision: str = "", tolerance: Tolerance = QUICK, **facts: Any) -> list[Verdict]:
        async with aclosing(self.wait(revision, tolerance, **facts)) as told:
            return [verdict async for verdict in told]

    async def until(self, revision: str, *reasons: str, tolerance: Tolerance = QUICK, **facts: Any) -> list[Verdict]:
        """Verdicts until one of these reasons is told."""
        out: list[Verdict] = []
        async with aclosing(self.wait(revision, tolerance, **facts)) as told:
            async for verdict in told:
                out.append(verdict)
                if verdict.reason in reasons:
                    return out
        raise AssertionError(f"{reasons} never came: {[(one.state, one.reason) for one in out]}")


def seeded() -> MemoryRepository:
    git = MemoryRepository()
    git.commit({"apps/a/web.yaml": deployment(), "apps/a/settings.yaml": settings_map("1")}, "first")
    return git


@asynccontextmanager
async def argo(*, objects_only: bool = False, quiet: bool = False, **facts: Any) -> AsyncIterator[World]:
    """Argo CD with the application `a`, healthy at the first commit unless `quiet`."""
    git, clock = seeded(), LoopClock()
    heard: list[tuple[str, Mapping[str, Any]]] = []
    async with ArgoCD(MemoryRepositories({URL: git})) as peer:
        if objects_only:
            wire = Counting(peer.cluster.transport())
            vault = Vault({"env:KUBE": facts.pop("kubernetes_url_token", "admin-token")})
            settings = EngineSettings("argocd", kubeconfig="env:CONFIG", timeout=15.0, **facts)
            vault.values["env:CONFIG"] = kubeconfig(vault.values["env:KUBE"])
        else:
            wire = Counting(peer.transport())
            vault = Vault({"env:ARGO": "bot-token"})
            settings = EngineSettings(
                "argocd", url="http://argocd.test", credential="env:ARGO", project="default", **facts
            )
        engine = argocd.Engine(
            settings,
            name="argo",
            secrets=vault,
            clock=clock,
            tap=lambda channel, body: heard.append((channel, body)),
            transport=wire,
        )
        if not quiet:
            peer.create("a", url=URL, path="apps/a")
            await asyncio.sleep(5)
        try:
            yield World(peer, git, engine, wire, vault, Graph(git), heard, Application("argo", "a"))
        finally:
            await engine.aclose()


@asynccontextmanager
async def fluxcd(*, quiet: bool = False, users: Mapping[str, User] | None = None, **facts: Any) -> AsyncIterator[World]:
    """Flux with the source `src` and the Kustomization `a`, ready at the first commit unless `quiet`."""
    git, clock = seeded(), LoopClock()
    heard: list[tuple[str, Mapping[str, Any]]] = []
    async with Flux(MemoryRepositories({URL: git})) as peer:
        peer.cluster.users.update(users or {})
        wire = Counting(peer.transport())
        token = facts.pop("token", "admin-token")
        vault = Vault({"env:CONFIG": kubeconfig(token)})
        settings = EngineSettings("flux", kubeconfig="env:CONFIG", **facts)
        engine = flux.Engine(
            settings,
            name="eu1",
            secrets=vault,
            clock=clock,
            tap=lambda channel, body: heard.append((channel, body)),
            transport=wire,
        )
        if not quiet:
            peer.create_source("src", url=URL)
            peer.create("a", source="src", path="./apps/a", retryInterval="10s", timeout="30s")
            await asyncio.sleep(12)
        try:
            yield World(peer, git, engine, wire, vault, Graph(git), heard, Application("eu1", "a"))
        finally:
            await engine.aclose()


def kubeconfig(token: str, server: str = "http://kubernetes.test") -> str:
    return f"""apiVersion: v1
kind: Config
current-context: one
contexts: [{{name: one, context: {{cluster: c, user: u}}}}]
clusters: [{{name: c, cluster: {{server: "{server}"}}}}]
users: [{{name: u, user: {{token: "{token}"}}}}]
"""


def told(verdicts: Sequence[Verdict]) -> list[str]:
    return [f"{one.state} {one.reason}" for one in verdicts]


def last(verdicts: Sequence[Verdict]) -> tuple[State, str]:
    return verdicts[-1].state, verdicts[-1].reason
