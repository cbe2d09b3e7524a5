"""The whole loop on a real Airflow: each Dag runs once, all at the same time, and every test looks at what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.airflow.loop import Loop

RUNS: Mapping[str, Mapping[str, object]] = {
    "loop_change": {"tag": "2.0", "replicas": 2},
    "loop_failing": {"tag": "broken"},
    "loop_worker": {"tag": "2.1"},
    "loop_values": {},
    "loop_sync": {"tag": "2.2"},
    "loop_revert": {"tag": "2.3"},
    "loop_refused": {},
    "payments_report": {},
}


@pytest.fixture(scope="module")
def runs(loop: Loop) -> Mapping[str, tuple[str, str]]:
    """Run id and end state by Dag."""
    ids = {dag: loop.rest.trigger(dag, conf) for dag, conf in RUNS.items()}
    return {dag: (run, loop.rest.wait_for_run(dag, run, 240)) for dag, run in ids.items()}


def test_a_change_is_healthy_before_the_next_task_runs(loop: Loop, runs: Mapping[str, tuple[str, str]]) -> None:
    run, state = runs["loop_change"]
    assert state == "success"
    outcome = loop.rest.xcom("loop_change", run, "change")
    assert outcome["phase"] == "healthy"
    assert outcome["target"] == "alpha"
    assert loop.rest.xcom("loop_change", run, "after") == outcome["revision"]
    assert loop.peers.commits_of(outcome["change"]) == [outcome["revision"]]
    text = loop.peers.show("apps/alpha/values.yaml", outcome["revision"])
    assert "tag: '2.0'" in text
    assert "replicaCount: 2\n" in text


def test_the_commit_says_where_it_comes_from(loop: Loop, runs: Mapping[str, tuple[str, str]]) -> None:
    run, _ = runs["loop_change"]
    outcome = loop.rest.xcom("loop_change", run, "change")
    trailers = loop.peers.run_git("log", "-1", "--format=%(trailers:only)", outcome["revision"]).splitlines()
    assert f"Loopseal-Change: {outcome['change']}" in trailers
    assert "Loopseal-Dag: loop_change" in trailers
    assert f"Loopseal-Run: {run}" in trailers
    assert "Loopseal-Task: change" in trailers
    assert "Loopseal-Actor: dag:loop_change/change@airflow.test" in trailers
    assert "Loopseal-Actor-On-Behalf-Of: person:admin@airflow.test" in trailers
    assert not [line for line in trailers if line.startswith("Signed-off-by")]
    assert "gpgsig -----BEGIN SSH SIGNATURE-----" in loop.peers.run_git("cat-file", "-p", outcome["revision"])


def test_links_survive_the_resumed_leg(loop: Loop, runs: Mapping[str, tuple[str, str]]) -> None:
    run, _ = runs["loop_change"]
    outcome = loop.rest.xcom("loop_change", run, "change")
    commit = loop.rest.xcom("loop_change", run, "change", "_link_CommitLink")
    assert commit == f"{loop.peers.git_url}/apps/commit/{outcome['revision']}"
    assert "alpha" in loop.rest.xcom("loop_change", run, "change", "_link_ApplicationLink")


def test_the_asset_says_which_change_made_it(loop: Loop, runs: Mapping[str, tuple[str, str]]) -> None:
    run, _ = runs["loop_change"]
    outcome = loop.rest.xcom("loop_change", run, "change")
    events = loop.rest.call("GET", "/api/v2/assets/events", source_dag_id="loop_change")["asset_events"]
    extras = [event["extra"] for event in events if event["source_run_id"] == run]
    assert extras == [{"change": outcome["change"], "revision": outcome["revision"], "target": "alpha"}]


def test_the_state_store_tells_the_whole_story(loop: Loop, runs: Mapping[str, tuple[str, str]]) -> None:
    run, _ = runs["loop_change"]
    kept = loop.kept("loop_change", run, "change")
    told = [event["type"] for event in kept["events"][kept["change"]]["events"]]
    assert told == ["Proposed", "Cleared", "Committed", "Reconciled", "Healthy"]


def test_a_failed_rollout_is_reverted_and_not_retried(loop: Loop, runs: Mapping[str, tuple[str, str]]) -> None:
    run, state = runs["loop_failing"]
    assert state == "failed"
    task = loop.rest.task("loop_failing", run, "change")
    assert (task["state"], task["try_number"]) == ("failed", 1)
    assert "tag: '1.0'" in loop.peers.show("apps/beta/values.yaml")
    assert loop.states("loop_failing", run)["after"] == "upstream_failed"
    failed = loop.rest.xcom("loop_failing", run, "saw_failure")
    assert failed["phase"] == "failed"
    assert failed["revert"]["phase"] == "healthy"
    reverted = loop.peers.run_git("log", "-1", "--format=%(trailers:only)", failed["revert"]["revision"])
    assert f"Loopseal-Reverts: {failed['change']}" in reverted
    log = loop.stack.task_logs("loop_failing")
    assert "::group::" in log
    assert "exceeded its progress deadline" in log


def test_without_deferring_it_is_the_same(loop: Loop, runs: Mapping[str, tuple[str, str]]) -> None:
    run, state = runs["loop_worker"]
    assert state == "success"
    outcome = loop.rest.xcom("loop_worker", run, "change")
    assert loop.peers.commits_of(outcome["change"]) == [outcome["revision"]]
    kept = loop.kept("loop_worker", run, "change")
    assert kept["events"][kept["change"]]["events"][-1]["type"] == "Healthy"


def test_values_come_from_wherever_a_dag_has_them(loop: Loop, runs: Mapping[str, tuple[str, str]]) -> None:
    run, state = runs["loop_values"]
    assert state == "success", loop.states("loop_values", run)
    lines = loop.peers.show("plain/settings.yaml").splitlines()
    assert {"key0: from upstream", "key1: 7", "key2: 42", "key3: 1.5"} <= set(lines)
    assert [line for line in lines if line.startswith("key4:") and "{{ not.rendered }}" in line]


def test_what_is_not_synced_by_itself_is_synced_by_a_task(loop: Loop, runs: Mapping[str, tuple[str, str]]) -> None:
    run, state = runs["loop_sync"]
    assert state == "success", loop.stack.task_logs("loop_sync")[-4000:]
    landed = loop.rest.xcom("loop_sync", run, "change")
    assert landed["phase"] == "committed"
    synced = loop.rest.xcom("loop_sync", run, "sync")["revision"]
    assert loop.peers.contains(synced, landed["revision"])
    assert "argo/manual: sync" in loop.stack.task_logs("loop_sync")


def test_a_change_can_be_taken_back_later(loop: Loop, runs: Mapping[str, tuple[str, str]]) -> None:
    run, state = runs["loop_revert"]
    assert state == "success"
    put = loop.rest.xcom("loop_revert", run, "change")
    back = loop.rest.xcom("loop_revert", run, "revert")
    assert loop.peers.show("plain/new.txt", put["revision"]) == "not for long 2.3\n"
    assert "plain/new.txt" not in loop.peers.run_git("ls-tree", "-r", "--name-only", back["revision"])


@pytest.mark.parametrize(
    ("task", "code"),
    [
        ("missing_key", "edit.key_missing"),
        ("out_of_scope", "proposal.out_of_scope"),
        ("unknown_target", "did you mean 'plain'"),
        ("not_listed", "does not list Dag 'loop_refused'"),
        ("no_bundle_version", "needs a Dag bundle with versions"),
    ],
)
def test_a_definite_no_is_not_retried_and_says_why(
    loop: Loop, runs: Mapping[str, tuple[str, str]], task: str, code: str
) -> None:
    run, _ = runs["loop_refused"]
    instance = loop.rest.task("loop_refused", run, task)
    assert (instance["state"], instance["try_number"]) == ("failed", 1)
    assert code in loop.stack.task_logs("loop_refused")


def test_the_examples_run(loop: Loop, runs: Mapping[str, tuple[str, str]]) -> None:
    assert runs["payments_report"][1] == "success"
    run, state = loop.run("payments_retrain")
    assert state == "success", loop.states("payments_retrain", run)
    text = loop.peers.show("apps/payments/values.yaml")
    assert "tag: 'v7'" in text
    assert "replicaCount: 1\n" in text
    run, state = loop.run("payments_trial")
    assert state == "success", loop.states("payments_trial", run)
    assert "tag: 'v7'" in loop.peers.show("apps/payments/values.yaml"), "the trial is over"
    tried = loop.rest.xcom("payments_trial", run, "trial")["revision"]
    assert "tag: 'v8'" in loop.peers.show("apps/payments/values.yaml", tried)


def test_a_dag_with_an_undeclared_target_is_not_even_parsed(loop: Loop) -> None:
    errors = {Path(name).name: text for name, text in loop.rest.import_errors().items()}
    assert set(errors) == {"broken.py"}
    assert "no target 'alfa' is declared" in errors["broken.py"]
