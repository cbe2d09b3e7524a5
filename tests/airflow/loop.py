"""Everything between a Dag and a healthy application, and the settings that join it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopseal.testing.airflow_rest import AirflowRest, await_until
from loopseal.testing.airflow_stack import AirflowStack
from tests.airflow.peers import Peers

HERE = Path(__file__).parent
EXAMPLES = [
    next((HERE.parents[1] / "examples" / folder).glob("*.py"))
    for folder in ("04-is-it-healthy", "05-taskflow", "06-take-it-back")
]
"""Those that the demo does not play."""


@dataclass
class Loop:
    """Everything between a Dag and a healthy application."""

    stack: AirflowStack
    peers: Peers

    @property
    def rest(self) -> AirflowRest:
        return self.stack.rest

    def run(self, dag_id: str, *, timeout: float = 120, **conf: object) -> tuple[str, str]:
        """A run to its end: its id and state."""
        run_id = self.rest.trigger(dag_id, conf)
        return run_id, self.rest.wait_for_run(dag_id, run_id, timeout)

    def states(self, dag_id: str, run_id: str) -> Mapping[str, str]:
        return {task["task_id"]: task["state"] for task in self.rest.tasks(dag_id, run_id)}

    def kept(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Any:
        return self.rest.state_store(dag_id, run_id, task_id, map_index).get("loopseal")

    def await_commit(self, change: str, timeout: float = 60) -> str:
        def landed() -> str | None:
            return next(iter(self.peers.commits_of(change)), None)

        return await_until(landed, timeout=timeout, what=f"change {change} has not landed", every=0.05)


def settings_of(one: Peers, home: Path) -> dict[str, Any]:
    """A settings file for these peers: JSON is YAML."""
    quick = {"settle": "0.5s", "degraded_grace": "1s", "error_grace": "5s", "nudge": [0.5, 1.0]}

    def target(paths: str, *applications: str, **more: Any) -> dict[str, Any]:
        named = [{"engine": "argo", "name": name} for name in applications]
        return {"repository": "platform", "paths": [paths], "applications": named, "dags": ["loop_*"], **more}

    def waited(name: str, **more: Any) -> dict[str, Any]:
        return target(f"apps/{name}/**", name, **{"timeout": "90s", "wait": quick, **more})

    return {
        "repositories": {
            "platform": {
                "url": one.repository,
                "credential": "connection:git_platform",
                "sign": {"ssh": f"file:{one.key}", "passphrase": "env:PLANTED_PASSPHRASE"},
                "author": "loopseal <bot@example.test>",
            }
        },
        "engines": {"argo": {"kind": "argocd", "url": one.argocd_url, "credential": "connection:argocd"}},
        "targets": {
            "alpha": waited("alpha"),
            "beta": waited("beta"),
            "gamma": waited("gamma"),
            "wide": waited("wide", timeout="240s", labels={"tier": "production"}),
            "manual": waited("manual", sync=True),
            "payments-staging": waited("payments", dags=["payments_*"]),
            "plain": target("plain/**"),
            "closed": {**target("plain/**"), "dags": ["somebody_else"]},
        },
    }


def environment(one: Peers, home: Path) -> dict[str, str]:
    """What Airflow needs to know of the peers; secrets only where they belong."""
    settings = home / "loopseal.yaml"
    settings.write_text(json.dumps(settings_of(one, home)))
    git = {"conn_type": "loopseal_git", "host": one.repository, "login": "loopseal", "password": one.secrets["git"]}
    argocd = {"conn_type": "loopseal_argocd", "host": one.argocd_url, "password": one.secrets["argocd"]}
    return {
        "AIRFLOW__LOOPSEAL__CONFIG": str(settings),
        "AIRFLOW__LOOPSEAL__INSTANCE": "airflow.test",
        "AIRFLOW_CONN_GIT_PLATFORM": json.dumps(git),
        "AIRFLOW_CONN_ARGOCD": json.dumps(argocd),
        "PLANTED_PASSPHRASE": one.secrets["passphrase"],
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
        "PYTHONPATH": str(HERE / "dags"),
    }


def make_key(folder: Path, passphrase: str) -> Path:
    key = folder / "signing_key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "loopseal", "-f", str(key)], check=True
    )
    return key
