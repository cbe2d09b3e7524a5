"""Dags of the whole loop: what a user would write, with the targets of the tests."""

from __future__ import annotations

from airflow.sdk import DAG, Asset, task

from loopseal.airflow import (
    ApplicationHealthSensor,
    ArgoCDSyncOperator,
    GitOpsChangeOperator,
    GitOpsRevertOperator,
    PutFile,
    SetValue,
    number,
)

TAG = "{{ dag_run.conf['tag'] }}"
live = Asset("live-alpha", uri="x-gitops://alpha")


def tag_of(name: str, value: object = TAG) -> SetValue:
    return SetValue(f"apps/{name}/values.yaml", "image.tag", value)


@task
def after(outcome: dict) -> str:
    return outcome["revision"]


@task(trigger_rule="one_failed")
def saw_failure(ti=None) -> dict:
    return ti.xcom_pull(task_ids="change", key="failed")


with DAG("loop_change", schedule=None):
    change = GitOpsChangeOperator(
        task_id="change",
        target="alpha",
        edits=[
            tag_of("alpha"),
            SetValue("apps/alpha/values.yaml", "replicaCount", number("{{ dag_run.conf.get('replicas', 1) }}")),
        ],
        reason="model " + TAG + " passed\nSigned-off-by: nobody",
        deferrable=True,
        outlets=[live],
    )
    after(change.output)

with DAG("loop_failing", schedule=None):
    change = GitOpsChangeOperator(
        task_id="change",
        target="beta",
        edits=tag_of("beta"),
        reason="a rollout that fails",
        on_failure="revert",
        deferrable=True,
        retries=3,
    )
    change >> saw_failure()
    after(change.output)

with DAG("loop_worker", schedule=None):
    change = GitOpsChangeOperator(
        task_id="change",
        target="gamma",
        edits=tag_of("gamma"),
        reason="in a worker slot",
        deferrable=False,
    )
    after(change.output)
    change >> ApplicationHealthSensor(
        task_id="sees",
        target="gamma",
        revision="{{ ti.xcom_pull('change')['revision'] }}",
        poke_interval=2,
        deferrable=False,
        timeout=60,
    )

with DAG("loop_values", schedule=None):

    @task
    def a_value() -> str:
        return "from upstream"

    @task
    def whole_edits() -> list[dict]:
        return [{"type": "SetValue", "path": "plain/settings.yaml", "key": "key1", "value": 7}]

    @task.gitops_change(target="plain", reason="what a function says", wait=False, deferrable=True)
    def decorated(n: int):
        return [
            SetValue("plain/settings.yaml", "key2", n),
            SetValue("plain/settings.yaml", "key3", 1.5),
            SetValue("plain/settings.yaml", "key4", "{{ not.rendered }}"),
        ]

    upstream = GitOpsChangeOperator(
        task_id="upstream",
        target="plain",
        edits=[SetValue("plain/settings.yaml", "key0", a_value())],
        reason="a value from upstream",
        deferrable=True,
    )
    json_edits = GitOpsChangeOperator(
        task_id="json_edits", target="plain", edits=whole_edits(), reason="JSON from upstream", deferrable=True
    )
    decorated(41 + 1)

with DAG("loop_mapped", schedule=None):
    GitOpsChangeOperator.partial(
        task_id="change", target="wide", reason="one of many", deferrable=True, retries=0
    ).expand(edits=[[SetValue("apps/wide/values.yaml", f"key{n}", TAG)] for n in range(30)])

with DAG("loop_sync", schedule=None):
    change = GitOpsChangeOperator(
        task_id="change", target="manual", edits=tag_of("manual"), reason="then synced", wait=False, deferrable=True
    )
    sync = ArgoCDSyncOperator(
        task_id="sync", target="manual", revision="{{ ti.xcom_pull('change')['revision'] }}", deferrable=True
    )
    change >> sync
    sync >> ApplicationHealthSensor(task_id="healthy", target="manual", deferrable=True, timeout=60)

with DAG("loop_revert", schedule=None):
    change = GitOpsChangeOperator(
        task_id="change",
        target="plain",
        edits=[PutFile("plain/new.txt", "not for long {{ dag_run.conf['tag'] }}\n")],
        reason="put",
        deferrable=True,
    )
    change >> GitOpsRevertOperator(task_id="revert", target="plain", change=change.output, deferrable=True)

with DAG("loop_refused", schedule=None):
    GitOpsChangeOperator(
        task_id="missing_key",
        target="plain",
        edits=SetValue("plain/settings.yaml", "no.such.key", "x"),
        reason="cannot be done",
        deferrable=True,
        retries=3,
    )
    GitOpsChangeOperator(
        task_id="out_of_scope",
        target="plain",
        edits=SetValue("README.md", "x", "y"),
        reason="not allowed",
        retries=3,
    )
    GitOpsChangeOperator(
        task_id="unknown_target",
        target="{{ 'playn' }}",
        edits=SetValue("plain/settings.yaml", "key9", "x"),
        reason="a typing error",
        retries=3,
    )
    GitOpsChangeOperator(
        task_id="not_listed",
        target="{{ 'closed' }}",
        edits=SetValue("plain/settings.yaml", "key9", "x"),
        reason="somebody else's",
        retries=3,
    )
    ApplicationHealthSensor(task_id="no_bundle_version", target="gamma", revision="dag", retries=3, deferrable=True)
