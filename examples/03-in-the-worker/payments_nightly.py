"""The same without a triggerer: the worker commits and waits itself, and a retry goes on where it was killed.

The change id is the same on every try, and every commit carries it: killed between the push and the moment it learns of
it, the task finds its commit instead of making another.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from loopseal.airflow import GitOpsChangeOperator, SetValue

with DAG(
    "payments_nightly",
    schedule=None,
    params={"tag": Param("v3", type="string")},
    tags=["example"],
):
    GitOpsChangeOperator(
        task_id="switch_model",
        target="payments-staging",
        edits=[SetValue("apps/payments/values.yaml", "image.tag", "{{ params.tag }}")],
        reason="nightly model {{ params.tag }}",
        deferrable=False,
        retries=2,
        retry_delay=timedelta(seconds=1),
    )
