"""The cluster policy: what is refused while a Dag is parsed."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.exceptions import AirflowClusterPolicyViolation
from airflow.sdk import DAG, BaseOperator

from loopseal.airflow import policy
from loopseal.airflow.operators.act import FluxReconcileOperator
from loopseal.airflow.operators.change import GitOpsChangeOperator
from loopseal.airflow.sensors.health import ApplicationHealthSensor
from loopseal.domain.proposal import SetValue
from tests.unit.airflow.stage import VALUES, Stage


def change(target: Any = "plain", *, dag: str = "loop_x", tags: tuple[str, ...] = (), mapped: bool = False) -> Any:
    edits = [SetValue(VALUES, "image.tag", "v2")]
    with DAG(dag, schedule=None, tags=list(tags)):
        if mapped:
            return GitOpsChangeOperator.partial(task_id="t", target=target, reason="r").expand(edits=[edits, edits])
        return GitOpsChangeOperator(task_id="t", target=target, reason="r", edits=edits)


def refused(task: Any) -> str:
    with pytest.raises(AirflowClusterPolicyViolation) as violation:
        policy.task_policy(task)
    return str(violation.value)


@pytest.mark.parametrize("mapped", [False, True])
def test_a_declared_target_of_a_listed_dag_is_fine(stage: Stage, mapped: bool) -> None:
    policy.task_policy(change(mapped=mapped))


@pytest.mark.parametrize("mapped", [False, True])
def test_an_undeclared_target_names_the_near_one(stage: Stage, mapped: bool) -> None:
    told = refused(change("plane", mapped=mapped))
    assert told.startswith("loop_x.t: no target 'plane' is declared")
    assert "plain" in told.partition("is declared")[2]


def test_a_dag_must_be_listed(stage: Stage) -> None:
    assert "does not list Dag 'other'" in refused(change(dag="other"))


def test_every_operator_is_looked_at(stage: Stage) -> None:
    with DAG("loop_x", schedule=None):
        tasks = [
            ApplicationHealthSensor(task_id="look", target="nope"),
            FluxReconcileOperator(task_id="act", target="nope"),
        ]
    for task in tasks:
        assert "no target 'nope'" in refused(task)


def test_other_tasks_are_none_of_its_business(stage: Stage) -> None:
    with DAG("x", schedule=None):
        policy.task_policy(BaseOperator(task_id="other"))


def test_a_rendered_target_is_checked_when_it_runs(stage: Stage) -> None:
    policy.task_policy(change("{{ params.t }}"))


@pytest.mark.parametrize("tags", ["production", "x, production", "*"])
def test_where_it_is_demanded_targets_are_written_out(stage: Stage, monkeypatch: pytest.MonkeyPatch, tags: str) -> None:
    monkeypatch.setenv("AIRFLOW__LOOPSEAL__REQUIRE_TARGET_FOR", tags)
    told = refused(change("{{ params.t }}", tags=("production",)))
    assert "must be written out" in told
    policy.task_policy(change("plain", tags=("production",)))
    if tags != "*":
        policy.task_policy(change("{{ params.t }}", tags=("staging",)))


def test_labelled_targets_are_for_tagged_dags(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__LOOPSEAL__RESTRICT_LABELS", "tier = production, team=a")
    assert "only Dags tagged 'production'" in refused(change())
    policy.task_policy(change(tags=("production",)))
    policy.task_policy(change("good"))


def test_it_can_be_switched_off(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__LOOPSEAL__CHECK_TARGETS", "False")
    policy.task_policy(change("nope"))


def test_without_settings_nothing_is_checked(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.config.unlink()
    policy.task_policy(change("nope"))
    monkeypatch.delenv("AIRFLOW__LOOPSEAL__CONFIG")
    monkeypatch.delenv("LOOPSEAL_CONFIG", raising=False)
    policy.task_policy(change("nope"))


def test_settings_are_read_anew_when_they_change(stage: Stage) -> None:
    assert "no target" in refused(change("added"))
    target = {"repository": "platform", "paths": ["apps/**"], "dags": ["*"]}
    stage.rewrite({"targets": {"added": target}})
    policy.task_policy(change("added"))


def test_airflow_has_loaded_it(stage: Stage) -> None:
    from airflow import settings

    with pytest.raises(AirflowClusterPolicyViolation, match="no target 'plane'"):
        settings.task_policy(change("plane"))
