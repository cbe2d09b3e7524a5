"""The real Flux: its objects, and what they apply, in the team's namespace."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from loopseal.domain.proposal import Application
from loopseal.settings import EngineSettings
from loopseal.testing import objects
from tests.conformance import rights
from tests.conformance.real import Real, apart, patiently
from tests.conformance.stage import ENGINE, KUBECONFIG, PATIENCE, TOKEN
from tests.conformance.world import Kind, Peer
from tests.peers.cluster import Cluster


class RealFlux(Real):
    """Flux, its objects and what they apply in the team's namespace."""

    programs: Mapping[Peer, str] = {
        Peer.API_SERVER: "kube-apiserver",
        Peer.CONTROLLER: "kustomize-controller",
        Peer.READER: "source-controller",
    }

    def __init__(self, kind: Kind, name: str, cluster: Cluster, number: int) -> None:
        super().__init__(kind, name, cluster, number)
        self._account = rights.Account(cluster, self.team)

    def address(self) -> str:
        return self.cluster.kube.url

    def engine_settings(self) -> EngineSettings:
        return EngineSettings("flux", kubeconfig=KUBECONFIG, credential=TOKEN, namespace=self.team, **PATIENCE)

    def application(self, app: str) -> Application:
        return Application(ENGINE, app, namespace=self.team, kind="Kustomization")

    async def admit(self) -> None:
        await patiently(lambda: self._account.admit(self.kind))
        self.vault.values[KUBECONFIG] = self._account.kubeconfig(self._proxy.url)
        source = objects.git_repository("apps", url=self.url, namespace=self.team, interval="60s")
        await patiently(lambda: self.cluster.kube.apply(source))

    async def token(self, seconds: int = 0) -> str:
        return await patiently(lambda: self._account.token(seconds))

    async def accepted(self, token: str) -> bool:
        return await apart(self._account.accepted, token)

    async def revoke(self) -> None:
        await apart(self._account.revoke)
        await self._refused(self.vault.values[TOKEN])

    async def create(self, app: str = "web", *, after: str = "") -> None:
        more: dict[str, Any] = {"dependsOn": [{"name": after}]} if after else {}
        made = objects.kustomization(
            app,
            source="apps",
            path=f"./apps/{app}",
            namespace=self.team,
            target=self.team,
            interval="10m",
            retryInterval="2s",
            timeout="30s",
            **more,
        )
        await patiently(lambda: self.cluster.kube.apply(made))
        self._apps.append(app)

    async def delete(self, app: str = "web") -> None:
        await patiently(lambda: self.cluster.kube.delete("Kustomization", self.team, app))

    async def suspend(self, on: bool, app: str = "web") -> None:
        await self._patch("Kustomization", self.team, app, {"spec": {"suspend": on}})

    async def close_window(self, on: bool) -> None:
        raise AssertionError("Flux knows no sync windows")

    async def refresh(self, app: str = "web") -> None:
        token = {"reconcile.fluxcd.io/requestedAt": f"somebody {time.monotonic()}"}
        await self._patch("GitRepository", self.team, "apps", {"metadata": {"annotations": token}})
