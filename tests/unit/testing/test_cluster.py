from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import pytest

from loopseal.testing.clock import run
from loopseal.testing.cluster import Cluster, User
from loopseal.testing.objects import config_map, deployment, git_repository

SOURCES = "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories"
MERGE = {"content-type": "application/merge-patch+json"}


def calling(work: Callable[[httpx2.AsyncClient, Cluster], Awaitable[Any]], **facts: Any) -> Any:
    async def main() -> Any:
        async with Cluster(**facts) as cluster:
            headers = {"authorization": "Bearer admin-token"}
            async with httpx2.AsyncClient(
                transport=cluster.transport(), base_url="http://k.test", headers=headers, timeout=100
            ) as client:
                return await work(client, cluster)

    return run(main)


def test_objects_are_made_read_changed_and_removed() -> None:
    async def work(client: httpx2.AsyncClient, _: Cluster) -> None:
        made = await client.post(SOURCES, json=git_repository("apps", url="http://g"))
        assert made.status_code == 201
        path = f"{SOURCES}/apps"
        patched = await client.patch(path, json={"spec": {"suspend": True}}, headers=MERGE)
        assert patched.json()["metadata"]["generation"] == 2
        listed = (await client.get(SOURCES)).json()
        assert listed["kind"] == "GitRepositoryList"
        assert [item["metadata"]["name"] for item in listed["items"]] == ["apps"]
        stale = {**made.json(), "spec": {}}
        refused = await client.put(path, json=stale)
        assert (refused.status_code, refused.json()["reason"]) == (409, "Conflict")
        assert (await client.delete(path)).status_code == 200
        missing = await client.get(path)
        assert missing.json() == {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": 'gitrepositories.source.toolkit.fluxcd.io "apps" not found',
            "reason": "NotFound",
            "code": 404,
        }

    calling(work)


def test_who_is_not_known_is_not_let_in_and_rules_are_kept() -> None:
    users = {"t": User("system:serviceaccount:a:b", ("get source.toolkit.fluxcd.io/gitrepositories flux-*",))}

    async def work(client: httpx2.AsyncClient, cluster: Cluster) -> None:
        cluster.store.create(git_repository("apps", url="http://g"))
        assert (await client.get(f"{SOURCES}/apps")).status_code == 401
        mine = {"authorization": "Bearer t"}
        assert (await client.get(f"{SOURCES}/apps", headers=mine)).status_code == 200
        refused = await client.patch(f"{SOURCES}/apps", json={}, headers={**mine, **MERGE})
        assert refused.status_code == 403
        assert refused.json()["message"] == (
            'gitrepositories.source.toolkit.fluxcd.io "apps" is forbidden: User "system:serviceaccount:a:b" cannot patch '
            'resource "gitrepositories" in API group "source.toolkit.fluxcd.io" in the namespace "flux-system"'
        )
        review = {"spec": {"resourceAttributes": {"verb": "get", "group": "apps", "resource": "deployments"}}}
        answer = await client.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json=review, headers=mine)
        assert answer.json()["status"] == {"allowed": False}
        cluster.faults.revoked.add("t")
        assert (await client.get(f"{SOURCES}/apps", headers=mine)).status_code == 401

    calling(work, users=users)


def test_unknown_resources_methods_and_patches_are_refused() -> None:
    async def work(client: httpx2.AsyncClient, cluster: Cluster) -> None:
        cluster.store.create(git_repository("apps", url="http://g"))
        assert (await client.get("/apis/nope/v1/things")).status_code == 404
        assert (await client.get("/nonsense")).status_code == 404
        assert (await client.request("OPTIONS", f"{SOURCES}/apps")).status_code == 405
        kind = {"content-type": "application/strategic-merge-patch+json"}
        assert (await client.patch(f"{SOURCES}/apps", json={}, headers=kind)).status_code == 415
        assert (await client.get("/version")).json()["gitVersion"] == "v1.36.3"

    calling(work)


async def frames(client: httpx2.AsyncClient, path: str, count: int) -> list[dict[str, Any]]:
    got: list[dict[str, Any]] = []
    async with client.stream("GET", path) as answer:
        async for line in answer.aiter_lines():
            got.append(json.loads(line))
            if len(got) == count:
                break
    return got


def test_a_watch_goes_on_from_a_version_and_sends_bookmarks() -> None:
    async def work(client: httpx2.AsyncClient, cluster: Cluster) -> None:
        cluster.store.create(git_repository("old", url="http://g"))
        since = cluster.store.version
        cluster.store.create(git_repository("new", url="http://g"))
        got = await frames(client, f"{SOURCES}?watch=true&resourceVersion={since}&allowWatchBookmarks=true", 2)
        assert [frame["type"] for frame in got] == ["ADDED", "BOOKMARK"]
        assert got[0]["object"]["metadata"]["name"] == "new"
        assert got[1]["object"]["metadata"]["resourceVersion"] == str(cluster.store.version)

    calling(work)


def test_a_watch_without_a_version_begins_with_what_is_there() -> None:
    async def work(client: httpx2.AsyncClient, cluster: Cluster) -> None:
        cluster.store.create(git_repository("apps", url="http://g"))
        got = await frames(client, f"{SOURCES}?watch=1&fieldSelector=metadata.name%3Dapps", 1)
        assert got[0]["type"] == "ADDED"

    calling(work)


def test_too_old_is_410_as_a_status_or_as_an_event() -> None:
    async def work(client: httpx2.AsyncClient, cluster: Cluster) -> None:
        since = cluster.store.version
        cluster.store.create(git_repository("apps", url="http://g"))
        cluster.store.forget()
        [frame] = await frames(client, f"{SOURCES}?watch=true&resourceVersion={since}", 1)
        assert (frame["type"], frame["object"]["code"]) == ("ERROR", 410)
        cluster.faults.gone = 1
        assert (await client.get(f"{SOURCES}?watch=true&resourceVersion=5")).status_code == 410

    calling(work)


def test_a_watch_ends_after_its_time() -> None:
    async def work(client: httpx2.AsyncClient, cluster: Cluster) -> float:
        await client.get(f"{SOURCES}?watch=true&timeoutSeconds=7&resourceVersion={cluster.store.version}")
        return cluster.clock.monotonic()

    assert calling(work) == 7


def test_selectors_choose() -> None:
    async def work(client: httpx2.AsyncClient, cluster: Cluster) -> None:
        for name in ("a", "b"):
            item = config_map(name)
            item["metadata"] |= {"namespace": "n", "labels": {"app": name}}
            cluster.store.create(item)
        found = await client.get("/api/v1/namespaces/n/configmaps?labelSelector=app%3Db")
        assert [item["metadata"]["name"] for item in found.json()["items"]] == ["b"]
        both = await client.get("/api/v1/configmaps")
        assert len(both.json()["items"]) == 2

    calling(work)


@pytest.mark.parametrize(("tag", "well"), [("v1", True), ("slow", True), ("broken", False), ("fail", False)])
def test_rollouts_end_as_their_tag_says(tag: str, well: bool) -> None:
    async def work(_: httpx2.AsyncClient, cluster: Cluster) -> None:
        item = deployment("web", f"registry.test/web:{tag}", deadline=20)
        item["metadata"]["namespace"] = "n"
        cluster.store.create(item)
        await asyncio.sleep(25)
        status = cluster.store.need("Deployment", "n", "web")["status"]
        told = {one["type"]: one for one in status["conditions"]}
        assert status.get("availableReplicas", 0) == (1 if well else 0)
        assert told["Progressing"]["reason"] == ("NewReplicaSetAvailable" if well else "ProgressDeadlineExceeded")
        events = cluster.store.list("Event", "n")
        assert bool(events) is not well
        if events:
            assert f"web:{tag}" in events[0]["message"]

    calling(work)


def test_old_replicas_stay_until_the_new_ones_are_ready() -> None:
    async def work(_: httpx2.AsyncClient, cluster: Cluster) -> None:
        item = deployment("web", "x:v1", replicas=2)
        item["metadata"]["namespace"] = "n"
        cluster.store.create(item)
        await asyncio.sleep(1)
        cluster.store.patch("Deployment", "n", "web", {"spec": deployment("web", "x:slow", replicas=2)["spec"]})
        await asyncio.sleep(4)
        assert cluster.store.need("Deployment", "n", "web")["status"]["availableReplicas"] == 2
        assert cluster.store.need("Deployment", "n", "web")["status"]["updatedReplicas"] == 2
        cluster.store.delete("Deployment", "n", "web")
        await asyncio.sleep(10)
        assert cluster.store.get("Deployment", "n", "web") is None

    calling(work)
