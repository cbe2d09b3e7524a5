"""Twenty tasks change adjacent keys of one file at once: a few pushes, nothing lost, no conflict.

Deferred tasks commit in the triggerer, where all that waits during one push becomes the next push.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from loopseal.airflow import GitOpsChangeOperator, SetValue

MODELS = [f"model-{number:02}" for number in range(20)]

with DAG(
    "payments_thresholds",
    schedule=None,
    params={"threshold": Param("0.75", type="string")},
    tags=["example"],
):
    GitOpsChangeOperator.partial(
        task_id="set_threshold",
        target="payments-thresholds",
        reason="threshold {{ params.threshold }} from the nightly calibration",
        deferrable=True,
    ).expand(
        edits=[
            [SetValue("apps/thresholds/values.yaml", f"thresholds.{model}", "{{ params.threshold }}")]
            for model in MODELS
        ]
    )
