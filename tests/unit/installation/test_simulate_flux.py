"""The simulator held to what a real kustomize-controller did."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import yaml

from loopseal.installation.manifests import Key, Manifest
from loopseal.installation.simulate import Kustomization, Outcome, State, World, reconcile
from tests.unit.installation import lab

CASES = [json.loads(path.read_text()) for path in sorted((lab.RECORDED / "syncwaves/flux").glob("*.json"))]
READY = frozenset({"fx-dep-a"})
"""Of the Kustomizations that others depend on; `fx-stuck` never is."""
STEPS = {"build": "BuildFailed", "dry run": "ReconciliationFailed", "dependencies": "DependencyNotReady"}
each = pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])


def documents(files: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {
        path: found if isinstance(found, list) else list(yaml.safe_load_all(found)) for path, found in files.items()
    }


def played(case: dict[str, Any]) -> Outcome:
    spec = case["spec"]
    decryption = spec.get("decryption")
    kustomization = Kustomization(
        force=spec["force"],
        decrypts=decryption is not None,
        key=((decryption or {}).get("secretRef") or {}).get("name", ""),
        depends_on=tuple(one["name"] for one in spec.get("dependsOn", ())),
    )
    world = replace(
        lab.world({"options": {"namespace_exists": case["case"] != "fx-nons"}}),
        versions_gone=frozenset({"external-secrets.io/v1beta1"}),
    )
    for number, files in enumerate(case["commits"]):
        if case["case"] == "fx-es" and number == 1:  # somebody writes its status between the two
            world = replace(world, unready=frozenset({Key("ExternalSecret", "es")}))
        outcome = reconcile(documents(files), world, kustomization, READY)
        live = {Manifest(one).key: Manifest(one) for found in documents(files).values() for one in found}
        world = replace(world, live=live)
    return outcome


def test_the_corpus_is_there() -> None:
    assert len(CASES) == 26


@each
def test_whether_it_gets_ready(case: dict[str, Any]) -> None:
    outcome, [ready] = played(case), [one for one in case["result"]["conditions"] if one["type"] == "Ready"]
    assert (outcome.state is State.SUCCEEDED) == (ready["status"] == "True")
    if ready["status"] == "False":
        assert STEPS.get(outcome.where, "HealthCheckFailed") == ready["reason"]


@each
def test_what_is_applied(case: dict[str, Any]) -> None:
    made = {one["object"].rpartition("/")[2] for one in case["result"]["order"] if one["op"] == "create"}
    first = case if len(case["commits"]) == 1 else {**case, "commits": case["commits"][:1]}
    applied = {key.name for group in played(first).applied for key in group if key.kind not in UNRECORDED}
    assert applied == made


UNRECORDED = frozenset({"CustomResourceDefinition", "Pod"})


@pytest.mark.parametrize(("name", "object_"), [("fx-failjob", "Job/j"), ("fx-pvc", "PersistentVolumeClaim/p"), ("fx-susp", "Deployment/d")])  # fmt: skip
def test_what_it_waited_for_is_named(name: str, object_: str) -> None:
    case = next(one for one in CASES if one["case"] == name)
    assert [str(one.key) for one in played(case).blocked] == [object_]
    assert object_.replace("/", "/NS/") in case["result"]["conditions"][-1]["message"] or any(
        object_.replace("/", "/NS/") in one["message"] for one in case["result"]["conditions"]
    )


def test_the_corrected_chart_gets_ready_with_flux_too() -> None:
    manifests = [dict(one.body) for one in lab.chart("1.22.0-corrected")]
    world = World(exists=lab.secrets_of(lab.chart("1.22.0-corrected")))
    assert reconcile({"all.yaml": manifests}, world, Kustomization(), frozenset()).converges
