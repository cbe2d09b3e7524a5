"""Whatever is killed, and whenever: each change lands once and ends right."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from loopseal.testing.airflow_rest import await_until
from loopseal.testing.git_server import GitFault
from tests.airflow.loop import Loop

SURVIVORS = (
    "before_intent",
    "after_Proposed",
    "after_Cleared",
    "on_waking",
    "before_telling",
    "before_Committed",
    "after_Committed",
    "after_Reconciled",
)


@pytest.fixture(scope="module")
def killed(loop: Loop) -> str:
    """A run in which every task dies once, each at another step."""
    run = loop.rest.trigger("loop_kills", {"tag": "survived"})
    loop.rest.wait_for_run("loop_kills", run, 240)
    return run


@pytest.mark.parametrize("step", SURVIVORS)
def test_a_task_killed_at_any_step_lands_its_change_once(loop: Loop, killed: str, step: str) -> None:
    task = loop.rest.task("loop_kills", killed, f"dies_{step}")
    assert (task["state"], task["try_number"]) == ("success", 2)
    kept = loop.kept("loop_kills", killed, f"dies_{step}")
    (commit,) = loop.peers.commits_of(kept["change"])
    assert loop.rest.xcom("loop_kills", killed, f"dies_{step}")["revision"] == commit
    assert kept["events"][kept["change"]]["events"][-1]["type"] == "Healthy"
    assert kept["previous"] == []
    index = 30 + SURVIVORS.index(step)
    assert f"key{index}: survived" in loop.peers.show("apps/wide/values.yaml", commit)


def test_another_content_on_a_retry_is_refused_in_words(loop: Loop, killed: str) -> None:
    task = loop.rest.task("loop_kills", killed, "asks_for_something_else")
    assert (task["state"], task["try_number"]) == ("failed", 2)
    kept = loop.kept("loop_kills", killed, "asks_for_something_else")
    assert loop.peers.commits_of(kept["change"]) == []
    assert "Clear the task to propose anew" in loop.stack.task_logs("loop_kills")


def test_thirty_waits_survive_the_triggerer_and_a_minute_without_engine(loop: Loop) -> None:
    loop.stack.stop("triggerer")
    run = loop.rest.trigger("loop_mapped", {"tag": "all"})
    try:
        await_until(lambda: deferred(loop, run) == 30, timeout=150, what="30 tasks are not deferred")
        pool = loop.rest.call("GET", "/api/v2/pools/default_pool")
        assert (pool["running_slots"], pool["queued_slots"], pool["deferred_slots"]) == (0, 0, 30)

        before = loop.peers.pushes()
        loop.stack.start("triggerer")
        changes = [loop.kept("loop_mapped", run, "change", index)["change"] for index in range(30)]
        await_until(lambda: set(changes) <= set(loop.peers.changes()), timeout=60, what="30 changes have not landed")
        assert loop.peers.pushes() - before <= 3, "waiting changes share pushes"

        loop.peers.now(loop.peers.argocd.faults.kill)
        loop.stack.kill("triggerer")
        loop.stack.start("triggerer")
        threading.Event().wait(60)  # a minute without an engine is what is tested
    finally:
        loop.peers.now(loop.peers.argocd.faults.restart)
        loop.stack.start("triggerer")
    assert loop.rest.wait_for_run("loop_mapped", run, 180) == "success"
    for index, change in enumerate(changes):
        (commit,) = loop.peers.commits_of(change)
        outcome = loop.rest.xcom("loop_mapped", run, "change", map_index=index)
        assert (outcome["revision"], outcome["phase"]) == (commit, "healthy")
    lines = loop.peers.show("apps/wide/values.yaml").splitlines()
    assert [line for line in lines if line.endswith(": all")] == [f"key{n}: all" for n in range(30)]


def deferred(loop: Loop, run: str) -> int:
    return sum(task["state"] == "deferred" for task in loop.rest.tasks("loop_mapped", run))


@pytest.mark.parametrize(("name", "state"), [("deferred", "deferred"), ("running", "running")])
def test_a_stopped_task_takes_back_what_has_landed(loop: Loop, name: str, state: str) -> None:
    dag = f"loop_stop_{name}"
    loop.peers.now(lambda: setattr(loop.peers.argocd.faults, "paused", True))
    try:
        run = loop.rest.trigger(dag, {"tag": f"stopped-{name}"})
        change = await_until(lambda: kept_change(loop, dag, run), timeout=60, what="no intent is kept")
        landed = loop.await_commit(change)
        loop.rest.wait_for_task(dag, run, "change", state)
        loop.rest.set_task_state(dag, run, "change", "failed")
        reverted = await_until(lambda: reverts(loop, change), timeout=20, what="it is not taken back", every=0.1)
    finally:
        loop.peers.now(lambda: setattr(loop.peers.argocd.faults, "paused", False))
    assert loop.peers.contains(reverted, landed)
    assert f"stopped-{name}" not in loop.peers.show("apps/gamma/values.yaml", reverted)
    assert loop.peers.commits_of(change) == [landed]


def kept_change(loop: Loop, dag: str, run: str) -> Any:
    kept = loop.kept(dag, run, "change")
    return kept and kept["change"]


def reverts(loop: Loop, change: str) -> str | None:
    found = loop.peers.run_git("log", "--format=%H", f"--grep=^Loopseal-Reverts: {change}$", "main").split()
    return found[0] if found else None


@pytest.mark.parametrize("name", ["deferred", "running"])
def test_a_stopped_task_withdraws_what_has_not_landed(loop: Loop, name: str) -> None:
    dag = f"loop_stop_{name}"
    hold = GitFault(service="git-receive-pack", method="POST", times=1000, status=503)
    loop.peers.git.faults.append(hold)
    try:
        run = loop.rest.trigger(dag, {"tag": f"never-{name}"})
        change = await_until(lambda: kept_change(loop, dag, run), timeout=60, what="no intent is kept")
        await_until(lambda: hold.times < 1000, timeout=60, what="no push was tried")
        loop.rest.set_task_state(dag, run, "change", "failed")
        said = f"change {change} has not landed and never will"
        await_until(lambda: said in loop.stack.task_logs(dag), timeout=20, what=said)
    finally:
        loop.peers.git.faults.remove(hold)
    assert loop.peers.commits_of(change) == []


def test_a_cleared_task_begins_another_change(loop: Loop) -> None:
    run, state = loop.run("loop_anew", tag="twice")
    assert state == "success"
    first = loop.kept("loop_anew", run, "change")["change"]
    loop.rest.clear("loop_anew", run, "change")
    second = await_until(
        lambda: kept_change(loop, "loop_anew", run) not in {None, first} and kept_change(loop, "loop_anew", run),
        timeout=60,
        what="no other change is kept",
    )
    assert loop.rest.wait_for_run("loop_anew", run) == "success"
    kept = loop.kept("loop_anew", run, "change")
    assert (kept["change"], kept["previous"]) == (second, [first])
    assert len(loop.peers.commits_of(first)) == 1
    assert loop.peers.commits_of(second) == [], "the branch held all that was asked"
