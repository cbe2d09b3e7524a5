"""A Dag that the cluster policy must refuse while it is parsed."""

from __future__ import annotations

from airflow.sdk import DAG

from loopseal.airflow import GitOpsChangeOperator, SetValue

with DAG("loop_broken", schedule=None):
    GitOpsChangeOperator(
        task_id="change", target="alfa", edits=SetValue("apps/alpha/values.yaml", "image.tag", "1"), reason="typo"
    )
