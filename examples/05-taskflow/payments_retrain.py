"""The TaskFlow form: what a function returns becomes the change, and its values keep their types.

Nothing that the function returns is rendered as a template, so it may hold braces. Outside of a function a template
renders to text; `number` and `boolean` say that another kind of value is meant.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, task

from loopseal.airflow import GitOpsChangeOperator, SetValue, number

VALUES = "apps/payments/values.yaml"


@task
def train() -> dict[str, Any]:
    """A model, and how many replicas it needs."""
    return {"tag": "v7", "replicas": 2}


@task.gitops_change(
    target="payments-staging", reason="retrained in run {{ run_id }}", on_failure="revert", deferrable=True
)
def deploy(model: dict[str, Any]) -> list[SetValue]:
    """One commit for both keys."""
    return [
        SetValue(VALUES, "image.tag", model["tag"]),
        SetValue(VALUES, "replicaCount", model["replicas"]),
    ]


with DAG("payments_retrain", schedule=None, params={"replicas": Param(1, type="integer")}, tags=["example"]):
    scale_down = GitOpsChangeOperator(
        task_id="scale_down",
        target="payments-staging",
        edits=SetValue(VALUES, "replicaCount", number("{{ params.replicas }}")),
        reason="the load test is over",
        deferrable=True,
    )
    deploy(train()) >> scale_down
