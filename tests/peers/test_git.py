"""The Git host of the real tests: commits by somebody else, and what goes wrong on the way to it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.git import Git
from tests.peers.ports import Ports


@pytest.fixture
def git(tmp_path: Path) -> Iterator[Git]:
    host = Git(tmp_path / "git")
    with Ports(tmp_path) as ports, host.serving(ports["git"]):
        yield host


def run(*arguments: str, folder: Path | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = ["git", "-c", "credential.helper=", *(["-C", str(folder)] if folder else []), *arguments]
    environment = {"PATH": "/usr/bin:/bin", "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nowhere"}
    return subprocess.run(command, check=check, capture_output=True, text=True, env=environment)


def test_commits_follow_each_other(git: Git) -> None:
    first = git.commit("apps.git", {"a/one": "1\n", "two": "2\n"})
    second = git.commit("apps.git", {"a/one": "uno\n", "two": None}, message="Say it in Italian")
    assert git.tip("apps.git") == second
    assert git.read("apps.git", "a/one") == "uno\n"
    assert git.read("apps.git", "two", first) == "2\n"
    folder = git.root / "apps.git"
    assert run("log", "--format=%H %s", "main", folder=folder).stdout == (
        f"{second} Say it in Italian\n{first} Change\n"
    )
    assert run("ls-tree", "-r", "--name-only", "main", folder=folder).stdout == "a/one\n"
    assert run("fsck", "--strict", folder=folder).returncode == 0
    assert not list(folder.glob("index*"))


def test_a_branch_can_be_forced_away(git: Git) -> None:
    first = git.commit("apps.git", {"one": "1\n"})
    dropped = git.commit("apps.git", {"one": "2\n"})
    forced = git.commit("apps.git", {"one": "3\n"}, onto=first)
    parents = run("rev-list", "--parents", "-1", "main", folder=git.root / "apps.git").stdout.split()
    assert parents == [forced, first]
    assert dropped != forced


def test_other_branches(git: Git) -> None:
    main = git.commit("apps.git", {"one": "1\n"})
    other = git.commit("apps.git", {"one": "2\n"}, branch="other", onto=main)
    assert (git.tip("apps.git"), git.tip("apps.git", "other")) == (main, other)
    assert git.tip("apps.git", "none") == ""


def test_a_signature_stands_in_the_header_over_the_commit_without_it(git: Git) -> None:
    signed: list[bytes] = []

    def sign(commit: bytes) -> str:
        signed.append(commit)
        return "-----BEGIN SIGNATURE-----\n\nabc\n-----END SIGNATURE-----\n"

    made = git.commit("apps.git", {"one": "1\n"}, message="Signed\n\nWith a body", sign=sign)
    raw = run("cat-file", "commit", made, folder=git.root / "apps.git").stdout
    header = "gpgsig -----BEGIN SIGNATURE-----\n \n abc\n -----END SIGNATURE-----\n"
    assert raw.replace(header, "").encode() == signed[0]
    assert raw.endswith("\n\nSigned\n\nWith a body\n")
    assert run("fsck", "--strict", folder=git.root / "apps.git").returncode == 0


def test_it_can_be_cloned_and_pushed_to(git: Git, tmp_path: Path) -> None:
    git.commit("apps.git", {"one": "1\n"})
    clone = tmp_path / "clone"
    run("clone", "--quiet", git.url("apps.git"), str(clone))
    run("-c", "user.name=x", "-c", "user.email=x@y", "commit", "--quiet", "--allow-empty", "-m", "x", folder=clone)
    run("push", "--quiet", "origin", "main", folder=clone)
    assert git.tip("apps.git") == run("rev-parse", "main", folder=clone).stdout.strip()


def test_a_password_is_asked_for_when_it_is_required(git: Git) -> None:
    git.commit("apps.git", {"one": "1\n"})
    git.require("reader", "secret")
    refused = run("ls-remote", git.url("apps.git"), check=False)
    assert refused.returncode
    assert "could not read Username" in refused.stderr
    known = git.url("apps.git").replace("://", "://reader:secret@")
    assert git.tip("apps.git") in run("ls-remote", known).stdout
    git.require("", "")
    assert git.tip("apps.git") in run("ls-remote", git.url("apps.git")).stdout


def test_a_repository_that_is_down_breaks_the_connection_and_comes_back(git: Git) -> None:
    for name in ("apps.git", "other.git"):
        git.commit(name, {"one": "1\n"})
    git.down.add("apps.git")
    assert run("ls-remote", git.url("apps.git"), check=False).returncode
    assert run("ls-remote", git.url("other.git")).stdout
    git.down.clear()
    assert run("ls-remote", git.url("apps.git")).stdout


def test_a_slow_answer_is_as_old_as_its_question(git: Git) -> None:
    """What was asked before a push and answered after it does not know of the push."""
    old = git.commit("apps.git", {"one": "1\n"})
    asked, pushed = threading.Event(), threading.Event()

    def slow(method: str, query: str, body: bytes) -> float:
        if b"command=ls-refs" not in body:
            return 0.0
        asked.set()
        while not pushed.wait(0):  # on the host's own loop: nothing else is answered meanwhile
            time.sleep(0.001)
        return 0.0

    git.slow["apps.git"] = slow
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(run("ls-remote", git.url("apps.git")).stdout))
    thread.start()
    assert asked.wait(30)
    new = git.commit("apps.git", {"one": "2\n"})
    pushed.set()
    thread.join()
    assert old in answers[0]
    assert new not in answers[0]
    del git.slow["apps.git"]
    assert new in run("ls-remote", git.url("apps.git")).stdout


def test_a_slow_push_is_whole(git: Git, tmp_path: Path) -> None:
    git.commit("apps.git", {"one": "1\n"})
    bodies: list[int] = []

    def slow(method: str, query: str, body: bytes) -> float:
        bodies.append(len(body))
        return 0.01

    git.slow["apps.git"] = slow
    clone = tmp_path / "clone"
    run("clone", "--quiet", git.url("apps.git"), str(clone))
    (clone / "large").write_bytes(bytes(range(256)) * 40)
    run("add", "large", folder=clone)
    run("-c", "user.name=x", "-c", "user.email=x@y", "commit", "--quiet", "-m", "x", folder=clone)
    run("push", "--quiet", "origin", "main", folder=clone)
    assert git.tip("apps.git") == run("rev-parse", "main", folder=clone).stdout.strip()
    assert max(bodies) > 200
