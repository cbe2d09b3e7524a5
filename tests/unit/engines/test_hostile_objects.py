"""Whatever JSON a peer sends, every judge answers: with a reason of the table, within bounds, and never with success.

Two kinds of input: any JSON at all, and real recorded objects of which one part was replaced by any JSON.
"""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopseal.domain.revision import State, Tolerance
from loopseal.engines import argocd_verdict, flux_verdict, kstatus, reasons
from tests.unit.engines.built_objects import SOURCE, X, app, ask, condition, failing, kustomization, release, repository

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
words = st.sampled_from(
    [
        "metadata",
        "spec",
        "status",
        "sync",
        "health",
        "conditions",
        "operationState",
        "revision",
        "type",
        "True",
        "Ready",
        X,
    ]
)
anything = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=8), inner, max_size=5),
    max_leaves=25,
)
objects = st.dictionaries(words | st.text(max_size=8), anything, max_size=6)
tolerances = st.builds(
    Tolerance,
    exact=st.booleans(),
    settle=st.just(0.0),
    strict_health=st.booleans(),
    accept_suspended=st.booleans(),
    failed_syncs=st.integers(0, 3),
    failed_passes=st.integers(-1, 3),
)
FULL = app(
    over={
        "operation": {"sync": {"revision": X}},
        "metadata": {"annotations": {"a": "b"}, "ownerReferences": [{"kind": "ApplicationSet", "name": "x"}]},
        "spec": {"sourceHydrator": {"drySource": {"repoURL": "x"}, "hydrateTo": {"targetBranch": "x"}}},
        "status": {
            "conditions": [{"type": "SyncError", "message": f"[{X}]"}],
            "resources": [{"kind": "Pod", "name": "x", "health": {"status": "Degraded"}}],
            "sourceHydrator": {
                "lastSuccessfulOperation": {"drySHA": X, "hydratedSHA": X},
                "currentOperation": {"phase": "Failed"},
            },
        },
    }
)
FLUX = [
    failing(X, message="timeout waiting for: [A/b/c status: 'Failed']"),
    kustomization(over={"status": {"inventory": {"entries": [{"id": "a_b_c_D"}]}}}),
    repository(),
    release([condition("Ready", "True")]),
]


def paths(value, so_far=()):
    """Every place in a JSON value."""
    yield so_far
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths(one, (*so_far, key))


def replaced(value, path, new):
    out = copy.deepcopy(value)
    if not path:
        return new if isinstance(new, dict) else {}
    place = out
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = new
    return out


def sane(said, memory):
    assert reasons.known(said.state, said.reason), said
    assert len(said.message) <= 2000
    assert len(said.resources) <= 50
    assert len(json.dumps(memory)) < 20_000
    return said


def look_argocd(obj, tolerance):
    memory: dict = {}
    argocd_verdict.judge(obj, X, (0, 1, 7), ask, 100.0, {}, tolerance)
    said = sane(
        argocd_verdict.judge(obj, X, (0,), ask, 100.0, memory, tolerance, baseline=(X,), refreshed=True), memory
    )
    found = argocd_verdict.preflight(obj, SOURCE, tolerance, windows=obj, can={})
    assert argocd_verdict.with_windows(said, obj).reason in {said.reason, "SYNC_WINDOW"}
    assert all(len(one.message) <= 1000 for one in found)
    assert all(len(one) in {40, 64} for one in argocd_verdict.revisions(obj))
    argocd_verdict.questions(obj, X, memory)
    argocd_verdict.positions(obj, SOURCE)
    return said


def look_flux(obj, tolerance):
    memory: dict = {}
    told = [
        flux_verdict.judge_source(obj, X, ask, tolerance, acknowledged=True),
        flux_verdict.judge_kustomization(obj, X, ask, 100.0, memory, tolerance, origin=obj),
        flux_verdict.judge_helm_release(obj, tolerance),
    ]
    for one in told:
        sane(one, memory)
    flux_verdict.preflight(obj, obj, SOURCE, tolerance)
    flux_verdict.revisions(obj)
    flux_verdict.questions(obj, X, memory)
    flux_verdict.inventory(obj)
    flux_verdict.acknowledged(obj, "t")
    return told


@given(objects, tolerances)
def test_any_json_for_argo_cd(obj, tolerance):
    assert look_argocd(obj, tolerance).state is not State.SUCCEEDED


@given(objects, tolerances)
def test_any_json_for_flux(obj, tolerance):
    assert [one.state for one in look_flux(obj, tolerance) if one.state is State.SUCCEEDED] == []


@given(objects, tolerances)
def test_any_json_as_memory(memory, tolerance):
    argocd_verdict.judge(app(), X, (0,), ask, 100.0, dict(memory), tolerance)
    flux_verdict.judge_kustomization(failing(X), X, ask, 100.0, dict(memory), tolerance)


@settings(max_examples=300)
@given(st.sampled_from(list(paths(FULL))), anything, tolerances)
def test_one_part_of_an_application_is_anything(path, new, tolerance):
    obj = replaced(FULL, path, new)
    look_argocd(obj, tolerance)
    obj.pop("operation", None)
    for section, part in (("spec", "sourceHydrator"), ("status", "conditions")):  # what decides before the rest
        if isinstance(obj.get(section), dict):
            obj[section].pop(part, None)
    look_argocd(obj, tolerance)


@settings(max_examples=300)
@given(st.data(), st.sampled_from(FLUX), anything, tolerances)
def test_one_part_of_an_object_of_flux_is_anything(data, whole, new, tolerance):
    path = data.draw(st.sampled_from(list(paths(whole))))
    look_flux(replaced(whole, path, new), tolerance)


@given(
    objects,
    st.sampled_from(["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job", "Service", "Widget"]),
)
def test_any_json_has_a_status(obj, kind):
    for group in ("apps/v1", "v1", "batch/v1", 7):
        said = kstatus.status({**obj, "apiVersion": group, "kind": kind})
        assert said.status in {
            kstatus.CURRENT,
            kstatus.IN_PROGRESS,
            kstatus.FAILED,
            kstatus.TERMINATING,
            kstatus.UNKNOWN,
        }


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_message_names_a_bounded_number_of_resources(one, other):
    message = f"{one} timeout waiting for: [{other} status: 'Failed'"
    assert len(flux_verdict.bad_resources(message)) <= 50
    flux_verdict.sha_of(one)


@pytest.mark.parametrize("many", [60, 6_000, 20_000])
def test_huge_lists_are_cut(many):
    rows = [{"kind": "Pod", "name": f"p{number}", "health": {"status": "Degraded"}} for number in range(many)]
    said = look_argocd(app(over={"status": {"resources": rows, "health": {"status": "Degraded"}}}), Tolerance())
    assert len(said.resources) == 50
    entries = [{"id": f"ns_p{number}__Pod"} for number in range(many)]
    assert len(flux_verdict.inventory(kustomization(over={"status": {"inventory": {"entries": entries}}}))) <= 5_000


def test_deep_nesting_is_no_recursion():
    deep: dict = {}
    for _ in range(5_000):
        deep = {"status": deep, "spec": deep}
    assert look_argocd(deep, Tolerance()).state is State.PENDING
    assert (
        look_argocd(app(over={"metadata": {"labels": 1}}) | {"spec": {"source": deep}}, Tolerance()).state
        is State.PENDING
    )


def test_sources_that_are_nested_without_end_are_not_the_same():
    def nested():
        deep: dict = {}
        for _ in range(100_000):
            deep = {"x": deep}
        return deep

    obj = app()
    obj["spec"]["source"], obj["status"]["sync"]["comparedTo"]["source"] = nested(), nested()
    said = argocd_verdict.judge(obj, X, (0,), ask, 100.0, {}, Tolerance())
    assert said.reason == "SPEC_NOT_COMPARED"
