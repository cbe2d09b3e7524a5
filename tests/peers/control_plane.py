"""etcd and the Kubernetes control plane: their arguments, the audit policy, and when each of them is ready.

RBAC is on, tokens of service accounts are real, admission policies work, and every request that is not a controller's
own is in the audit log before it is answered (`--audit-log-mode=blocking`).
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.peers.kube import Kube
from tests.peers.pki import Pki
from tests.peers.ports import HOST, Ports
from tests.peers.processes import Command

GITOPS: Final = (
    "argoproj.io",
    "source.toolkit.fluxcd.io",
    "kustomize.toolkit.fluxcd.io",
)
"""API groups whose writes are recorded with their bodies."""


def audit_policy() -> dict[str, Any]:
    """Who did what: reads by metadata, writes to GitOps objects with their bodies; no chatter between controllers."""
    groups = [{"group": group} for group in GITOPS]
    chatter = ["system:kube-controller-manager", "system:kube-scheduler", "system:apiserver"]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [
            {"level": "None", "users": chatter},
            {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*", "/metrics"]},
            {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
            {"level": "Request", "verbs": ["create", "update", "patch", "delete"], "resources": groups},
            {"level": "Metadata"},
        ],
    }


def kubeconfig(server: str, authority: Path, token: str, namespace: str = "default") -> str:
    """The text of a kubeconfig (JSON, which is YAML) for whoever bears this token; the authority is in it."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "peers",
            "clusters": [{"name": "peers", "cluster": {"server": server, "certificate-authority": str(authority)}}],
            "users": [{"name": "bearer", "user": {"token": token}}],
            "contexts": [{"name": "peers", "context": {"cluster": "peers", "user": "bearer", "namespace": namespace}}],
        }
    )


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The programs of one control plane in `folder`; `admin` is the administrator's kubeconfig."""

    folder: Path
    ports: Ports
    pki: Pki
    kube: Kube
    admin: Path

    @property
    def audit_log(self) -> Path:
        """JSON lines, one per request, written before the request is answered."""
        return self.folder / "audit.log"

    def commands(self) -> Iterator[Command]:
        """In the order in which they are started."""
        yield self.etcd()
        yield self.apiserver()
        yield self.controller_manager()
        yield self.scheduler()

    def etcd(self) -> Command:
        """The store."""
        client, peer = (f"http://{self.ports.address(name)}" for name in ("etcd", "etcd-peer"))
        argv = [
            "etcd",
            *("--data-dir", self.folder / "etcd"),
            "--unsafe-no-fsync",
            *("--log-level", "warn"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}"),
        ]
        return Command("etcd", argv, http_ok(f"{client}/health"))

    def apiserver(self) -> Command:
        """The Kubernetes API."""
        policy = self.folder / "audit-policy.json"
        policy.write_text(json.dumps(audit_policy()))
        argv = [
            "kube-apiserver",
            f"--etcd-servers=http://{self.ports.address('etcd')}",
            f"--bind-address={HOST}",
            f"--advertise-address={HOST}",
            f"--secure-port={self.ports['apiserver']}",
            f"--tls-cert-file={self.pki.certificate}",
            f"--tls-private-key-file={self.pki.key}",
            f"--client-ca-file={self.pki.authority}",
            f"--token-auth-file={self.pki.tokens}",
            f"--requestheader-client-ca-file={self.pki.authority}",  # nobody has such a certificate; others ask for it
            "--requestheader-allowed-names=nobody",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--authorization-mode=RBAC",
            f"--service-account-issuer=https://{self.ports.address('apiserver')}",
            f"--service-account-key-file={self.pki.accounts_public}",
            f"--service-account-signing-key-file={self.pki.accounts_key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--endpoint-reconciler-type=none",
            "--allow-privileged",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-mode=blocking",
        ]
        return Command("kube-apiserver", argv, lambda: self.kube.request("GET", "/readyz").is_success)

    def controller_manager(self) -> Command:
        """Deployments, Jobs, namespaces, service accounts."""
        argv = [
            "kube-controller-manager",
            *self._component("controller-manager"),
            "--use-service-account-credentials=false",
            "--node-monitor-grace-period=10m",  # a busy machine must not make the node that does not exist NotReady
            f"--service-account-private-key-file={self.pki.accounts_key}",
            f"--root-ca-file={self.pki.authority}",
        ]
        return Command("kube-controller-manager", argv, self._healthy("controller-manager"))

    def scheduler(self) -> Command:
        """Puts pods on the one node."""
        return Command("kube-scheduler", ["kube-scheduler", *self._component("scheduler")], self._healthy("scheduler"))

    def _component(self, port: str) -> list[str]:
        return [
            f"--kubeconfig={self.admin}",
            f"--authentication-kubeconfig={self.admin}",
            f"--authorization-kubeconfig={self.admin}",
            f"--bind-address={HOST}",
            f"--secure-port={self.ports[port]}",
            "--leader-elect=false",
        ]

    def _healthy(self, port: str) -> Callable[[], bool]:
        return http_ok(f"https://{self.ports.address(port)}/healthz")


def http_ok(url: str, below: int = 300) -> Callable[[], bool]:
    """A probe: whether `url` answers with a status `below`. Whose certificate it shows does not matter on loopback."""
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE

    def probe() -> bool:
        try:
            return httpx2.get(url, verify=anyone, timeout=3, trust_env=False).status_code < below
        except httpx2.TransportError as error:
            raise ConnectionError(f"{url}: {error!r}") from error

    return probe
