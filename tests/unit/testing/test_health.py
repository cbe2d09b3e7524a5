from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.testing import objects
from loopseal.testing.health import ORDER, argo, kstatus, worst


def deployment(**status: Any) -> dict[str, Any]:
    item = objects.deployment("web", "x:v1", replicas=2)
    item["metadata"]["generation"] = 3
    return {**item, "status": {"observedGeneration": 3, **status}}


DEADLINE = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]


@pytest.mark.parametrize(
    ("status", "wanted", "words"),
    [
        ({"observedGeneration": 2}, "Progressing", "observed deployment generation"),
        ({"conditions": DEADLINE}, "Degraded", "exceeded its progress deadline"),
        ({"updatedReplicas": 1}, "Progressing", "1 out of 2 new replicas"),
        ({"updatedReplicas": 2, "replicas": 3}, "Progressing", "1 old replicas are pending"),
        ({"updatedReplicas": 2, "replicas": 2, "availableReplicas": 1}, "Progressing", "1 of 2 updated replicas"),
        ({"updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}, "Healthy", ""),
    ],
)
def test_deployments(status: dict[str, Any], wanted: str, words: str) -> None:
    told = argo(deployment(**status))
    assert told is not None
    assert told[0] == wanted
    assert words in told[1]
    assert kstatus(deployment(**status)) == {"Healthy": "Current", "Degraded": "Failed"}.get(wanted, "InProgress")


@pytest.mark.parametrize(("kind", "wanted"), [("Failed", "Degraded"), ("Complete", "Healthy"), ("", "Progressing")])
def test_jobs(kind: str, wanted: str) -> None:
    item = objects.job("migrate", "x:v1")
    item["status"] = {"conditions": [{"type": kind, "status": "True", "message": "m"}]} if kind else {"active": 1}
    told = argo(item)
    assert told is not None
    assert told[0] == wanted


def test_what_is_missing_or_has_no_health() -> None:
    assert argo(None) == ("Missing", "")
    assert argo(objects.config_map("a")) is None
    assert kstatus(None) == "NotFound"
    assert kstatus({**objects.config_map("a"), "metadata": {"name": "a", "deletionTimestamp": "t"}}) == "Terminating"
    pod = {"kind": "Pod", "metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert argo(pod) == ("Healthy", "")
    assert argo({"kind": "Pod", "metadata": {}}) == ("Progressing", "")


@pytest.mark.parametrize(
    ("generation", "conditions", "wanted"),
    [
        (1, {}, "Current"),
        (1, {"Ready": "True"}, "Current"),
        (1, {"Ready": "False"}, "InProgress"),
        (1, {"Ready": "False", "Reconciling": "True"}, "InProgress"),
        (1, {"Ready": "False", "Stalled": "True"}, "Failed"),
        (2, {"Ready": "True"}, "InProgress"),
    ],
)
def test_kstatus_of_what_has_conditions(generation: int, conditions: dict[str, str], wanted: str) -> None:
    told = [{"type": kind, "status": status} for kind, status in conditions.items()]
    item = {"kind": "Kustomization", "metadata": {"generation": generation}}
    assert kstatus({**item, "status": {"observedGeneration": 1, "conditions": told}}) == wanted


@given(st.lists(st.sampled_from(ORDER)))
def test_the_worst_health_decides(healths: list[str]) -> None:
    assert worst(healths) == max(healths, key=ORDER.index, default="Healthy")
