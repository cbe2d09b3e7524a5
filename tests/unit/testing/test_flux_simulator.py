"""What the recordings of Flux do not hold: other refs, pruning, health checks by name, restarts, Helm releases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import yaml

from loopseal.testing import objects
from loopseal.testing.clock import run
from loopseal.testing.flux import Flux
from loopseal.testing.gitview import MemoryRepositories, MemoryRepository
from loopseal.testing.health import condition
from loopseal.testing.store import Object

URL = "http://git.test/apps.git"
REQUEST = "reconcile.fluxcd.io/requestedAt"


def playing(work: Callable[[Flux, MemoryRepository], Awaitable[Any]], **facts: Any) -> Any:
    async def main() -> Any:
        repository = MemoryRepository()
        push(repository, "v1")
        async with Flux(MemoryRepositories({URL: repository}), requeue=5.0) as flux:
            flux.create_source("apps", url=URL)
            flux.create("web", source="apps", path="./apps/web", retryInterval="6s", **facts)
            await asyncio.sleep(10)
            return await work(flux, repository)

    return run(main)


def push(repository: MemoryRepository, tag: str, **files: str | None) -> str:
    web = yaml.safe_dump(objects.deployment("web", f"registry.test/web:{tag}", deadline=10))
    settings = yaml.safe_dump(objects.config_map("settings", tag=tag))
    changes = {"apps/web/web.yaml": web, "apps/web/sub/settings.yaml": settings}
    return repository.commit({**changes, **{f"apps/web/{name}.yaml": text for name, text in files.items()}}, tag)


def ask(flux: Flux, kind: str, name: str, token: str) -> None:
    flux.store.patch(kind, "flux-system", name, {"metadata": {"annotations": {REQUEST: token}}})


def web(flux: Flux) -> Object:
    return flux.store.need("Kustomization", "flux-system", "web")


def test_what_a_commit_removes_is_pruned() -> None:
    async def work(flux: Flux, repository: MemoryRepository) -> None:
        push(repository, "v2", extra=yaml.safe_dump(objects.config_map("extra")))
        ask(flux, "GitRepository", "apps", "1")
        await asyncio.sleep(10)
        assert flux.store.get("ConfigMap", "web", "extra")
        assert {entry["id"] for entry in web(flux)["status"]["inventory"]["entries"]} == {
            "web_extra__ConfigMap", "web_settings__ConfigMap", "web_web_apps_Deployment",
        }  # fmt: skip
        repository.commit({"apps/web/extra.yaml": None}, "less")
        ask(flux, "GitRepository", "apps", "2")
        await asyncio.sleep(10)
        assert flux.store.get("ConfigMap", "web", "extra") is None

    playing(work)


def test_health_checks_by_name_look_at_nothing_else() -> None:
    check = {"apiVersion": "v1", "kind": "ConfigMap", "name": "settings", "namespace": "web"}

    async def work(flux: Flux, repository: MemoryRepository) -> None:
        sha = push(repository, "broken")
        ask(flux, "GitRepository", "apps", "1")
        await asyncio.sleep(3)
        assert web(flux)["status"]["lastAppliedRevision"] == f"main@sha1:{sha}"

    playing(work, wait=False, healthChecks=[check])


def test_a_path_that_is_gone_is_an_artifact_failure_that_leaves_the_attempt_alone() -> None:
    async def work(flux: Flux, repository: MemoryRepository) -> None:
        before = web(flux)["status"]["lastAttemptedRevision"]
        repository.commit({"apps/web/web.yaml": None, "apps/web/sub/settings.yaml": None, "b": ""}, "gone")
        ask(flux, "GitRepository", "apps", "1")
        await asyncio.sleep(3)
        ready = condition(web(flux), "Ready")
        assert (ready["status"], ready["reason"]) == ("False", "ArtifactFailed")
        assert ready["message"].startswith("kustomization path not found: ")
        assert web(flux)["status"]["lastAttemptedRevision"] == before

    playing(work)


def test_a_later_artifact_waits_for_the_health_check_of_the_one_before() -> None:
    async def work(flux: Flux, repository: MemoryRepository) -> None:
        bad = push(repository, "broken")
        ask(flux, "GitRepository", "apps", "1")
        await asyncio.sleep(2)
        good = push(repository, "v3")
        ask(flux, "GitRepository", "apps", "2")
        await asyncio.sleep(4)
        source = flux.store.need("GitRepository", "flux-system", "apps")
        assert source["status"]["artifact"]["revision"].endswith(good)
        assert web(flux)["status"]["lastAttemptedRevision"].endswith(bad)
        await asyncio.sleep(20)
        assert web(flux)["status"]["lastAppliedRevision"].endswith(good)

    playing(work)


def test_of_many_tokens_only_some_are_ever_acknowledged() -> None:
    async def work(flux: Flux, _: MemoryRepository) -> list[str]:
        seen: list[str] = []
        flux.store.listen(lambda change: seen.append(change.object.get("status", {}).get("lastHandledReconcileAt", "")))
        for number in range(6):
            ask(flux, "Kustomization", "web", f"alice/{number}")
            await asyncio.sleep(0.03)
        await asyncio.sleep(20)
        return list(dict.fromkeys(filter(None, seen)))

    told = playing(work)
    assert len(told) < 6
    assert told[-1] == "alice/5"


def test_restarted_controllers_go_on_from_what_is_written() -> None:
    async def work(flux: Flux, repository: MemoryRepository) -> None:
        sha = push(repository, "v2")
        await flux.stop_controllers()
        ask(flux, "GitRepository", "apps", "1")
        await asyncio.sleep(5)
        assert flux.store.need("GitRepository", "flux-system", "apps")["status"].get("lastHandledReconcileAt") is None
        await flux.restart_controllers()
        await asyncio.sleep(10)
        assert web(flux)["status"]["lastAppliedRevision"] == f"main@sha1:{sha}"

    playing(work)


def test_paused_controllers_do_nothing_until_they_are_let_go() -> None:
    async def work(flux: Flux, repository: MemoryRepository) -> None:
        flux.faults.paused = True
        sha = push(repository, "v2")
        ask(flux, "GitRepository", "apps", "1")
        await asyncio.sleep(30)
        assert not web(flux)["status"]["lastAppliedRevision"].endswith(sha)
        flux.faults.paused = False
        await asyncio.sleep(10)
        assert web(flux)["status"]["lastAppliedRevision"].endswith(sha)

    playing(work)


def test_a_fetch_that_fails_keeps_the_artifact_and_is_tried_again() -> None:
    async def work(flux: Flux, repository: MemoryRepository) -> None:
        flux.faults.fetch_error = "authentication required"
        sha = push(repository, "v2")
        ask(flux, "GitRepository", "apps", "1")
        await asyncio.sleep(2)
        source = flux.store.need("GitRepository", "flux-system", "apps")
        assert condition(source, "FetchFailed")["reason"] == "GitOperationFailed"
        assert source["status"]["lastHandledReconcileAt"] == "1", "acknowledged although nothing was done"
        assert source["status"]["artifact"]
        flux.faults.fetch_error = ""
        await asyncio.sleep(20)
        source = flux.store.need("GitRepository", "flux-system", "apps")
        assert source["status"]["artifact"]["revision"] == f"main@sha1:{sha}"
        assert condition(source, "FetchFailed") == {}

    playing(work)


def test_a_commit_can_be_pinned() -> None:
    async def work(flux: Flux, repository: MemoryRepository) -> None:
        pinned = repository.tip
        push(repository, "v2")
        flux.store.patch("GitRepository", "flux-system", "apps", {"spec": {"ref": {"branch": None, "commit": pinned}}})
        await asyncio.sleep(3)
        source = flux.store.need("GitRepository", "flux-system", "apps")
        assert source["status"]["artifact"]["revision"] == f"sha1:{pinned}"

    playing(work)


def release(tag: str, **spec: Any) -> Object:
    chart = {"spec": {"chart": "web", "version": "1.2.3", "sourceRef": {"kind": "GitRepository", "name": "apps"}}}
    return {
        "kind": "HelmRelease",
        "metadata": {"name": "rel", "namespace": "flux-system"},
        "spec": {"interval": "10m", "timeout": "30s", "chart": chart, "values": {"image": {"tag": tag}}, **spec},
    }


def test_helm_releases_install_upgrade_fail_and_stay_suspended() -> None:
    async def work(flux: Flux, _: MemoryRepository) -> None:
        def now() -> Object:
            return flux.store.need("HelmRelease", "flux-system", "rel")

        flux.store.create(release("v1"))
        await asyncio.sleep(5)
        assert condition(now(), "Ready")["reason"] == "InstallSucceeded"
        assert now()["status"]["lastAttemptedRevision"] == "1.2.3"
        flux.store.patch("HelmRelease", "flux-system", "rel", {"spec": release("broken")["spec"]})
        await asyncio.sleep(60)
        assert condition(now(), "Ready")["reason"] == "UpgradeFailed"
        assert condition(now(), "Stalled")["reason"] == "RetriesExceeded"
        assert [row["status"] for row in now()["status"]["history"]] == ["failed", "deployed"]
        flux.store.patch("HelmRelease", "flux-system", "rel", {"spec": {"suspend": True}})
        await asyncio.sleep(3)
        status = now()["status"]
        assert status["observedGeneration"] == now()["metadata"]["generation"] > status["lastAttemptedGeneration"]

    playing(work)
