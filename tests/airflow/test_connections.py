"""What Airflow's own pages and REST API make of the connections, the links and Dag tests."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.airflow.loop import Loop


def press(loop: Loop, **connection: Any) -> tuple[bool, str]:
    body = {"connection_id": "tried", **connection}
    told = loop.rest.call("POST", "/api/v2/connections/test", body)
    return told["status"], told["message"]


def git(loop: Loop, **changed: Any) -> dict[str, Any]:
    secret = loop.peers.secrets["git"]
    return {
        "conn_type": "loopseal_git",
        "host": loop.peers.repository,
        "login": "loopseal",
        "password": secret,
        **changed,
    }


def argocd(loop: Loop, **changed: Any) -> dict[str, Any]:
    return {
        "conn_type": "loopseal_argocd",
        "host": loop.peers.argocd_url,
        "password": loop.peers.secrets["argocd"],
        **changed,
    }


def test_the_test_button_says_yes(loop: Loop) -> None:
    for connection in (git(loop), argocd(loop)):
        ok, said = press(loop, **connection)
        assert ok, said


@pytest.mark.parametrize(
    ("make", "changed"),
    [
        (git, {"password": "wrong-password"}),
        (git, {"host": "http://127.0.0.1:9/apps.git"}),
        (git, {"extra": '{"branch": "nowhere"}'}),
        (argocd, {"password": "wrong-token"}),
        (argocd, {"host": "http://127.0.0.1:9"}),
    ],
)
def test_the_test_button_says_no_and_why(loop: Loop, make: Any, changed: dict[str, Any]) -> None:
    ok, said = press(loop, **make(loop, **changed))
    assert not ok
    assert said
    assert "wrong-" not in said


def test_the_form_is_there_without_the_hook(loop: Loop) -> None:
    metas = {meta["connection_type"]: meta for meta in loop.rest.call("GET", "/ui/connections/hook_meta")}
    assert set(metas["loopseal_git"]["extra_fields"]) >= {"private_key", "private_key_passphrase", "branch"}
    assert metas["loopseal_argocd"]["standard_fields"]["password"]["title"] == "API token"


def test_links_stand_beside_the_task(loop: Loop) -> None:
    run, state = loop.run("loop_anew", tag="linked")
    assert state == "success"
    base = f"/api/v2/dags/loop_anew/dagRuns/{run}/taskInstances/change/links"
    links = loop.rest.call("GET", base.replace("+", "%2B"))["extra_links"]
    outcome = loop.rest.xcom("loop_anew", run, "change")
    assert links["Commit"] == outcome["links"]["commit"]


def test_a_dag_can_be_tested_in_one_process(loop: Loop) -> None:
    program = (
        "import sys\n"
        "from airflow.dag_processing.dagbag import DagBag\n"
        "bag = DagBag(sys.argv[1] + '/loops.py')\n"
        "run = bag.dags['loop_worker'].test(run_conf={'tag': 'tested'})\n"
        "run2 = bag.dags['loop_change'].test(run_conf={'tag': 'tested'})\n"
        "print('states', run.state, run2.state)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(loop.stack.dags)],
        env=dict(loop.stack.environment),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert "states success success" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
    assert "tag: 'tested'" in loop.peers.show("apps/alpha/values.yaml")
