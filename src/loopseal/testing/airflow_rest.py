"""Airflow's REST API (v2), as far as a demo or a test needs it: start a run, wait for it, look at its tasks.

May live here: single calls and waiting for what they answer. May not: processes (`airflow_stack`), Airflow itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

_FINISHED: Final = frozenset({"success", "failed"})
_OK: Final = range(200, 400)

T = TypeVar("T")


class StackError(RuntimeError):
    """Airflow did not answer as wanted, or did not get to where it was wanted."""


def await_until(
    probe: Callable[[], T | None], *, timeout: float, what: str, every: float = 0.25, alive: Callable[[], object] = list
) -> T:
    """What `probe` answers once it is neither None nor False; `alive` may raise in between. Raises StackError."""
    end = time.monotonic() + timeout
    while True:
        answer = probe()
        if answer is not None and answer is not False:
            return answer
        alive()
        if time.monotonic() > end:
            message = f"gave up after {timeout:.0f} s: {what}"
            raise StackError(message)
        time.sleep(every)


class AirflowRest:
    """A client of one Airflow, logged in as `admin`. `alive` is called between looks and may raise to give up early."""

    def __init__(self, port: int, alive: Callable[[], object] = list) -> None:
        self._port, self._alive, self._token = port, alive, ""

    def healthy(self) -> bool:
        """Whether Airflow says that all four of its processes are well."""
        try:
            told = self.call("GET", "/api/v2/monitor/health", token=False)
        except (OSError, HTTPException, StackError):
            return False
        return all(
            (told.get(name) or {}).get("status") == "healthy"
            for name in ("metadatabase", "scheduler", "triggerer", "dag_processor")
        )

    def call(
        self, method: str, path: str, body: object = None, *, token: bool = True, timeout: float = 60.0, **query: object
    ) -> Any:
        """One call of Airflow's REST API (v2); answers the parsed JSON. Raises StackError on a status above 399."""
        headers = {"content-type": "application/json"}
        if token:
            self._token = self._token or self._log_in()
            headers["authorization"] = f"Bearer {self._token}"
        where = path + ("?" + urlencode(query) if query else "")
        connection = HTTPConnection("127.0.0.1", self._port, timeout=timeout)
        try:
            connection.request(method, where, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        finally:
            connection.close()
        if answer.status >= 400:  # noqa: PLR2004 - the first status that says no
            message = f"{method} {path}: {answer.status} {text[:500]}"
            raise StackError(message)
        return json.loads(text) if text else None

    def _log_in(self) -> str:
        told = self.call("POST", "/auth/token", {"username": "admin", "password": "admin"}, token=False)
        return str(told["access_token"])

    def wait_for_dag(self, dag_id: str, timeout: float = 90.0) -> None:
        """Until the Dag is parsed; raises StackError with the import errors when it cannot be."""

        def known() -> bool:
            try:
                self.call("GET", f"/api/v2/dags/{dag_id}")
            except StackError:
                return False
            return True

        try:
            await_until(known, timeout=timeout, what=f"Dag {dag_id} is not there", alive=self._alive)
        except StackError as error:
            message = f"{error}\n{json.dumps(self.import_errors(), indent=1)}"
            raise StackError(message) from error

    def import_errors(self) -> Mapping[str, str]:
        """What Airflow could not parse, by file."""
        told = self.call("GET", "/api/v2/importErrors")
        return {one["filename"]: one["stack_trace"] for one in told["import_errors"]}

    def trigger(self, dag_id: str, conf: Mapping[str, object] | None = None, run_id: str | None = None) -> str:
        """Start a run of a Dag, whether paused or not, and answer its id."""
        self.wait_for_dag(dag_id)
        self.call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
        body: dict[str, object] = {"logical_date": None, "conf": conf or {}}
        if run_id is not None:
            body["dag_run_id"] = run_id
        return str(self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """The state of a run."""
        return str(self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}")["state"])

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float = 120.0) -> str:
        """Until the run has ended; answers `success` or `failed`."""

        def ended() -> str | None:
            state = self.run_state(dag_id, run_id)
            return state if state in _FINISHED else None

        return await_until(ended, timeout=timeout, what=f"run {run_id} of {dag_id}", alive=self._alive)

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """All task instances of a run, mapped ones each on their own."""
        told = self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances", limit=500)
        return list(told["task_instances"])

    def task(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """One task instance."""
        found = [
            one for one in self.tasks(dag_id, run_id) if one["task_id"] == task_id and one["map_index"] == map_index
        ]
        if not found:
            message = f"no task {task_id}[{map_index}] in {dag_id} {run_id}"
            raise StackError(message)
        return found[0]

    def wait_for_task(
        self, dag_id: str, run_id: str, task_id: str, *states: str, map_index: int = -1, timeout: float = 90.0
    ) -> dict[str, Any]:
        """Until the task instance is in one of these states."""

        def there() -> dict[str, Any] | None:
            task = self.task(dag_id, run_id, task_id, map_index)
            return task if task["state"] in states else None

        return await_until(there, timeout=timeout, what=f"{task_id} is not {states}", alive=self._alive)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """One XCom value, or None."""
        base = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        try:
            return self.call("GET", base, map_index=map_index, deserialize="false")["value"]
        except StackError:
            return None

    def state_store(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Mapping[str, Any]:
        """The task's state store (Airflow >= 3.3), by key."""
        base = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task_id}/state-store"
        told = self.call("GET", base, map_index=map_index)
        (entries,) = [value for value in told.values() if isinstance(value, list)]
        return {one["key"]: one["value"] for one in entries}

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str, map_index: int = -1) -> None:
        """What a person does with *Mark as failed* or *Mark as success*."""
        base = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task_id}"
        where = base if map_index < 0 else f"{base}/{map_index}"
        self.call("PATCH", where, {"new_state": state})

    def clear(self, dag_id: str, run_id: str, *task_ids: str) -> None:
        """What a person does with *Clear*: these tasks of the run start anew."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": list(task_ids),
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self.call("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)
