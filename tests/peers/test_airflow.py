"""Thirty tasks of a real Airflow at once on one branch, before the real Argo CD and the real Flux."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from loopseal.testing import objects
from loopseal.testing.airflow_rest import AirflowRest, await_until
from loopseal.testing.airflow_stack import AirflowStack
from tests.airflow.loop import make_key
from tests.peers.cluster import Cluster
from tests.peers.flux import NAMESPACE as FLUX_SYSTEM

pytestmark = pytest.mark.airflow

HERE = Path(__file__).parent
REPOSITORY = "thirty.git"
COUNT = 30
NAMES = {"argocd": "wide-argocd", "flux": "wide-flux"}
PATH = "apps/wide/settings.yaml"


def files() -> Mapping[str, str]:
    data = "".join(f"  key{number}: old\n" for number in range(COUNT))
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata:\n"
    return {PATH: head + data, "apps/wide/web.yaml": json.dumps(objects.deployment("web", "registry.test/web:v1"))}


@pytest.fixture(scope="module")
def airflow(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    """A healthy Airflow before the cluster: one repository, one application of each engine, none of them ours."""
    home = tmp_path_factory.mktemp("airflow")
    cluster.git.commit(REPOSITORY, files())
    url = cluster.git.url(REPOSITORY)
    for name in NAMES.values():
        cluster.kube.namespace(name)
    for obj in (
        objects.application(NAMES["argocd"], url=url, path="apps/wide"),
        objects.git_repository("wide", url=url),
        objects.kustomization(NAMES["flux"], source="wide", path="./apps/wide"),
    ):
        cluster.kube.apply(obj)
    with AirflowStack(home / "airflow", HERE / "dags", environment(cluster, home)) as stack:
        yield stack
    cluster.argocd.request("DELETE", f"/api/v1/applications/{NAMES['argocd']}", account="ops")
    for kind, name in (("Kustomization", NAMES["flux"]), ("GitRepository", "wide")):
        cluster.kube.delete(kind, FLUX_SYSTEM, name)


def environment(cluster: Cluster, home: Path) -> Mapping[str, str]:
    key = make_key(home, "")
    url = cluster.git.url(REPOSITORY)
    settings = home / "loopseal.yaml"
    settings.write_text(
        json.dumps(
            {
                "repositories": {
                    "platform": {
                        "url": url,
                        "credential": "connection:git",
                        "sign": {"ssh": f"file:{key}"},
                        "author": "loopseal <bot@example.test>",
                    }
                },
                "engines": {
                    "argo": {"kind": "argocd", "url": cluster.argocd.url, "credential": "connection:argocd"},
                    "eu1": {"kind": "flux", "kubeconfig": f"file:{cluster.kubeconfig}"},
                },
                "targets": {
                    "wide": {
                        "repository": "platform",
                        "paths": ["apps/wide/**"],
                        "applications": [
                            {"engine": "argo", "name": NAMES["argocd"], "project": "default"},
                            {"engine": "eu1", "name": NAMES["flux"]},
                        ],
                        "dags": ["thirty"],
                        "timeout": "240s",
                        "wait": {"settle": "1s"},
                    }
                },
            }
        )
    )
    git = {"conn_type": "loopseal_git", "host": url, "login": "loopseal", "password": "any"}
    argocd = {
        "conn_type": "loopseal_argocd", "host": cluster.argocd.url, "password": cluster.argocd.token("bot"),
    }  # fmt: skip
    return {
        "AIRFLOW__LOOPSEAL__CONFIG": str(settings),
        "AIRFLOW__LOOPSEAL__INSTANCE": "airflow.test",
        "AIRFLOW_CONN_GIT": json.dumps(git),
        "AIRFLOW_CONN_ARGOCD": json.dumps(argocd),
    }


def log(cluster: Cluster, *arguments: str) -> list[str]:
    folder = cluster.git.root / REPOSITORY
    command = ["git", "-C", str(folder), "log", *arguments, "main"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def pushes(cluster: Cluster) -> int:
    return sum(call.service == "git-receive-pack" and call.method == "POST" for call in cluster.git._host.calls)


def deferred(rest: AirflowRest, run: str) -> bool:
    return [task["state"] for task in rest.tasks("thirty", run)].count("deferred") == COUNT


@pytest.mark.timeout(600)
def test_thirty_tasks_at_once_on_one_branch(cluster: Cluster, airflow: AirflowStack) -> None:
    """Each change lands once, all tasks end right, changes share pushes, and what waits holds no slot."""
    rest = airflow.rest
    rest.wait_for_dag("thirty")
    airflow.stop("triggerer")
    run = rest.trigger("thirty", {"tag": "new"})
    await_until(lambda: deferred(rest, run), timeout=240, what="30 tasks are not deferred")
    pool = rest.call("GET", "/api/v2/pools/default_pool")
    assert (pool["running_slots"], pool["queued_slots"], pool["deferred_slots"]) == (0, 0, COUNT)

    before = pushes(cluster)
    airflow.start("triggerer")
    state = rest.wait_for_run("thirty", run, 300)
    told = airflow.task_logs("thirty")
    assert state == "success", told[-8000:]

    landed = log(cluster, "--format=%(trailers:key=Loopseal-Change,valueonly)")
    assert len(landed) == len(set(landed)) == COUNT
    assert pushes(cluster) - before <= 3, "waiting changes share pushes"
    outcomes = [rest.xcom("thirty", run, "change", map_index=number) for number in range(COUNT)]
    assert {outcome["phase"] for outcome in outcomes} == {"healthy"}
    assert {outcome["change"] for outcome in outcomes} == set(landed)
    ours = [outcome["revision"] for outcome in outcomes]
    assert sorted(ours) == sorted(log(cluster, "--format=%H", f"--max-count={COUNT}"))

    wanted = {f"key{number}": "new" for number in range(COUNT)}
    for namespace in NAMES.values():
        assert live(cluster, namespace) == wanted


def live(cluster: Cluster, namespace: str) -> Any:
    found = cluster.kube.get("ConfigMap", namespace, "settings")
    return found["data"] if found else None
