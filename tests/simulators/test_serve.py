"""The simulators as real servers, in real time, and the fixtures that users get."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from loopseal.testing.fixtures import (
    SimulatedArgoCD,
    SimulatedFlux,
    SimulatedGit,
    loopseal_argocd,
    loopseal_flux,
    loopseal_git,
)
from loopseal.testing.serve import Declared, kubeconfig

__all__ = ["loopseal_argocd", "loopseal_flux", "loopseal_git"]


def get(url: str, token: str = "") -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        body = answer.read()
    return json.loads(body) if body.startswith(b"{") else body.decode()


def test_a_repository_is_committed_to_and_read(loopseal_git: SimulatedGit) -> None:
    one = loopseal_git.commit("team/apps.git", {"a.txt": "1\n", "b.txt": "2\n"})
    two = loopseal_git.commit("team/apps.git", {"a.txt": None, "b.txt": "3\n"})
    assert loopseal_git.tip("team/apps.git") == two != one
    assert loopseal_git.read("team/apps.git", "b.txt") == "3\n"
    assert loopseal_git.read("team/apps.git", "a.txt", one) == "1\n"
    with pytest.raises(subprocess.CalledProcessError):
        loopseal_git.read("team/apps.git", "a.txt")
    cloned = subprocess.run(
        ["git", "ls-remote", loopseal_git.url("team/apps.git"), "refs/heads/main"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert cloned.stdout.split()[0] == two


def test_argocd_reconciles_the_repository(loopseal_git: SimulatedGit, loopseal_argocd: SimulatedArgoCD) -> None:
    sha = loopseal_git.commit("apps.git", {"apps/web/values.yaml": "image: {tag: v1}\n"})
    loopseal_argocd.create("web", repository="apps.git", path="apps/web")

    def healthy(app: Any) -> bool:
        return bool(app.get("status", {}).get("health", {}).get("status") == "Healthy")

    assert loopseal_argocd.until("web", healthy)["status"]["sync"]["revision"] == sha
    shown = get(f"{loopseal_argocd.url}/api/v1/applications/web?project=default&refresh=normal", loopseal_argocd.token)
    assert shown["status"]["sync"]["status"] == "Synced"
    assert "web" in get(loopseal_argocd.url)
    listed = get(f"{loopseal_argocd.kubernetes_url}/apis/argoproj.io/v1alpha1/applications", "admin-token")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["web"]
    loopseal_argocd.faults.fetch_error = "repository not found: "
    with pytest.raises(AssertionError, match="not reached"):
        loopseal_argocd.until("web", lambda _: False, seconds=0.1)


def test_flux_reconciles_the_repository(loopseal_git: SimulatedGit, loopseal_flux: SimulatedFlux) -> None:
    sha = loopseal_git.commit("apps.git", {"apps/web/values.yaml": "image: {tag: v1}\n"})
    loopseal_flux.create("web", repository="apps.git", path="apps/web", wait=False)
    found = loopseal_flux.until("web", lambda item: bool(item["status"].get("lastAppliedRevision")))
    assert found["status"]["lastAppliedRevision"] == f"main@sha1:{sha}"
    config = json.loads(loopseal_flux.kubeconfig.read_text())
    assert config["clusters"][0]["cluster"]["server"] == loopseal_flux.url
    assert not loopseal_flux.faults.down
    assert loopseal_flux.kustomization("web")["spec"]["path"] == "apps/web"


@contextmanager
def program(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    command = [sys.executable, "-m", "loopseal.testing.serve", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def test_the_program_serves_argocd_until_it_is_told_to_end(loopseal_git: SimulatedGit) -> None:
    loopseal_git.commit("apps.git", {"apps/web/values.yaml": "image: {tag: v1}\n"})
    declared = [
        "--git",
        str(loopseal_git.root),
        "--url",
        loopseal_git.url("apps.git"),
        "--application",
        "web=apps/web@main",
    ]
    with program("--argocd", *declared) as (process, told):
        app = get(f"{told['argocd']}/api/v1/applications/web?project=default&refresh=normal", told["tokens"]["bot"])
        assert app["metadata"]["name"] == "web"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_the_program_serves_flux_and_ends_with_its_parent(loopseal_git: SimulatedGit) -> None:
    loopseal_git.commit("apps.git", {"apps/web/values.yaml": "image: {tag: v1}\n"})
    declared = ["--git", str(loopseal_git.root), "--url", loopseal_git.url("apps.git"), "--application", "web=apps/web"]
    with program("--flux", "--until-eof", *declared) as (process, told):
        path = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/web"
        assert get(told["kubernetes"] + path, told["tokens"]["kubernetes"])["spec"]["path"] == "./apps/web"
        assert told["kubeconfig"] == kubeconfig(told["kubernetes"])
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("a=apps/a", Declared("a", "apps/a")), ("a-b=x/y@feature/z", Declared("a-b", "x/y", "feature/z"))],
)
def test_applications_are_declared_on_the_command_line(text: str, wanted: Declared) -> None:
    assert Declared.parse(text) == wanted


@pytest.mark.parametrize("text", ["", "a", "A=b", "=b", "a=", "a=b@"])
def test_what_is_no_declaration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not name=path@branch"):
        Declared.parse(text)
