"""Thirty changes of one file, each a task of its own."""

from __future__ import annotations

from airflow.sdk import DAG

from loopseal.airflow import GitOpsChangeOperator, SetValue

TAG = "{{ dag_run.conf['tag'] }}"

with DAG("thirty", schedule=None):
    GitOpsChangeOperator.partial(
        task_id="change", target="wide", reason="one of thirty", deferrable=True, retries=0
    ).expand(edits=[[SetValue("apps/wide/settings.yaml", f"data.key{n}", TAG)] for n in range(30)])
