"""A real Airflow on this machine: its four processes on SQLite and loopback ports, started and ended one by one.

May live here: starting, watching and ending Airflow's own processes.
May not: Airflow itself (it is never imported here), its REST API (`airflow_rest`), Dags, engines, Git.

Every process leads a session of its own, so that ending it ends whatever it has forked; nothing else is ever touched.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from loopseal.testing.airflow_rest import AirflowRest, StackError, await_until

COMPONENTS: Final = ("api-server", "scheduler", "dag-processor", "triggerer")
"""The processes of an Airflow with the LocalExecutor, in the order in which they are started."""

_ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {"api-server": ("--workers", "1")}


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now."""
    holders = [socket.socket() for _ in range(count)]
    try:
        for holder in holders:
            holder.bind(("127.0.0.1", 0))
        return [holder.getsockname()[1] for holder in holders]
    finally:
        for holder in holders:
            holder.close()


@dataclass
class AirflowStack:
    """One Airflow in `home` over the Dag files in `dags`. A context manager: leaving it ends every process.

    `env` is added to (and wins over) the environment of all processes. Nothing of the caller's own Airflow is read:
    variables that begin with AIRFLOW are dropped.
    """

    home: Path
    dags: Path
    env: Mapping[str, str] = field(default_factory=dict)
    python: str = sys.executable
    parallelism: int = 4

    def __post_init__(self) -> None:
        self.port, self._worker_log_port, self._trigger_log_port = free_ports(3)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.home.mkdir(parents=True, exist_ok=True)
        self._environment = self._make_environment()
        self.rest = AirflowRest(self.port, self._assert_alive)

    @property
    def url(self) -> str:
        """Where people look at it; user and password are both `admin`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> Mapping[str, str]:
        """The whole environment that Airflow's processes get."""
        return dict(self._environment)

    def __enter__(self) -> Self:
        try:
            self.migrate()
            self.start()
            self.wait_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- processes -----------------------------------------------------------------------------------------------

    def migrate(self) -> None:
        """Make the database."""
        done = self.run("db", "migrate")
        if done.returncode:
            raise StackError(done.stdout[-4000:])

    def run(self, *arguments: str, timeout: float = 180.0) -> subprocess.CompletedProcess[str]:
        """One command of Airflow, to its end."""
        return subprocess.run(  # noqa: S603 - our own interpreter
            [self.python, "-m", "airflow", *arguments],
            env=self._environment,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *components: str) -> None:
        """Start these processes (default: all) unless they run."""
        for component in components or COMPONENTS:
            if component in self._running:
                continue
            arguments = _ARGUMENTS.get(component, ())
            port = ("--port", str(self.port)) if component == "api-server" else ()
            with self.log_of(component).open("ab") as log:
                self._running[component] = subprocess.Popen(  # noqa: S603 - our own interpreter
                    [self.python, "-m", "airflow", component, *arguments, *port],
                    env=self._environment,
                    cwd=self.home,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )

    def stop(self, *components: str, timeout: float = 15.0) -> None:
        """End these processes (default: all) and what they forked: first politely, then not."""
        chosen = [one for one in reversed(COMPONENTS) if one in self._running and (not components or one in components)]
        processes = [self._running.pop(component) for component in chosen]
        for process in processes:
            _signal_group(process.pid, signal.SIGTERM)
        end = time.monotonic() + timeout
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - time.monotonic()))
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()

    def kill(self, component: str) -> None:
        """SIGKILL one process and all it forked: a machine that goes away."""
        process = self._running.pop(component)
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()

    def pids(self, component: str) -> list[int]:
        """Every process of one component's session, from /proc (Linux): itself and all that it forked."""
        leader = self._running[component].pid
        return [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit() and _session(one) == leader]

    def log_of(self, component: str) -> Path:
        """Where a process writes."""
        return self.home / f"{component}.log"

    def tail(self, lines: int = 30) -> str:
        """The end of every process's log."""
        parts = []
        for component in COMPONENTS:
            log = self.log_of(component)
            text = log.read_text("utf-8", "replace").splitlines()[-lines:] if log.exists() else []
            parts.append("\n".join([f"--- {component}", *text]))
        return "\n".join(parts)

    def task_logs(self, dag_id: str = "") -> str:
        """All task logs on disk (of one Dag), the triggers' included."""
        files = sorted((self.home / "logs").rglob("*.log*"))
        return "\n".join(
            one.read_text("utf-8", "replace") for one in files if one.is_file() and f"dag_id={dag_id}" in str(one)
        )

    def _assert_alive(self) -> None:
        for component, process in self._running.items():
            if process.poll() is not None:
                message = f"{component} ended with {process.returncode}\n{self.tail()}"
                raise StackError(message)

    def wait_healthy(self, timeout: float = 180.0) -> None:
        """Until Airflow itself says that all four are well."""
        try:
            await_until(self.rest.healthy, timeout=timeout, what="Airflow is not healthy", alive=self._assert_alive)
        except StackError as error:
            message = f"{error}\n{self.tail()}"
            raise StackError(message) from error

    # --- environment ---------------------------------------------------------------------------------------------

    def _make_environment(self) -> dict[str, str]:
        passwords = self.home / "passwords.json"
        passwords.write_text('{"admin": "admin"}')
        bundle = {
            "name": "dags",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(self.dags), "refresh_interval": 2},
        }
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AIRFLOW") and name not in {"PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV"}
        }
        own = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__FERNET_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": str(self.parallelism),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.home / "logs"),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(self._trigger_log_port),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self._worker_log_port),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            # A finished task leg is noticed within a second instead of five (see the guide, "Operating it").
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        }
        return {**inherited, **own, **self.env}


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def _session(process: Path) -> int:
    """The session of a process; 0 when it has ended meanwhile (proc(5), field 6 of `stat`)."""
    try:
        return int((process / "stat").read_text("ascii", "replace").rpartition(")")[2].split()[3])
    except OSError:
        return 0
