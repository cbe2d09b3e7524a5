"""Kubernetes with Argo CD, Flux and a Git host, all real, on loopback: one object, one context manager.

May live here: what belongs to a cluster, and in which order it comes up. May not: how one program is run (their modules).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

import yaml

from tests.peers import control_plane, kwok, pages, pins, pki
from tests.peers.argocd import ArgoCD
from tests.peers.argocd import tools as argocd_tools
from tests.peers.flux import NAMESPACE as FLUX_SYSTEM
from tests.peers.flux import Flux
from tests.peers.git import Git
from tests.peers.kube import Kube
from tests.peers.ports import Ports
from tests.peers.processes import Command, PeerError, Processes

_FOLDERS: Final = ("home", "tmp", "tools", "etcd", "flux", "argocd")


class Cluster:
    """A cluster in `folder`, which has to be empty. Synchronous, and safe to use from any thread.

    Everything listens on 127.0.0.1 on ports of its own; leaving it ends every process. Raises PeerError when a program
    is not built, or does not become ready (with the end of its log).
    """

    kube: Kube
    """As the administrator."""
    processes: Processes
    argocd: ArgoCD
    """Only with `argocd=True`."""
    flux: Flux
    """Only with `flux=True`."""
    git: Git
    ports: Ports
    seconds: float
    """From the beginning until everything was ready."""

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
        self.folder = folder.resolve()
        self.has_argocd, self.has_flux = argocd, flux
        self._resync, self._error_grace, self._requeue = resync, error_grace, requeue
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        begun = time.monotonic()
        try:
            self._come_up()
        except BaseException:
            self._stack.close()
            raise
        self.seconds = round(time.monotonic() - begun, 1)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

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
        return control_plane.kubeconfig(self.kube.url, self.kube.authority, token, namespace)

    def token(self, service_account: str, namespace: str, seconds: int = 3600, secret: str = "") -> str:
        """A token of a service account, which is made when it is not there (TokenRequest; at least 600 s).

        With `secret`, the token is bound to a Secret of that name, made when it is not there: deleting it revokes, as
        soon as the API server forgets that it has seen the token (10 s).
        """
        self.kube.namespace(namespace)
        account = {"apiVersion": "v1", "kind": "ServiceAccount"}
        self.kube.apply({**account, "metadata": {"name": service_account, "namespace": namespace}})
        spec: dict[str, Any] = {"expirationSeconds": seconds, "audiences": None}
        if secret:
            bound = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret, "namespace": namespace}}
            uid = self.kube.apply(bound)["metadata"]["uid"]
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Secret", "name": secret, "uid": uid}
        path = self.kube.resource("ServiceAccount").path(namespace, service_account) + "/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return self.kube.call("POST", path, body)["status"]["token"]

    # --- how it comes up -----------------------------------------------------------------------------------------

    def _come_up(self) -> None:
        for name in _FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._link_tools()
        self.ports = self._stack.enter_context(Ports())
        self.git = Git(self.folder / "git")
        self._stack.enter_context(self.git.serving(self.ports["git"]))
        keys = pki.make(self.folder / "pki")
        self.kube = Kube(f"https://{self.ports.address('apiserver')}", keys.admin, keys.authority)
        self._stack.callback(self.kube.close)
        self.kubeconfig.write_text(self.kubeconfig_for(keys.admin))
        self.processes = Processes(self.folder, self.folder / "tools")
        self._stack.callback(self.processes.close)
        waiting = [*self._launch_control_plane(keys), *self._launch_argocd(), *self._launch_flux()]
        for name in waiting:
            self.processes.wait(name)
        self.processes.until(self._has_default_account, 60, "there is no service account", "kube-controller-manager")
        if self.has_argocd:
            self.argocd.introduce()

    def _launch_control_plane(self, keys: pki.Pki) -> list[str]:
        plane = control_plane.ControlPlane(self.folder, self.ports, keys, self.kube, self.kubeconfig)
        etcd, apiserver, *rest = plane.commands()
        for command in (etcd, apiserver):  # each needs the one before
            self.processes.launch(command)
            self.processes.wait(command.name)
        rest.append(kwok.command(self.folder, self.ports, self.kubeconfig, self.kube))
        names = self._launch(rest)
        self.kube.apply(kwok.node())
        return names

    def _launch_argocd(self) -> list[str]:
        if not self.has_argocd:
            return []
        self._define("argocd")
        config = self.folder / "kubeconfig-argocd"
        config.write_text(self.kubeconfig.read_text().replace('"namespace": "default"', '"namespace": "argocd"'))
        self.argocd = ArgoCD(
            self.folder,
            self.ports,
            self.kube,
            self.processes,
            config,
            self._resync,
            self._error_grace,
        )
        self.argocd.prepare()
        return self._launch(self.argocd.commands())

    def _launch_flux(self) -> list[str]:
        if not self.has_flux:
            return []
        self._define("source", "kustomize")
        self.kube.namespace(FLUX_SYSTEM)
        self.flux = Flux(self.folder, self.ports, self._requeue)
        return self._launch(self.flux.commands())

    def _launch(self, commands: Iterable[Command]) -> list[str]:
        names = []
        for command in commands:
            self.processes.launch(command)
            names.append(command.name)
        return names

    def _define(self, *peers: str) -> None:
        """Apply the CustomResourceDefinitions of these peers, and wait until controllers can find them."""
        names = set()
        for file in (file for peer in peers for file in definitions(peer)):
            obj = yaml.load(file.read_text(), Loader=yaml.CSafeLoader)
            self.kube.apply(obj)
            names.add(obj["metadata"]["name"])
        self.processes.until(lambda: names <= self.kube.discovered(), 60, "custom resources are not served")

    def _has_default_account(self) -> bool:
        return self.kube.get("ServiceAccount", "default", "default") is not None

    def _link_tools(self) -> None:
        """One folder for PATH: the programs, and what Argo CD expects beside itself."""
        tools, needed = self.folder / "tools", {"etcd", "k8s", "kwok"}
        needed |= {"argocd"} if self.has_argocd else set()
        needed |= {"source", "kustomize"} if self.has_flux else set()
        for program in pins.PROGRAMS:
            found = program.found(pins.cache())
            if program.name == "argocd":
                found = pages.found(pins.cache()) or found
            if found:
                (tools / program.name).symlink_to(found)
            elif program.peer in needed:
                raise PeerError(f"{program.name} is not built for these sources: run `make peers-build`")
        (tools / "argocd-git-ask-pass").symlink_to(tools / "argocd")
        for name, text in argocd_tools().items():
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)


def definitions(peer: str) -> list[Path]:
    """The files with a peer's CustomResourceDefinitions, copied by the build. Raises PeerError when it did not."""
    module, _ = pins.DEFINITIONS[peer]
    folder = pins.definitions(pins.cache(), peer)
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise PeerError(f"the definitions of {module} are not in {folder}: run `make peers-build`")
    return files
