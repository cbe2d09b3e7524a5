"""The flight recorder: what it keeps, what it leaves out, and what a crash leaves behind."""

from __future__ import annotations

import asyncio
import json
import stat
from datetime import UTC, datetime

import pytest

from loopseal.domain.proposal import Application
from loopseal.domain.revision import Relation, State, Tolerance
from loopseal.engines.recorder import Recorder
from loopseal.engines.recording import read
from loopseal.engines.replay import replay
from loopseal.errors import Code, ConfigError
from loopseal.ports import Wait
from tests.unit.engines.built_objects import SOURCE, T0, P, X, app, at, merged


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(T0 + self.seconds, UTC)

    def monotonic(self) -> float:
        return 1000.0 + self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock():
    return Hands()


@pytest.fixture
def recorder(tmp_path, clock):
    with Recorder(tmp_path / "bug.json", clock, system="argocd", targets={"application": ("argocd", "a")}) as one:
        yield one


def get(obj, path="/api/v1/applications/a"):
    return {"path": path, "status": 200, "body": obj}


def test_a_wait_is_recorded_and_replayed(recorder, clock):
    wait = Wait(Application("argo", "a", "argocd"), X, SOURCE, Tolerance(settle=2.0))

    class Repository:
        async def relation(self, observed, wanted):
            return Relation.ANCESTOR if observed == P else Relation.EQUAL

    recorder.waits(wait, (0,))
    heard = recorder.listening(Repository())
    assert asyncio.run(heard.relation(P, X)) is Relation.ANCESTOR
    recorder("argo-rest-get", get(app(P)))
    clock.seconds = 10
    recorder("argo-rest-get", get(merged(app(X), {"status": {"operationState": None}})))
    clock.seconds = 14
    recorder("argo-sse", {"keepalive": ":"})
    found = read(recorder.close())
    assert found.started == T0
    (outcome,) = replay(found).outcomes
    told = [(round(when), said.state, said.reason) for when, said in outcome.timeline]
    assert told == [
        (0, State.PENDING, "NOT_OBSERVED"),
        (10, State.PENDING, "SETTLING"),
        (12, State.SUCCEEDED, "HEALTHY"),
    ]
    assert outcome.ok


def test_what_repeats_itself_is_kept_once(recorder):
    same = merged(app(X), {"metadata": {"resourceVersion": "1"}})
    recorder("argo-rest-get", get(same))
    recorder("argo-rest-get", get(merged(same, {"metadata": {"resourceVersion": "2"}})))
    recorder("argo-sse", {"result": {"type": "MODIFIED", "application": same}})
    recorder("argo-sse", {"result": {"type": "MODIFIED", "application": same}})
    recorder("argo-rest-get", get(same, "/api/v1/applications/a?refresh=normal"))
    recorder("k8s-watch-application", {"type": "ADDED", "object": same})
    recorder("k8s-watch-application", {"type": "MODIFIED", "object": same})
    recorder("k8s-watch-application", {"type": "DELETED", "object": same})
    recorder("argo-rest-get", get(merged(same, {"status": {"reconciledAt": at(9)}})))
    told = [event.channel for event in read(recorder.close()).events]
    assert told.pop() == "end"
    assert told == [
        "argo-rest-get",
        "argo-sse",
        "argo-rest-get",
        "k8s-watch-application",
        "k8s-watch-application",
        "k8s-watch-application",
        "argo-rest-get",
    ]


def test_a_crash_leaves_what_was_written(recorder):
    recorder("argo-sse", {"keepalive": ":"})
    recorder("http", {"what": "half"})
    with recorder.partial.open("a") as file:
        file.write('{"t":9.0,"channel":"argo-sse","bo')
    found = read(recorder.partial)
    assert found.broken_off
    assert [event.channel for event in found.events] == ["argo-sse", "http"]
    assert not recorder.path.exists()


def test_the_file_appears_whole_and_only_for_its_owner(recorder):
    recorder("argo-sse", {"text": "naïve ☂"})
    assert stat.S_IMODE(recorder.partial.stat().st_mode) == 0o600
    path = recorder.close()
    assert recorder.close() == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["bug.json"]
    assert json.loads(path.read_text())["events"][0]["body"] == {"text": "naïve ☂"}
    recorder("argo-sse", {"late": True})
    assert len(read(path).events) == 2


def test_nothing_at_all_is_a_recording_too(recorder):
    assert [event.channel for event in read(recorder.close()).events] == ["end"]


def test_it_stops_at_its_limit_and_says_so(tmp_path, clock):
    with Recorder(tmp_path / "long.json", clock, system="flux", limit=1000) as recorder:
        for number in range(100):
            recorder("argo-sse", {"number": number, "padding": "x" * 100})
    found = read(tmp_path / "long.json")
    assert 0 < len(found.events) < 10
    assert found.facts["cut"] == "more than 1000 bytes"


def test_a_folder_that_cannot_be_written_to(tmp_path, clock):
    with pytest.raises(ConfigError) as caught:
        Recorder(tmp_path / "none" / "r.json", clock, system="flux")
    assert caught.value.code is Code.CONFIG_UNREADABLE


def test_no_secret_is_written(recorder, tmp_path):
    planted = "s3cr3t-value-of-somebody"
    recorder(
        "http",
        {
            "request": {
                "headers": {"Authorization": f"Bearer {planted}", "Cookie": planted},
                "url": f"https://u:{planted}@h/x",
            }
        },
    )
    recorder("http", {"answer": {"body": {"token": planted, "message": f"password={planted}"}}})
    secret = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"k": planted}, "stringData": {"k": planted}}
    recorder("k8s-watch-secret", {"type": "ADDED", "object": secret})
    env = [{"name": "DB_PASSWORD", "value": planted}]
    container = {"spec": {"template": {"spec": {"containers": [{"env": env}]}}}}
    annotated = {
        "metadata": {
            "name": "d",
            "managedFields": [planted],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": planted},
        }
    }
    recorder("k8s-watch-deployment", {"type": "ADDED", "object": {**annotated, **container}})
    helm = {
        "spec": {"values": {"db": {"password": planted, "hosts": [planted]}}, "source": {"helm": {"values": planted}}}
    }
    recorder("k8s-watch-helmrelease", {"type": "ADDED", "object": {"metadata": {"name": "h"}, **helm}})
    partial = recorder.partial.read_text()
    written = recorder.close().read_text()
    assert planted not in partial
    assert planted not in written
    assert "https://h/x" in written
