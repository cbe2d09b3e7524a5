"""A command line with a real Git server and a simulated Argo CD behind it, on loopback."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from loopseal.cli import main
from loopseal.testing import git_server
from loopseal.testing.fixtures import (  # noqa: F401 - fixtures are found by name
    SimulatedArgoCD,
    SimulatedGit,
    loopseal_argocd,
)

VALUES = """\
# Written by people.
image:
  repository: registry.test/payments
  tag: v1 # the model in production
replicaCount: 2
progressDeadlineSeconds: 1
"""
TOKEN = "planted-git-token-4711"
ARGO_TOKEN = "bot-token"


@dataclass
class Shell:
    """Runs `loopseal` in this process: (exit code, standard output, standard error)."""

    config: Path
    folder: Path
    capsys: pytest.CaptureFixture[str]
    said: list[str] = field(default_factory=list)

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["--config", str(self.config), *arguments])
        out, err = self.capsys.readouterr()
        self.said += [out, err]
        return int(ended.value.code or 0), out, err

    def json(self, *arguments: str) -> tuple[int, Any]:
        code, out, _ = self(*arguments, "--json")
        return code, json.loads(out)


@dataclass
class Repository:
    """The bare repository behind the Git server."""

    git: SimulatedGit
    server: git_server.GitServer
    name: str = "apps.git"

    @property
    def folder(self) -> Path:
        return self.git.root / self.name

    def run(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(self.folder), *arguments], check=True, capture_output=True, text=True
        ).stdout

    def tip(self) -> str:
        return self.run("rev-parse", "main").strip()

    def show(self, path: str = "apps/payments/values.yaml") -> str:
        return self.run("show", f"main:{path}")


@pytest.fixture
def git_host(tmp_path: Path) -> Iterator[tuple[git_server.GitServer, SimulatedGit]]:
    root = tmp_path / "repositories"
    root.mkdir()
    server = git_server.GitServer(root, {"loopseal": TOKEN})
    with git_server.serve(server) as url:
        yield server, SimulatedGit(root, url)


@pytest.fixture
def loopseal_git(git_host) -> SimulatedGit:
    return git_host[1]


@pytest.fixture
def repository(git_host) -> Repository:
    server, git = git_host
    git.commit("apps.git", {"apps/payments/values.yaml": VALUES, "README.md": "apps\n"})
    return Repository(git, server)


def settings_file(tmp_path: Path, git: SimulatedGit, argocd_url: str, **target: Any) -> Path:
    (tmp_path / "git.token").write_text(TOKEN + "\n")
    (tmp_path / "argo.token").write_text(ARGO_TOKEN + "\n")
    for name in ("git.token", "argo.token"):
        (tmp_path / name).chmod(0o600)
    document = {
        "repositories": {
            "platform": {"url": git.url("apps.git"), "credential": f"file:{tmp_path / 'git.token'}", "timeout": "3s"}
        },
        "engines": {
            "argo": {"kind": "argocd", "url": argocd_url, "credential": f"file:{tmp_path / 'argo.token'}", "poll": "2s"}
        },
        "targets": {
            "payments": {
                "repository": "platform",
                "paths": ["apps/payments/**"],
                "applications": [{"engine": "argo", "name": "payments", "project": "default"}],
                "timeout": "60s",
                "wait": {"settle": "0.5s", "degraded_grace": "0.5s", "error_grace": "3s"},
                **target,
            },
            "landing": {"repository": "platform", "paths": ["apps/**"]},
        },
        "ledger": {"path": str(tmp_path / "ledger.jsonl")},
    }
    path = tmp_path / "loopseal.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def shell(tmp_path: Path, repository: Repository, capsys: pytest.CaptureFixture[str]) -> Shell:
    """For targets that end with the landing: no engine runs."""
    return Shell(settings_file(tmp_path, repository.git, "http://127.0.0.1:1"), tmp_path, capsys)


@pytest.fixture
def loop(
    tmp_path: Path,
    repository: Repository,
    loopseal_argocd: SimulatedArgoCD,  # noqa: F811 - a fixture
    capsys: pytest.CaptureFixture[str],
) -> Shell:
    """The whole loop: `payments` is an application of a running Argo CD."""
    loopseal_argocd.create("payments", repository="apps.git", path="apps/payments", automated={"prune": True})
    loopseal_argocd.until("payments", lambda app: app.get("status", {}).get("health", {}).get("status") == "Healthy")
    return Shell(settings_file(tmp_path, repository.git, loopseal_argocd.url), tmp_path, capsys)
