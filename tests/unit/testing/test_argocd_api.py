"""The Argo CD simulator as its clients see it: REST, the stream, and faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import yaml

from loopseal.testing import objects
from loopseal.testing.argocd import ArgoCD
from loopseal.testing.clock import run
from loopseal.testing.gitview import MemoryRepositories, MemoryRepository

URL = "http://git.test/apps.git"
APP = "/api/v1/applications/web?project=default"
STREAM = "/api/v1/stream/applications?name=web&project=default"
SSE = {"accept": "text/event-stream"}


class Scene:
    """An Argo CD with one synced application, its repository, and clients."""

    def __init__(self) -> None:
        self.repository = MemoryRepository()
        self.push("v1")
        self.argocd = ArgoCD(MemoryRepositories({URL: self.repository}))

    def push(self, tag: str, **files: str | None) -> str:
        web = yaml.safe_dump(objects.deployment("web", f"registry.test/web:{tag}", deadline=10))
        return self.repository.commit({"apps/web/web.yaml": web, **files}, tag)

    @asynccontextmanager
    async def client(self, token: str = "bot-token", timeout: float = 100.0) -> AsyncIterator[httpx2.AsyncClient]:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        async with httpx2.AsyncClient(
            transport=self.argocd.transport(), base_url="http://argocd.test", headers=headers, timeout=timeout
        ) as client:
            yield client

    def status(self) -> Any:
        return self.argocd.application("web").get("status", {})


def playing(work: Callable[[Scene], Awaitable[Any]], **facts: Any) -> Any:
    async def main() -> Any:
        scene = Scene()
        async with scene.argocd:
            scene.argocd.create("web", url=URL, path="apps/web", **facts)
            await asyncio.sleep(5)
            return await work(scene)

    return run(main)


async def heard(lines: AsyncIterator[str], count: int) -> list[str]:
    """The next lines that are not empty."""
    got: list[str] = []
    while len(got) < count:
        line = await anext(lines)
        if line.strip():
            got.append(line)
    return got


def test_a_refresh_is_answered_when_the_new_commit_is_seen() -> None:
    async def work(scene: Scene) -> None:
        sha = scene.push("v2")
        async with scene.client() as client:
            app = (await client.get(f"{APP}&refresh=normal")).json()
        assert app["status"]["sync"]["revision"] == sha
        assert "apiVersion" not in app
        await asyncio.sleep(2)
        assert scene.status()["sync"] == {**scene.status()["sync"], "status": "Synced", "revision": sha}

    playing(work)


def test_resources_carry_their_health_over_rest_and_not_in_kubernetes() -> None:
    async def work(scene: Scene) -> None:
        async with scene.client() as client:
            shown = (await client.get(APP)).json()["status"]["resources"]
        assert [row.get("health") for row in shown] == [{"status": "Healthy"}]
        assert "health" not in scene.status()["resources"][0]

    playing(work)


def test_a_stream_begins_with_the_state_and_keeps_alive() -> None:
    async def work(scene: Scene) -> None:
        async with scene.client() as client, client.stream("GET", STREAM, headers=SSE) as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            first, keepalive = await heard(answer.aiter_lines(), 2)
        assert json.loads(first.removeprefix("data: "))["result"]["type"] == "ADDED"
        assert (keepalive, round(scene.argocd.clock.monotonic())) == (":", 20)

    playing(work)


def test_without_the_header_lines_of_json_come_and_no_keepalives() -> None:
    async def work(scene: Scene) -> None:
        async with scene.client(timeout=60) as client, client.stream("GET", STREAM) as answer:
            lines = answer.aiter_lines()
            [line] = await heard(lines, 1)
            assert json.loads(line)["result"]["application"]["metadata"]["name"] == "web"
            with pytest.raises(httpx2.ReadTimeout):
                await heard(lines, 1)

    playing(work)


@pytest.mark.parametrize(
    ("token", "query"),
    [("bot-token", "name=nope"), ("blind-token", "name=web"), ("bot-token", "name=web&resourceVersion=99999")],
)
def test_a_stream_that_shows_nothing_sends_not_even_a_header(token: str, query: str) -> None:
    async def work(scene: Scene) -> None:
        async with scene.client(token, timeout=300) as client:
            with pytest.raises(httpx2.ReadTimeout):
                async with client.stream("GET", f"/api/v1/stream/applications?{query}", headers=SSE):
                    pass

    playing(work)


def test_an_open_stream_outlives_the_revocation_of_its_token() -> None:
    async def work(scene: Scene) -> None:
        async with scene.client() as client, client.stream("GET", STREAM, headers=SSE) as answer:
            lines = answer.aiter_lines()
            await heard(lines, 1)
            scene.argocd.faults.revoked.add("bot-token")
            refused = await client.get(APP)
            assert refused.status_code == 401
            assert refused.json()["message"].startswith("invalid session: account bot does not have token")
            scene.argocd.store.patch("Application", "argocd", "web", {"metadata": {"labels": {"a": "b"}}})
            [line] = await heard(lines, 1)
            assert '"MODIFIED"' in line

    playing(work)


def test_identical_projected_payloads_are_left_out() -> None:
    async def work(scene: Scene) -> None:
        fields = "&fields=result.type,result.application.metadata.name,result.application.status.sync.status"
        async with scene.client() as client, client.stream("GET", STREAM + fields, headers=SSE) as answer:
            touch = asyncio.get_running_loop().call_later
            patch = {"metadata": {"labels": {"a": "b"}}}
            touch(1, lambda: scene.argocd.store.patch("Application", "argocd", "web", patch))
            drift = {"spec": {"replicas": 5}}
            touch(2, lambda: scene.argocd.store.patch("Deployment", "web", "web", drift))
            frames = [
                json.loads(line.removeprefix("data: "))["result"] for line in await heard(answer.aiter_lines(), 2)
            ]
        assert [frame["application"]["status"]["sync"]["status"] for frame in frames] == ["Synced", "OutOfSync"]
        assert set(frames[0]["application"]) == {"metadata", "status"}

    playing(work)


def test_a_killed_server_refuses_connections_and_breaks_streams_without_a_frame() -> None:
    async def work(scene: Scene) -> None:
        async with scene.client() as client:
            asyncio.get_running_loop().call_later(1, scene.argocd.faults.kill)
            with pytest.raises(httpx2.RemoteProtocolError):
                async with client.stream("GET", STREAM, headers=SSE) as answer:
                    await heard(answer.aiter_lines(), 5)
            with pytest.raises(httpx2.ConnectError):
                await client.get(APP)
            scene.argocd.faults.restart()
            assert (await client.get(APP)).status_code == 200

    playing(work)


def test_half_open_streams_bursts_and_slowness() -> None:
    async def work(scene: Scene) -> None:
        faults = scene.argocd.faults
        async with scene.client(timeout=40) as client:
            faults.burst += [503, 429]
            assert [(await client.get(APP)).status_code for _ in range(3)] == [503, 429, 200]
            faults.slow = 3.0
            begun = scene.argocd.clock.monotonic()
            await client.get(APP)
            assert scene.argocd.clock.monotonic() - begun == 3.0
            faults.slow, faults.silent = 0.0, True
            with pytest.raises(httpx2.ReadTimeout):
                async with client.stream("GET", STREAM, headers=SSE) as answer:
                    await heard(answer.aiter_lines(), 1)

    playing(work)


def test_a_refresh_that_comes_during_a_comparison_is_lost_with_it() -> None:
    async def work(scene: Scene) -> None:
        store, faults = scene.argocd.store, scene.argocd.faults
        annotate = {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}}
        first = scene.push("v2")
        faults.fetch_delay = 5.0
        store.patch("Application", "argocd", "web", annotate)
        await asyncio.sleep(2)
        scene.push("v3")
        store.patch("Application", "argocd", "web", annotate)
        await asyncio.sleep(10)
        faults.fetch_delay = 0.0
        assert scene.status()["sync"]["revision"] == first
        await asyncio.sleep(60)
        assert scene.status()["sync"]["revision"] == first

    playing(work)


def test_a_refresh_can_be_made_to_vanish() -> None:
    async def work(scene: Scene) -> None:
        scene.push("v2")
        scene.argocd.faults.lost_refreshes = 1
        async with scene.client() as client:
            old = (await client.get(f"{APP}&refresh=normal")).json()["status"]["sync"]["revision"]
            new = (await client.get(f"{APP}&refresh=hard")).json()["status"]["sync"]["revision"]
        assert new == scene.repository.tip != old

    playing(work)


def test_a_spoilt_ref_cache_moves_the_application_back_until_somebody_asks() -> None:
    async def work(scene: Scene) -> None:
        old = scene.repository.tip
        new = scene.push("v2")
        async with scene.client() as client:
            await client.get(f"{APP}&refresh=normal")
            scene.argocd.poison(URL, "main", old)
            await asyncio.sleep(5)  # the comparison after the automated sync reads the cache
            assert scene.status()["sync"]["revision"] == old
            live = scene.argocd.store.need("Deployment", "web", "web")
            assert live["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":v1")
            await client.get(f"{APP}&refresh=normal")
            await asyncio.sleep(5)
        assert scene.status()["sync"]["revision"] == new

    playing(work)


def test_a_commit_is_found_without_any_refresh_after_resync_and_ref_cache() -> None:
    async def work(scene: Scene) -> float:
        sha = scene.push("v2")
        async for change in scene.argocd.store.watch("Application"):
            if change.object["status"]["sync"]["revision"] == sha:
                return scene.argocd.clock.monotonic()
        raise AssertionError("a watch never ends by itself")

    assert 100 < playing(work) < 400


def test_while_the_controller_is_away_a_refresh_blocks_and_the_old_state_stays() -> None:
    async def work(scene: Scene) -> None:
        sha = scene.push("v2")
        await scene.argocd.stop_controller()
        async with scene.client(timeout=20) as client:
            with pytest.raises(httpx2.ReadTimeout):
                await client.get(f"{APP}&refresh=normal")
            assert (await client.get(APP)).json()["status"]["sync"]["status"] == "Synced"
        await scene.argocd.restart_controller()
        await asyncio.sleep(3)
        assert scene.status()["sync"]["revision"] == sha

    playing(work)


def test_a_refresh_is_given_up_after_a_minute() -> None:
    async def work(scene: Scene) -> None:
        scene.argocd.faults.paused = True
        async with scene.client() as client:
            answer = await client.get(f"{APP}&refresh=normal")
        assert (answer.status_code, answer.json()["message"]) == (504, "application refresh deadline exceeded")

    playing(work)


def test_an_operation_goes_on_after_the_controller_was_restarted() -> None:
    async def work(scene: Scene) -> None:
        sha = scene.push("v2")
        async with scene.client() as client:
            await client.get(f"{APP}&refresh=normal")
        assert scene.argocd.application("web")["operation"]["sync"]["revision"] == sha
        await scene.argocd.restart_controller()
        await asyncio.sleep(5)
        assert scene.status()["operationState"]["phase"] == "Succeeded"
        assert scene.status()["history"][-1]["revision"] == sha

    playing(work)


def test_self_heal_puts_drift_right() -> None:
    async def work(scene: Scene) -> None:
        scene.argocd.store.patch("Deployment", "web", "web", {"spec": {"replicas": 5}})
        await asyncio.sleep(5)
        assert scene.argocd.store.need("Deployment", "web", "web")["spec"]["replicas"] == 1
        operation = scene.status()["operationState"]["operation"]
        assert operation["sync"]["autoHealAttemptsCount"] == 1

    playing(work, automated={"selfHeal": True})


def test_manual_sync_rollback_and_their_refusals() -> None:
    async def work(scene: Scene) -> None:
        old, new = scene.repository.tip, scene.push("v2")
        path = "/api/v1/applications/web"
        async with scene.client("ops-token") as client:
            body = {"revision": new, "prune": True, "infos": [{"name": "change-id", "value": "x"}]}
            started = await client.post(f"{path}/sync", json=body)
            assert started.json()["operation"]["info"] == body["infos"]
            again = await client.post(f"{path}/sync", json=body)
            assert again.json()["message"] == "another operation is already in progress"
            await asyncio.sleep(3)
            assert scene.status()["sync"] == {**scene.status()["sync"], "revision": new, "status": "Synced"}
            gone = await client.post(f"{path}/rollback", json={"id": 77})
            assert gone.status_code == 400
            await client.post(f"{path}/sync", json={"revision": old})
            await asyncio.sleep(3)
            assert scene.status()["sync"]["status"] == "OutOfSync"
            assert (await client.post(f"{path}/rollback", json={"id": 0})).status_code == 200
            dry = {"revision": new, "dryRun": True}
            await asyncio.sleep(3)
            count = len(scene.status()["history"])
            await client.post(f"{path}/sync", json=dry)
            await asyncio.sleep(3)
            assert len(scene.status()["history"]) == count

    playing(work, manual=True)


def test_what_evidence_is_made_of() -> None:
    async def work(scene: Scene) -> None:
        sha = scene.push("broken")
        async with scene.client() as client:
            await client.get(f"{APP}&refresh=normal")
            await asyncio.sleep(15)
            nodes = (await client.get("/api/v1/applications/web/resource-tree?project=default")).json()["nodes"]
            assert {node["kind"]: node["health"]["status"] for node in nodes} == {
                "Deployment": "Degraded",
                "Pod": "Progressing",
            }
            pod = next(node["name"] for node in nodes if node["kind"] == "Pod")
            events = await client.get(f"/api/v1/applications/web/events?project=default&resourceName={pod}")
            assert "Failed to pull image" in events.json()["items"][0]["message"]
            assert (await client.get(f"/api/v1/applications/web/pods/{pod}/logs?project=default")).status_code == 200
            assert (await client.get(f"/api/v1/applications/web/revisions/{sha}/metadata?project=default")).json()
            for what in ("links", "managed-resources", "syncwindows"):
                assert (await client.get(f"/api/v1/applications/web/{what}?project=default")).status_code == 200
            assert (await client.get("/api/v1/settings")).status_code == 200
            assert (await client.get("/api/v1/nonsense")).status_code == 404
            assert "broken" in (await client.get("/")).text

    playing(work)


def test_logs_need_their_own_right_and_unknown_revisions_are_refused() -> None:
    async def work(scene: Scene) -> None:
        path = "/api/v1/applications/web"
        async with scene.client("blind-token") as client:
            assert (await client.get(f"{path}/logs?project=default")).status_code == 403
        async with scene.client() as client:
            unknown = await client.get(f"{path}/revisions/{'0' * 40}/metadata?project=default")
            assert unknown.status_code == 400

    playing(work)


def test_a_session_gives_a_token() -> None:
    async def work(scene: Scene) -> None:
        async with scene.client("") as client:
            path, who = "/api/v1/session", {"username": "ops", "password": "ops"}
            assert (await client.post(path, json=who)).json() == {"token": "ops-token"}
            assert (await client.post(path, json={**who, "password": "no"})).status_code == 401
            assert (await client.get("/api/version")).json()["Version"] == "v3.2.12"

    playing(work)


def test_lists_choose_by_selector_and_project() -> None:
    async def work(scene: Scene) -> None:
        item = objects.application("other", url=URL, path="apps/web", project="team")
        item["metadata"]["labels"] = {"tier": "1"}
        scene.argocd.store.create(item)
        async with scene.client() as client:
            for query, wanted in (
                ("selector=tier%3D1", ["other"]),
                ("project=default", ["web"]),
                ("name=web", ["web"]),
            ):
                found = (await client.get(f"/api/v1/applications?{query}")).json()["items"]
                assert [app["metadata"]["name"] for app in found] == wanted
            fields = "fields=items.metadata.name,items.status.sync.status"
            shown = (await client.get(f"/api/v1/applications?name=web&{fields}")).json()["items"]
            assert shown == [{"metadata": {"name": "web"}, "status": {"sync": {"status": "Synced"}}}]

    playing(work)


def test_deleting_with_the_finalizer_takes_the_resources_along() -> None:
    async def work(scene: Scene) -> None:
        finalizer = {"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}}
        scene.argocd.store.patch("Application", "argocd", "web", finalizer)
        scene.argocd.store.delete("Application", "argocd", "web")
        await asyncio.sleep(3)
        assert scene.argocd.store.list("Application") == []
        assert scene.argocd.store.list("Deployment") == []
        async with scene.client() as client:
            assert (await client.get(APP)).status_code == 404

    playing(work)
