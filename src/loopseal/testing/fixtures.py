"""pytest fixtures for users: a Git server, an Argo CD and a Flux on 127.0.0.1, alive for one test.

    pytest_plugins = ["loopseal.testing.fixtures"]            # in conftest.py

    def test_deploys(loopseal_git, loopseal_argocd):
        loopseal_git.commit("apps.git", {"apps/web/values.yaml": "image: {tag: v1}"})
        loopseal_argocd.create("web", repository="apps.git", path="apps/web")
        ...                                                   # run the Dag against loopseal_argocd.url
        assert loopseal_argocd.application("web")["status"]["health"]["status"] == "Healthy"

What the simulators understand stands in `loopseal.testing.manifests`, how rollouts end in `loopseal.testing.workloads`.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loopseal.testing import git_server, serve
from loopseal.testing.argocd import ArgoCD
from loopseal.testing.background import Background
from loopseal.testing.faults import Faults
from loopseal.testing.flux import Flux
from loopseal.testing.gitview import Repositories
from loopseal.testing.store import Object


@dataclass(frozen=True, slots=True)
class SimulatedGit:
    """A smart-HTTP Git server over bare repositories below `root`."""

    root: Path
    server: str

    def url(self, repository: str) -> str:
        """The URL of one repository."""
        return f"{self.server}/{repository}"

    def commit(
        self, repository: str, files: Mapping[str, str | None], *, branch: str = "main", message: str = "Change"
    ) -> str:
        """Commit as somebody else: texts by path, None deletes. Makes the repository when it is not there yet."""
        folder = self.root / repository
        if not folder.exists():
            _git("init", "--quiet", "--bare", f"--initial-branch={branch}", str(folder))
            for key, value in (("http.receivepack", "true"), ("uploadpack.allowFilter", "true"), ("gc.auto", "0")):
                _git("-C", str(folder), "config", key, value)
        _git(
            "-C",
            str(folder),
            "fast-import",
            "--quiet",
            data=_stream(self.tip(repository, branch), files, branch, message),
        )
        return self.tip(repository, branch)

    def tip(self, repository: str, branch: str = "main") -> str:
        """The commit a branch points at; empty when there is none."""
        reference = f"refs/heads/{branch}"
        listed = _git("-C", str(self.root / repository), "for-each-ref", "--format=%(objectname)", reference)
        return listed.decode().strip()

    def read(self, repository: str, path: str, revision: str = "main") -> str:
        """One file."""
        return _git("-C", str(self.root / repository), "cat-file", "blob", f"{revision}:{path}").decode()


@dataclass(frozen=True, slots=True)
class SimulatedArgoCD:
    """An Argo CD with its API at `url`; `token` may look and refresh, `admin_token` may all."""

    url: str
    kubernetes_url: str
    _git: SimulatedGit
    _background: Background
    _simulator: ArgoCD
    token: str = "bot-token"  # noqa: S105 - of a simulator
    admin_token: str = "ops-token"  # noqa: S105 - of a simulator

    @property
    def faults(self) -> Faults:
        """What goes wrong, to be changed by the test: plain fields are safe to set from here."""
        return self._simulator.faults

    def create(self, name: str, *, repository: str, path: str, **more: Any) -> None:
        """Create an application; `more` as in `loopseal.testing.objects.application`."""
        url = self._git.url(repository)
        self._background.call(lambda: self._simulator.create(name, url=url, path=path, **more))

    def application(self, name: str) -> Object:
        """The Application object as it is now."""
        return self._background.call(lambda: self._simulator.application(name))

    def until(self, name: str, fits: Callable[[Object], bool], seconds: float = 30.0) -> Object:
        """The Application as soon as `fits` says so. Raises AssertionError with its last status."""
        return _until(lambda: self.application(name), fits, seconds)


@dataclass(frozen=True, slots=True)
class SimulatedFlux:
    """A cluster with Flux; `kubeconfig` is a file."""

    url: str
    kubeconfig: Path
    _git: SimulatedGit
    _background: Background
    _simulator: Flux

    @property
    def faults(self) -> Faults:
        """What goes wrong, to be changed by the test: plain fields are safe to set from here."""
        return self._simulator.faults

    def create(self, name: str, *, repository: str, path: str, branch: str = "main", **more: Any) -> None:
        """Create a GitRepository and a Kustomization, both `name`; `more` goes into the Kustomization's spec."""
        url = self._git.url(repository)

        def both() -> None:
            self._simulator.create_source(name, url=url, branch=branch)
            self._simulator.create(name, source=name, path=path, **more)

        self._background.call(both)

    def kustomization(self, name: str) -> Object:
        """The Kustomization as it is now."""
        return self._background.call(lambda: self._simulator.store.need("Kustomization", "flux-system", name))

    def until(self, name: str, fits: Callable[[Object], bool], seconds: float = 30.0) -> Object:
        """The Kustomization as soon as `fits` says so. Raises AssertionError with its last status."""
        return _until(lambda: self.kustomization(name), fits, seconds)


@pytest.fixture
def loopseal_git(tmp_path: Path) -> Iterator[SimulatedGit]:
    """A Git server without repositories; everybody may push."""
    root = tmp_path / "repositories"
    root.mkdir()
    with git_server.serve(git_server.GitServer(root)) as url:
        yield SimulatedGit(root, url)


@pytest.fixture
def loopseal_argocd(loopseal_git: SimulatedGit) -> Iterator[SimulatedArgoCD]:
    """An Argo CD without applications that reads the repositories of `loopseal_git`."""
    with ExitStack() as stack:
        background = stack.enter_context(Background())
        running = serve.argocd_on(Repositories(loopseal_git.root), loopseal_git.server, ())
        simulator, api, kubernetes = background.enter(running)
        yield SimulatedArgoCD(api, kubernetes, loopseal_git, background, simulator)


@pytest.fixture
def loopseal_flux(loopseal_git: SimulatedGit, tmp_path: Path) -> Iterator[SimulatedFlux]:
    """A cluster with Flux that reads the repositories of `loopseal_git`."""
    with ExitStack() as stack:
        background = stack.enter_context(Background())
        simulator, api = background.enter(serve.flux_on(Repositories(loopseal_git.root), loopseal_git.server, ()))
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(serve.as_kubeconfig(api))
        yield SimulatedFlux(api, kubeconfig, loopseal_git, background, simulator)


def _until(read: Callable[[], Object], fits: Callable[[Object], bool], seconds: float) -> Object:
    end = time.monotonic() + seconds
    while not fits(found := read()):
        if time.monotonic() > end:
            raise AssertionError(f"not reached within {seconds:g} s: {found.get('status')}")
        time.sleep(0.05)
    return found


def _git(*arguments: str, data: bytes = b"") -> bytes:
    command = ["git", "-c", "init.defaultBranch=main", *arguments]
    return subprocess.run(command, input=data, check=True, capture_output=True).stdout  # noqa: S603 - fixed program


def _stream(parent: str, files: Mapping[str, str | None], branch: str, message: str) -> bytes:
    """One commit for git-fast-import(1)."""
    who = f"Somebody Else <else@example.com> {int(time.time())} +0000"
    head = f"commit refs/heads/{branch}\ncommitter {who}\ndata {len(message.encode())}\n{message}\n"
    parts = [head.encode(), f"from {parent}\n".encode() if parent else b""]
    for path, text in files.items():
        if text is None:
            parts.append(f'D "{path}"\n'.encode())
        else:
            body = text.encode()
            parts.append(f'M 100644 inline "{path}"\ndata {len(body)}\n'.encode() + body + b"\n")
    return b"".join(parts)
