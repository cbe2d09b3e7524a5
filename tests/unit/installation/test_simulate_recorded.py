"""The simulator held to what a real Argo CD did: phase, convergence, order of creation, and what it waited for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from loopseal.installation.manifests import Key, Manifest
from loopseal.installation.simulate import Outcome, State, sync
from loopseal.installation.simulate.annotations import hooks
from tests.unit.installation import lab

CASES = list(lab.cases())
each = pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
_WAITED = re.compile(
    r"of (?:hook )?(?P<group>\S*?)/(?P<kind>\w+)/(?P<name>[\w.-]+)(?: and (?P<more>\d+) more resources)?$"
)


def played(case: dict[str, Any]) -> Outcome:
    return sync([Manifest(one) for one in case["objects"]], lab.world(case), lab.options(case))


def test_the_corpus_is_there() -> None:
    assert len(CASES) == 111
    assert {case["result"]["phase"] for case in CASES} == {"Succeeded", "Failed", "Running"}


@each
def test_phase_and_convergence(case: dict[str, Any]) -> None:
    outcome = played(case)
    assert (outcome.state, outcome.converges) == (case["result"]["phase"], case["result"]["converged"])


@each
def test_order_of_creation(case: dict[str, Any]) -> None:
    """Group by group; within one the order is not defined."""
    wanted = [{key for key in group if created(case, key)} for group in played(case).applied]
    for key in dict.fromkeys(recorded(case)):
        while not wanted[0]:
            del wanted[0]
        assert key in wanted[0]
        for group in wanted:  # a hook of two phases is made twice, and compared once
            group.discard(key)
    assert not any(wanted)


def created(case: dict[str, Any], key: Key) -> bool:
    """Whether it is made and recorded: Pods never are, and what was there before only when it is a hook."""
    there = {(one["kind"], one["metadata"]["name"]) for one in case.get("before", ())}
    hook = any(hooks(one) is not None for one in map(Manifest, case["objects"]) if one.key == key)
    return key.kind != "Pod" and (hook or key not in there)


def recorded(case: dict[str, Any]) -> Iterator[Key]:
    """What the real one created, in order, without what controllers made of it (claims of a StatefulSet)."""
    kinds = {"externalsecrets": "ExternalSecret", "things": "Thing", "widgets": "Widget"}  # recorded by their plural
    declared = {manifest.key for manifest in map(Manifest, case["objects"])} | {Key("Namespace", "NS")}
    for one in case["result"]["order"]:
        name = re.sub(r"^(gen-)[\w-]+$", r"\1", one["name"])  # of generateName, without what the API server adds
        key = Key(kinds.get(one["kind"], one["kind"]), name)
        if one["op"] == "create" and key in declared:
            yield key


@pytest.mark.parametrize(
    "case", [one for one in CASES if one["result"]["phase"] == "Running"], ids=lambda one: one["case"]
)
def test_what_it_waits_for_is_what_the_real_one_named(case: dict[str, Any]) -> None:
    outcome = played(case)
    told = _WAITED.search(case["result"]["message"])
    assert told is not None
    assert (told["kind"], told["name"]) in {one.key for one in outcome.blocked}
    assert len(outcome.blocked) == 1 + int(told["more"] or 0)


SECOND = [(case, step) for case in CASES for step in case.get("then", ()) if "objs" in step]


def test_there_are_second_commits() -> None:
    assert len(SECOND) == 25


@pytest.mark.parametrize(("case", "step"), SECOND, ids=[case["case"] for case, _ in SECOND])
def test_what_a_second_commit_comes_to(case: dict[str, Any], step: dict[str, Any]) -> None:
    outcome = lab.second(case, step, played(case))
    assert (outcome.state, outcome.converges) == (step["result"]["phase"], step["result"]["converged"])


def test_why_the_api_server_does_not_take_a_change_is_told() -> None:
    case = next(one for one in CASES if one["case"] == "job-immutable")
    [refused] = lab.second(case, case["then"][0], played(case)).refused
    assert (str(refused.key), refused.needs) == ("Job/j", ("spec.template: field is immutable",))


@pytest.mark.parametrize("version", ["1.21.0", "1.22.0"])
def test_the_official_chart_deadlocks_with_copied_values_and_by_default_and_not_when_corrected(version: str) -> None:
    post, defaults, corrected = (lab.chart(f"{version}-{name}") for name in ("post", "defaults", "corrected"))
    for manifests in (post, defaults):
        outcome = sync(manifests, lab.World(exists=lab.secrets_of(manifests)), lab.Options())
        assert outcome.state is State.RUNNING
        assert {need for one in outcome.blocked for need in one.needs} == {"Job/run-airflow-migrations done"}
        assert "Job/airflow-run-airflow-migrations" in map(str, outcome.never)
    # what the real one said ten minutes later: `waiting for healthy state of apps/StatefulSet/airflow-triggerer and 2 more`
    blocked = {str(one.key) for one in sync(post, lab.World(exists=lab.secrets_of(post)), lab.Options()).blocked}
    assert blocked == {"StatefulSet/airflow-triggerer", "StatefulSet/airflow-worker", "Job/airflow-create-user"}
    assert sync(corrected, lab.World(exists=lab.secrets_of(corrected)), lab.Options()).converges
