"""Answers that no simulator gives: error frames, odd statuses, things that are no JSON, kinds that must be looked up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import httpx2
import pytest

from loopseal.domain.proposal import Application
from loopseal.domain.revision import State, Verdict
from loopseal.engines.answers import Gone, Missing, failure
from loopseal.engines.argocd import Engine
from loopseal.engines.argocd_objects import Objects
from loopseal.engines.argocd_rest import Rest
from loopseal.engines.flux_inventory_reader import MAX_OBJECTS, InventoryReader
from loopseal.engines.kubernetes import Cluster, Following, Kind
from loopseal.engines.kubernetes_access import Access
from loopseal.engines.watches import OPENED, News
from loopseal.errors import Code, Conflict, LoopsealError, Refused, Unreachable
from loopseal.net import Response
from loopseal.ports import Secret
from loopseal.settings import EngineSettings
from loopseal.testing.clock import LoopClock, run
from tests.unit.engines.worlds import Vault

Answer = httpx2.Response
Script = Callable[[httpx2.Request], Answer]
APP = Application("argo", "a", project="team")
PODS = Kind("", "v1", "Pod", "pods")


class Scripted(httpx2.AsyncBaseTransport):
    """Answers by a function; keeps what was asked."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.asked: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> Answer:
        await request.aread()
        self.asked.append(request)
        return self._script(request)


def rest(script: Script) -> tuple[Rest, Scripted]:
    wire = Scripted(script)
    settings = EngineSettings("argocd", url="https://argocd.test", credential="env:T")
    return Rest(settings, secrets=Vault({"env:T": "t"}), clock=LoopClock(), tap=None, transport=wire), wire


def cluster(script: Script) -> tuple[Cluster, Scripted]:
    async def fetch(refused: bool) -> Any:
        from loopseal.engines.bearer import Token

        return Token(Secret("new" if refused else "old"))

    wire = Scripted(script)
    return Cluster(Access("https://k8s.test/prefix", "", None, fetch), LoopClock(), transport=wire), wire


def always(status: int, body: Any = None, **headers: str) -> Script:
    content = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    return lambda _: Answer(status, content=content, headers=headers)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, Refused, Code.ENGINE_PROTOCOL),
        (401, Refused, Code.ENGINE_AUTHENTICATION),
        (403, Refused, Code.ENGINE_FORBIDDEN),
        (409, Conflict, Code.ENGINE_CONFLICT),
        (415, Refused, Code.ENGINE_PROTOCOL),
        (429, Unreachable, Code.NET_RATE_LIMITED),
        (500, Unreachable, Code.ENGINE_UNREACHABLE),
        (503, Unreachable, Code.ENGINE_UNREACHABLE),
        (504, Unreachable, Code.ENGINE_UNREACHABLE),
    ],
)
def test_what_statuses_mean(status: int, kind: type[LoopsealError], code: Code) -> None:
    for body in (b'{"message": "token=planted-s3cr3t"}', b'{"error": "x"}', b"<html>proxy</html>", b""):
        found = failure(Response(status, {"retry-after": "7"}, body), "https://argocd.test")
        assert isinstance(found, kind)
        assert found.code is code
        assert found.hint
        assert "planted" not in found.diagnostics()
    assert getattr(found, "retry_after", 7.0 if status != 429 else None) in {7.0, None}


def test_missing_and_gone_are_values_of_this_room() -> None:
    assert isinstance(failure(Response(404, {}, b""), ""), Missing)
    assert isinstance(failure(Response(410, {}, b""), ""), Gone)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (always(200, b"not json"), Code.ENGINE_PROTOCOL),
        (always(200, b"[]"), Code.ENGINE_PROTOCOL),
        (always(302, b"", location="https://elsewhere.test"), Code.ENGINE_PROTOCOL),
        (always(403, {"message": "permission denied"}), Code.ENGINE_FORBIDDEN),
        (always(502, b"bad gateway"), Code.ENGINE_UNREACHABLE),
    ],
)
def test_answers_that_are_no_application(answer: Script, code: Code) -> None:
    async def main() -> None:
        argo, _ = rest(answer)
        with pytest.raises(LoopsealError) as caught:
            await argo.get(APP)
        assert caught.value.code is code
        await argo.aclose()
        kubernetes, _ = cluster(answer)
        with pytest.raises(LoopsealError):
            await kubernetes.get(PODS, "a", "p")
        await kubernetes.aclose()

    run(main)


def test_a_project_a_namespace_and_a_media_type_are_always_sent() -> None:
    async def main() -> None:
        argo, wire = rest(always(200, {"metadata": {}}))
        await argo.get(APP)
        await argo.refresh(APP)
        await argo.sync(APP, {"spec": {"source": {}}}, "b" * 40, marker="m")
        await argo.about(APP, "events", {"resourceName": "x"})
        for one in wire.asked[:2] + wire.asked[3:]:
            assert (one.url.params["project"], one.url.params["appNamespace"]) == ("team", "argocd")
        order = json.loads(wire.asked[2].content)
        assert (order["project"], order["appNamespace"], order["revision"]) == ("team", "argocd", "b" * 40)
        assert not {"prune", "manifests", "strategy", "syncOptions"} & set(order)
        assert wire.asked[2].headers["content-type"] == "application/json"
        await argo.aclose()

    run(main)


def test_a09_another_operation_in_progress_is_no_failure() -> None:
    async def main() -> None:
        busy = {"code": 9, "error": "another operation is already in progress", "message": "…"}
        argo, _ = rest(always(400, busy))
        assert await argo.sync(APP, {}, "", marker="m") is False
        await argo.aclose()
        argo, _ = rest(always(400, {"message": "Cannot sync to x: auto-sync currently set to main"}))
        with pytest.raises(Refused):
            await argo.sync(APP, {}, "", marker="m")
        await argo.aclose()

    run(main)


def test_a09_through_objects_a_version_that_moved_is_no_failure() -> None:
    async def main() -> None:
        kubernetes, wire = cluster(always(409, {"message": "the object has been modified"}))

        async def connect() -> Cluster:
            return kubernetes

        apps = Objects(connect, LoopClock(), namespace="", timeout=5.0)
        app = {"metadata": {"resourceVersion": "7"}, "spec": {"sources": [{}, {}]}}
        app["status"] = {"sync": {"revisions": ["a" * 40, "b" * 40]}}  # type: ignore[assignment]
        assert await apps.sync(APP, app, "b" * 40, marker="m") is False
        sent = json.loads(wire.asked[0].content)
        assert sent["metadata"] == {"resourceVersion": "7"}
        assert sent["operation"]["sync"] == {"revisions": ["a" * 40, "b" * 40]}
        assert wire.asked[0].headers["content-type"] == "application/merge-patch+json"
        assert wire.asked[0].url.path.startswith("/prefix/apis/argoproj.io/")
        assert await apps.sync(APP, {"operation": {}}, "", marker="m") is False
        assert len(wire.asked) == 1
        assert await apps.windows(APP) == {}
        assert await apps.log(APP, {}) == ""
        await kubernetes.aclose()

    run(main)


def test_through_objects_a_refresh_that_nobody_takes_up_is_said_so() -> None:
    async def main() -> None:
        noted = {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}}
        kubernetes, wire = cluster(always(200, noted))

        async def connect() -> Cluster:
            return kubernetes

        with pytest.raises(Unreachable) as caught:
            await Objects(connect, LoopClock(), namespace="", timeout=5.0).refresh(APP)
        assert "5 s" in caught.value.message
        assert len(wire.asked) < 10
        await kubernetes.aclose()

    run(main)


def stream(*frames: Any, status: int = 200) -> Script:
    content = b"".join(
        frame if isinstance(frame, bytes) else b"data: " + json.dumps(frame).encode() + b"\n\n" for frame in frames
    )
    return always(status, content)


def collected(script: Script) -> list[News]:
    async def main() -> list[News]:
        argo, _ = rest(script)
        out = []
        try:
            async with aclosing(argo.news(("team", ""))) as news:
                async for one in news:
                    out.append(one)  # noqa: PERF401 - what came before a failure is kept
        finally:
            await argo.aclose()
        return out

    return run(main)


def moved(name: str, version: str, kind: str = "MODIFIED", **more: str) -> dict[str, Any]:
    return {"result": {"type": kind, "application": {"metadata": {"name": name, "resourceVersion": version, **more}}}}


def test_the_stream_tells_who_moved() -> None:
    found = collected(stream(moved("a", "1"), b":\n", moved("b", "2", "DELETED", namespace="team"), {"result": None}))
    assert found == [News(("argocd", "a"), version="1"), OPENED, News(("team", "b")), News(("argocd", ""))]


@pytest.mark.parametrize(
    ("status", "code"), [(401, Code.ENGINE_AUTHENTICATION), (500, Code.ENGINE_UNREACHABLE), ("x", None)]
)
def test_an_error_frame_breaks_the_stream(status: Any, code: Code | None) -> None:
    frame = {"error": {"grpc_code": 16, "http_code": status, "message": "invalid session"}}
    with pytest.raises(LoopsealError) as caught:
        collected(stream(moved("a", "1"), frame))
    assert code is None or caught.value.code is code


def test_a_stream_that_is_refused() -> None:
    for status, code in ((401, Code.ENGINE_AUTHENTICATION), (403, Code.ENGINE_FORBIDDEN), (404, Code.ENGINE_PROTOCOL)):
        with pytest.raises(LoopsealError) as caught:
            collected(stream(status=status))
        assert caught.value.code is code


def test_a39_a_stream_s_token_is_fetched_anew_once() -> None:
    async def main() -> None:
        seen: list[str] = []

        def script(request: httpx2.Request) -> Answer:
            seen.append(request.headers["authorization"])
            return Answer(401) if len(seen) == 1 else Answer(200, content=b'{"type": "BOOKMARK", "object": {}}\n')

        kubernetes, _ = cluster(script)
        async with aclosing(kubernetes.events(PODS, "a", "")) as events:
            assert [event async for event, _ in events] == ["", "BOOKMARK"]
        assert seen == ["Bearer old", "Bearer new"]
        await kubernetes.aclose()

    run(main)


def watched(*lines: Any) -> Script:
    return always(200, b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def pod(name: str, version: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": version}}


def test_f22_where_a_watch_goes_on() -> None:
    async def main() -> None:
        gone = {"type": "ERROR", "object": {"code": 410, "message": "too old"}}
        scripts = [
            watched({"type": "ADDED", "object": pod("a", "1")}, {"type": "BOOKMARK", "object": pod("", "9")}),
            watched({"type": "DELETED", "object": pod("a", "11")}, gone),
            watched({"type": "ADDED", "object": pod("b", "20")}),
            always(410),
            watched(),
        ]
        kubernetes, wire = cluster(lambda request: scripts[len(wire.asked) - 1](request))  # noqa: PLW0108 - `wire` comes with it
        following = Following(kubernetes, PODS, "team")
        told = []
        for _ in scripts:
            async with aclosing(following.connect()) as news:
                told.append([one async for one in news])
        assert told == [
            [News(), News("a", pod("a", "1"))],
            [OPENED, News("a")],
            [News(), News("b", pod("b", "20"))],
            [],
            [News()],
        ]
        assert [one.url.params.get("resourceVersion") for one in wire.asked] == [None, "9", None, "20", None]
        assert all(one.url.params["allowWatchBookmarks"] == "true" for one in wire.asked)
        assert {one.extensions["timeout"]["read"] for one in wire.asked} == {90.0}
        await kubernetes.aclose()

    run(main)


def test_an_error_event_of_another_kind_breaks_the_watch() -> None:
    async def main() -> None:
        for thing in ({"code": 500, "message": "etcd"}, {"message": "?"}):
            kubernetes, _ = cluster(watched({"type": "ERROR", "object": thing}))
            events = kubernetes.events(PODS, "a", "")
            assert await anext(events) == ("", {})
            with pytest.raises(Unreachable):
                await anext(events)
            await kubernetes.aclose()

    run(main)


def test_kubernetes_calls_besides_objects() -> None:
    async def main() -> None:
        kubernetes, wire = cluster(always(404, {"message": "no"}))
        assert await kubernetes.get(PODS, "a", "p") is None
        assert await kubernetes.read("/x") is None
        assert await kubernetes.log("a", "p") == ""
        with pytest.raises(Refused) as caught:
            await kubernetes.patch(Kind("g", "v1", "Thing", "things"), "a", "p", {})
        assert caught.value.code is Code.ENGINE_NOT_FOUND
        await kubernetes.aclose()
        kubernetes, wire = cluster(always(200, b"line\n"))
        assert await kubernetes.log("a", "p", previous=True) == "line\n"
        assert wire.asked[0].url.params["previous"] == "true"
        await kubernetes.aclose()

    run(main)


def test_logs_and_further_things_of_argo_cd() -> None:
    async def main() -> None:
        rows = [
            {"result": {"content": "one"}},
            {"result": {"content": 7}},
            {"error": {}},
            {"result": {"content": "two"}},
        ]
        argo, _ = rest(always(200, b"\n".join(json.dumps(row).encode() for row in rows) + b"\nnot json"))
        assert await argo.log(APP, {"name": "p", "namespace": "n"}) == "one\ntwo"
        assert await argo.about(APP, "events") == {}
        await argo.aclose()
        argo, _ = rest(always(403, {"message": "no"}))
        assert await argo.log(APP, {}) == ""
        assert await argo.about(APP, "links") == {}
        await argo.aclose()
        argo, wire = rest(always(200, {"value": "yes"}))
        assert await argo.allowed("applications", "get", Application("argo", "a", namespace="team"))
        assert wire.asked[0].url.path == "/api/v1/account/can-i/applications/get/default/team/a"
        assert argo.scope(Application("argo", "a")) == ("", "argocd")
        await argo.aclose()

    run(main)


def kustomization(*entries: tuple[str, str], **spec: Any) -> dict[str, Any]:
    rows = [{"id": entry, "v": version} for entry, version in entries]
    return {"metadata": {"uid": "u"}, "spec": spec, "status": {"inventory": {"entries": rows}}}


def test_kinds_of_an_inventory_are_looked_up_once() -> None:
    async def main() -> None:
        listed = {
            "resources": [
                {"name": "things/status", "kind": "Thing"},
                {"name": "things", "kind": "Thing", "namespaced": True},
            ]
        }

        def script(request: httpx2.Request) -> Answer:
            path = request.url.path
            return Answer(200, json=listed if path == "/prefix/apis/g.test/v2" else {"metadata": {"name": path}})

        kubernetes, wire = cluster(script)
        reader = InventoryReader(kubernetes, clock := LoopClock())
        found = kustomization(
            ("n_one_g.test_Thing", "v2"),
            ("n_two_g.test_Thing", "v2"),
            ("n_s__Secret", "v1"),
            ("n_w_apps_Deployment", "v1"),
        )
        live = await reader.live(found)
        assert [(one.name, obj["metadata"]["name"]) for one, obj in live or () if obj] == [
            ("one", "/prefix/apis/g.test/v2/namespaces/n/things/one"),
            ("two", "/prefix/apis/g.test/v2/namespaces/n/things/two"),
            ("w", "/prefix/apis/apps/v1/namespaces/n/deployments/w"),
        ]
        asked = len(wire.asked)
        assert await reader.live(found) == live
        assert len(wire.asked) == asked, "one reading serves a burst of events"
        await clock.sleep(4)
        await reader.live(found)
        assert len(wire.asked) == 2 * asked - 1, "and the kind is known by then"
        await kubernetes.aclose()

    run(main)


def test_inventories_that_cannot_be_read_say_nothing() -> None:
    async def main() -> None:
        known = kustomization(("n_w_apps_Deployment", "v1"))
        unknown = kustomization(("n_one_g.test_Thing", "v2"))
        many = kustomization(*((f"n_w{number}_apps_Deployment", "v1") for number in range(MAX_OBJECTS + 1)))
        remote = kustomization(("n_w_apps_Deployment", "v1"), kubeConfig={"secretRef": {"name": "x"}})
        for status, found in ((403, known), (404, unknown), (200, unknown), (200, many), (200, remote)):
            kubernetes, _ = cluster(always(status, {"resources": []}))
            assert await InventoryReader(kubernetes, LoopClock()).live(found) is None
            await kubernetes.aclose()
        kubernetes, _ = cluster(always(404))
        ((_, gone),) = await InventoryReader(kubernetes, LoopClock()).live(known) or ()
        assert gone is None
        await kubernetes.aclose()
        kubernetes, _ = cluster(always(503))
        with pytest.raises(Unreachable):
            await InventoryReader(kubernetes, LoopClock()).live(known)
        await kubernetes.aclose()

    run(main)


def test_evidence_in_full() -> None:
    uid = {
        "uid": "p1",
        "kind": "Pod",
        "name": "web-1",
        "namespace": "n",
        "health": {"status": "Degraded", "message": "crash"},
    }
    parent = {"uid": "d1", "kind": "Deployment", "name": "web", "namespace": "n", "health": {"status": "Degraded"}}
    child = {**uid, "parentRefs": [{"uid": "d1"}], "info": [{"name": "Restart Count", "value": "3"}]}
    secret = {"kind": "Secret", "name": "s", "modified": True, "targetState": "planted"}
    states = {"kind": "ConfigMap", "name": "c", "modified": True, "targetState": "{}", "normalizedLiveState": "{1}"}
    answers: dict[str, Any] = {
        "resource-tree": {"nodes": [parent, child]},
        "events": {"items": [{"reason": "BackOff", "message": "restarting", "lastTimestamp": "2026-01-01T00:00:00Z"}]},
        "logs": {"result": {"content": "panic: token=planted-value-1"}},
        "managed-resources": {"items": [secret, states]},
        "metadata": {"author": "A", "message": "change the image"},
        "links": {"items": [{"title": "Grafana", "url": "https://grafana.test/d/1"}]},
    }
    app = {
        "status": {
            "operationState": {"phase": "Failed", "message": "hook failed"},
            "conditions": [{"type": "SyncError", "message": "m"}],
        }
    }

    async def main() -> None:
        wire = Scripted(lambda request: Answer(200, json=answers.get(request.url.path.rsplit("/", 1)[-1], app)))
        settings = EngineSettings("argocd", url="https://argocd.test")
        engine = Engine(settings, name="argo", secrets=Vault(), clock=LoopClock(), transport=wire)
        found = await engine.evidence(APP, Verdict(State.FAILED, "SYNC_FAILED", observed="b" * 40))
        told = dict(found.sections)
        assert told["operation"] == "Failed: hook failed"
        assert told["unhealthy"].splitlines()[0].startswith("Pod/n/web-1 Degraded"), "leaves first"
        assert "BackOff" in told["events of Pod/web-1"]
        assert told["log of web-1"] == "panic: token=***"
        assert "difference of ConfigMap/c" in told
        assert "change the image" in told["observed commit"]
        assert ("Grafana", "https://grafana.test/d/1") in found.links
        assert "planted" not in repr(found)
        logs = [one for one in wire.asked if one.url.path.endswith("/logs")]
        assert logs[0].url.params["previous"] == "true"
        await engine.aclose()

    asyncio.run(main())
