"""Simulated Flux: its objects, and what they apply, in one namespace."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from loopseal.domain.proposal import Application
from loopseal.settings import EngineSettings
from loopseal.testing.faults import Faults
from loopseal.testing.flux import Flux
from loopseal.testing.gitview import Repositories
from loopseal.testing.store import Object
from loopseal.testing.transport import AppTransport
from tests.conformance.simulated import TEAM, Simulated
from tests.conformance.stage import ENGINE, KUBECONFIG, PATIENCE, TOKEN
from tests.conformance.world import Kind, Peer


class SimulatedFlux(Simulated):
    """Flux, its objects in the team's namespace."""

    def __init__(self, kind: Kind, name: str, folder: Path) -> None:
        super().__init__(kind, name, folder)
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
