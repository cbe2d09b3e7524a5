"""What a task sees of Airflow, made by hand: context, state store, XCom; and the legs of a task, run one by one."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.sdk import DAG

try:
    from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
    from airflow.sdk.module_loading import import_string
except ImportError:  # Airflow 3.1
    from airflow.exceptions import AirflowSkipException, TaskDeferred
    from airflow.utils.module_loading import import_string
try:
    from airflow.sdk.serde import deserialize, serialize
except ImportError:  # Airflow 3.1
    from airflow.serialization.serde import deserialize, serialize

__all__ = ["AirflowSkipException", "TaskDeferred"]

VALUES = "apps/values.yaml"


def settings_of(bare: Path) -> dict[str, Any]:
    """Four engines' worth of targets; the engine is `scripted.Engine`."""

    def target(*names: str, **more: Any) -> dict[str, Any]:
        named = [{"engine": "argo", "name": name} for name in names]
        return {
            "repository": "platform",
            "paths": ["apps/**"],
            "applications": named,
            "dags": ["loop_*"],
            "wait": {"settle": "0s"},
            **more,
        }

    return {
        "repositories": {"platform": {"url": f"file://{bare}", "author": "bot <bot@example.test>"}},
        "engines": {"argo": {"kind": "tests.unit.airflow.scripted", "url": "https://engine.test"}},
        "targets": {
            "good": target("good"),
            "bad": target("bad"),
            "gone": target("gone"),
            "deaf": target("deaf"),
            "late": target("late"),
            "empty": target("empty"),
            "two": target("good", "bad"),
            "plain": target(labels={"tier": "production"}),
            "synced": target("good", sync=True),
        },
    }


class Store:
    """A task state store: JSON in, JSON out."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any) -> None:
        self.values[key] = json.dumps(value)


class Outlets:
    """The events of a task's outlets, by asset."""

    def __init__(self) -> None:
        self.events: dict[str, Any] = {}

    def __getitem__(self, asset: Any) -> Any:
        return self.events.setdefault(asset.name, SimpleNamespace(extra={"mine": 1}))


@dataclass
class Try:
    """One try of one task instance."""

    store: Store | None = field(default_factory=Store)
    number: int = 1
    max_tries: int = 1
    map_index: int = -1
    user: str | None = "ada"
    bundle_version: str | None = None
    xcoms: dict[str, Any] = field(default_factory=dict)
    outlets: Outlets = field(default_factory=Outlets)

    def context(self, task: Any) -> Any:
        ti = SimpleNamespace(
            dag_id="loop_test",
            run_id="manual__1",
            task_id=task.task_id,
            map_index=self.map_index,
            try_number=self.number,
            max_tries=self.max_tries,
            xcom_push=lambda key, value: self.xcoms.__setitem__(key, json.loads(json.dumps(value))),
        )
        if self.bundle_version is not None:
            ti.bundle_instance = SimpleNamespace(version=self.bundle_version)
        made = {
            "ti": ti,
            "task": task,
            "dag_run": SimpleNamespace(triggering_user_name=self.user),
            "outlet_events": self.outlets,
        }
        if self.store is not None:
            made["task_state_store"] = self.store
        ti.get_template_context = lambda: made
        return made


def in_dag(make: Any, **dag: Any) -> Any:
    """The task that `make` makes, within a Dag."""
    with DAG("loop_test", schedule=None, **dag):
        return make()


def execute(task: Any, one: Try) -> Any:
    return task.execute(one.context(task))


def defer(task: Any, one: Try) -> TaskDeferred:
    """The first leg of a task that defers."""
    try:
        execute(task, one)
    except TaskDeferred as deferred:
        return deferred
    message = "it did not defer"
    raise AssertionError(message)


def revived(trigger: Any, **changed: Any) -> Any:
    """The trigger as the triggerer makes it from what was stored."""
    path, kwargs = trigger.serialize()
    stored = json.loads(json.dumps(serialize(kwargs)))
    return import_string(path)(**{**deserialize(stored), "hold": 0.0, **changed})


def event_of(trigger: Any) -> Any:
    """The payload of the trigger's one event."""

    async def run() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    (payload,) = asyncio.run(run())
    return json.loads(json.dumps(payload))


def resume(task: Any, one: Try, deferred: TaskDeferred, payload: Any) -> Any:
    kwargs = {**(deferred.kwargs or {}), "event": payload}
    return task.resume_execution(deferred.method_name, kwargs, one.context(task))


def whole(task: Any, one: Try) -> Any:
    """All legs of a deferrable task."""
    deferred = defer(task, one)
    return resume(task, one, deferred, event_of(revived(deferred.trigger)))


@dataclass
class Stage:
    bare: Path
    config: Path

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(self.bare), *arguments], check=True, capture_output=True, text=True)
        return done.stdout

    def text(self, path: str = VALUES) -> str:
        return self.git("show", f"main:{path}")

    def commits_of(self, change: str) -> list[str]:
        return self.git("log", "--format=%H", f"--grep=^Loopseal-Change: {change}$", "main").split()

    def commits(self) -> int:
        return int(self.git("rev-list", "--count", "main"))

    def rewrite(self, change: Mapping[str, Any]) -> None:
        """Change the settings file."""
        self.config.write_text(json.dumps({**json.loads(self.config.read_text()), **change}))
