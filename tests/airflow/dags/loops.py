"""Dags of the whole loop; each run's `conf` says what is changed."""

from __future__ import annotations

from airflow.sdk import DAG, Asset, task

from loopseal.airflow import GitOpsChangeOperator, GitOpsRevertOperator, PutFile, SetValue, number

TAG = "{{ dag_run.conf['tag'] }}"
live = Asset("live-alpha", uri="x-gitops://alpha")


@task
def after(outcome: dict) -> str:
    return outcome["revision"]


with DAG("loop_change", schedule=None):
    change = GitOpsChangeOperator(
        task_id="change",
        target="alpha",
        edits=[
            SetValue("apps/alpha/values.yaml", "image.tag", TAG),
            SetValue("apps/alpha/values.yaml", "replicaCount", number("{{ dag_run.conf.get('replicas', 1) }}")),
        ],
        reason="model " + TAG + " passed",
        on_failure="revert",
        deferrable=True,
        outlets=[live],
    )
    after(change.output)
