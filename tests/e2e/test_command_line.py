"""The command line over the whole loop: what people and CI jobs do."""

from __future__ import annotations

import json

import pytest

from loopseal.cli.exits import Exit

from .conftest import TOKEN, VALUES

SET = ("change", "set", "apps/payments/values.yaml")
WHY = ("-t", "payments", "-r", "model passed evaluation")


def test_a_change_is_previewed_made_and_watched_until_it_is_healthy(loop, repository):
    before = repository.tip()
    code, out, _ = loop(*SET, "image.tag=v2", *WHY, "--dry-run")
    assert code == Exit.DONE
    assert "-  tag: v1 # the model in production\n+  tag: v2 # the model in production\n" in out
    assert repository.tip() == before
    code, told = loop.json(*SET, "image.tag=v2", *WHY, "--wait")
    assert code == Exit.DONE
    assert told["phase"] == "healthy"
    assert told["revision"] == repository.tip()
    assert [event["type"] for event in told["events"]][-3:] == ["Committed", "Reconciled", "Healthy"]
    assert repository.show() == VALUES.replace("tag: v1", "tag: v2")


def test_a_rollout_that_fails_is_taken_back(loop, repository):
    code, out, err = loop(*SET, "image.tag=broken", *WHY, "--wait", "--on-failure", "revert")
    assert code == Exit.FAILED, err
    assert "failed" in out
    assert "DEGRADED" in err
    assert "reverting" in err
    assert repository.show() == VALUES
    code, changes = loop.json("log", "-t", "payments")
    assert code == Exit.DONE
    assert [any(one["name"] == "Loopseal-Reverts" for one in change["trailers"]) for change in changes] == [True, False]


def test_the_same_key_is_the_same_change(loop, repository):
    first = loop.json(*SET, "image.tag=v2", *WHY, "--key", "job-17")
    again = loop.json(*SET, "image.tag=v2", *WHY, "--key", "job-17")
    assert first[1]["change"] == again[1]["change"]
    assert repository.run("rev-list", "--count", "main").strip() == "2"


def test_the_same_key_finds_its_commit_when_the_ledger_is_lost(loop, repository):
    first = loop.json(*SET, "image.tag=v2", *WHY, "--key", "job-17")
    (loop.folder / "ledger.jsonl").unlink()
    repository.git.commit("apps.git", {"apps/payments/values.yaml": VALUES.replace("v1", "v8")})
    again = loop.json(*SET, "image.tag=v2", *WHY, "--key", "job-17")
    assert again[1]["phase"] == "committed"
    assert again[1]["revision"] == first[1]["revision"]
    assert "v8" in repository.show()


def test_log_show_status_revert(loop, repository):
    _, made = loop.json(*SET, "image.tag=v2", "replicaCount:=3", *WHY, "--wait")
    _, out, _ = loop("log", "-t", "payments")
    assert made["change"] in out
    code, shown = loop.json("show", made["change"])
    assert (code, shown["phase"]) == (Exit.DONE, "healthy")
    code, told = loop.json("status", "payments")
    assert code == Exit.DONE
    assert told[0]["tip"] == repository.tip()
    assert told[0]["applications"][0]["relation_to_tip"] == "equal"
    code, back = loop.json("revert", made["change"], "-t", "payments", "-r", "no", "--wait")
    assert (code, back["phase"], back["reverts"]) == (Exit.DONE, "healthy", made["change"])
    assert repository.show() == VALUES


def test_a_revert_is_refused_when_somebody_else_wrote_the_key(loop, repository):
    _, made = loop.json(*SET, "image.tag=v2", *WHY)
    foreign = repository.git.commit("apps.git", {"apps/payments/values.yaml": VALUES.replace("v1", "v9")})
    code, told = loop.json("revert", made["change"], "-t", "payments", "-r", "no")
    assert code == Exit.CONFLICT
    assert told["error"]["code"] == "revert.not_last_writer"
    assert foreign[:10] in told["error"]["message"]


def test_other_files_and_whole_files(shell, repository):
    (shell.folder / "new.yaml").write_bytes(b"a: 1\n")
    put = ("change", "put", "apps/payments/new.yaml", "--from", str(shell.folder / "new.yaml"))
    landing = ("-t", "landing", "-r", "files")
    assert shell(*put, *landing, "--expect-blob", "absent")[0] == Exit.DONE
    assert repository.show("apps/payments/new.yaml") == "a: 1\n"
    code, told = shell.json(*put, *landing, "--expect-blob", "absent")
    assert code == Exit.REFUSED
    assert told["events"][-1]["code"] == "edit.file_exists"
    assert shell("change", "delete", "apps/payments/new.yaml", *landing)[0] == Exit.DONE
    assert "new.yaml" not in repository.run("ls-tree", "-r", "--name-only", "main")


def test_images_of_a_kustomization(shell, repository):
    text = "resources: [web.yaml]\nimages:\n  - name: web # ours\n    newTag: v1\n"
    repository.git.commit("apps.git", {"apps/payments/kustomization.yaml": text})
    code, _, err = shell(
        "change", "image", "apps/payments/kustomization.yaml", "web", "--tag", "v2", "-t", "landing", "-r", "x"
    )
    assert code == Exit.DONE, err
    assert repository.show("apps/payments/kustomization.yaml") == text.replace("v1", "v2")


def test_wait_waits_for_a_commit_of_somebody_else_and_records_what_it_saw(loop, repository):
    foreign = repository.git.commit("apps.git", {"apps/payments/values.yaml": VALUES.replace("v1", "v5")})
    flight = loop.folder / "flight.json"
    code, told = loop.json("wait", "-t", "payments", "--revision", foreign, "--record", str(flight))
    assert (code, told["state"]) == (Exit.DONE, "SUCCEEDED")
    assert TOKEN not in flight.read_text()
    code, replayed = loop.json("replay", str(flight))
    assert code == Exit.DONE
    (report,) = replayed.values()
    assert report["waits"][0]["timeline"][-1]["state"] == "SUCCEEDED"
    assert json.loads(flight.read_text())["system"] == "argocd"


def test_wait_says_when_time_is_up(loop, repository):
    loop("targets", "list")
    foreign = repository.git.commit("apps.git", {"apps/payments/values.yaml": VALUES.replace("v1", "slow")})
    code, told = loop.json("wait", "-t", "payments", "--revision", foreign, "--timeout", "1s")
    assert code == Exit.LATE
    assert told["expired"] is True
    assert told["applications"]["argo/payments"]["state"] == "PENDING"


def test_targets_are_listed_and_checked(loop):
    code, told = loop.json("targets", "list")
    assert code == Exit.DONE
    assert [one["name"] for one in told] == ["landing", "payments"]
    code, told = loop.json("targets", "check")
    assert code == Exit.DONE
    assert not [finding for findings in told.values() for finding in findings if finding["level"] == "error"]


def test_preflight_refuses_before_committing(loop, repository, loopseal_argocd):
    loopseal_argocd.create("other", repository="other.git", path="apps/payments")
    text = loop.config.read_text().replace("name: payments", "name: other")
    loop.config.write_text(text)
    before = repository.tip()
    code, told = loop.json(*SET, "image.tag=v2", *WHY, "--wait")
    assert code == Exit.REFUSED
    assert told["events"][-1]["code"] == "engine.preflight"
    assert repository.tip() == before


@pytest.mark.parametrize("arguments", [("status",), ("log", "-t", "payments"), ("targets", "list")])
def test_tables_for_people(loop, arguments):
    code, out, _ = loop(*arguments)
    assert code == Exit.DONE
    assert out.strip()


def test_no_secret_is_ever_shown(loop, repository):
    loop(*SET, "image.tag=v2", *WHY, "--wait")
    loop("targets", "check", "--json")
    loop("status")
    repository.server.users.clear()
    repository.server.tokens.append("another")
    loop(*SET, "image.tag=v3", *WHY)
    everything = "".join(loop.said) + (loop.folder / "ledger.jsonl").read_text() + repository.run("log", "main")
    assert TOKEN not in everything
    assert "bot-token" not in everything
