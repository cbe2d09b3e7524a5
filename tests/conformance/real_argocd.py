"""The real Argo CD, by its API server as a project role, or by its objects as a service account."""

from __future__ import annotations

from loopseal.domain.proposal import Application
from loopseal.settings import EngineSettings
from loopseal.testing import objects
from tests.conformance import rights
from tests.conformance.real import Real, apart, patiently
from tests.conformance.stage import ENGINE, KUBECONFIG, PATIENCE, TOKEN
from tests.conformance.world import Kind, Peer
from tests.peers.cluster import Cluster


class RealArgoCD(Real):
    """Argo CD, by its API server as a project role, or by its objects as a service account."""

    def __init__(self, kind: Kind, name: str, cluster: Cluster, number: int) -> None:
        super().__init__(kind, name, cluster, number)
        server = "argocd-server" if kind is Kind.ARGOCD else "kube-apiserver"
        self.programs = {
            Peer.API_SERVER: server,
            Peer.CONTROLLER: "argocd-application-controller",
            Peer.READER: "argocd-repo-server",
        }
        self._account = rights.Account(cluster, self.team)

    def address(self) -> str:
        return self.cluster.argocd.url if self.kind is Kind.ARGOCD else self.cluster.kube.url

    def engine_settings(self) -> EngineSettings:
        if self.kind is Kind.ARGOCD:
            return EngineSettings("argocd", url=self._proxy.url, credential=TOKEN, project=self.team, **PATIENCE)
        return EngineSettings("argocd", kubeconfig=KUBECONFIG, credential=TOKEN, **PATIENCE)

    def application(self, app: str) -> Application:
        return Application(ENGINE, self._named(app), project=self.team)

    def _named(self, app: str) -> str:
        return f"{self.team}-{app}"

    async def admit(self) -> None:
        await patiently(lambda: self.cluster.kube.apply(rights.project(self.team, self.url)))
        if self.kind is Kind.OBJECTS:
            await patiently(lambda: self._account.admit(self.kind))
            self.vault.values[KUBECONFIG] = self._account.kubeconfig(self._proxy.url)

    async def token(self, seconds: int = 0) -> str:
        if self.kind is Kind.OBJECTS:
            return await patiently(lambda: self._account.token(seconds))
        return await patiently(lambda: self.cluster.argocd.project_token(self.team, "loopseal", seconds))

    async def accepted(self, token: str) -> bool:
        if self.kind is Kind.OBJECTS:
            return await apart(self._account.accepted, token)
        path = f"/api/v1/applications?project={self.team}"
        answer = await apart(lambda: self.cluster.argocd.request("GET", path, token=token))
        return answer.status_code != 401

    async def revoke(self) -> None:
        token = self.vault.values[TOKEN]
        if self.kind is Kind.OBJECTS:
            await apart(self._account.revoke)
        else:
            path = f"/api/v1/projects/{self.team}/roles/loopseal/token/{rights.claims(token)['iat']}"
            (await apart(lambda: self.cluster.argocd.request("DELETE", path))).raise_for_status()
        await self._refused(token)

    async def create(self, app: str = "web", *, after: str = "") -> None:
        assert not after, "Argo CD knows no dependencies between applications"
        made = objects.application(
            self._named(app),
            url=self.url,
            path=f"apps/{app}",
            project=self.team,
            destination=self.team,
            automated={"prune": True},
            retry={"limit": 1, "backoff": {"duration": "1s", "factor": 1}},
        )
        await patiently(lambda: self.cluster.kube.apply(made))
        self._apps.append(app)

    async def delete(self, app: str = "web") -> None:
        await patiently(lambda: self.cluster.kube.delete("Application", "argocd", self._named(app)))

    async def suspend(self, on: bool, app: str = "web") -> None:
        await self._annotate(app, "argocd.argoproj.io/skip-reconcile", "true" if on else None)

    async def close_window(self, on: bool) -> None:
        window = {"kind": "deny", "schedule": "* * * * *", "duration": "24h", "applications": ["*"]}
        await self._patch("AppProject", "argocd", self.team, {"spec": {"syncWindows": [window] if on else None}})

    async def refresh(self, app: str = "web") -> None:
        await self._annotate(app, "argocd.argoproj.io/refresh", "normal")

    async def _annotate(self, app: str, name: str, value: str | None) -> None:
        await self._patch("Application", "argocd", self._named(app), {"metadata": {"annotations": {name: value}}})
