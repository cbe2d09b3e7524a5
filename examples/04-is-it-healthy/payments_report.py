"""Run a report only while the application is healthy, without changing anything.

The sensor looks at whatever commit the application shows; `revision=` asks for a certain commit or one after it, and
`revision="dag"` for the commit that this very Dag was parsed from (Dags and manifests in one repository, and a Dag
bundle that has versions, such as GitDagBundle).
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from loopseal.airflow import ApplicationHealthSensor


@task
def make_report(seen: dict[str, str]) -> str:
    """Whatever needs the application."""
    return f"reported against {seen['revision']}"


with DAG("payments_report", schedule=None, tags=["example"]):
    healthy = ApplicationHealthSensor(
        task_id="payments_is_healthy",
        target="payments-staging",
        timeout=timedelta(minutes=30),
        deferrable=True,
    )
    make_report(healthy.output)
