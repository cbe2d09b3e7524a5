"""Simulated Argo CD, by its API server or by its objects."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self

from loopseal.domain.proposal import Application
from loopseal.settings import EngineSettings
from loopseal.testing import objects
from loopseal.testing.argocd import Account, ArgoCD, Pace
from loopseal.testing.faults import Faults
from loopseal.testing.gitview import Repositories
from loopseal.testing.transport import AppTransport
from tests.conformance import rights
from tests.conformance.simulated import FIRST, SECOND, TEAM, Simulated
from tests.conformance.stage import ENGINE, KUBECONFIG, PATIENCE, TOKEN
from tests.conformance.world import Kind, Peer

PACE: Final = Pace(resync=120.0, ref_cache=180.0, grace=180.0)
REPO_SERVER: Final = (
    'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: '
    'dial tcp 127.0.0.1:8081: connect: connection refused"'
)
"""What the controller is told while the repo server is dead."""


class SimulatedArgoCD(Simulated):
    """Argo CD, by its API server or by its objects."""

    def __init__(self, kind: Kind, name: str, folder: Path) -> None:
        super().__init__(kind, name, folder)
        policies = rights.policies(TEAM)
        people = [Account(f"proj:{TEAM}:loopseal:{token}", token, policies) for token in (FIRST, SECOND)]
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
