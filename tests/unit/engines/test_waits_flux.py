"""Waits on a simulated Flux: the races that need I/O, by their numbers (F1…)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from loopseal.domain.proposal import Application
from loopseal.domain.revision import State
from loopseal.engines.flux_object import REQUESTED_AT
from loopseal.errors import Code, ConfigError, Refused
from loopseal.testing.clock import run
from loopseal.testing.cluster import User
from tests.unit.engines import worlds
from tests.unit.engines.worlds import QUICK, URL, World, deployment, fluxcd, last, leftovers, settings_map, told

SOURCE = ("GitRepository", "flux-system", "src")
OURS = ("Kustomization", "flux-system", "a")


def later(seconds: float, do: Callable[[], Any]) -> None:
    asyncio.get_running_loop().call_later(seconds, do)


def suspend(world: World, key: tuple[str, str, str], *, value: bool = True) -> None:
    world.peer.store.patch(*key, {"spec": {"suspend": value}})


def test_f1_ready_at_the_old_commit_is_no_success() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:v2")})
            verdicts = await world.verdicts(revision)
            assert told(verdicts)[0] == "PENDING NOT_FETCHED"
            assert last(verdicts) == (State.SUCCEEDED, "APPLIED")
            assert verdicts[-1].observed == f"main@sha1:{revision}"
            assert verdicts[-1].application == "eu1/a"

    run(main)


def test_f2_a_request_that_is_acknowledged_without_work_is_no_success() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            suspend(world, OURS)
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            later(40, lambda: suspend(world, OURS, value=False))
            verdicts = await world.verdicts(revision)
            assert told(verdicts)[0] == "BLOCKED SUSPENDED"
            assert last(verdicts) == (State.SUCCEEDED, "APPLIED")

    run(main)


def test_f4_a_request_that_somebody_overwrites_is_made_good() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            base = world.git.tip
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            world.git.commit({"apps/a/settings.yaml": settings_map("3")}, onto=base)
            theirs = {"metadata": {"annotations": {REQUESTED_AT: "alice/1"}}}
            later(0.02, lambda: world.peer.store.patch(*SOURCE, theirs))
            verdicts = await world.verdicts(revision)
            assert last(verdicts) == (State.SUPERSEDED, "DIVERGED"), "seen after a pass that began after ours"

    run(main)


def test_f5_a_commit_that_was_never_an_artifact_counts_by_its_descendant() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            newer = world.git.commit({"apps/a/settings.yaml": settings_map("3")})
            verdicts = await world.verdicts(revision)
            assert last(verdicts) == (State.SUCCEEDED, "APPLIED")
            assert verdicts[-1].observed.endswith(newer)
            assert last(await world.verdicts(revision, replace(QUICK, exact=True))) == (
                State.SUPERSEDED,
                "LATER_COMMIT",
            )

    run(main)


def test_f6_two_failed_passes_are_a_failure_with_its_resource() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:broken", deadline=4)})
            verdicts = await world.verdicts(revision)
            assert "PENDING FAILED_ONCE_HealthCheckFailed" in told(verdicts)
            assert last(verdicts) == (State.FAILED, "HealthCheckFailed")
            assert ("Deployment", "web") in {(one.kind, one.name) for one in verdicts[-1].resources}

    run(main)


def test_f9_a_kustomization_that_missed_its_artifact_is_asked() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            await world.peer.stop_controllers()
            source = world.peer.store.need(*SOURCE)
            artifact = {**source["status"]["artifact"], "revision": f"main@sha1:{revision}"}
            world.peer.store.patch(*SOURCE, {"status": {"artifact": artifact}})
            wait = asyncio.ensure_future(world.until(revision, "APPLIED"))
            await asyncio.sleep(60)
            asked = world.peer.store.need(*OURS)["metadata"].get("annotations", {})
            assert revision[:12] in asked.get(REQUESTED_AT, "")
            wait.cancel()
            await asyncio.gather(wait, return_exceptions=True)

    run(main)


def test_f11_without_health_checks_the_objects_are_read_when_strict() -> None:
    async def main() -> None:
        async with fluxcd(quiet=True) as world:
            world.peer.create_source("src", url=URL)
            world.peer.create("a", source="src", path="./apps/a", wait=False)
            await asyncio.sleep(5)
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:broken", deadline=5)})
            assert last(await world.verdicts(revision)) == (State.SUCCEEDED, "APPLIED")
            strict = await world.verdicts(revision, replace(QUICK, strict_health=True))
            assert last(strict) == (State.FAILED, "OBJECTS_FAILED")
            assert world.wire.count("GET", "/secrets/") == 0

    run(main)


def test_f15_what_it_applied_counts_as_far_as_it_is_flux_s_own() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            nested = (
                "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n"
                "metadata: {name: inner, namespace: flux-system}\n"
                "spec: {interval: 10m, retryInterval: 10s, timeout: 30s, path: ./apps/inner, prune: true, wait: true,"
                " sourceRef: {kind: GitRepository, name: src, namespace: flux-system}}\n"
            )
            revision = world.git.commit(
                {
                    "apps/a/inner.yaml": nested,
                    "apps/inner/web.yaml": deployment("web:slow").replace("web}", "inner}", 1),
                }
            )
            verdicts = await world.verdicts(revision)
            assert last(verdicts) == (State.SUCCEEDED, "APPLIED")
            broken = world.git.commit(
                {"apps/inner/web.yaml": deployment("web:broken", deadline=4).replace("web}", "inner}", 1)}
            )
            verdicts = await world.verdicts(broken)
            assert verdicts[-1].state is State.FAILED

    run(main)


def test_f15_circles_end() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            entries = [{"id": "flux-system_a_kustomize.toolkit.fluxcd.io_Kustomization", "v": "v1"}]
            world.peer.store.patch(*OURS, {"status": {"inventory": {"entries": entries}}})
            assert last(await world.verdicts()) == (State.SUCCEEDED, "APPLIED")

    run(main)


def test_a_dependency_s_own_verdict_is_the_reason() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            world.git.commit({"infra/web.yaml": deployment("web:v1").replace("name: web}", "name: infra}", 1)})
            world.peer.create("infra", source="src", path="./infra", retryInterval="10s", timeout="30s")
            world.peer.store.patch(*OURS, {"spec": {"dependsOn": [{"name": "infra"}]}})
            await asyncio.sleep(20)
            revision = world.git.commit(
                {"infra/web.yaml": deployment("web:broken", deadline=4).replace("name: web}", "name: infra}", 1)}
            )
            verdicts = await world.verdicts(revision)
            assert last(verdicts) == (State.FAILED, "DEPENDENCY_FAILED")
            assert "infra" in verdicts[-1].message

    run(main)


def test_f19_a_suspended_source_blocks_unless_it_holds_the_commit() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            suspend(world, SOURCE)
            assert last(await world.verdicts()) == (State.SUCCEEDED, "APPLIED")
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            later(60, lambda: suspend(world, SOURCE, value=False))
            verdicts = await world.verdicts(revision)
            assert told(verdicts)[0] == "BLOCKED SUSPENDED"
            assert last(verdicts) == (State.SUCCEEDED, "APPLIED")

    run(main)


def test_f21_a_kustomization_made_anew_is_judged_anew() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:slow")})

            def renew() -> None:
                world.peer.store.delete(*OURS)
                later(5, lambda: world.peer.create("a", source="src", path="./apps/a", timeout="30s"))

            later(1, renew)
            verdicts = await world.verdicts(revision, replace(QUICK, create_grace=120.0))
            assert "PENDING NOT_CREATED" in told(verdicts)
            assert last(verdicts) == (State.SUCCEEDED, "APPLIED")

    run(main)


def test_f21_without_a_grace_a_deletion_is_a_failure() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:broken")})
            later(2, lambda: world.peer.store.delete(*OURS))
            verdicts = await world.verdicts(revision)
            assert verdicts[-1].state is State.FAILED
            assert verdicts[-1].reason in {"DELETING", "APP_MISSING"}

    run(main)


def test_f22_a_version_that_is_too_old_begins_the_watch_anew() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:slow")})
            world.peer.faults.gone = 4
            for at in (0.2, 2.0, 4.0):
                later(at, world.peer.faults.cut_streams)
            assert last(await world.verdicts(revision)) == (State.SUCCEEDED, "APPLIED")
            assert world.peer.faults.gone < 4
            afresh = world.wire.count("GET", "/kustomizations", watch="true")
            resumed = sum(
                "resourceVersion" in params for _, path, params in world.wire.calls if path.endswith("kustomizations")
            )
            assert afresh > resumed

    run(main)


def test_a_watch_ends_and_goes_on_where_it_ended() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            suspend(world, OURS)
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            later(1000, lambda: suspend(world, OURS, value=False))
            assert last(await world.verdicts(revision)) == (State.SUCCEEDED, "APPLIED")
            watches = [params for _, path, params in world.wire.calls if path.endswith("/kustomizations")]
            assert len(watches) == 5, "240 s each"
            assert ["resourceVersion" in one for one in watches] == [False, True, True, True, True]

    run(main)


def test_half_open_a_watch_without_a_byte_is_broken_off() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:slow")})
            world.peer.faults.silent = True
            verdicts = await world.verdicts(revision, replace(QUICK, settle=150.0))
            assert last(verdicts) == (State.SUCCEEDED, "APPLIED")
            assert world.wire.count("GET", "/kustomizations", watch="true") >= 2

    run(main)


def test_a_watch_that_is_forbidden_leaves_polling() -> None:
    async def main() -> None:
        reader = User("reader", ("get * *", "patch * *"))
        async with fluxcd(users={"reader-token": reader}, token="reader-token") as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:v2")})
            verdicts = await world.verdicts(revision)
            assert last(verdicts) == (State.SUCCEEDED, "APPLIED")
            assert world.wire.opened <= 4, "a forbidden watch is not tried every second"

    run(main)


def test_without_the_right_to_ask_flux_finds_it_by_itself() -> None:
    async def main() -> None:
        reader = User("reader", ("get * *", "list * *", "watch * *"))
        async with fluxcd(users={"reader-token": reader}, token="reader-token") as world:
            world.peer.store.patch(*SOURCE, {"spec": {"interval": "60s"}})
            await asyncio.sleep(5)
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            assert last(await world.verdicts(revision)) == (State.SUCCEEDED, "APPLIED")
            assert 1 <= world.wire.count("PATCH", "/gitrepositories") <= 3  # asked again now and then
            found = await world.engine.preflight(world.app, worlds.SOURCE, QUICK)
            assert "flux.no_patch" in {one.code for one in found}

    run(main)


def test_a_token_that_is_refused_is_an_authentication_error() -> None:
    async def main() -> None:
        async with fluxcd(token="nobody") as world:
            with pytest.raises(Refused) as refused:
                await world.verdicts()
            assert refused.value.code is Code.ENGINE_AUTHENTICATION

    run(main)


def test_a_kustomization_that_may_not_be_read_is_refused() -> None:
    async def main() -> None:
        async with fluxcd(users={"blind": User("blind", ())}, token="blind") as world:
            with pytest.raises(Refused) as refused:
                await world.verdicts()
            assert refused.value.code is Code.ENGINE_FORBIDDEN

    run(main)


def test_a_missing_kustomization_and_an_unknown_kind() -> None:
    async def main() -> None:
        async with fluxcd(quiet=True) as world:
            assert told(await world.verdicts()) == ["FAILED APP_MISSING"]
            with pytest.raises(ConfigError):
                await world.verdicts(app=Application("eu1", "a", kind="Deployment"))

    run(main)


def test_the_source_alone_can_be_waited_for() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            verdicts = await world.verdicts(revision, app=Application("eu1", "src", kind="GitRepository"))
            assert last(verdicts) == (State.SUCCEEDED, "ARTIFACT_AT_COMMIT")

    run(main)


RELEASE = (
    "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: shop, namespace: flux-system}}\n"
    "spec: {{interval: 10m, timeout: 30s, chart: {{spec: {{chart: shop, version: 1.0.0, sourceRef: {{kind: HelmRepository,"
    " name: charts}}}}}}, values: {{image: {{repository: registry.test/shop, tag: {tag}}}}}}}\n"
)


def test_a_helm_release_is_judged_below_the_kustomization_that_applies_it() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            revision = world.git.commit({"apps/a/shop.yaml": RELEASE.format(tag="v1")})
            app = Application("eu1", "shop", namespace="a", kind="HelmRelease")
            verdicts = await world.verdicts(revision, replace(QUICK, create_grace=900.0), app=app)
            assert verdicts[-1].state is State.SUCCEEDED
            broken = world.git.commit({"apps/a/shop.yaml": RELEASE.format(tag="broken")})
            verdicts = await world.verdicts(broken, app=app)
            assert verdicts[-1].state is State.FAILED

    run(main)


def test_f3_a_suspended_release_blocks() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            world.git.commit({"apps/a/shop.yaml": RELEASE.format(tag="v1")})
            await world.verdicts()
            world.peer.store.patch("HelmRelease", "a", "shop", {"spec": {"suspend": True}})
            await asyncio.sleep(1)
            verdicts = await world.until(world.git.tip, "SUSPENDED")
            assert verdicts[-1].state is State.BLOCKED

    run(main)


def test_a_server_that_is_gone_for_minutes_does_not_end_a_wait() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            later(0.05, world.peer.faults.kill)
            later(240, world.peer.faults.restart)
            verdicts = await world.verdicts(revision)
            assert "PENDING ENGINE_UNREACHABLE" in told(verdicts)
            assert last(verdicts) == (State.SUCCEEDED, "APPLIED")

    run(main)


def test_200_waits_share_one_watch_for_each_kind_and_leave_nothing() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            names = [f"k{number:02}" for number in range(20)]
            for name in names:
                world.peer.create(name, source="src", path="./apps/a", target=name)
            await asyncio.sleep(30)
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            waits = [world.verdicts(revision, app=Application("eu1", name)) for name in names * 10]
            assert {last(verdicts)[0] for verdicts in await asyncio.gather(*waits)} == {State.SUCCEEDED}
            assert world.wire.opened == 2
            assert world.wire.count("PATCH", "/gitrepositories/src") <= 3
            assert not leftovers(world)

    run(main)
