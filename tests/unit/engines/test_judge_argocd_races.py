"""The races and traps of Argo CD, one test each, as far as an object alone decides them.

The numbers are those of the list in `races.py`; what needs a server, a stream or a clock is tested where that is.
"""

from __future__ import annotations

from loopseal.domain.revision import Action, State, Tolerance
from loopseal.engines.argocd_verdict import preflight, resources
from loopseal.ports import Source
from tests.unit.engines.built_objects import (
    FORK,
    QUICK,
    SOURCE,
    STRANGE,
    URL,
    P,
    Waiter,
    X,
    Y,
    Z,
    app,
    at,
    judged,
    merged,
    observed,
)


def told(verdict):
    return verdict.state, verdict.reason


def status(**fields):
    return {"status": fields}


def out_of_sync(revision=X, **fields):
    return observed(revision, status(sync={"status": "OutOfSync"}, **fields))


def test_a01_synced_and_healthy_at_the_commit_before():
    assert told(judged(app(P))) == (State.PENDING, "NOT_OBSERVED")
    requested = app(P, {"operation": {"sync": {"revision": X}}, "status": {"operationState": None}})
    assert told(judged(requested)) == (State.PENDING, "OPERATION_REQUESTED")


def test_a02_a_lost_refresh_keeps_on_asking_for_one():
    waiter = Waiter(tolerance=QUICK)
    for seconds in (0, 30, 600):
        said = waiter.sees(app(P), seconds)
        assert told(said) == (State.PENDING, "NOT_OBSERVED")
        assert said.action is Action.NUDGE


def test_a03_a_stale_cache_takes_the_application_back():
    waiter = Waiter(tolerance=QUICK, baseline=(P,))
    assert told(waiter.sees(observed(X, status(sync={"status": "OutOfSync"})))) == (
        State.PENDING,
        "WAITING_FOR_AUTO_SYNC",
    )
    said = waiter.sees(app(P))
    assert told(said) == (State.REGRESSED, "REVISION_WENT_BACK")
    assert said.action is Action.NUDGE
    assert told(waiter.sees(app(X))) == (State.SUCCEEDED, "HEALTHY")


def test_a03_back_behind_what_it_showed_before_the_push():
    assert told(judged(app(P), Z, baseline=(X,))) == (State.REGRESSED, "REVISION_WENT_BACK")


def test_a04_compared_in_the_very_second_in_which_the_sync_ended():
    said = judged(app(over=status(reconciledAt=at(0))))
    assert told(said) == (State.PENDING, "NOT_RECONCILED_SINCE_SYNC")
    assert said.action is Action.NUDGE
    assert told(judged(app(over=status(reconciledAt=at(1))))) == (State.SUCCEEDED, "HEALTHY")
    assert told(judged(app(over=status(reconciledAt=None)))) == (State.PENDING, "NOT_RECONCILED_SINCE_SYNC")


def test_a05_a_succeeded_operation_is_not_health():
    rolling = app(over=status(health={"status": "Progressing"}))
    assert told(judged(rolling)) == (State.PENDING, "HEALTH_PROGRESSING")


def test_a06_running_with_an_end_is_a_pause_between_attempts():
    rows = [{"kind": "Deployment", "name": "web", "status": "SyncFailed", "message": "replicas: must be >= 0"}]
    pause = {"phase": "Running", "retryCount": 1, "message": "Retrying attempt #1", "syncResult": {"resources": rows}}
    said = judged(app(over=status(operationState=pause)))
    assert told(said) == (State.PENDING, "RETRY_BACKOFF")
    assert said.resources[0].message == "replicas: must be >= 0"
    again = app(over=status(operationState={**pause, "finishedAt": None}))
    assert told(judged(again)) == (State.PENDING, "OPERATION_RUNNING")


def test_a07_a_retry_may_be_at_a_newer_commit():
    waiter = Waiter(Y, Tolerance(old_operation=10))
    old = app(P, status(operationState={"phase": "Running", "finishedAt": None}))
    assert told(waiter.sees(old, 20)) == (State.BLOCKED, "OLD_OPERATION_RUNNING")
    refreshed = merged(old, status(operationState={"syncResult": {"revision": Y}}))
    assert told(waiter.sees(refreshed, 21)) == (State.PENDING, "OPERATION_RUNNING")


def test_a08_an_operation_that_never_ends_blocks_what_comes_after():
    stuck = app(
        X, status(operationState={"phase": "Running", "finishedAt": None}, sync={"revision": Y, "status": "OutOfSync"})
    )
    waiter = Waiter(Y, Tolerance(old_operation=900))
    assert told(waiter.sees(stuck, 800)) == (State.PENDING, "OPERATION_RUNNING")
    said = waiter.sees(stuck, 1000)
    assert told(said) == (State.BLOCKED, "OLD_OPERATION_RUNNING")
    assert said.action is Action.TERMINATE
    retrying = merged(stuck, status(operationState={"finishedAt": at(0), "retryCount": 99}))
    assert told(waiter.sees(retrying, 1000)) == (State.BLOCKED, "OLD_OPERATION_RUNNING")
    assert told(Waiter(X, Tolerance(old_operation=1)).sees(stuck, 1000)) == (State.PENDING, "OPERATION_RUNNING")


def test_a09_an_operation_of_somebody_else_is_awaited():
    theirs = {"operation": {"sync": {"revision": FORK}, "initiatedBy": {"username": "alice"}}}
    assert told(judged(app(P, theirs))) == (State.PENDING, "OPERATION_REQUESTED")


def test_a10_no_operation_state_between_request_and_pickup():
    asked = app(X, {"operation": {"sync": {"revision": X}}, "status": {"operationState": None}})
    assert told(judged(asked)) == (State.PENDING, "OPERATION_REQUESTED")


def test_a11_an_operation_proves_nothing_whoever_began_it():
    theirs = observed(P, status(operationState={"syncResult": {"revision": X}, "operation": {"sync": {"revision": X}}}))
    assert told(judged(theirs)) == (State.PENDING, "NOT_OBSERVED")


def test_a12_a_failed_commit_is_not_synced_again():
    message = f"Failed last sync attempt to [{X}]: one or more objects failed to apply (retried 5 times)."
    gone = app(
        X,
        status(
            operationState=None, sync={"status": "OutOfSync"}, conditions=[{"type": "SyncError", "message": message}]
        ),
    )
    assert told(judged(gone)) == (State.FAILED, "SYNC_ERROR")


def test_a13_synced_once_and_different_again():
    drifted = app(X, status(sync={"status": "OutOfSync"}))
    waiter = Waiter(tolerance=Tolerance(drift_grace=60))
    assert told(waiter.sees(drifted, 0)) == (State.PENDING, "OUT_OF_SYNC_AFTER_SYNC")
    assert told(waiter.sees(drifted, 60)) == (State.FAILED, "OUT_OF_SYNC_AFTER_SYNC")
    heals = merged(drifted, {"spec": {"syncPolicy": {"automated": {"selfHeal": True}}}})
    assert told(judged(heals)) == (State.PENDING, "WAITING_FOR_AUTO_SYNC")


def test_a14_only_pruning_is_left():
    rows = [
        {"kind": "ConfigMap", "name": "old", "status": "OutOfSync", "requiresPruning": True},
        {"kind": "Service", "status": "Synced"},
    ]
    left = out_of_sync(resources=rows)
    assert told(judged(left)) == (State.BLOCKED, "NEEDS_PRUNE")
    assert told(judged(merged(left, {"spec": {"syncPolicy": {"automated": {"prune": True}}}}))) == (
        State.PENDING,
        "WAITING_FOR_AUTO_SYNC",
    )
    rows.append({"kind": "Deployment", "name": "web", "status": "OutOfSync", "health": {"status": "Progressing"}})
    assert told(judged(out_of_sync(resources=rows))) == (State.PENDING, "WAITING_FOR_AUTO_SYNC")


def test_a15_a_commit_that_would_remove_everything():
    message = f"Skipping sync attempt to [{X}]: auto-sync will wipe out all resources"
    said = judged(out_of_sync(conditions=[{"type": "SyncError", "message": message}]))
    assert told(said) == (State.FAILED, "SYNC_ERROR")


def test_a16_a_closed_window_holds_the_operation_or_keeps_it_from_starting():
    held = {"phase": "Running", "finishedAt": None, "message": "Sync operation blocked by sync window"}
    assert told(judged(app(over=status(operationState=held)))) == (State.BLOCKED, "SYNC_WINDOW")
    waiter = Waiter(tolerance=Tolerance(wedge=120))
    assert told(waiter.sees(out_of_sync(), 0)) == (State.PENDING, "WAITING_FOR_AUTO_SYNC")
    assert told(waiter.sees(out_of_sync(), 120)) == (State.PENDING, "AUTO_SYNC_NOT_STARTING")


def test_a17_a_sync_that_never_starts_is_said():
    waiter = Waiter(tolerance=Tolerance(wedge=5))
    waiter.sees(out_of_sync(), 0)
    said = waiter.sees(out_of_sync(), 5)
    assert told(said) == (State.PENDING, "AUTO_SYNC_NOT_STARTING")
    assert said.action is Action.NUDGE


def test_a18_a_manual_sync_of_an_older_commit_is_no_success():
    waiter = Waiter(tolerance=QUICK)
    assert waiter.sees(app(X)).state is State.SUCCEEDED
    rolling = app(X, {"operation": {"sync": {"revision": P}}, "status": {"operationState": None}})
    assert told(waiter.sees(rolling)) == (State.PENDING, "OPERATION_REQUESTED")
    done = observed(X, status(sync={"status": "OutOfSync"}))
    assert told(waiter.sees(done)) == (State.PENDING, "WAITING_FOR_AUTO_SYNC")
    assert told(waiter.sees(app(P))) == (State.REGRESSED, "REVISION_WENT_BACK")


def test_a19_of_several_sources_of_the_repository_every_one_counts():
    sources = [
        {"repoURL": URL, "path": "a"},
        {"repoURL": "https://charts.test", "chart": "c"},
        {"repoURL": URL, "ref": "values"},
    ]
    operated = {"syncResult": {"revisions": [X, "1.0", P]}, "operation": None}

    def seen(*revisions):
        sync = {"revision": None, "revisions": list(revisions), "comparedTo": {"source": None, "sources": sources}}
        return app(
            over={"spec": {"source": None, "sources": sources}, "status": {"sync": sync, "operationState": operated}}
        )

    waiter = Waiter(tolerance=Tolerance(settle=0, wedge=60))
    waiter.positions = (0, 2)
    assert told(waiter.sees(seen(X, "1.0", P), 0)) == (State.PENDING, "SOURCE_LAGGING")
    assert told(waiter.sees(seen(X, "1.0", P), 60)) == (State.REGRESSED, "SOURCE_LAGGING")
    assert told(waiter.sees(seen(Y, "1.0", X), 61)) == (State.SUCCEEDED, "HEALTHY")


def test_a20_while_a_comparison_fails_the_revision_means_nothing():
    broken = app(X, status(conditions=[{"type": "ComparisonError", "message": "app path does not exist"}]))
    assert told(judged(broken)) == (State.PENDING, "ComparisonError")
    named = app("main", status(sync={"status": "Unknown"}))
    assert told(judged(named)) == (State.PENDING, "NOT_RESOLVED")


def test_a21_an_error_that_nobody_of_us_asked_about_proves_nothing():
    broken = app("main", status(conditions=[{"type": "ComparisonError", "message": "repository not found"}]))
    waiter = Waiter(tolerance=Tolerance(error_grace=0), refreshed=False)
    waiter.sees(broken, 0)
    assert told(waiter.sees(broken, 10_000)) == (State.PENDING, "ComparisonError")


def test_a22_the_status_is_about_the_spec_before():
    edited = app(over={"spec": {"source": {"targetRevision": "v2"}}})
    assert told(judged(edited)) == (State.PENDING, "SPEC_NOT_COMPARED")
    fresh = app(over=status(sync={"comparedTo": {"source": {"repoURL": ""}}}))
    assert told(judged(fresh)) == (State.PENDING, "SPEC_NOT_COMPARED")


def test_a23_a_commit_that_changes_nothing_here_leaves_no_operation():
    assert told(judged(observed(X))) == (State.SUCCEEDED, "HEALTHY")


def test_a24_a_failed_hook_under_synced_and_healthy():
    rows = [
        {"kind": "Job", "name": "check", "hookPhase": "Failed", "message": "BackoffLimitExceeded", "namespace": "n"}
    ]
    failed = {"phase": "Failed", "message": "one or more hooks failed", "syncResult": {"resources": rows}}
    said = judged(app(over=status(operationState=failed)))
    assert told(said) == (State.FAILED, "SYNC_FAILED")
    assert str(said.resources[0]) == "Job/n/check HookFailed: BackoffLimitExceeded"
    later = app(X, status(operationState=failed, sync={"revision": Y}))
    assert told(judged(later, Y)) == (State.SUCCEEDED, "HEALTHY")


def test_a25_a_dry_run_and_a_partial_sync_are_no_evidence():
    def last(**operation):
        state = {"operation": {"sync": operation}}
        return status(operationState=state)

    only_tried = merged(observed(P), last(revision=X, dryRun=True))
    assert told(judged(only_tried)) == (State.PENDING, "NOT_OBSERVED")
    failed_try = merged(app(X, status(operationState={"phase": "Failed"})), last(dryRun=True))
    assert told(judged(failed_try)) == (State.SUCCEEDED, "HEALTHY")
    failed_part = merged(
        app(X, status(operationState={"phase": "Failed"})), last(resources=[{"kind": "Job", "name": "x"}])
    )
    assert told(judged(failed_part)) == (State.SUCCEEDED, "HEALTHY")
    assert told(judged(merged(failed_part, status(sync={"status": "OutOfSync"})))) == (State.FAILED, "SYNC_FAILED")


def test_a26_without_health_of_resources_the_operation_still_names_the_culprit():
    rows = [
        {"kind": "Deployment", "name": "web", "status": "OutOfSync"},
        {"kind": "Secret", "name": "s", "status": "Synced"},
    ]
    result = {"resources": [{"kind": "Deployment", "name": "web", "status": "SyncFailed", "message": "denied"}]}
    obj = app(over=status(resources=rows, operationState={"phase": "Failed", "syncResult": result}))
    assert [str(one) for one in resources(obj)] == ["Deployment/web SyncFailed: denied"]


def test_a27_missing_resources_and_children_count_with_strict_health():
    rows = [{"kind": "ConfigMap", "name": "c", "status": "Synced", "health": {"status": "Missing"}}]
    obj = app(over=status(resources=rows))
    assert told(judged(obj)) == (State.SUCCEEDED, "HEALTHY")
    assert told(judged(obj, tolerance=Tolerance(settle=0, strict_health=True))) == (
        State.PENDING,
        "RESOURCES_NOT_HEALTHY",
    )


def test_a28_a_healthy_moment_is_not_health():
    waiter = Waiter(tolerance=Tolerance(settle=10))
    assert told(waiter.sees(app(), 0)) == (State.PENDING, "SETTLING")
    assert told(waiter.sees(app(over=status(health={"status": "Progressing"})), 2)) == (
        State.PENDING,
        "HEALTH_PROGRESSING",
    )
    assert told(waiter.sees(app(), 11)) == (State.PENDING, "SETTLING")


def test_a29_suspended_is_healthy_only_by_policy():
    paused = app(over=status(health={"status": "Suspended", "message": "CanaryPauseStep"}))
    said = judged(paused)
    assert told(said) == (State.PENDING, "HEALTH_SUSPENDED")
    assert said.message == "CanaryPauseStep"
    assert told(judged(paused, tolerance=Tolerance(settle=0, accept_suspended=True))) == (State.SUCCEEDED, "HEALTHY")


def test_a30_switched_off_by_annotation():
    said = judged(app(over={"metadata": {"annotations": {"argocd.argoproj.io/skip-reconcile": "true"}}}))
    assert told(said) == (State.BLOCKED, "SKIP_RECONCILE")
    assert said.action is Action.RESUME


def test_a31_a_deletion_that_somebody_must_confirm():
    held = {"phase": "Running", "finishedAt": None, "message": "waiting for deletion confirmation of ConfigMap/x"}
    assert told(judged(app(over=status(operationState=held)))) == (State.BLOCKED, "DELETION_CONFIRMATION")


def test_a32_an_application_set_decides_when_its_children_are_synced():
    owned = {
        "metadata": {"ownerReferences": [{"kind": "ApplicationSet", "name": "fleet"}]},
        "spec": {"syncPolicy": None},
    }
    said = judged(merged(out_of_sync(), owned))
    assert told(said) == (State.PENDING, "WAITING_FOR_ROLLING_SYNC")
    assert said.action is Action.NONE
    assert "fleet" in said.message
    alone = judged(merged(out_of_sync(), {"spec": {"syncPolicy": None}}))
    assert told(alone) == (State.PENDING, "NEEDS_SYNC")
    assert alone.action is Action.SYNC


def test_a33_deleted_while_it_is_awaited():
    assert told(judged(app(over={"metadata": {"deletionTimestamp": at(1)}}))) == (State.FAILED, "APP_DELETING")


def test_a36_a_force_push_drops_the_commit():
    assert told(judged(app(FORK))) == (State.PENDING, "NOT_OBSERVED")
    assert told(judged(app(FORK), refreshed=True)) == (State.SUPERSEDED, "DIVERGED")
    assert told(judged(app(STRANGE), refreshed=True)) == (State.PENDING, "ANCESTRY_UNKNOWN")


def test_a37_a_commit_that_can_never_arrive_is_an_error_before_it_is_made():
    for revision in ("v1.2.3", "1.*", "release", X, "refs/tags/x"):
        found = preflight(app(over={"spec": {"source": {"targetRevision": revision}}}), SOURCE, QUICK)
        assert "argocd.other_revision" in {one.code for one in found if one.level == "error"}
    found = preflight(app(), Source("https://git.test/other", "main"), QUICK)
    assert [one.code for one in found if one.level == "error"] == ["argocd.other_repository"]


def test_a38_a_status_that_cannot_be_stored():
    broken = app(X, status(conditions=[{"type": "UnknownError", "message": "etcdserver: request is too large"}]))
    waiter = Waiter(tolerance=Tolerance(error_grace=10), refreshed=True)
    assert told(waiter.sees(broken, 0)) == (State.PENDING, "UnknownError")
    assert told(waiter.sees(broken, 10)) == (State.FAILED, "UnknownError")
