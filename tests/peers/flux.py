"""Flux: source-controller and kustomize-controller on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.peers.control_plane import http_ok
from tests.peers.ports import Ports
from tests.peers.processes import Command

NAMESPACE: Final = "flux-system"


@dataclass(frozen=True, slots=True)
class Flux:
    """The controllers; their objects are the cluster's (`cluster.kube`), in `namespace` or any other."""

    folder: Path
    ports: Ports
    requeue: str = "5s"
    """How long a Kustomization waits before it looks again at a dependency that is not ready."""
    namespace: str = NAMESPACE

    def commands(self) -> Iterator[Command]:
        """In the order in which they are started."""
        yield self.source()
        yield self.kustomize()

    def source(self) -> Command:
        """Fetches, and serves what it fetched to the other."""
        name, storage = "source-controller", self.ports.address("source-storage")
        argv = [
            name,
            *self._common(name),
            *("--storage-path", self.folder / "flux"),
            *("--storage-addr", storage, "--storage-adv-addr", storage),
        ]
        serves = http_ok(f"http://{storage}/", below=500)  # what it stores, to the other one
        ready = self._ready(name)
        return Command(name, argv, lambda: ready() and serves(), self._variables())

    def kustomize(self) -> Command:
        """Applies."""
        name = "kustomize-controller"
        argv = [name, *self._common(name), "--requeue-dependency", self.requeue]
        return Command(name, argv, self._ready(name), self._variables())

    def _common(self, name: str) -> list[str]:
        return [
            *("--metrics-addr", self.ports.address(f"{name}-metrics")),
            *("--health-addr", self.ports.address(f"{name}-health")),
            *("--events-addr", "", "--log-level", "info"),
        ]

    def _variables(self) -> dict[str, str]:
        return {
            "RUNTIME_NAMESPACE": self.namespace,
            "SOURCE_CONTROLLER_LOCALHOST": self.ports.address("source-storage"),
            "KUBECONFIG": str(self.folder / "kubeconfig"),
        }

    def _ready(self, name: str) -> Callable[[], bool]:
        return http_ok(f"http://{self.ports.address(f'{name}-health')}/readyz")
