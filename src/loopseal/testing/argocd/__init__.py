"""A simulated Argo CD: API server and application controller over a simulated cluster, reconciling a Git repository.

Held to recordings of v3.2: the same events in the same order (see `tests/simulators`). It knows one source per
application, automated and manual sync, retries, PreSync and PostSync hooks (Jobs), pruning, self-heal, sync windows,
signature keys, cascading deletion, refresh, the REST calls around them and the watch stream. It does not know several
sources, Helm parameters, ApplicationSets, the source hydrator, sync waves, or health checks in Lua.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from loopseal.testing.argocd import accounts, page
from loopseal.testing.argocd.accounts import Account
from loopseal.testing.argocd.api import Api
from loopseal.testing.argocd.controller import Controller
from loopseal.testing.argocd.repo_server import RepoServer
from loopseal.testing.argocd.watched import Pace
from loopseal.testing.asgi import Answer, Request, Service
from loopseal.testing.cluster import Cluster
from loopseal.testing.faults import Faults
from loopseal.testing.gitview import GitView
from loopseal.testing.objects import application
from loopseal.testing.store import Object
from loopseal.testing.transport import AppTransport

__all__ = ["Account", "ArgoCD", "Pace"]


class ArgoCD:
    """One installation. `asgi` is the API server, `cluster.asgi` the Kubernetes API beneath it.

    Use it as `async with`: the controllers run inside. Accounts: `bot` may look and refresh (`bot-token`), `ops` may do
    all (`ops-token`), `blind` nothing (`blind-token`).
    """

    def __init__(
        self,
        git: GitView,
        *,
        cluster: Cluster | None = None,
        pace: Pace | None = None,
        people: Iterable[Account] = accounts.DEFAULT,
    ) -> None:
        self.cluster = cluster or Cluster()
        self.store, self.clock = self.cluster.store, self.cluster.clock
        self.faults = Faults()
        self.accounts = {one.name: one for one in people}
        self.pace = pace or Pace()
        self._git = git
        self._repo = RepoServer(git, self.clock, self.faults, self.pace)
        self._controller: Controller | None = None
        self._api = Api(self.cluster, git, self.faults, self.accounts, lambda: self._controller)
        self.asgi = Service(self.handle, start=self.start, stop=self.stop)

    async def start(self) -> None:
        """Let the controllers run. Safe to call again."""
        await self.cluster.start()
        if self._controller is None:
            self._controller = Controller(self.store, self._repo, self.clock, self.faults, self.pace)

    async def stop(self) -> None:
        """Stop everything; open streams end."""
        await self.stop_controller()
        self.faults.cut_streams()
        await self.cluster.stop()

    async def stop_controller(self) -> None:
        """Stop the application controller alone: what was in flight is lost, and GET with `refresh` blocks."""
        controller, self._controller = self._controller, None
        if controller is not None:
            await controller.aclose()

    async def restart_controller(self) -> None:
        """A new application controller, with empty caches."""
        await self.stop_controller()
        self._repo = RepoServer(self._git, self.clock, self.faults, self.pace)
        await self.start()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def create(self, name: str, **facts: Any) -> Object:
        """Create an Application: the arguments of `loopseal.testing.objects.application`."""
        return self.store.create(application(name, **facts))

    def application(self, name: str, namespace: str = "argocd") -> Object:
        """The Application object as Kubernetes shows it now. Raises Rejected when there is none."""
        return self.store.need("Application", namespace, name)

    def poison(self, url: str, ref: str, sha: str) -> None:
        """Another application's late listing lands in the shared ref cache: comparisons nobody asked for see `sha`."""
        self._repo.poison(url, ref, sha)

    def transport(self) -> AppTransport:
        """An httpx2 transport to the API server within this process."""
        return AppTransport(self.asgi)

    async def handle(self, request: Request) -> Answer:
        """One call of the API server, faults included."""
        fault = await self.faults.before()
        if fault is not None:
            return fault
        if request.path == "/" and request.method == "GET":
            return Answer(200, page.render(self.store), {"content-type": "text/html; charset=utf-8"})
        return self.faults.after(await self._api.handle(request))
