"""The simulators in the place of a real `Cluster`: the same names, one process, no Go. For trying out what will run there.

Only what lanes use is here. The Git server, Argo CD's API and the Kubernetes API are real servers on loopback; an
administrator's calls go to the simulators' store directly.
"""

from __future__ import annotations

import json
import queue
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx2

from loopseal.testing import git_server
from loopseal.testing.argocd import ArgoCD, Pace
from loopseal.testing.background import Background
from loopseal.testing.clock import LoopClock
from loopseal.testing.cluster import Cluster as Simulated
from loopseal.testing.flux import Flux
from loopseal.testing.gitview import Repositories
from loopseal.testing.serve import kubeconfig, serving
from loopseal.testing.store import KINDS, Change

ADMIN = "admin-token"


@dataclass(slots=True)
class Kube:
    """The administrator's way to the objects."""

    url: str
    background: Background
    simulated: Simulated

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        return self.background.call(lambda: self.simulated.store.get(kind, namespace, name))

    def apply(self, obj: dict[str, Any]) -> None:
        if obj["kind"] in KINDS:
            self.background.call(lambda: self.simulated.store.apply(obj))

    def patch(self, kind: str, namespace: str, name: str, merge_patch: Mapping[str, Any]) -> None:
        self.background.call(lambda: self.simulated.store.patch(kind, namespace, name, merge_patch))

    @contextmanager
    def watch(self, kind: str, namespace: str, **query: str) -> Iterator[Iterator[dict[str, Any]]]:
        heard: queue.Queue[Change] = queue.Queue()

        def begin() -> Any:
            for one in self.simulated.store.list(kind, namespace):
                heard.put(Change(0, "ADDED", one))
            return self.simulated.store.listen(
                lambda change: heard.put(change) if change.object["kind"] == kind else None
            )

        stop = self.background.call(begin)
        try:
            yield _until(heard, time.monotonic() + float(query["timeoutSeconds"]))
        finally:
            self.background.call(stop)


def _until(heard: queue.Queue[Change], end: float) -> Iterator[dict[str, Any]]:
    while (left := end - time.monotonic()) > 0:
        try:
            change = heard.get(timeout=left)
        except queue.Empty:
            return
        yield {"type": change.type, "object": change.object}


@dataclass(slots=True)
class Git:
    """Commits by somebody else, as `tests.peers.git`."""

    root: Path
    server: str
    slow: dict[str, Any] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)

    def url(self, repository: str) -> str:
        return f"{self.server}/{repository}"

    def tip(self, repository: str) -> str:
        return self._git(repository, "for-each-ref", "--format=%(objectname)", "refs/heads/main").decode().strip()

    def commit(
        self, repository: str, files: Mapping[str, str | None], *, message: str = "Change", onto: str = ""
    ) -> str:
        folder = self.root / repository
        if not folder.exists():
            subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(folder)], check=True)
        parent, who = onto or self.tip(repository), f"Else <else@example.com> {int(time.time())} +0000"
        head = f"commit refs/heads/main\ncommitter {who}\ndata {len(message)}\n{message}\n"
        parts = [head, f"from {parent}\n" if parent else ""]
        for path, text in files.items():
            parts.append(f'D "{path}"\n' if text is None else f'M 100644 inline "{path}"\ndata {len(text)}\n{text}\n')
        self._git(repository, "fast-import", "--quiet", "--force", data="".join(parts).encode())
        return self.tip(repository)

    def _git(self, repository: str, *arguments: str, data: bytes = b"") -> bytes:
        command = ["git", "-C", str(self.root / repository), *arguments]
        return subprocess.run(command, input=data, check=True, capture_output=True).stdout


@dataclass(slots=True)
class Processes:
    """Kills and starts the simulators' parts under the names of the real programs."""

    background: Background
    argocd: ArgoCD
    flux: Flux

    down: set[str] = field(default_factory=set)

    @property
    def names(self) -> list[str]:
        return sorted(self.down)

    def running(self, name: str) -> bool:
        return name not in self.down

    def kill(self, name: str) -> None:
        self.down.add(name)
        self._do(name, on=False)

    def start(self, name: str) -> None:
        self._do(name, on=True)
        self.down.discard(name)

    def _do(self, name: str, *, on: bool) -> None:
        argocd, flux = self.argocd, self.flux
        match name:
            case "kube-apiserver":
                self.background.call(flux.faults.restart if on else flux.faults.kill)
            case "argocd-server":
                self.background.call(argocd.faults.restart if on else argocd.faults.kill)
            case "argocd-application-controller":
                self.background.run(argocd.start() if on else argocd.stop_controller())
            case "kustomize-controller":
                self.background.run(flux.start() if on else flux.stop_controllers())
            case "argocd-repo-server" | "source-controller":
                faults = argocd.faults if name == "argocd-repo-server" else flux.faults
                faults.fetch_error = "" if on else "connection refused"
            case other:
                raise AssertionError(other)


@dataclass(frozen=True, slots=True)
class Api:
    """Argo CD's API."""

    url: str

    def token(self, account: str) -> str:
        return f"{account}-token"

    def request(self, method: str, path: str, *, account: str) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.token(account)}"}
        return httpx2.request(method, self.url + path, headers=headers, timeout=30, trust_env=False)


class Rehearsal:
    """As `tests.peers.cluster.Cluster`, of simulators."""

    kube: Kube
    git: Git
    argocd: Api
    processes: Processes

    def __init__(self, folder: Path, *, resync: int = 120) -> None:
        self.folder, self._resync = folder, resync
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            root = self.folder / "git"
            root.mkdir(parents=True)
            self.git = Git(root, stack.enter_context(git_server.serve(git_server.GitServer(root))))
            background = stack.enter_context(Background())
            simulated = Simulated(background.call(LoopClock.real))
            view = Repositories(root)
            pace = Pace(resync=self._resync, ref_cache=self._resync)
            argocd = background.enter(ArgoCD(view, cluster=simulated, pace=pace))
            flux = background.enter(Flux(view, cluster=simulated, requeue=5.0))
            url = background.enter(serving(simulated.asgi))
            self.argocd = Api(background.enter(serving(argocd.asgi)))
            stack.callback(background.call, argocd.faults.cut_streams)
            stack.callback(background.call, simulated.faults.cut_streams)
            self.kube = Kube(url, background, simulated)
            self.processes = Processes(background, argocd, flux)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def token(self, service_account: str, namespace: str) -> str:
        return ADMIN

    def kubeconfig_for(self, token: str) -> str:
        return json.dumps(kubeconfig(self.kube.url, token))
