"""Try a value for as long as some tasks take, then take it back, whether they went well or not.

The revert puts back key by key what the change replaced, and refuses when somebody wrote one of its keys since.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from loopseal.airflow import GitOpsChangeOperator, GitOpsRevertOperator, SetValue


@task
def load_test(change: dict[str, str]) -> str:
    """Whatever the value is tried for."""
    return f"tried {change['revision']}"


with DAG("payments_trial", schedule=None, params={"tag": Param("v8", type="string")}, tags=["example"]):
    trial = GitOpsChangeOperator(
        task_id="trial",
        target="payments-staging",
        edits=SetValue("apps/payments/values.yaml", "image.tag", "{{ params.tag }}"),
        reason="trial of {{ params.tag }}",
        deferrable=True,
    )
    take_back = GitOpsRevertOperator(
        task_id="take_back",
        target="payments-staging",
        change="{{ ti.xcom_pull('trial', key='change') }}",
        reason="the trial is over",
        trigger_rule="all_done",
        deferrable=True,
    )
    load_test(trial.output) >> take_back
