"""A world of simulated peers: virtual time, one process, Git itself behind its own server in that process."""

from __future__ import annotations

import json
import subprocess
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

import httpx2

from loopseal.domain.proposal import Application
from loopseal.settings import EngineSettings
from loopseal.testing import objects
from loopseal.testing.argocd import Account, ArgoCD, Pace
from loopseal.testing.clock import LoopClock
from loopseal.testing.cluster import Cluster, User
from loopseal.testing.faults import Faults
from loopseal.testing.flux import Flux
from loopseal.testing.git_server import GitServer
from loopseal.testing.gitview import Repositories
from loopseal.testing.serve import kubeconfig
from loopseal.testing.store import Object, Rejected
from loopseal.testing.transport import AppTransport
from tests.conformance import content, rights
from tests.conformance.stage import ENGINE, KUBECONFIG, PATIENCE, PLATFORM, TOKEN, Stage
from tests.conformance.world import Files, Kind, Peer

PACE: Final = Pace(resync=120.0, ref_cache=180.0, grace=180.0)
TEAM: Final = "team"
"""Namespace of the applications' workloads and, with Flux, of its objects; name of the project."""
FIRST, SECOND = "token-1", "token-2"
REPO_SERVER: Final = (
    'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: '
    'dial tcp 127.0.0.1:8081: connect: connection refused"'
)
"""What the controller is told while the repo server is dead."""


def refuse(item: Mapping[str, Any]) -> None:
    """The admission policy of both worlds. Raises Rejected, in the words of Kubernetes v1.36."""
    if content.REFUSED in (item["metadata"].get("labels") or {}):
        who = "ValidatingAdmissionPolicy 'conformance' with binding 'conformance' denied request"
        name = item["metadata"]["name"]
        raise Rejected(422, "Invalid", f'deployments.apps "{name}" is forbidden: {who}: {content.REFUSAL}')


class Simulated(Stage):
    """What simulated Argo CD and simulated Flux have in common."""

    faults: Faults
    """Those between us and the engine."""
    cluster: Cluster

    def __init__(self, kind: Kind, name: str, folder: Path) -> None:
        super().__init__(kind, name, LoopClock())
        self._folder = folder
        self._git = GitServer(folder)
        self._stack = AsyncExitStack()
        self._serial = 0

    @property
    def url(self) -> str:
        return "https://git.test/apps.git"

    def transports(self) -> Mapping[str, httpx2.AsyncBaseTransport]:
        return {ENGINE: self.way(), PLATFORM: AppTransport(self._git)}

    @abstractmethod
    def way(self) -> AppTransport:
        """To the server that we speak to."""

    async def __aenter__(self) -> Self:
        await self._git.create("apps.git", config={"http.receivepack": "true"})
        self.vault.values |= {TOKEN: FIRST, KUBECONFIG: json.dumps(kubeconfig("http://kubernetes.test", FIRST))}
        await super().__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        await self._stack.aclose()

    async def commit(self, files: Files, *, onto: str = "") -> str:
        self._serial += 1
        parent = onto or self._run("for-each-ref", "--format=%(objectname)", "refs/heads/main")
        message = f"Commit {self._serial}"
        stream = [
            f"commit refs/heads/main\ncommitter Somebody <somebody@conformance.test> {1_700_000_000 + self._serial} +0000",
            f"data {len(message)}\n{message}",
            *([f"from {parent}"] if parent else []),
            *(
                f"D {path}" if text is None else f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}"
                for path, text in files.items()
            ),
        ]
        self._run("fast-import", "--quiet", "--force", data="\n".join(stream) + "\n")
        return self._run("rev-parse", "refs/heads/main")

    def _run(self, *arguments: str, data: str = "") -> str:
        command = ["git", "-C", str(self._folder / "apps.git"), *arguments]
        return subprocess.run(command, input=data, check=True, capture_output=True, text=True).stdout.strip()

    async def slow_git(self, seconds: float) -> None:
        self.behind.fetch_delay = seconds

    @property
    @abstractmethod
    def behind(self) -> Faults:
        """Those behind the engine's API."""

    async def expiring(self) -> None:
        self.vault.renewed = {TOKEN: SECOND}

    async def expired(self) -> None:
        self.faults.revoked.add(FIRST)

    async def revoke(self) -> None:
        self.faults.revoked.add(FIRST)

    async def restore(self) -> None:
        self.vault.values[TOKEN] = SECOND

    async def cut(self) -> None:
        self.faults.cut_streams()

    async def forget(self) -> None:
        self.faults.gone = 1
        self.faults.cut_streams()

    async def freeze(self, on: bool) -> None:
        self.faults.silent = on

    async def rollout(self, app: str) -> Mapping[str, Any] | None:
        return self.cluster.store.get("Deployment", TEAM, app)


class SimulatedArgoCD(Simulated):
    """Argo CD, by its API server or by its objects."""

    def __init__(self, kind: Kind, name: str, folder: Path) -> None:
        super().__init__(kind, name, folder)
        rules = rights.rules(kind, TEAM)
        self.cluster = Cluster(users={token: User("loopseal", rules) for token in (FIRST, SECOND)})
        policies = rights.policies(TEAM)
        people = [Account(f"proj:{TEAM}:loopseal:{token}", token, policies) for token in (FIRST, SECOND)]
        self.cluster.store.admission.append(refuse)
        self.peer = ArgoCD(Repositories(folder), cluster=self.cluster, pace=PACE, people=people)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._stack.enter_async_context(self.peer)
        self.peer.store.create(objects.project(TEAM))
        return self

    def engine_settings(self) -> EngineSettings:
        if self.kind is Kind.ARGOCD:
            return EngineSettings("argocd", url="http://argocd.test", credential=TOKEN, project=TEAM, **PATIENCE)
        return EngineSettings("argocd", kubeconfig=KUBECONFIG, credential=TOKEN, **PATIENCE)

    def server(self) -> str:
        return "http://argocd.test" if self.kind is Kind.ARGOCD else "http://kubernetes.test"

    def way(self) -> AppTransport:
        return self.peer.transport() if self.kind is Kind.ARGOCD else self.cluster.transport()

    @property
    def faults(self) -> Faults:
        return self.peer.faults if self.kind is Kind.ARGOCD else self.cluster.faults

    @property
    def behind(self) -> Faults:
        return self.peer.faults

    def application(self, app: str) -> Application:
        return Application(ENGINE, app, project=TEAM)

    async def create(self, app: str = "web", *, after: str = "") -> None:
        assert not after, "Argo CD knows no dependencies between applications"
        retry = {"limit": 1, "backoff": {"duration": "1s", "factor": 1}}
        policy = {"automated": {"prune": True}, "retry": retry}
        self.peer.create(app, url=self.url, path=f"apps/{app}", project=TEAM, destination=TEAM, **policy)

    async def delete(self, app: str = "web") -> None:
        self.peer.store.delete("Application", "argocd", app)

    async def suspend(self, on: bool, app: str = "web") -> None:
        self._annotate(app, "argocd.argoproj.io/skip-reconcile", "true" if on else None)

    async def close_window(self, on: bool) -> None:
        window = {"kind": "deny", "schedule": "* * * * *", "duration": "24h", "applications": ["*"]}
        self.peer.store.patch("AppProject", "argocd", TEAM, {"spec": {"syncWindows": [window] if on else None}})

    async def refresh(self, app: str = "web") -> None:
        self._annotate(app, "argocd.argoproj.io/refresh", "normal")

    def _annotate(self, app: str, name: str, value: str | None) -> None:
        self.peer.store.patch("Application", "argocd", app, {"metadata": {"annotations": {name: value}}})

    async def kill(self, peer: Peer) -> None:
        match peer:
            case Peer.API_SERVER:
                self.faults.kill()
                self.behind.paused = self.kind is Kind.OBJECTS  # without Kubernetes nothing goes on
            case Peer.CONTROLLER:
                await self.peer.stop_controller()
            case Peer.READER:
                self.behind.fetch_error = REPO_SERVER

    async def start(self, peer: Peer) -> None:
        match peer:
            case Peer.API_SERVER:
                self.faults.restart()
                self.behind.paused = False
            case Peer.CONTROLLER:
                await self.peer.start()
            case Peer.READER:
                self.behind.fetch_error = ""


class SimulatedFlux(Simulated):
    """Flux, its objects in the team's namespace."""

    def __init__(self, kind: Kind, name: str, folder: Path) -> None:
        super().__init__(kind, name, folder)
        rules = rights.rules(kind, TEAM)
        self.cluster = Cluster(users={token: User("loopseal", rules) for token in (FIRST, SECOND)})
        self.cluster.store.admission.append(refuse)
        self.peer = Flux(Repositories(folder), cluster=self.cluster, requeue=5.0)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._stack.enter_async_context(self.peer)
        self.peer.create_source("apps", url=self.url, interval="60s", namespace=TEAM)
        return self

    def engine_settings(self) -> EngineSettings:
        return EngineSettings("flux", kubeconfig=KUBECONFIG, credential=TOKEN, namespace=TEAM, **PATIENCE)

    def server(self) -> str:
        return "http://kubernetes.test"

    def way(self) -> AppTransport:
        return self.cluster.transport()

    @property
    def faults(self) -> Faults:
        return self.cluster.faults

    @property
    def behind(self) -> Faults:
        return self.cluster.faults

    def application(self, app: str) -> Application:
        return Application(ENGINE, app, namespace=TEAM, kind="Kustomization")

    async def create(self, app: str = "web", *, after: str = "") -> None:
        more: Object = {"dependsOn": [{"name": after}]} if after else {}
        self.peer.create(
            app,
            source="apps",
            path=f"./apps/{app}",
            namespace=TEAM,
            target=TEAM,
            interval="10m",
            retryInterval="2s",
            timeout="30s",
            **more,
        )

    async def delete(self, app: str = "web") -> None:
        self.peer.store.delete("Kustomization", TEAM, app)

    async def suspend(self, on: bool, app: str = "web") -> None:
        self.peer.store.patch("Kustomization", TEAM, app, {"spec": {"suspend": on}})

    async def close_window(self, on: bool) -> None:
        raise AssertionError("Flux knows no sync windows")

    async def refresh(self, app: str = "web") -> None:
        change = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": f"somebody {self._serial}"}}}
        self.peer.store.patch("GitRepository", TEAM, "apps", change)

    async def kill(self, peer: Peer) -> None:
        match peer:
            case Peer.API_SERVER:
                self.faults.kill()
                self.faults.paused = True
            case Peer.CONTROLLER:
                await self.peer.stop_controllers("kustomize")
            case Peer.READER:
                await self.peer.stop_controllers("source")

    async def start(self, peer: Peer) -> None:
        match peer:
            case Peer.API_SERVER:
                self.faults.restart()
                self.faults.paused = False
            case Peer.CONTROLLER | Peer.READER:
                await self.peer.start()


SIMULATED: Final[Mapping[Kind, Callable[[Kind, str, Path], Simulated]]] = {
    Kind.ARGOCD: SimulatedArgoCD,
    Kind.OBJECTS: SimulatedArgoCD,
    Kind.FLUX: SimulatedFlux,
}
