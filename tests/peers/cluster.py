"""Kubernetes with Argo CD, Flux and a Git host, all real, on loopback: one object, one context manager."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from tests.peers.argocd import ArgoCD
from tests.peers.flux import Flux
from tests.peers.git import Git
from tests.peers.kube import Kube
from tests.peers.processes import Processes


class Cluster:
    """A cluster in `folder`, which has to be empty. Synchronous, and safe to use from any thread.

    Everything listens on 127.0.0.1 on ports of its own; leaving it ends every process. Raises PeerError when a program
    is not built, or does not become ready (with the end of its log).
    """

    kube: Kube
    """As the administrator."""
    processes: Processes
    argocd: ArgoCD
    flux: Flux
    git: Git

    def __init__(
        self,
        folder: Path,
        *,
        argocd: bool = True,
        flux: bool = True,
        resync: int = 120,
        error_grace: int = 180,
        requeue: str = "5s",
    ) -> None:
        self.folder = folder

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.folder / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log: JSON lines, written before each answer."""
        return self.folder / "audit.log"

    def kubeconfig_for(self, token: str, namespace: str = "default") -> str:
        """The text of a kubeconfig for whoever bears this token."""

    def token(self, service_account: str, namespace: str, seconds: int = 3600, secret: str = "") -> str:
        """A token of a service account, which is made when it is not there (TokenRequest; at least 600 s).

        With `secret`, the token is bound to a Secret of that name, made when it is not there: deleting it revokes.
        """
