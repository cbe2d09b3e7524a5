"""A simulated Flux: source-, kustomize- and a minimal helm-controller over a simulated cluster.

Held to recordings of v1.9 of the source- and kustomize-controllers: the same writes in the same order (see
`tests/simulators`). It knows GitRepository (branch, tag, commit, verify), Kustomization (path, wait, healthChecks,
dependsOn, prune, targetNamespace, suspend, timeouts and retries). It does not know post-build substitution, patches,
decryption, `healthCheckExprs`, remote clusters, other sources, Receivers, Alerts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, Self

from loopseal.testing import objects
from loopseal.testing.cluster import Cluster
from loopseal.testing.faults import Faults
from loopseal.testing.flux.helm import HelmController
from loopseal.testing.flux.kustomize import KustomizeController
from loopseal.testing.flux.source import SourceController
from loopseal.testing.gitview import GitView
from loopseal.testing.store import Object
from loopseal.testing.transport import AppTransport

__all__ = ["Flux"]


class _Controller(Protocol):
    async def aclose(self) -> None: ...


class Flux:
    """The controllers of one cluster. `asgi` is the cluster's Kubernetes API.

    Use it as `async with`: the controllers run inside. `requeue` is `--requeue-dependency`, `fetch` how long reading
    from Git takes, both in seconds.
    """

    def __init__(
        self, git: GitView, *, cluster: Cluster | None = None, requeue: float = 30.0, fetch: float = 0.13
    ) -> None:
        self.cluster = cluster or Cluster()
        self.store, self.clock = self.cluster.store, self.cluster.clock
        self.faults: Faults = self.cluster.faults
        self.asgi = self.cluster.asgi
        self._git, self._requeue, self._fetch = git, requeue, fetch
        self._controllers: dict[str, _Controller] = {}

    async def start(self) -> None:
        """Let the controllers run. Safe to call again."""
        await self.cluster.start()
        store, clock, faults = self.store, self.clock, self.faults
        makers: dict[str, Callable[[], _Controller]] = {
            "source": lambda: SourceController(store, self._git, clock, faults, self._fetch),
            "kustomize": lambda: KustomizeController(store, self._git, clock, faults, self._requeue),
            "helm": lambda: HelmController(store, clock, faults),
        }
        for name, make in makers.items():
            if name not in self._controllers:
                self._controllers[name] = make()

    async def stop(self) -> None:
        """Stop everything."""
        await self.stop_controllers()
        await self.cluster.stop()

    async def stop_controllers(self, *names: str) -> None:
        """Stop the controllers, all or only those of `source`, `kustomize`, `helm`: what was in flight is lost."""
        for name in names or tuple(self._controllers):
            controller = self._controllers.pop(name, None)
            if controller is not None:
                await controller.aclose()

    async def restart_controllers(self) -> None:
        """New controllers, which look at every object."""
        await self.stop_controllers()
        await self.start()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def create_source(self, name: str, **facts: Any) -> Object:
        """Create a GitRepository: the arguments of `loopseal.testing.objects.git_repository`."""
        return self.store.create(objects.git_repository(name, **facts))

    def create(self, name: str, **facts: Any) -> Object:
        """Create a Kustomization: the arguments of `loopseal.testing.objects.kustomization`."""
        return self.store.create(objects.kustomization(name, **facts))

    def transport(self) -> AppTransport:
        """An httpx2 transport to the Kubernetes API within this process."""
        return self.cluster.transport()
