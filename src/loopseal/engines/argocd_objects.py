"""Argo CD by its Application objects in Kubernetes: for installations without an API server, or without access to it.

Refreshing is the annotation that the API server sets too. Less can be seen than by REST: no tree, no sync windows, and
health only of workloads in this very cluster, which are read one by one where the application is not well.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from loopseal.domain.proposal import Application
from loopseal.engines import argocd_health, rights, workloads
from loopseal.engines.argocd_application import observed_revisions
from loopseal.engines.argocd_health import Healths
from loopseal.engines.argocd_rest import DEFAULT_NAMESPACE
from loopseal.engines.argocd_signatures import Demand, of_project
from loopseal.engines.argocd_sync import busy, pinned
from loopseal.engines.fields import Object, items, mapping, text
from loopseal.engines.kubernetes import Cluster, Following, Kind, asking
from loopseal.engines.watches import News
from loopseal.errors import Code, Conflict, Unreachable
from loopseal.ports import Clock, Finding

PROJECT: Final = Kind("argoproj.io", "v1alpha1", "AppProject", "appprojects")
APPLICATION: Final = Kind("argoproj.io", "v1alpha1", "Application", "applications")
REFRESH: Final = "argocd.argoproj.io/refresh"
_LOOK_AGAIN: Final = (0.1, 0.2, 0.4, 0.8, 1.6, 3.0)
"""Seconds between looks whether the annotation is gone."""
_KEEP: Final = 3.0
"""Seconds that one reading of an application's workloads serves: events come in bursts."""


class Objects:
    """The applications of one Argo CD, as objects of one cluster. Raises Refused, Conflict and Unreachable."""

    def __init__(
        self, connect: Callable[[], Awaitable[Cluster]], clock: Clock, *, namespace: str, timeout: float
    ) -> None:
        self.server = "kubernetes"
        self._connect, self._clock, self._timeout = connect, clock, timeout
        self._namespace = namespace or DEFAULT_NAMESPACE
        self._following: dict[tuple[str, str], Following] = {}
        self._healths: dict[tuple[str, str], tuple[float, Healths]] = {}

    def scope(self, application: Application) -> tuple[str, str]:
        """What one watch covers: the applications of a namespace."""
        return ("", self.namespace(application))

    def key(self, application: Application) -> str:
        """What names an application within its scope."""
        return application.name

    def namespace(self, application: Application) -> str:
        """Where its object is."""
        return application.namespace or self._namespace

    async def get(self, application: Application) -> Object | None:
        """The application, or None."""
        cluster = await self._connect()
        return await cluster.get(APPLICATION, self.namespace(application), application.name)

    async def refresh(self, application: Application) -> Object | None:
        """Have it compared with the branch as it is now, and answer the object once the request was taken up."""
        cluster = await self._connect()
        change = asking(REFRESH, "normal")
        app: Object | None = await cluster.patch(APPLICATION, self.namespace(application), application.name, change)
        until, looks = self._clock.monotonic() + self._timeout, 0
        while app is not None and REFRESH in mapping(app, "metadata", "annotations"):
            if self._clock.monotonic() >= until:
                raise Unreachable(
                    Code.ENGINE_UNREACHABLE,
                    f"Argo CD has not taken up a refresh for {self._timeout:.0f} s",
                    where=f"Application {application.name}",
                    hint="Is the application controller running, and not busy with something slow?",
                )
            await self._clock.sleep(_LOOK_AGAIN[min(looks, len(_LOOK_AGAIN) - 1)])
            looks += 1
            app = await self.get(application)
        return app

    async def sync(self, application: Application, app: Object, revision: str, *, marker: str) -> bool:
        """Sync to this very revision; False when another operation is there.

        The order is bound to the version that was looked at: written over a running operation it would be dropped.
        """
        if busy(app):
            return False
        order = {
            "initiatedBy": {"username": "loopseal"},
            "info": [{"name": "loopseal", "value": marker}],
            "sync": _pinned(app, revision),
        }
        change = {
            "metadata": {"resourceVersion": text(app, "metadata", "resourceVersion")},
            "operation": order,
            "status": {"operationState": None},
        }
        try:
            await (await self._connect()).patch(APPLICATION, self.namespace(application), application.name, change)
        except Conflict:
            return False
        return True

    async def demand(self, app: Object, url: str) -> Demand:
        """Which signatures its project wants on commits to the repository at `url`. Raises Refused when we may not."""
        name, namespace = text(app, "spec", "project") or "default", self._namespace
        found = await (await self._connect()).get(PROJECT, namespace, name)
        return of_project(found or {}, url)

    async def with_health(self, app: Object) -> Healths:
        """`app` with the health of its workloads, read from the cluster as far as we may."""
        cluster = await self.cluster_of(app)
        if cluster is None:
            return argocd_health.elsewhere(app)
        now = self._clock.monotonic()
        key = (text(app, "metadata", "uid"), text(app, "metadata", "resourceVersion"))
        self._healths = {one: kept for one, kept in self._healths.items() if now - kept[0] < _KEEP}
        if key not in self._healths:
            seen = await workloads.see(cluster, argocd_health.without(app))
            self._healths[key] = now, argocd_health.filled(app, seen)
        return self._healths[key][1]

    async def cluster_of(self, app: Object) -> Cluster | None:
        """The cluster that the application deploys to, or None when it is another one than that of the object."""
        cluster = await self._connect()
        return cluster if argocd_health.here(app, cluster.server) else None

    async def windows(self, application: Application) -> Object:
        """Sync windows cannot be seen from here."""
        del application
        return {}

    async def about(self, application: Application, what: str, params: Mapping[str, str] | None = None) -> Object:
        """The events of the Application object; nothing else is to be had."""
        del params
        if what != "events":
            return {}
        namespace = self.namespace(application)
        selector = f"involvedObject.kind=Application,involvedObject.name={application.name}"
        path = f"/api/v1/namespaces/{namespace}/events"
        found = await (await self._connect()).read(path, {"fieldSelector": selector, "limit": "50"})
        return {"items": list(items(found, "items"))}

    async def log(self, application: Application, pod: Mapping[str, str], *, previous: bool = False) -> str:
        """Pods are in another cluster, as far as one can tell from here."""
        del application, pod, previous
        return ""

    async def allowed(self, resource: str, verb: str, application: Application) -> bool:
        """Whether we may: to read is `get`, to refresh and to sync is `patch`."""
        if resource != "applications":
            return False
        asked = {"get": "get", "sync": "patch"}.get(verb, verb)
        name = application.name.removeprefix("*")
        return await (await self._connect()).allowed(asked, APPLICATION, self.namespace(application), name)

    async def lacking(self, application: Application) -> Sequence[Finding]:
        """What is lost because a right is missing."""
        namespace = self.namespace(application)
        wanted = (
            rights.watching("argocd", APPLICATION, namespace),
            rights.asking("argocd", APPLICATION, namespace, application.name),
        )
        return await rights.lacking(await self._connect(), wanted)

    async def version(self) -> str:
        """The version of Kubernetes: Argo CD's own is not told."""
        found: Any = await (await self._connect()).read("/version")
        return f"Kubernetes {text(found, 'gitVersion')}"

    async def news(self, scope: tuple[str, str]) -> AsyncGenerator[News, None]:
        """One watch; going on where the last one for this scope ended."""
        if scope not in self._following:
            self._following[scope] = Following(await self._connect(), APPLICATION, scope[1])
        async for news in self._following[scope].connect():
            yield news

    async def aclose(self) -> None:
        """Nothing of its own to let go of."""


def _pinned(app: Object, revision: str) -> dict[str, Any]:
    """The order as the controller reads it: of several sources it wants the revision of every one."""
    order = pinned(app, revision)
    return {"revisions": list(observed_revisions(app))} if "revisions" in order else order
