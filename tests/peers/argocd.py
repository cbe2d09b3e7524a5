"""Argo CD on loopback: Redis, repo-server, application controller and API server, one program for all but the first.

Plain YAML applications, and kustomizations where the kustomize program is built; there is no Helm beside it.
"""

from __future__ import annotations

import base64
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.peers.control_plane import http_ok
from tests.peers.kube import Kube, Object
from tests.peers.ports import HOST, Ports
from tests.peers.processes import Command, Processes

NAMESPACE: Final = "argocd"
ACCOUNTS: Final = ("bot", "ops", "blind")
"""`bot` may get applications and logs (which is what we ask for), `ops` is an administrator, `blind` may nothing."""

POLICY: Final = """\
p, bot, applications, get, */*, allow
p, bot, logs, get, */*, allow
g, ops, role:admin
"""


@dataclass(slots=True)
class ArgoCD:
    """One Argo CD; its Applications are the cluster's objects, in `namespace`."""

    folder: Path
    ports: Ports
    kube: Kube
    processes: Processes
    kubeconfig: Path
    """The administrator's, with `namespace` as its default: the programs find their own settings by it."""
    resync: int = 120
    """Seconds after which an Application is compared again with nobody asking."""
    error_grace: int = 180
    """Seconds that the last manifests are trusted while the repository cannot be reached."""
    """The one that is built here has no pages in it, the API only; a release of the same version has both."""
    namespace: str = NAMESPACE
    accounts: dict[str, str] = field(default_factory=dict)
    """Account to a token of it that never expires; `admin` too."""
    password: str = ""
    """Of `admin`, for people."""

    @property
    def url(self) -> str:
        """Of the API and the pages."""
        return f"http://{self.ports.address('argocd-server')}"

    def token(self, account: str, seconds: int = 0, identity: str = "") -> str:
        """A token of an account. The standing one, or a new one that expires after `seconds`, or is named `identity`."""
        if not seconds and not identity:
            return self.accounts[account]
        body = {"expiresIn": seconds, **({"id": identity} if identity else {})}
        return self._done("POST", f"/api/v1/account/{account}/token", body)["token"]

    def revoke(self, account: str, identity: str) -> None:
        """Take back the token that was made with this `identity`."""
        self._done("DELETE", f"/api/v1/account/{account}/token/{identity}")

    def project_token(self, project: str, role: str, seconds: int = 0) -> str:
        """A token of a role of a project."""
        path = f"/api/v1/projects/{project}/roles/{role}/token"
        return self._done("POST", path, {"expiresIn": seconds})["token"]

    def request(
        self, method: str, path: str, body: Any = None, *, account: str = "admin", token: str = ""
    ) -> httpx2.Response:
        """One call as an account (or with a token), whatever the answer. Raises OSError when there is none."""
        bearer = token or self.accounts.get(account, "")
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        if body is None and method == "DELETE":
            headers["Content-Type"] = "application/json"  # or Argo CD answers 415
        try:
            return httpx2.request(method, self.url + path, json=body, headers=headers, timeout=30, trust_env=False)
        except httpx2.TransportError as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error

    def has_pages(self) -> bool:
        """Whether `url` shows Argo CD's own pages to a browser. They are read from inside the program only."""
        answer = httpx2.get(self.url, headers={"Accept": "text/html"}, timeout=30, trust_env=False)
        return answer.is_success and "<title>Argo CD</title>" in answer.text

    def rbac(self, csv: str = POLICY, default: str = "") -> None:
        """Who may what, from now on; the API server watches it."""
        self._settings("argocd-rbac-cm", {"policy.csv": csv, "policy.default": default})

    def project(self, name: str, **spec: Any) -> Object:
        """Make or change a project: everything is allowed that `spec` does not restrict."""
        wide = {
            "sourceRepos": ["*"],
            "destinations": [{"namespace": "*", "server": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        }
        meta = {"name": name, "namespace": self.namespace}
        spec = {**wide, **spec}
        return self.kube.apply(
            {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": meta, "spec": spec}
        )

    def trust_gpg(self, key_id: str, armored: str) -> None:
        """Give it an OpenPGP public key; `key_id` is the long one, 16 hex digits. Projects name it in `signatureKeys`."""
        self._settings("argocd-gpg-keys-cm", {key_id: armored})
        whole = self.folder / "argocd" / key_id
        whole.write_text(armored)
        # it imports a file as soon as it is there, and once only
        whole.rename(self.folder / "argocd/gpg-keys" / key_id)

    # --- how it runs ---------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the folders and the settings that have to be there before it starts."""
        for name in ("tls", "ssh", "gpg", "gpg-keys", "static"):
            (self.folder / "argocd" / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "argocd/gpg").chmod(0o700)
        self.kube.namespace(self.namespace)
        self._settings("argocd-cm", {f"accounts.{account}": "apiKey" for account in ACCOUNTS})
        self.rbac()
        self._object("Secret", "argocd-secret", {"type": "Opaque"})
        for name in ("cmd-params", "gpg-keys", "ssh-known-hosts", "tls-certs"):
            self._settings(f"argocd-{name}-cm", {})

    def commands(self) -> Iterator[Command]:
        """In the order in which they are started."""
        yield self.redis()
        yield self.repo_server()
        yield self.controller()
        yield self.server()

    def introduce(self) -> None:
        """Once it is ready: get a token of every account. Raises PeerError."""
        secret = ("Secret", self.namespace, "argocd-initial-admin-secret")
        self.processes.until(lambda: self.kube.get(*secret), 60, "Argo CD has made no password", "argocd-server")
        password = base64.b64decode(self.kube.get(*secret)["data"]["password"]).decode()
        answer = self.request("POST", "/api/v1/session", {"username": "admin", "password": password}, account="")
        self.password, self.accounts["admin"] = password, answer.raise_for_status().json()["token"]
        for account in ACCOUNTS:
            path = f"/api/v1/account/{account}/token"
            self.accounts[account] = self._done("POST", path, {"expiresIn": 0})["token"]
        default = ("AppProject", self.namespace, "default")
        self.processes.until(lambda: self.kube.get(*default), 60, "there is no default project", "argocd-server")

    def redis(self) -> Command:
        """The cache between its programs; nothing is kept."""
        port = self.ports["redis"]
        argv = ["redis-server", "--bind", HOST, "--port", port, "--save", "", "--appendonly", "no"]
        return Command("redis", [*argv, "--dir", self.folder / "tmp"], lambda: _listens(port))

    def repo_server(self) -> Command:
        """Fetches repositories and makes manifests of them."""
        name = "argocd-repo-server"
        argv = [
            *self._common(),
            *("--address", HOST, "--port", self.ports[name], "--disable-tls"),
            *("--metrics-address", HOST, "--metrics-port", self.ports["repo-metrics"]),
        ]
        ready = http_ok(f"http://{self.ports.address('repo-metrics')}/healthz?full=true")
        return Command(name, argv, ready, self._variables(name))

    def controller(self) -> Command:
        """Compares and syncs. Its metrics listen on all addresses: the program has no flag for that."""
        name = "argocd-application-controller"
        argv = [
            *self._common(),
            *self._repo_server(),
            *("--app-resync", self.resync, "--app-resync-jitter", 0),
            *("--repo-error-grace-period-seconds", self.error_grace),
            *("--metrics-port", self.ports["controller-metrics"]),
        ]
        ready = http_ok(f"http://{self.ports.address('controller-metrics')}/healthz")
        return Command(name, argv, ready, self._variables(name))

    def server(self) -> Command:
        """The API and the pages."""
        name = "argocd-server"
        argv = [
            *self._common(),
            *self._repo_server(),
            *("--address", HOST, "--port", self.ports[name], "--insecure"),
            *("--metrics-address", HOST, "--metrics-port", self.ports["server-metrics"]),
            *("--staticassets", self.folder / "argocd/static"),
        ]
        return Command(name, argv, http_ok(f"{self.url}/api/version"), self._variables(name))

    def _common(self) -> list[str]:
        return ["argocd", "--redis", self.ports.address("redis"), "--loglevel", "info"]

    def _repo_server(self) -> list[str]:
        return ["--repo-server", self.ports.address("argocd-repo-server"), "--repo-server-plaintext"]

    def _variables(self, name: str) -> dict[str, str]:
        home = self.folder / "argocd"
        return {
            "ARGOCD_BINARY_NAME": name,
            "KUBECONFIG": str(self.kubeconfig),
            "ARGOCD_FAKE_IN_CLUSTER": "true",
            "ARGOCD_GPG_ENABLED": str(bool(shutil.which("gpg"))).lower(),
            "ARGOCD_GNUPGHOME": str(home / "gpg"),
            "ARGOCD_GPG_DATA_PATH": str(home / "gpg-keys"),
            "ARGOCD_TLS_DATA_PATH": str(home / "tls"),
            "ARGOCD_SSH_DATA_PATH": str(home / "ssh"),
            "ARGOCD_RECONCILIATION_TIMEOUT": f"{self.resync}s",
            "ARGOCD_RECONCILIATION_JITTER": "0s",
            "HOSTNAME": "controller-0",
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def _settings(self, name: str, data: Mapping[str, str]) -> None:
        self._object("ConfigMap", name, {"data": dict(data)})

    def _object(self, kind: str, name: str, content: Object) -> None:
        labels = {"app.kubernetes.io/part-of": "argocd", "app.kubernetes.io/name": name}
        meta = {"name": name, "namespace": self.namespace, "labels": labels}
        self.kube.apply({"apiVersion": "v1", "kind": kind, "metadata": meta, **content})

    def _done(self, method: str, path: str, body: Any = None) -> Any:
        return self.request(method, path, body).raise_for_status().json()


def _listens(port: int) -> bool:
    with socket.create_connection((HOST, port), 1):
        return True


_WRAPPER: Final = """\
#!/bin/sh
{body}
code=$?
# 1: not a good signature, which is an answer and not an error
[ $code -gt 1 ] && {{ echo "$out" >&2; exit $code; }}
echo "$out"
"""

_GPG: Final = {
    "gpg-wrapper.sh": _WRAPPER.format(body='out=$(gpg "$@" 2>&1)'),
    "git-verify-wrapper.sh": _WRAPPER.format(
        body="""\
kind=commit
[ "$(git cat-file -t "$1")" = tag ] && kind=tag
out=$(git verify-$kind "$1" 2>&1)"""
    ),
}
"""Programs that Argo CD's images bring along to verify signatures; it looks for them in PATH."""


def tools() -> Mapping[str, str]:
    """Scripts that have to be in PATH, by name."""
    return _GPG
