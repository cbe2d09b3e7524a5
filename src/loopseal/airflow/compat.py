"""What differs between Airflow 3.1, 3.2 and 3.3, in one place.

Each function says which version brought what it bridges. Nothing else in this room asks for Airflow's version.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

try:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSensorTimeout
except ImportError:  # they moved into the task SDK with 3.2
    from airflow.exceptions import (  # type: ignore[no-redef,attr-defined]  # another Airflow, the same names
        AirflowException,
        AirflowFailException,
        AirflowSensorTimeout,
    )

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

__all__ = [
    "AirflowException",
    "AirflowFailException",
    "AirflowSensorTimeout",
    "StateStore",
    "configuration",
    "determine_kwargs",
    "hold",
    "mask",
    "now",
    "state_store",
    "still_deferred",
    "triggers_hear_kills",
]


class StateStore(Protocol):
    """A task's own key-value store (3.3): survives retries, is kept with the Dag run."""

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default`."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Write the value."""
        ...


def state_store(context: Context | Mapping[str, Any]) -> StateStore | None:
    """The task's state store; None before 3.3."""
    store: StateStore | None = context.get("task_state_store")
    return store


def configuration() -> Any:
    """Airflow's configuration; the task SDK has its own since 3.2."""
    try:
        from airflow.sdk.configuration import conf
    except ImportError:
        from airflow.configuration import conf
    return conf


def determine_kwargs(function: Callable[..., Any], args: Collection[Any], context: Mapping[str, Any]) -> Any:
    """Those entries of the context that a decorated function asks for by name. Part of the task SDK since 3.2."""
    try:
        from airflow.sdk.bases.decorator import determine_kwargs as determine
    except ImportError:
        from airflow.utils.operator_helpers import determine_kwargs as determine  # type: ignore[attr-defined]  # of 3.1
    return determine(function, args, context)


async def mask(secret: str) -> None:
    """Keep this value out of all logs of the process and of its supervisor. `amask_secret` came with 3.2."""
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:
        from airflow.sdk.log import mask_secret

        mask_secret(secret)
    else:
        await amask_secret(secret)


def triggers_hear_kills() -> bool:
    """Whether Airflow calls `BaseTrigger.on_kill` (3.3)."""
    from airflow.triggers.base import BaseTrigger

    return hasattr(BaseTrigger, "on_kill")


async def still_deferred(task: Any) -> bool:
    """Whether the task of a trigger still waits for it: before 3.3 the only way to tell a kill from a restart."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from asgiref.sync import sync_to_async  # a plain thread cannot reach the triggerer's supervisor in 3.1

    index = task.map_index if task.map_index is not None else -1
    states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
        dag_id=task.dag_id, task_ids=[task.task_id], run_ids=[task.run_id], map_index=index
    )
    name = task.task_id if index < 0 else f"{task.task_id}_{index}"
    return str(states.get(task.run_id, {}).get(name)) == "deferred"


def now() -> datetime:
    """The time, where no world is open that has a clock."""
    return datetime.now(UTC)


def hold() -> float:
    """Seconds that a trigger waits before it fires, counted from its start.

    The executor notices the end of the deferring process up to `[workers] min_heartbeat_interval` late, and the
    scheduler hears of it a little later. When the task has been resumed by then, that news ("finished with success")
    makes Airflow fail the task that it has just resumed (seen in 3.3.2).
    """
    return float(configuration().getfloat("workers", "min_heartbeat_interval", fallback=5.0)) + 5.0
