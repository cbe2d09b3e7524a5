"""Who a task is, and what its change is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from loopseal.airflow import config
from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import change_id

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context


def actor(context: Context | Mapping[str, Any]) -> Actor:
    """The task, at this Airflow, on behalf of whoever triggered the run (a record, not a right)."""
    issuer, ti = config.instance(), context["ti"]
    user = getattr(context.get("dag_run"), "triggering_user_name", None)
    person = Actor(str(user), issuer, ActorKind.PERSON) if user else None
    return Actor(f"{ti.dag_id}/{ti.task_id}", issuer, ActorKind.DAG, person)


def labels(context: Context | Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Where the change comes from, for the commit's trailers."""
    ti = context["ti"]
    named = {
        "Dag": ti.dag_id,
        "Run": ti.run_id,
        "Task": ti.task_id,
        "Map-Index": str(ti.map_index) if is_mapped(ti) else "",
        "Try": str(ti.try_number),
        "Bundle-Version": bundle_version(ti),
    }
    return tuple((name, value) for name, value in named.items() if value)


def is_mapped(ti: Any) -> bool:
    """Whether this is one of many instances of its task."""
    return ti.map_index is not None and ti.map_index >= 0


def bundle_version(ti: Any) -> str:
    """The commit that this run's Dag was parsed from; empty where the bundle has no versions.

    Only the running task knows it for sure: what the REST API reports of a run may be rewritten later.
    """
    return str(getattr(getattr(ti, "bundle_instance", None), "version", None) or "")


def name_change(ti: Any, target: str, generation: str) -> str:
    """The id of this task's change: the same on every try of one generation, on every machine."""
    return change_id(config.instance(), ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index), target, generation)


def generation(ti: Any) -> str:
    """What stays the same from one try to the next and changes when the task is cleared.

    Airflow sets `max_tries` when a task instance is made, leaves it alone on a retry, and on a clear raises it to the
    number of tries so far plus the retries of the task (`clear_task_instances`, 3.1 to 3.3).
    """
    return str(ti.max_tries)
