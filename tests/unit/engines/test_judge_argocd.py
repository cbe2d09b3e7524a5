"""One Application, one wanted commit: every step of the judgement, in the order in which they may decide."""

from __future__ import annotations

import pytest

from loopseal.domain.revision import Action, State, Tolerance
from loopseal.engines import argocd_verdict
from loopseal.engines.argocd_verdict import positions, questions, revisions, with_windows
from loopseal.ports import Source
from tests.unit.engines.built_objects import (
    FORK,
    H1,
    H2,
    PATIENT,
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
    ask,
    at,
    judged,
    merged,
    observed,
)


def told(verdict):
    return verdict.state, verdict.reason


def status(**fields):
    return {"status": fields}


RUNNING = {"phase": "Running", "finishedAt": None, "syncResult": None}
FAILED = {"phase": "Failed", "message": "one or more objects failed to apply"}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        pytest.param(app(), (State.SUCCEEDED, "HEALTHY"), id="at-the-commit"),
        pytest.param(app(Y), (State.SUCCEEDED, "HEALTHY"), id="at-a-descendant"),
        pytest.param(app(P), (State.PENDING, "NOT_OBSERVED"), id="at-its-parent"),
        pytest.param(app(STRANGE), (State.PENDING, "ANCESTRY_UNKNOWN"), id="at-an-unknown-commit"),
        pytest.param(app("main"), (State.PENDING, "NOT_RESOLVED"), id="a-name-instead-of-a-commit"),
        pytest.param({}, (State.PENDING, "NOT_OBSERVED"), id="nothing-at-all"),
        pytest.param(app(over=status(operationState=None)), (State.SUCCEEDED, "HEALTHY"), id="never-an-operation"),
        pytest.param(app(over=status(sync={"status": "Unknown"})), (State.PENDING, "SYNC_UNKNOWN"), id="unknown-sync"),
        pytest.param(
            app(over=status(health={"status": "Progressing"})), (State.PENDING, "HEALTH_PROGRESSING"), id="progressing"
        ),
        pytest.param(
            app(over=status(health={"status": "<script>"})), (State.PENDING, "HEALTH_UNKNOWN"), id="invented-health"
        ),
        pytest.param(app(over=status(health=None)), (State.PENDING, "HEALTH_UNKNOWN"), id="no-health"),
        pytest.param(app(over=status(health={"status": "Missing"})), (State.PENDING, "HEALTH_MISSING"), id="missing"),
        pytest.param(
            app(over={"operation": {"sync": {"revision": Y}}}), (State.PENDING, "OPERATION_REQUESTED"), id="asked-again"
        ),
        pytest.param(
            app(over=status(operationState={"phase": "Terminating"})),
            (State.PENDING, "OPERATION_TERMINATING"),
            id="terminating",
        ),
        pytest.param(app(over=status(operationState=FAILED)), (State.FAILED, "SYNC_FAILED"), id="operation-failed"),
        pytest.param(
            app(over=status(operationState={"phase": "Error"})), (State.FAILED, "SYNC_FAILED"), id="operation-error"
        ),
        pytest.param(
            app(Y, status(operationState=FAILED)), (State.FAILED, "SYNC_FAILED_AT_LATER_COMMIT"), id="failed-later"
        ),
    ],
)
def test_one_look(obj, expected):
    assert told(judged(obj)) == expected


def test_success_needs_health_to_last_for_the_settle_time():
    waiter = Waiter(tolerance=Tolerance(settle=10))
    assert told(waiter.sees(app(), 10)) == (State.PENDING, "SETTLING")
    assert told(waiter.sees(app(), 19.9)) == (State.PENDING, "SETTLING")
    assert told(waiter.sees(app(), 20)) == (State.SUCCEEDED, "HEALTHY")


@pytest.mark.parametrize(
    "break_",
    [
        app(over=status(health={"status": "Progressing"})),
        app(over=status(sync={"status": "OutOfSync"})),
        app(P),
        app(over={"operation": {}}),
        app(over=status(conditions=[{"type": "ComparisonError", "message": "x"}])),
        app(over={"spec": {"source": {"path": "elsewhere"}}}),
        app(over={"metadata": {"annotations": {"argocd.argoproj.io/skip-reconcile": "true"}}}),
    ],
)
def test_every_break_starts_the_settle_time_anew(break_):
    waiter = Waiter(tolerance=Tolerance(settle=10))
    waiter.sees(app(), 10)
    assert not waiter.sees(break_, 15).state.final
    assert told(waiter.sees(app(), 21)) == (State.PENDING, "SETTLING")
    assert told(waiter.sees(app(), 31)) == (State.SUCCEEDED, "HEALTHY")


def test_exact_takes_no_descendant():
    exact = Tolerance(exact=True, settle=0)
    assert told(judged(app(Y), tolerance=exact)) == (State.SUPERSEDED, "LATER_COMMIT")
    assert told(judged(app(X), tolerance=exact)) == (State.SUCCEEDED, "HEALTHY")


def test_degraded_is_a_failure_only_after_its_grace():
    waiter = Waiter(tolerance=Tolerance(degraded_grace=60))
    degraded = app(
        over=status(
            health={"status": "Degraded", "message": "bad"},
            resources=[{"kind": "Deployment", "name": "web", "status": "Synced", "health": {"status": "Degraded"}}],
        )
    )
    assert told(waiter.sees(degraded, 10)) == (State.PENDING, "HEALTH_DEGRADED")
    assert told(waiter.sees(app(over=status(health={"status": "Progressing"})), 60)) == (
        State.PENDING,
        "HEALTH_PROGRESSING",
    )
    assert told(waiter.sees(degraded, 75)) == (State.PENDING, "HEALTH_DEGRADED")
    said = waiter.sees(degraded, 135)
    assert told(said) == (State.FAILED, "DEGRADED")
    assert said.message == "bad"
    assert str(said.resources[0]) == "Deployment/web Degraded"


def test_a_comparison_error_is_a_failure_only_after_a_refresh_and_its_grace():
    broken = app("main", status(conditions=[{"type": "ComparisonError", "message": "no such path"}]))
    blind = Waiter()
    assert told(blind.sees(broken, 0)) == (State.PENDING, "ComparisonError")
    assert told(blind.sees(broken, 5000)) == (State.PENDING, "ComparisonError")
    refreshed = Waiter(refreshed=True)
    assert told(refreshed.sees(broken, 0)) == (State.PENDING, "ComparisonError")
    assert refreshed.sees(broken, 100).action is Action.NUDGE
    assert told(refreshed.sees(broken, 200)) == (State.FAILED, "ComparisonError")


def test_a_comparison_error_that_comes_and_goes_is_none():
    broken = app(
        over=status(conditions=[{"type": "InvalidSpecError", "message": "project default which does not exist"}])
    )
    waiter = Waiter(tolerance=Tolerance(settle=0, error_grace=10), refreshed=True)
    waiter.sees(broken, 0)
    assert told(waiter.sees(app(), 5)) == (State.SUCCEEDED, "HEALTHY")
    assert told(waiter.sees(broken, 11)) == (State.PENDING, "InvalidSpecError")


@pytest.mark.parametrize(
    "message",
    [
        f"Target revision {X} in Git is not signed, but a signature is required",
        "Found signature made with RSA key ABCDEF, but verification result was invalid: 'bad'",
        "Found good signature made with key ABCDEF, but this key is not allowed in AppProject",
        "Could not verify commit signature on 'x'",
    ],
)
def test_a_refused_signature_is_told_at_once(message):
    conditions = status(conditions=[{"type": "ComparisonError", "message": message}], sync={"status": "Unknown"})
    assert told(judged(app(X, conditions), tolerance=PATIENT)) == (State.FAILED, "SIGNATURE_REJECTED")
    assert told(judged(app(Y, conditions), tolerance=PATIENT)) == (State.FAILED, "SIGNATURE_REJECTED_AT_LATER_COMMIT")
    assert told(judged(app(P, conditions), tolerance=PATIENT)) == (State.PENDING, "ComparisonError")


def test_a_failed_operation_at_the_commit_gives_way_to_a_later_one_that_is_due():
    due = app(over=status(operationState=FAILED, sync={"revision": Y, "status": "OutOfSync"}))
    waiter = Waiter(tolerance=Tolerance(wedge=120))
    assert told(waiter.sees(due, 10)) == (State.PENDING, "WAITING_FOR_AUTO_SYNC")
    assert told(waiter.sees(due, 130)) == (State.FAILED, "SYNC_FAILED")
    assert told(judged(due, tolerance=Tolerance(exact=True))) == (State.FAILED, "SYNC_FAILED")
    off = merged(due, {"spec": {"syncPolicy": {"automated": {"enabled": False}}}})
    assert told(judged(off)) == (State.FAILED, "SYNC_FAILED")
    refused = merged(
        due, status(conditions=[{"type": "SyncError", "message": f"Failed last sync attempt to [{X}]: no"}])
    )
    said = judged(refused)
    assert told(said) == (State.FAILED, "SYNC_FAILED")
    assert said.message.startswith("Failed last sync attempt")


def test_a_failed_operation_for_an_older_commit_is_not_ours():
    failed = merged(observed(X, status(operationState=FAILED)), status(reconciledAt=at(5)))
    assert told(judged(failed)) == (State.SUCCEEDED, "HEALTHY")


def test_a_refused_sync_of_an_older_commit_is_not_ours():
    def refused(named):
        message = f"Failed last sync attempt to [{named}]: no"
        return observed(X, status(conditions=[{"type": "SyncError", "message": message}], sync={"status": "OutOfSync"}))

    assert told(judged(refused(P))) == (State.PENDING, "WAITING_FOR_AUTO_SYNC")
    assert told(judged(refused(X))) == (State.FAILED, "SYNC_ERROR")
    assert told(judged(refused("who knows"))) == (State.FAILED, "SYNC_ERROR")


def test_early_verdict_after_so_many_attempts():
    between = app(over=status(operationState={"phase": "Running", "retryCount": 2, "message": "denied"}))
    assert told(judged(between)) == (State.PENDING, "RETRY_BACKOFF")
    said = judged(between, tolerance=Tolerance(failed_syncs=2))
    assert told(said) == (State.FAILED, "SYNC_FAILED_RETRYING")
    assert said.action is Action.TERMINATE
    assert told(judged(between, tolerance=Tolerance(failed_syncs=3))) == (State.PENDING, "RETRY_BACKOFF")


def test_strict_health_counts_every_resource():
    rows = [
        {"kind": "ConfigMap", "name": "c"},
        {"kind": "Application", "name": "child", "health": {"status": "Progressing"}},
    ]
    obj = app(over=status(resources=rows))
    assert told(judged(obj)) == (State.SUCCEEDED, "HEALTHY")
    said = judged(obj, tolerance=Tolerance(settle=0, strict_health=True))
    assert told(said) == (State.PENDING, "RESOURCES_NOT_HEALTHY")
    assert [one.name for one in said.resources] == ["child"]
    rows[1]["health"]["status"] = "Suspended"
    lenient = Tolerance(settle=0, strict_health=True, accept_suspended=True)
    assert told(judged(app(over=status(resources=rows)), tolerance=lenient)) == (State.SUCCEEDED, "HEALTHY")


def test_the_verdict_is_bounded_and_clean():
    rows = [
        {"kind": "Pod", "name": f"p{n}", "health": {"status": "Degraded", "message": "x" * 10_000}} for n in range(500)
    ]
    message = "token=abcdefgh " + "y" * 50_000 + "\x1b[31m"
    said = judged(app(over=status(health={"status": "Degraded", "message": message}, resources=rows)))
    assert len(said.resources) == 50
    assert all(len(one.message) <= 500 for one in said.resources)
    assert len(said.message) <= 2000
    assert "abcdefgh" not in said.message
    assert "\x1b" not in said.message


def test_a_recreated_application_starts_with_an_empty_memory():
    waiter = Waiter(tolerance=Tolerance(settle=10))
    waiter.sees(app(), 0)
    another = app(over={"metadata": {"uid": "u2"}})
    assert told(waiter.sees(another, 100)) == (State.PENDING, "SETTLING")
    assert told(waiter.sees(another, 110)) == (State.SUCCEEDED, "HEALTHY")


def test_a_clock_that_goes_back_starts_anew_instead_of_waiting_for_ever():
    waiter = Waiter(tolerance=Tolerance(settle=10))
    waiter.sees(app(), 1000)
    assert told(waiter.sees(app(), 0)) == (State.PENDING, "SETTLING")
    assert told(waiter.sees(app(), 10)) == (State.SUCCEEDED, "HEALTHY")


def test_no_position_is_never_a_success():
    waiter = Waiter(tolerance=QUICK)
    waiter.positions = ()
    assert told(waiter.sees(app())) == (State.PENDING, "NOT_OBSERVED")
    waiter.positions = (0, 1)
    assert told(waiter.sees(app())) == (State.PENDING, "NOT_OBSERVED")


def test_revisions_and_questions_name_all_that_a_judge_asks_for():
    obj = app(
        Y,
        {
            "operation": {"sync": {"revision": Z}},
            "status": {
                "operationState": {"syncResult": None, "operation": {"sync": {"revision": FORK}}},
                "conditions": [{"type": "SyncError", "message": f"Failed last sync attempt to [{P}]"}],
                "sourceHydrator": {"lastSuccessfulOperation": {"drySHA": H1, "hydratedSHA": H2}},
            },
        },
    )
    assert revisions(obj) == {Y, FORK, P, H1}
    asked: set[tuple[str, str]] = set()

    def listening(one, other):
        asked.add((one, other))
        return ask(one, other)

    for wanted in (X, Y):
        for over in ({}, status(operationState=FAILED, sync={"status": "OutOfSync"}), {"operation": None}):
            looked = merged(obj, over)
            argocd_verdict.judge(looked, wanted, (0,), listening, 0.0, {"reached": [Z]}, QUICK, baseline=(P,))
            may = questions(looked, wanted, {"reached": [Z]}, baseline=(P,))
            assert {pair for pair in asked if pair[0] != pair[1]} <= may
            asked.clear()


class TestPositions:
    @pytest.mark.parametrize(
        "url",
        [
            URL,
            "git@git.test:org/platform.git",
            "ssh://git@GIT.test:2222/org/platform",
            "https://bot:x@git.test/org/platform/",
        ],
    )
    def test_the_same_repository_however_written(self, url):
        assert positions({"spec": {"source": {"repoURL": url}}}, SOURCE) == (0,)

    def test_of_several_sources_only_those_of_our_repository(self):
        sources = [
            {"repoURL": "https://charts.test", "chart": "x"},
            {"repoURL": URL, "ref": "values"},
            {"repoURL": "oci://git.test/org/platform"},
            {"repoURL": URL, "path": "apps"},
            {"repoURL": URL, "chart": "not-git"},
            "nonsense",
        ]
        assert positions({"spec": {"sources": sources}}, SOURCE) == (1, 3)

    def test_of_a_hydrated_application_its_dry_source(self):
        spec = {"sourceHydrator": {"drySource": {"repoURL": URL, "path": "apps"}}}
        assert positions({"spec": spec}, SOURCE) == (0,)

    def test_nothing_is_nowhere(self):
        assert positions({}, SOURCE) == ()
        assert positions({"spec": {"source": {"repoURL": ""}}}, Source("", "main")) == ()


HYDRATED_SPEC = {
    "source": None,
    "sourceHydrator": {"drySource": {"repoURL": URL}, "syncSource": {"targetBranch": "env/dev"}},
}
CLOSED = {"assignedWindows": [{"kind": "deny", "schedule": "0 22 * * *", "duration": "8h"}], "canSync": False}


class TestHydrator:
    """Two stages: the dry commit is rendered, then the rendered commit is applied."""

    def hydrated(self, done=None, applied=H1, **more):
        state = {"lastSuccessfulOperation": {"drySHA": done, "hydratedSHA": H2} if done else None, **more}
        over = {
            "spec": HYDRATED_SPEC,
            "status": {"sourceHydrator": state, "sync": {"revision": applied}, "operationState": None},
        }
        return app(over=over)

    def test_a35_the_rendered_commit_is_what_must_be_applied(self):
        assert told(judged(self.hydrated(P, H1))) == (State.PENDING, "NOT_HYDRATED")
        assert told(judged(self.hydrated(X, H1))) == (State.PENDING, "NOT_OBSERVED")
        assert told(judged(self.hydrated(X, H2))) == (State.SUCCEEDED, "HEALTHY")
        assert told(judged(self.hydrated(Y, H2))) == (State.SUCCEEDED, "HEALTHY")

    def test_while_it_renders_nothing_else_counts(self):
        assert told(judged(self.hydrated(X, H2, currentOperation={"phase": "Hydrating"}))) == (
            State.PENDING,
            "HYDRATING",
        )

    def test_a_failed_rendering_of_the_commit(self):
        failed = self.hydrated(P, currentOperation={"phase": "Failed", "drySHA": X, "message": "helm: no such chart"})
        assert told(judged(failed)) == (State.FAILED, "HYDRATION_FAILED")
        older = self.hydrated(P, currentOperation={"phase": "Failed", "drySHA": P})
        assert told(judged(older)) == (State.PENDING, "NOT_HYDRATED")

    def test_a_dry_commit_that_changes_nothing_is_only_compared(self):
        assert told(judged(self.hydrated(P, H2, lastComparedDryRevision=X))) == (State.SUCCEEDED, "HEALTHY")

    def test_exact(self):
        assert told(judged(self.hydrated(Y, H2), tolerance=Tolerance(exact=True))) == (State.SUPERSEDED, "LATER_COMMIT")

    def test_a_branch_in_between_is_said(self):
        over = {"spec": {"sourceHydrator": {"hydrateTo": {"targetBranch": "env/dev-next"}}}}
        said = judged(merged(self.hydrated(X, H1), over))
        assert told(said) == (State.PENDING, "AWAITING_PROMOTION")
        assert said.action is Action.NONE


class TestWindows:
    @pytest.mark.parametrize("after", [10, 1000])
    def test_nobody_syncs_because_a_window_is_closed(self, after):
        waiter = Waiter()
        waiter.sees(observed(X, status(sync={"status": "OutOfSync"})), 0)
        said = with_windows(waiter.sees(observed(X, status(sync={"status": "OutOfSync"})), after), CLOSED)
        assert told(said) == (State.BLOCKED, "SYNC_WINDOW")
        assert "deny '0 22 * * *' for 8h (UTC)" in said.message

    def test_other_verdicts_stay(self):
        assert with_windows(judged(app()), CLOSED) == judged(app())
        waiting = judged(observed(X, status(sync={"status": "OutOfSync"})))
        assert with_windows(waiting, {"canSync": True, "assignedWindows": CLOSED["assignedWindows"]}) == waiting
        assert with_windows(waiting, {}) == waiting
