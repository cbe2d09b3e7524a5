"""The four acts: what is run, what is waited for, and what must have come of it.

Each act runs Dags of `examples/` on the real Airflow and answers rows of facts read back from Git and Airflow, never
from what loopseal says of itself. An act that did not go as it must raises `ActFailed`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from loopseal.testing.airflow_rest import await_until
from loopseal.testing.demo.stage import Stage, pusher

Tell = Callable[[str], None]


class ActFailed(AssertionError):
    """The loop did not do what it is for."""


@dataclass(frozen=True, slots=True)
class Row:
    """One change of the final table. `seconds` are from its commit to the end of its task."""

    act: str
    change: str
    revision: str
    outcome: str
    verified: bool
    seconds: float | None
    attempts: int


@dataclass(frozen=True, slots=True)
class Act:
    """One act: its letter, what it shows, and how it is played."""

    letter: str
    title: str
    play: Callable[[Stage, Tell], list[Row]]


def run_act(act: Act, stage: Stage, tell: Tell) -> list[Row]:
    """Play one act; every commit in its rows must carry a good signature. Raises ActFailed."""
    rows = act.play(stage, tell)
    for row in rows:
        _require(row.verified, f"commit {row.revision[:12]} has no good signature")
    return rows


def _becomes_healthy(stage: Stage, tell: Tell) -> list[Row]:
    rest, before = stage.airflow.rest, stage.tip()
    run = rest.trigger("payments_deploy", {"tag": "v2"})
    revision = _follow_branch(stage, ("payments_deploy", run), before, tell)
    state = rest.wait_for_run("payments_deploy", run, timeout=150)
    _require(state == "success", f"the run ended in {state}")
    tested = rest.task("payments_deploy", run, "run_smoke_tests")
    deployed = rest.task("payments_deploy", run, "deploy_model")
    _require(tested["state"] == "success", "the next task did not run")
    _require(tested["start_date"] >= deployed["end_date"], "the next task ran before the change was healthy")
    _require(
        "tag: v2   # the model" in stage.run_git("show", "main:apps/payments/values.yaml"), "not only the tag changed"
    )
    tell(f"deploy_model succeeded, then run_smoke_tests ran ({tested['start_date'][11:19]})")
    return [_row(stage, "a", revision, "healthy", deployed)]


def _is_taken_back(stage: Stage, tell: Tell) -> list[Row]:
    rest, before = stage.airflow.rest, stage.tip()
    file_before = stage.run_git("show", "main:apps/payments/values.yaml")
    run = rest.trigger("payments_deploy", {"tag": "broken"})
    revision = _follow_branch(stage, ("payments_deploy", run), before, tell)
    tell("the image `broken` never becomes available …")
    state = rest.wait_for_run("payments_deploy", run, timeout=180)
    _require(state == "failed", f"the run ended in {state} though the rollout cannot succeed")
    failed = rest.task("payments_deploy", run, "deploy_model")
    told = rest.xcom("payments_deploy", run, "deploy_model", "failed") or {}
    reverting = stage.tip()
    _require(reverting != revision, "nothing was reverted")
    _require(stage.run_git("show", "main:apps/payments/values.yaml") == file_before, "the old value is not back")
    _require(rest.task("payments_deploy", run, "run_smoke_tests")["state"] == "upstream_failed", "the next task ran")
    tell(f"deploy_model failed: {told.get('reason', '?')}; taken back by {reverting[:12]}; the file is as it was")
    return [
        _row(stage, "b", revision, "failed, reverted", failed),
        _row(stage, "b", reverting, "revert, healthy", failed),
    ]


def _many_at_once(stage: Stage, tell: Tell) -> list[Row]:
    rest, before = stage.airflow.rest, stage.tip()
    pushes = _pushes(stage)
    run = rest.trigger("payments_thresholds", {"threshold": "0.75"})
    state = rest.wait_for_run("payments_thresholds", run, timeout=240)
    _require(state == "success", f"the run ended in {state}")
    tasks = [one for one in rest.tasks("payments_thresholds", run) if one["task_id"] == "set_threshold"]
    text = stage.run_git("show", "main:apps/thresholds/values.yaml")
    _require(text.count('"0.75"') == 20, f"{text.count('0.75')} of 20 values arrived")  # noqa: PLR2004 - models
    revisions = stage.run_git("rev-list", "--reverse", f"{before}..main").split()
    _require(len(revisions) == 20, f"{len(revisions)} commits for 20 changes")  # noqa: PLR2004 - models
    stage.run_git("fsck", "--strict")
    tell(f"20 changes, 20 commits, {_pushes(stage) - pushes} pushes; no key lost; git fsck --strict is clean")
    by_index = {one["map_index"]: one for one in tasks}
    return [_row(stage, "c", revision, "healthy", by_index[index]) for index, revision in enumerate(revisions)]


def _is_killed(stage: Stage, tell: Tell) -> list[Row]:
    rest, before = stage.airflow.rest, stage.tip()
    hook, gate = stage.bare / "hooks" / "post-receive", stage.folder / "gate"
    gate.touch()
    # The push has landed, its answer is held back: exactly here a kill would make a careless program commit twice.
    hook.write_text(f"#!/bin/sh\nn=0\nwhile [ -e {gate} ] && [ $n -lt 300 ]; do n=$((n+1)); sleep 0.1; done\n")
    hook.chmod(0o755)
    try:
        run = rest.trigger("payments_nightly", {"tag": "v3"})
        revision = _follow_branch(stage, ("payments_nightly", run), before, tell)
        process = await_until(lambda: pusher(stage), timeout=20, what="the pushing process was not found")
        os.kill(process, signal.SIGKILL)
        tell(f"killed process {process} with SIGKILL: pushed, and never told")
    finally:
        gate.unlink()
        hook.unlink()
    state = rest.wait_for_run("payments_nightly", run, timeout=180)
    _require(state == "success", f"the run ended in {state}")
    task = rest.task("payments_nightly", run, "switch_model")
    _require(task["try_number"] > 1, "the task was not killed")
    revisions = stage.run_git("rev-list", f"{before}..main").split()
    _require(revisions == [revision], f"{len(revisions)} commits for one change")
    tell(f"try {task['try_number']} found the commit by its change id: one commit, healthy")
    return [_row(stage, "d", revision, "healthy", task)]


ACTS: Final = (
    Act("a", "a change becomes healthy, then the next task runs", _becomes_healthy),
    Act("b", "a rollout degrades: evidence, revert, healthy again", _is_taken_back),
    Act("c", "twenty tasks change adjacent keys of one file at once", _many_at_once),
    Act("d", "a task is killed between push and record, and retried", _is_killed),
)


def _follow_branch(stage: Stage, run: tuple[str, str], before: str, tell: Tell) -> str:
    """The first commit after `before`, as soon as it is there; gives up when the run ends without one."""

    def landed() -> str | None:
        found = stage.run_git("rev-list", "--reverse", f"{before}..main").split()
        return found[0] if found else None

    def goes_on() -> None:
        ended = stage.airflow.rest.run_state(*run) == "failed" and landed() is None
        _require(not ended, f"the run ended without a commit\n{stage.airflow.task_logs(run[0])[-3000:]}")

    revision = await_until(landed, timeout=120, what="no commit landed", every=0.1, alive=goes_on)
    subject, signed = stage.run_git("log", "-1", "--format=%s", revision).strip(), stage.verified(revision)
    tell(f"commit {revision[:12]} {subject!r}, signature {'good' if signed else 'MISSING'}")
    for line in _difference(stage, revision):
        tell(f"    {line}")
    return revision


def _difference(stage: Stage, revision: str) -> Iterator[str]:
    shown = stage.run_git("show", "--format=", "--unified=0", revision).splitlines()
    return (line for line in shown if line.startswith(("-", "+")) and not line.startswith(("---", "+++")))


def _row(stage: Stage, act: str, revision: str, outcome: str, task: dict[str, Any]) -> Row:
    change, at = (
        stage.run_git("log", "-1", "--format=%(trailers:key=Loopseal-Change,valueonly,separator=%x2C)%x00%ct", revision)
        .strip()
        .split("\0")
    )
    ended = task.get("end_date")
    seconds = _epoch(ended) - int(at) if ended else None
    return Row(act, change, revision, outcome, stage.verified(revision), seconds, int(task["try_number"]))


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _pushes(stage: Stage) -> int:
    return sum(call.service == "git-receive-pack" and call.method == "POST" for call in stage.git.calls)


def _require(holds: object, otherwise: str) -> None:
    if not holds:
        raise ActFailed(otherwise)
