"""Deploy a model, and run the smoke tests only when exactly that model is live and healthy.

If the rollout degrades, the task fails with the evidence and the old tag is put back.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from loopseal.airflow import GitOpsChangeOperator, SetValue


@task
def run_smoke_tests(deployed: dict[str, str]) -> str:
    """Whatever should only run against the deployed revision."""
    return f"tested {deployed['revision']}"


with DAG(
    "payments_deploy",
    schedule=None,
    params={"tag": Param("v2", type="string")},
    tags=["example"],
):
    deploy = GitOpsChangeOperator(
        task_id="deploy_model",
        target="payments-staging",
        edits=[SetValue("apps/payments/values.yaml", "image.tag", "{{ params.tag }}")],
        reason="model {{ params.tag }} passed evaluation",
        on_failure="revert",
        deferrable=True,
    )
    run_smoke_tests(deploy.output)
