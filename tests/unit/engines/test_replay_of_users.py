"""Replaying what somebody recorded: without wants, without pushes, with what is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loopseal.domain.revision import Relation, State, Tolerance
from loopseal.engines import scene
from loopseal.engines.recording import Event, Recording, Want
from loopseal.engines.replay import POLICY, replay, tolerance
from loopseal.errors import Code, ConfigError
from tests.unit.engines.built_objects import GRAPH, T0, P, X, Y, app, failing, kustomization, merged, repository


def watched(kind, at, obj, type_="MODIFIED"):
    return Event(at, f"k8s-watch-{kind}", {"type": type_, "object": obj})


def argo(*events, **more):
    return Recording("argocd", T0, events, targets={"application": ("argocd", "a")}, graph=GRAPH, **more)


def told(outcome):
    return [(round(at, 1), said.state, said.reason) for at, said in outcome.timeline]


def test_a_recording_that_does_not_tell_what_was_wanted():
    with pytest.raises(ConfigError) as caught:
        replay(argo(watched("application", 1, app())))
    assert caught.value.code is Code.RECORDING_INVALID


def test_created_late_and_gone_again():
    want = Want(X, 0.0, 6.0)
    report = replay(
        argo(
            watched("application", 1.5, app(over={"status": {"reconciledAt": None, "operationState": None}}), "ADDED"),
            watched("application", 4.0, app(), "DELETED"),
            wants=(want,),
        )
    )
    (outcome,) = report.outcomes
    assert told(outcome) == [
        (0.0, State.PENDING, "NOT_CREATED"),
        (1.5, State.PENDING, "SETTLING"),
        (2.0, State.SUCCEEDED, "HEALTHY"),
        (4.0, State.FAILED, "APP_MISSING"),
    ]
    assert outcome.ended == (2.0, outcome.timeline[2][1])
    assert outcome.ok
    assert outcome.target == "application/argocd/a"
    missed = replay(argo(wants=(replace(want, state="SUCCEEDED", reason="HEALTHY"),)))
    assert not missed.ok
    assert missed.as_data()["waits"][0]["ok"] is False


def test_without_an_object_nothing_was_reached():
    (outcome,) = replay(argo(wants=(Want(X, 0.0, 1.0, "PENDING", "NOT_CREATED"),))).outcomes
    assert outcome.ok
    assert outcome.ended is None


def test_another_application_in_the_same_recording_is_left_out():
    other = merged(app(), {"metadata": {"name": "b"}})
    (outcome,) = replay(argo(watched("application", 1.0, other), wants=(Want(X, 0.0, 2.0),))).outcomes
    assert told(outcome) == [(0.0, State.PENDING, "NOT_CREATED")]


@pytest.mark.parametrize(("answered", "state"), [(True, State.FAILED), (False, State.PENDING)])
def test_a_refresh_by_annotation_is_answered_when_it_is_gone(answered, state):
    """A recording by Application objects holds no GET with `refresh=`."""
    broken = merged(app(), {"status": {"conditions": [{"type": "ComparisonError", "message": "no such path"}]}})
    asked = merged(broken, {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}})
    events = [watched("application", 1.0, asked), watched("application", 2.0, broken if answered else asked)]
    (outcome,) = replay(argo(*events, wants=(Want(X, 0.0, 12.0),))).outcomes
    assert outcome.reached is not None
    assert (outcome.reached.state, outcome.reached.reason) == (state, "ComparisonError")


def test_a_noted_wait_brings_its_own_tolerance():
    noted = {
        "sha": X,
        "tolerance": {"settle": 3.0, "exact": False, "nudge": [1]},
        "application": {"name": "a"},
        "positions": [0],
    }
    report = replay(argo(Event(0.0, "wait", noted), watched("application", 0.5, app()), Event(5.0, "argo-sse", {})))
    (outcome,) = report.outcomes
    assert told(outcome) == [
        (0.0, State.PENDING, "NOT_CREATED"),
        (0.5, State.PENDING, "SETTLING"),
        (4.0, State.SUCCEEDED, "HEALTHY"),
    ]


def test_pushes_are_waits_when_nothing_else_is_told():
    pushes = [Event(float(number), "git", {"sha": sha}) for number, sha in enumerate((P, X, Y))]
    report = replay(argo(*pushes, watched("application", 3.0, app(Y))))
    assert [one.expected.sha for one in report.outcomes] == [X, Y]


def test_the_recorder_s_answers_about_ancestry_are_used_where_the_graph_ends():
    recording = argo(Event(0.0, "ancestry", {"observed": Y, "wanted": X, "relation": "descendant"}))
    ask = scene.ancestry(replace(recording, graph={}))
    assert ask(Y, X) is Relation.DESCENDANT
    assert ask(X, Y) is Relation.UNKNOWN
    assert ask(X, X) is Relation.EQUAL
    odd = replace(
        recording, graph={}, events=(Event(0.0, "ancestry", {"observed": Y, "wanted": X, "relation": "cousin"}),)
    )
    assert scene.ancestry(odd)(Y, X) is Relation.UNKNOWN


def test_flux_is_judged_at_its_source_and_at_what_applies_it():
    recording = Recording(
        "flux",
        T0,
        (
            Event(0.0, "git", {"sha": P}),
            watched("gitrepository", 0.5, repository(P)),
            watched("kustomization", 0.6, kustomization(P)),
            Event(1.0, "git", {"sha": X}),
            watched("gitrepository", 2.0, repository(X)),
            watched("kustomization", 3.0, failing(P, "ArtifactFailed", changed="2999-01-01T00:00:00Z")),
            watched("kustomization", 20.0, kustomization(X)),
            watched("kustomization", 40.0, kustomization(X)),
        ),
        targets={"gitrepository": ("team", "src"), "kustomization": ("team", "app")},
        graph=GRAPH,
    )
    applied, fetched = replay(recording).outcomes
    assert [(round(at, 1), reason) for at, _, reason in told(fetched)] == [
        (1.0, "NOT_FETCHED"),
        (2.0, "ARTIFACT_AT_COMMIT"),
    ]
    assert [(round(at, 1), reason) for at, _, reason in told(applied)] == [
        (1.0, "NOT_ATTEMPTED"),
        (3.0, "FAILED_ONCE_ArtifactFailed"),
        (20.0, "SETTLING"),
        (30.0, "APPLIED"),
    ]
    assert fetched.target == "gitrepository/team/src"
    assert applied.target == "kustomization/team/app"


def test_a_request_is_answered_only_when_it_was_made_after_the_push():
    def seen(at, token, handled):
        over = {
            "metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}},
            "status": {"lastHandledReconcileAt": handled},
        }
        return watched("gitrepository", at, repository(P, over=over))

    recording = Recording(
        "flux",
        T0,
        (seen(0.5, "old", "old"), seen(2.0, "old", "old"), seen(3.0, "new", "old"), seen(4.0, "new", "new")),
        targets={"gitrepository": ("team", "src")},
        graph=GRAPH,
    )
    want = Want(X, 1.0, 5.0, on="source")
    refreshed = {moment.at: moment.refreshed for moment in scene.moments(recording, want, scene.KUBERNETES)}
    assert refreshed == {1.0: False, 2.0: False, 3.0: False, 4.0: True, 5.0: True}


def test_names_of_a_policy_are_read_old_and_new_and_nothing_else():
    recording = argo(wants=(Want(X, 0, 1),))
    given = {"settle_s": 3, "old_op_s": 7, "failed_passes": 4, "exact": True, "nudge": [1], "unknown": 1, "wedge": "x"}
    found = tolerance(recording, Want(X, 0, 1, policy=given))
    assert (found.settle, found.old_operation, found.failed_passes, found.exact) == (3, 7, 4, True)
    assert found.wedge == POLICY.wedge
    assert found.nudge == Tolerance().nudge


def test_moments_tick_every_second():
    recording = argo(watched("application", 0.5, app()), watched("application", 3.2, app()))
    found = [moment.at for moment in scene.moments(recording, Want(X, 1.0, 5.0), scene.KUBERNETES)]
    assert found == [1.0, 2.0, 3.0, 3.2, 4.0, 5.0]
