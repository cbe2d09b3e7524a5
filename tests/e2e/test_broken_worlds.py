"""Bad input and broken worlds: each gets its own code, message and hint, and leaves repository and records whole."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading

import pytest

from loopseal.cli.exits import Exit
from loopseal.testing.git_server import Cut, GitFault

from .conftest import VALUES

LANDING = ("-t", "landing", "-r", "because")


def refusal(told):
    """The code and text of a refusal, whether it was raised or recorded."""
    error = told.get("error") or told["events"][-1]
    assert error.get("hint") or "hint:" in error["message"], "says what to do next"
    return error["code"], error["message"]


FILES = {
    "alias.yaml": "base: &b v1\ntag: *b\n",
    "anchor.yaml": "base: &b\n  tag: v1\nother: *b\n",
    "merge.yaml": "base: &b {tag: v1}\nuse:\n  <<: *b\n  x: 1\n",
    "twice.yaml": "tag: v1\ntag: v2\n",
    "many.yaml": "env:\n- name: A\n  value: 1\n- name: A\n  value: 2\n",
    "documents.yaml": "tag: v1\n---\ntag: v2\n",
    "template.yaml": "image:\n  tag: {{ .Values.tag }}\n",
    "sops.yaml": "password: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]\nsops:\n  mac: ENC[AES256_GCM,data:q]\n",
    "block.yaml": "text: |\n  one\n  two\n",
    "map.yaml": "image:\n  tag: v1\n",
    "tag.yaml": "image: !secret x\n",
    "broken.yaml": "a: [1\nb: 2\n",
    "tabs.yaml": "a:\n\tb: 1\n",
}
EDITS = [
    ("alias.yaml", "tag=v2", "edit.alias"),
    ("anchor.yaml", "base.tag=v2", "edit.anchor"),
    ("merge.yaml", "use.tag=v2", "edit.merge_key"),
    ("twice.yaml", "tag=v3", "edit.duplicate_key"),
    ("many.yaml", "env[name=A].value=3", "edit.ambiguous"),
    ("many.yaml", "env[name=B].value=3", "edit.key_missing"),
    ("documents.yaml", "tag=v3", "edit.ambiguous"),
    ("template.yaml", "image.tag=v2", "edit.template"),
    ("sops.yaml", "password=x", "edit.encrypted"),
    ("block.yaml", "text=x", "edit.multiline"),
    ("map.yaml", "image=x", "edit.not_scalar"),
    ("map.yaml", "image.tag.deep=x", "edit.key_missing"),
    ("map.yaml", "image.tug=x", "edit.key_missing"),
    ("map.yaml", "image..tag=x", "edit.selector"),
    ("map.yaml", "image.tag=one\ntwo", "edit.value"),
    ("tag.yaml", "image=x", "edit.tag"),
    ("broken.yaml", "a=x", "edit.syntax"),
    ("tabs.yaml", "a.b=x", "edit.syntax"),
    ("missing.yaml", "a=x", "edit.file_missing"),
]


@pytest.mark.parametrize(("file", "assignment", "code"), EDITS, ids=[f"{one[0]} {one[2]}" for one in EDITS])
def test_an_edit_that_cannot_be_done_safely_is_refused_with_its_reason(shell, repository, file, assignment, code):
    if file in FILES:
        repository.git.commit("apps.git", {f"apps/payments/{file}": FILES[file]})
    before = repository.tip()
    exit_code, told = shell.json("change", "set", f"apps/payments/{file}", assignment, *LANDING)
    found, message = refusal(told)
    assert found == code
    assert file in message or file in told.get("error", {}).get("where", "") or code == "edit.selector"
    assert exit_code in {Exit.REFUSED, Exit.CONFLICT, Exit.USAGE}
    assert repository.tip() == before


def test_bytes_that_are_no_text(shell, repository):
    folder = repository.folder
    environment = {"GIT_INDEX_FILE": str(folder / "tmp-index"), **os.environ}

    def git(*arguments, data=b""):
        command = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@x", *arguments]
        done = subprocess.run(command, env=environment, input=data, check=True, capture_output=True)
        return done.stdout.decode().strip()

    blob = git("hash-object", "-w", "--stdin", data=b"a: \xff\n")
    git("read-tree", "main")
    git("update-index", "--add", "--cacheinfo", f"100644,{blob},apps/payments/latin.yaml")
    tree = git("write-tree")
    git("update-ref", "refs/heads/main", git("commit-tree", tree, "-p", "main", "-m", "bytes"))
    assert refusal(shell.json("change", "set", "apps/payments/latin.yaml", "a=b", *LANDING)[1])[0] == "edit.encoding"


def test_a_huge_file_is_refused_not_read(shell, repository):
    repository.git.commit("apps.git", {"apps/payments/huge.yaml": "a: 1\n" + "# padding\n" * 5_200_000})
    assert refusal(shell.json("change", "set", "apps/payments/huge.yaml", "a=2", *LANDING)[1])[0] == "edit.too_large"


def test_an_expectation_that_is_not_met_says_who_changed_it(shell, repository):
    foreign = repository.git.commit("apps.git", {"apps/payments/values.yaml": VALUES.replace("v1", "v7")})
    code, told = shell.json("change", "set", "apps/payments/values.yaml", "image.tag=v2", "--expect", "v1", *LANDING)
    found, message = refusal(told)
    assert (code, found) == (Exit.REFUSED, "edit.expectation")
    assert "v7" in message
    assert foreign[:10] in message
    assert "Somebody Else" in message


def test_a_path_outside_the_scope_is_refused_before_anything_is_asked(shell, repository):
    calls = len(repository.server.calls)
    code, told = shell.json("change", "set", "README.md", "a=b", *LANDING)
    assert (code, refusal(told)[0]) == (Exit.REFUSED, "proposal.out_of_scope")
    assert len(repository.server.calls) == calls


def test_an_unknown_target_names_the_near_one(shell):
    code, told = shell.json("change", "set", "apps/x", "a=b", "-t", "landin", "-r", "x")
    assert (code, told["error"]["code"]) == (Exit.CONFIG, "config.unknown_target")
    assert "landing" in told["error"]["message"] + told["error"]["hint"]


def change(shell):
    return shell.json("change", "set", "apps/payments/values.yaml", "image.tag=v2", *LANDING)


def test_a_protected_branch(shell, repository):
    hook = repository.folder / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'branch main is protected: open a pull request' >&2\nexit 1\n")
    hook.chmod(0o755)
    before = repository.tip()
    code, told = change(shell)
    assert (code, refusal(told)[0]) == (Exit.REFUSED, "git.branch_protected")
    assert repository.tip() == before


HOSTS = [
    (GitFault(times=99, status=403), "git.forbidden", Exit.REFUSED),
    (GitFault(times=99, status=404), "git.not_found", Exit.CONFIG),
    (GitFault(times=99, status=301, headers={"location": "https://new.test/apps.git"}), "git.moved", Exit.CONFIG),
    (GitFault(times=99, hang=True), "net.timeout", Exit.UNREACHABLE),
    (GitFault(times=99, cut=Cut.BEFORE), "net.unreachable", Exit.UNREACHABLE),
    (GitFault(times=99, truncate=20), "git.protocol", Exit.UNREACHABLE),
]


@pytest.mark.parametrize(("fault", "code", "exit_code"), HOSTS, ids=[one[1] for one in HOSTS])
def test_a_host_that_is_not_as_it_should_be(shell, repository, fault, code, exit_code):
    repository.server.faults.append(fault)
    before = repository.tip()
    found, told = change(shell)
    assert found == exit_code, told
    assert told["error"]["code"] in {code, "git.unreachable", "net.unreachable"} if code == "git.protocol" else code
    assert told["error"]["hint"]
    assert repository.tip() == before


def test_a_token_that_expired(shell, repository):
    repository.server.users["loopseal"] = "another"
    code, told = change(shell)
    assert (code, told["error"]["code"]) == (Exit.REFUSED, "git.authentication")
    assert "credential" in told["error"]["hint"].lower() or "token" in told["error"]["hint"].lower()


def test_a_host_that_asks_for_a_pause_gets_it(shell, repository):
    repository.server.faults.append(
        GitFault(service="git-receive-pack", times=1, status=429, headers={"retry-after": "1"})
    )
    code, told = change(shell)
    assert code == Exit.DONE, told
    assert repository.run("rev-list", "--count", "main").strip() == "2"


def test_a_host_that_is_down(shell, repository):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        text = shell.config.read_text()
        shell.config.write_text(text.replace(repository.git.server, f"http://127.0.0.1:{port}"))
        code, told = change(shell)
    assert code == Exit.UNREACHABLE
    assert told["error"]["code"] in {"net.unreachable", "git.unreachable"}


def test_a_push_whose_answer_is_lost_lands_once(shell, repository):
    repository.server.faults.append(GitFault(service="git-receive-pack", cut=Cut.AFTER))
    code, told = change(shell)
    assert code == Exit.DONE, told
    assert told["revision"] == repository.tip()
    assert repository.run("rev-list", "--count", "main").strip() == "2"


def test_an_engine_that_does_not_answer_is_told_before_anything_is_committed(shell, repository):
    before = repository.tip()
    code, told = shell.json("change", "set", "apps/payments/values.yaml", "image.tag=v2", "-t", "payments", "-r", "x")
    assert code == Exit.UNREACHABLE
    assert told["error"]["code"] in {"net.unreachable", "engine.unreachable"}
    assert repository.tip() == before


def test_an_application_that_is_deleted_in_the_middle(loop, repository, loopseal_argocd):
    simulator = loopseal_argocd
    repository_tip = repository.tip()

    def delete_once_landed():
        while repository.tip() == repository_tip:
            pass
        simulator._background.call(
            lambda: simulator._simulator.cluster.store.delete("Application", "argocd", "payments")
        )

    thread = threading.Thread(target=delete_once_landed)
    thread.start()
    code, told = loop.json(
        "change", "set", "apps/payments/values.yaml", "image.tag=slow", "-t", "payments", "-r", "x", "--wait"
    )
    thread.join()
    assert code == Exit.FAILED
    assert told["events"][-1]["reason"] in {"APP_MISSING", "APP_DELETING"}


def test_a_settings_file_with_a_mistake(shell):
    shell.config.write_text(shell.config.read_text().replace("paths:", "path:", 1))
    code, told = shell.json("targets", "list")
    assert (code, told["error"]["code"]) == (Exit.CONFIG, "config.invalid")
    assert "path" in told["error"]["where"]
    assert "Did you mean 'paths'" in told["error"]["hint"]


def test_a_recording_that_is_none(shell):
    file = shell.folder / "x.json"
    file.write_text(json.dumps({"scenario": 1}))
    code, told = shell.json("replay", str(file))
    assert (code, told["error"]["code"]) == (Exit.CONFIG, "recording.invalid")
