"""The races and traps of Flux, one test each, as far as an object alone decides them.

The numbers are those of the list in `races.py`; what needs a server, a watch or a clock is tested where that is.
"""

from __future__ import annotations

from loopseal.domain.revision import Action, State, Tolerance, worst
from loopseal.engines import kstatus
from loopseal.engines.flux_verdict import acknowledged, inventory, judge_helm_release, judge_source, preflight
from tests.unit.engines.built_objects import (
    FORK,
    QUICK,
    SOURCE,
    FluxWaiter,
    P,
    X,
    Y,
    ask,
    at,
    condition,
    failing,
    kustomization,
    merged,
    progressing,
    release,
    repository,
)

TOKEN = "2026-11-21T12:00:00Z/change"


def told(verdict):
    return verdict.state, verdict.reason


def asked(obj, token, handled):
    annotation = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}}
    return merged(obj, {**annotation, "status": {"lastHandledReconcileAt": handled}})


def test_f01_ready_for_the_commit_before():
    assert told(FluxWaiter().sees(kustomization(P))) == (State.PENDING, "NOT_ATTEMPTED")


def test_f02_an_answer_without_work():
    suspended = asked(kustomization(P, over={"spec": {"suspend": True}}), TOKEN, TOKEN)
    assert acknowledged(suspended, TOKEN)
    assert told(FluxWaiter().sees(suspended)) == (State.BLOCKED, "SUSPENDED")
    dependent = asked(failing(P, "DependencyNotReady"), TOKEN, TOKEN)
    assert told(FluxWaiter().sees(dependent)) == (State.PENDING, "DependencyNotReady")
    missing = asked(failing(P, "ArtifactFailed", "Source artifact not found"), TOKEN, TOKEN)
    assert told(FluxWaiter().sees(missing)) == (State.PENDING, "ARTIFACT_FAILED")


def test_f03_a_suspended_release_raises_its_observed_generation():
    stale = release(
        [condition("Ready", "True", generation=2)],
        {"spec": {"suspend": True}, "status": {"lastAttemptedGeneration": 2}},
    )
    assert told(judge_helm_release(stale, QUICK)) == (State.BLOCKED, "SUSPENDED")
    resumed = merged(stale, {"spec": {"suspend": False}})
    assert judge_helm_release(resumed, QUICK).state is State.PENDING


def test_f04_requests_overwrite_one_another():
    assert acknowledged(asked({}, TOKEN, TOKEN), TOKEN)
    assert not acknowledged(asked({}, TOKEN, "older"), TOKEN)
    assert acknowledged(asked({}, "bob/2", "bob/2"), TOKEN, before="alice/1")
    assert not acknowledged(asked({}, "alice/1", "alice/1"), TOKEN, before="alice/1")
    assert not acknowledged(asked({}, "bob/2", "alice/1"), TOKEN, before="alice/1")
    assert not acknowledged(asked({}, "", ""), "")


def test_f05_a_later_commit_holds_ours():
    assert told(FluxWaiter().sees(kustomization(Y))) == (State.SUCCEEDED, "APPLIED")
    assert told(judge_source(repository(Y), X, ask, QUICK)) == (State.SUCCEEDED, "ARTIFACT_AT_COMMIT")


def test_f06_failing_reads_in_progress_for_kstatus_and_failed_for_us():
    waiter = FluxWaiter(tolerance=Tolerance(failed_passes=2))
    first = failing(X, changed=at(0))
    assert kstatus.status(first).status == kstatus.IN_PROGRESS
    assert told(waiter.sees(first)) == (State.PENDING, "FAILED_ONCE_HealthCheckFailed")
    assert told(waiter.sees(first)) == (State.PENDING, "FAILED_ONCE_HealthCheckFailed")
    assert told(waiter.sees(failing(X, changed=at(40)))) == (State.FAILED, "HealthCheckFailed")


def test_f07_an_older_revision_fails():
    waiter = FluxWaiter(tolerance=Tolerance(failed_passes=1))
    assert told(waiter.sees(failing(P))) == (State.PENDING, "OLDER_REVISION_FAILING")


def test_f08_between_two_passes_nothing_is_known():
    between = kustomization(P, X, [condition("Ready", "Unknown", "Progressing")])
    assert told(FluxWaiter().sees(between)) == (State.PENDING, "PROGRESSING")


def test_f09_the_controller_reads_an_older_artifact_once_more():
    said = FluxWaiter().sees(kustomization(P), origin=repository(X))
    assert told(said) == (State.PENDING, "NOT_ATTEMPTED")
    assert said.action is Action.NUDGE


def test_f10_a_missing_path_never_becomes_the_attempted_revision():
    waiter = FluxWaiter(tolerance=Tolerance(failed_passes=2))
    source = repository(X)

    def pass_at(seconds):
        return failing(P, "ArtifactFailed", "kustomization path not found: stat apps/a", changed=at(seconds))

    assert told(waiter.sees(pass_at(0), origin=source)) == (State.PENDING, "ARTIFACT_FAILED")
    assert told(waiter.sees(pass_at(5), origin=source)) == (State.PENDING, "FAILED_ONCE_ArtifactFailed")
    assert told(waiter.sees(pass_at(9), origin=source)) == (State.FAILED, "ArtifactFailed")
    behind = FluxWaiter(tolerance=Tolerance(failed_passes=1))
    assert told(behind.sees(pass_at(9), origin=repository(P))) == (State.PENDING, "ARTIFACT_FAILED")
    assert told(behind.sees(pass_at(9))) == (State.PENDING, "ARTIFACT_FAILED")


def test_f11_without_health_checks_ready_is_applied_only():
    unchecked = kustomization(X, over={"spec": {"wait": None}})
    assert told(FluxWaiter().sees(unchecked)) == (State.SUCCEEDED, "APPLIED")
    strict = Tolerance(settle=0, strict_health=True)
    assert told(FluxWaiter(tolerance=strict).sees(unchecked)) == (State.PENDING, "HEALTH_NOT_CHECKED")
    found = preflight(unchecked, repository(), SOURCE, QUICK)
    assert "flux.health_unknown" in {one.code for one in found}


def test_f12_the_health_check_of_an_older_revision_holds_the_controller():
    said = FluxWaiter().sees(progressing(P), origin=repository(X))
    assert told(said) == (State.PENDING, "OLDER_REVISION_RUNNING")
    assert said.action is Action.NONE


def test_f13_a_cancelled_health_check_is_no_failure():
    waiter = FluxWaiter(tolerance=Tolerance(failed_passes=1))
    assert told(waiter.sees(failing(X, "HealthCheckCanceled"))) == (State.PENDING, "HealthCheckCanceled")


def test_f14_stalled_is_left_from_an_older_generation():
    left = progressing(X)
    left["status"]["conditions"].append(condition("Stalled", "True", "BuildFailed", generation=2))
    assert told(FluxWaiter().sees(left)) == (State.PENDING, "PROGRESSING")
    now = progressing(X)
    now["status"]["conditions"].append(condition("Stalled", "True", "BuildFailed"))
    assert told(FluxWaiter().sees(now)) == (State.FAILED, "BuildFailed")


def test_f15_the_inventory_names_what_is_nested():
    ids = [
        "flux-system_shop_helm.toolkit.fluxcd.io_HelmRelease",
        "flux-system_apps_kustomize.toolkit.fluxcd.io_Kustomization",
    ]
    obj = kustomization(over={"status": {"inventory": {"entries": [{"id": one} for one in ids]}}})
    assert [(one.kind, one.name) for one in inventory(obj)] == [("HelmRelease", "shop"), ("Kustomization", "apps")]


def test_f16_a_release_that_retries_for_ever_never_ends_by_itself():
    waiting = release(
        [condition("Ready", "False", "UpgradeFailed"), condition("Reconciling", "True", "ProgressingWithRetry")]
    )
    assert told(judge_helm_release(waiting, QUICK)) == (State.PENDING, "UpgradeFailed")
    forever = merged(waiting, {"spec": {"upgrade": {"strategy": {"name": "RetryOnFailure"}}}})
    assert "flux.retry_on_failure" in {one.code for one in preflight(forever, repository(), SOURCE, QUICK)}


def test_f17_a_pass_at_the_same_revision_does_not_undo_being_ready():
    waiter = FluxWaiter(tolerance=Tolerance(settle=10))
    assert told(waiter.sees(kustomization(X), 0)) == (State.PENDING, "SETTLING")
    assert told(waiter.sees(progressing(X, X), 5)) == (State.PENDING, "RECONCILING")
    assert told(waiter.sees(kustomization(X), 10)) == (State.SUCCEEDED, "APPLIED")


def test_f18_a_force_push_is_told_by_the_source():
    source = judge_source(repository(FORK), X, ask, QUICK, acknowledged=True)
    assert told(source) == (State.SUPERSEDED, "DIVERGED")
    assert told(judge_source(repository(FORK), X, ask, QUICK)) == (State.PENDING, "NOT_FETCHED")
    applied = FluxWaiter().sees(kustomization(X))
    assert worst([source, applied]) is source


def test_f19_a_suspended_source_blocks_unless_it_has_the_commit():
    off = {"spec": {"suspend": True}}
    assert told(judge_source(repository(P, over=off), X, ask, QUICK)) == (State.BLOCKED, "SUSPENDED")
    assert told(judge_source(repository(X, over=off), X, ask, QUICK)) == (State.SUCCEEDED, "ARTIFACT_AT_COMMIT")


def test_f20_objects_in_another_cluster_cannot_be_read():
    remote = kustomization(over={"spec": {"kubeConfig": {"secretRef": {"name": "eu1"}}, "wait": None}})
    assert "flux.remote_cluster" in {one.code for one in preflight(remote, repository(), SOURCE, QUICK)}
    strict = preflight(remote, repository(), SOURCE, Tolerance(strict_health=True))
    assert [one.code for one in strict if one.level == "error"] == ["flux.health_unknown"]


def test_f21_deleted_and_made_anew():
    waiter = FluxWaiter(tolerance=Tolerance(failed_passes=2))
    waiter.sees(failing(X, changed=at(0)))
    gone = kustomization(X, over={"metadata": {"deletionTimestamp": at(1)}})
    assert told(waiter.sees(gone)) == (State.FAILED, "DELETING")
    anew = failing(X, changed=at(9), over={"metadata": {"uid": "k2"}})
    assert told(waiter.sees(anew)) == (State.PENDING, "FAILED_ONCE_HealthCheckFailed")


def test_f23_a_release_that_was_just_made_has_no_status():
    fresh = release([], {"status": None})
    assert told(judge_helm_release(fresh, QUICK)) == (State.PENDING, "NO_STATUS")
    assert kstatus.status(fresh).status == kstatus.IN_PROGRESS


def test_f24_ready_is_written_before_the_revision():
    ready = [condition("Ready", "True", "ReconciliationSucceeded", f"Applied revision: main@sha1:{X}")]
    assert told(FluxWaiter().sees(kustomization(P, X, ready))) == (State.PENDING, "PROGRESSING")
    stored = [condition("Ready", "True", "Succeeded", f"stored artifact for revision 'main@sha1:{X}'")]
    assert told(judge_source(repository(P, stored), X, ask, QUICK)) == (State.PENDING, "NOT_FETCHED")
