"""Waits on a simulated Argo CD, by REST and by Application objects: the races that need I/O, by their numbers (A1…)."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import replace

import pytest

from loopseal.domain.proposal import Application
from loopseal.domain.revision import State, Tolerance
from loopseal.errors import Code, Refused
from loopseal.ports import Wait
from loopseal.testing import objects
from loopseal.testing.clock import run
from tests.unit.engines.worlds import QUICK, SOURCE, URL, argo, deployment, last, leftovers, settings_map, told

BOTH = pytest.mark.parametrize("objects_only", [False, True], ids=["rest", "objects"])


@BOTH
def test_a1_healthy_at_the_old_commit_is_no_success(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only) as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:v2")})
            verdicts = await world.verdicts(revision)
            assert told(verdicts)[0] == "PENDING NOT_OBSERVED"
            assert last(verdicts) == (State.SUCCEEDED, "HEALTHY")
            assert verdicts[-1].observed == revision
            assert {one.application for one in verdicts} == {"argo/a"}

    run(main)


@BOTH
def test_a2_a_lost_refresh_is_asked_for_again(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only) as world:
            world.peer.faults.lost_refreshes = 2
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            began = asyncio.get_running_loop().time()
            assert last(await world.verdicts(revision)) == (State.SUCCEEDED, "HEALTHY")
            assert world.peer.faults.lost_refreshes == 0
            assert asyncio.get_running_loop().time() - began < 30  # and not after the resync of 180 s

    run(main)


def test_a3_a_revision_that_goes_back_is_told_and_nudged_away() -> None:
    async def main() -> None:
        async with argo() as world:
            old = world.git.tip
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:slow")})
            seen, poisoned = [], False
            async with aclosing(world.wait(revision, replace(QUICK, settle=60.0))) as verdicts:
                async for verdict in verdicts:
                    seen.append(verdict)
                    if verdict.reason == "SETTLING" and not poisoned:
                        poisoned = True
                        sync = {**world.peer.application("a")["status"]["sync"], "revision": old}
                        world.peer.poison(URL, "main", old)
                        world.peer.store.patch("Application", "argocd", "a", {"status": {"sync": sync}})
            assert "REGRESSED REVISION_WENT_BACK" in told(seen)
            assert last(seen) == (State.SUCCEEDED, "HEALTHY")

    run(main)


@BOTH
def test_a4_one_refresh_is_planned_after_each_sync(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only) as world:
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            began = asyncio.get_running_loop().time()
            verdicts = await world.verdicts(revision)
            assert "PENDING NOT_RECONCILED_SINCE_SYNC" in told(verdicts)
            assert last(verdicts) == (State.SUCCEEDED, "HEALTHY")
            assert asyncio.get_running_loop().time() - began < 10

    run(main)


def test_success_is_said_only_after_one_more_refresh_and_read() -> None:
    async def main() -> None:
        async with argo() as world:
            verdicts = await world.verdicts(world.git.tip)  # healthy there already
            assert last(verdicts) == (State.SUCCEEDED, "HEALTHY")
            gets = [params for method, path, params in world.wire.calls if path.endswith("/applications/a")]
            assert gets[-2].get("refresh") == "normal"
            assert "refresh" not in gets[-1]

    run(main)


def test_success_that_the_confirming_refresh_denies_is_never_said() -> None:
    async def main() -> None:
        async with argo() as world:
            first = world.git.tip
            world.git.commit({"apps/a/web.yaml": deployment("web:broken")})  # a descendant, not yet seen by anybody
            verdicts = await world.until(first, "HEALTH_PROGRESSING")
            assert State.SUCCEEDED not in {one.state for one in verdicts}

    run(main)


def test_a8_an_old_operation_blocks_and_then_the_wait_goes_on() -> None:
    async def main() -> None:
        async with argo() as world:
            hook = (
                "apiVersion: batch/v1\nkind: Job\nmetadata: {name: hook, annotations: {argocd.argoproj.io/hook: PreSync}}\n"
                "spec: {template: {spec: {containers: [{name: c, image: 'registry.test/job:broken'}]}}}\n"
            )
            world.git.commit({"apps/a/hook.yaml": hook, "apps/a/settings.yaml": settings_map("2")})
            assert await world.engine.act(world.app) == "refresh"
            await asyncio.sleep(3)
            revision = world.git.commit({"apps/a/hook.yaml": None})
            verdicts = await world.until(revision, "OLD_OPERATION_RUNNING", tolerance=replace(QUICK, old_operation=5.0))
            assert last(verdicts) == (State.BLOCKED, "OLD_OPERATION_RUNNING")

    run(main)


def test_a16_a_closed_window_is_asked_for_and_told() -> None:
    async def main() -> None:
        async with argo() as world:
            window = {"kind": "deny", "schedule": "* * * * *", "duration": "24h", "applications": ["*"]}
            world.peer.store.create(objects.project("default", syncWindows=[window]))
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            verdicts = await world.until(revision, "SYNC_WINDOW")
            assert verdicts[-1].state is State.BLOCKED
            assert "deny" in verdicts[-1].message

    run(main)


@BOTH
def test_a33_an_application_may_come_within_its_grace(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only, quiet=True) as world:
            asyncio.get_running_loop().call_later(8, lambda: world.peer.create("a", url=URL, path="apps/a"))
            verdicts = await world.verdicts(tolerance=replace(QUICK, create_grace=60.0))
            assert told(verdicts)[0] == "PENDING NOT_CREATED"
            assert last(verdicts) == (State.SUCCEEDED, "HEALTHY")

    run(main)


@BOTH
def test_a33_an_application_that_never_comes_is_missing(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only, quiet=True) as world:
            verdicts = await world.verdicts(tolerance=replace(QUICK, create_grace=20.0))
            assert told(verdicts) == ["PENDING NOT_CREATED", "FAILED APP_MISSING"]
            assert told(await world.verdicts()) == ["FAILED APP_MISSING"]

    run(main)


@BOTH
def test_a33_an_application_deleted_meanwhile(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only) as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:broken")})
            asyncio.get_running_loop().call_later(4, lambda: world.peer.store.delete("Application", "argocd", "a"))
            verdicts = await world.verdicts(revision)
            assert verdicts[-1].state is State.FAILED
            assert verdicts[-1].reason in {"APP_DELETING", "APP_MISSING"}

    run(main)


def test_a33_a_deletion_within_the_grace_may_be_followed_by_a_new_application() -> None:
    async def main() -> None:
        async with argo() as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:v2")})
            loop = asyncio.get_running_loop()
            loop.call_later(0.3, lambda: world.peer.store.delete("Application", "argocd", "a"))
            loop.call_later(9, lambda: world.peer.create("a", url=URL, path="apps/a"))
            verdicts = await world.verdicts(revision, tolerance=replace(QUICK, create_grace=60.0))
            assert "PENDING NOT_CREATED" in told(verdicts)
            assert last(verdicts) == (State.SUCCEEDED, "HEALTHY")

    run(main)


def test_a34_the_same_name_in_two_namespaces_is_two_applications() -> None:
    async def main() -> None:
        async with argo() as world:
            world.peer.create("a", url=URL, path="apps/a", namespace="team", destination="team")
            world.peer.store.patch(
                "Application", "team", "a", {"metadata": {"annotations": {"argocd.argoproj.io/skip-reconcile": "true"}}}
            )
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            theirs = Wait(Application("argo", "a", namespace="team"), revision, SOURCE, QUICK)
            ours, blocked = await asyncio.gather(
                world.verdicts(revision), anext(aiter(world.engine.wait(theirs, world.graph)))
            )
            assert last(ours) == (State.SUCCEEDED, "HEALTHY")
            assert blocked.reason == "SKIP_RECONCILE"
            names = {params.get("appNamespace") for _, path, params in world.wire.calls if path.endswith("/a")}
            assert names == {"argocd", "team"}

    run(main)


def test_a36_a_dropped_commit_is_superseded_only_after_refreshes_of_ours() -> None:
    async def main() -> None:
        async with argo() as world:
            base = world.git.tip
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            world.git.commit({"apps/a/settings.yaml": settings_map("3")}, onto=base)
            verdicts = await world.verdicts(revision)
            assert last(verdicts) == (State.SUPERSEDED, "DIVERGED")
            assert world.wire.count("GET", "/applications/a", refresh="normal") >= 2

    run(main)


def test_a39_a_revoked_token_is_fetched_anew_once_and_then_refused() -> None:
    async def main() -> None:
        async with argo() as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:slow")})
            world.vault.renewed["env:ARGO"] = "ops-token"
            asyncio.get_running_loop().call_later(1, lambda: world.peer.faults.revoked.add("bot-token"))
            assert last(await world.verdicts(revision)) == (State.SUCCEEDED, "HEALTHY")
            assert world.vault.forgotten == ["env:ARGO"]

            world.peer.faults.revoked.add("ops-token")
            with pytest.raises(Refused) as refused:
                await world.verdicts(revision)
            assert refused.value.code is Code.ENGINE_AUTHENTICATION
            assert refused.value.hint
            assert "ops-token" not in refused.value.diagnostics()

    run(main)


@BOTH
def test_a40_a_dropped_stream_is_opened_anew_and_nothing_is_lost(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only) as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:slow")})
            loop = asyncio.get_running_loop()
            for at in (0.2, 0.5, 2.0, 5.0):
                loop.call_later(at, world.peer.faults.cut_streams)
                loop.call_later(at, world.peer.cluster.faults.cut_streams)
            assert last(await world.verdicts(revision)) == (State.SUCCEEDED, "HEALTHY")
            assert world.wire.opened >= 3

    run(main)


def test_a40_a_server_that_is_gone_for_minutes_does_not_end_a_wait() -> None:
    async def main() -> None:
        async with argo() as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:v2")})
            loop = asyncio.get_running_loop()
            loop.call_later(0.25, world.peer.faults.kill)
            loop.call_later(300, world.peer.faults.restart)
            calls = []
            loop.call_later(299, lambda: calls.append(len(world.wire.calls)))
            verdicts = await world.verdicts(revision)
            assert "PENDING ENGINE_UNREACHABLE" in told(verdicts)
            assert told(verdicts).count("PENDING ENGINE_UNREACHABLE") == 1
            assert last(verdicts) == (State.SUCCEEDED, "HEALTHY")
            assert calls[0] < 60, "attempts back off"
            assert loop.time() < 400, "and the return is noticed"

    run(main)


def test_a40_half_open_a_silent_stream_is_broken_off_while_polls_go_on() -> None:
    async def main() -> None:
        async with argo() as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:slow")})
            world.peer.faults.silent = True
            verdicts = await world.verdicts(revision, tolerance=replace(QUICK, settle=90.0))
            assert last(verdicts) == (State.SUCCEEDED, "HEALTHY")
            assert world.wire.opened >= 2, "40 s without a byte: keepalives come every 15 s"

    run(main)


@pytest.mark.parametrize(("status", "settles"), [(503, True), (429, True), (500, True)])
def test_answers_that_pass_away_are_waited_out(status: int, settles: bool) -> None:
    async def main() -> None:
        async with argo() as world:
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            world.peer.faults.burst += [status] * 4
            assert (last(await world.verdicts(revision))[0] is State.SUCCEEDED) is settles

    run(main)


def test_403_at_the_start_is_refused_and_later_only_takes_the_sight() -> None:
    async def main() -> None:
        async with argo() as world:
            world.vault.values["env:ARGO"] = "blind-token"
            with pytest.raises(Refused) as refused:
                await world.verdicts()
            assert refused.value.code is Code.ENGINE_FORBIDDEN
        async with argo() as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:broken")})
            bot = world.peer.accounts["bot"]
            loop = asyncio.get_running_loop()
            loop.call_later(3, lambda: world.peer.accounts.update(bot=replace(bot, policies=())))
            verdicts = await world.until(revision, "ENGINE_FORBIDDEN")
            assert verdicts[-1].state is State.PENDING

    run(main)


def test_a_git_host_that_cannot_tell_keeps_the_wait_pending() -> None:
    async def main() -> None:
        async with argo() as world:
            old = world.git.tip
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            world.graph.unknown.add(old)
            asyncio.get_running_loop().call_later(70, world.graph.unknown.clear)
            verdicts = await world.verdicts(revision)
            assert told(verdicts)[0] == "PENDING ANCESTRY_UNKNOWN"
            assert last(verdicts) == (State.SUCCEEDED, "HEALTHY")

    run(main)


def test_degraded_fails_after_its_grace_with_the_resource() -> None:
    async def main() -> None:
        async with argo() as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:broken", deadline=4)})
            verdicts = await world.verdicts(revision)
            assert last(verdicts) == (State.FAILED, "DEGRADED")
            assert "web" in {one.name for one in verdicts[-1].resources}

    run(main)


def test_a_grace_that_runs_out_while_nothing_happens_is_noticed_in_that_second() -> None:
    async def main() -> None:
        async with argo(poll=3600.0) as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:broken", deadline=4)})
            loop, degraded = asyncio.get_running_loop(), 0.0
            async with aclosing(world.wait(revision, replace(QUICK, degraded_grace=45.0))) as verdicts:
                async for verdict in verdicts:
                    if verdict.reason == "HEALTH_DEGRADED":
                        degraded = loop.time()
            assert verdict.state is State.FAILED
            assert 45.0 <= loop.time() - degraded < 47.0

    run(main)


@BOTH
def test_health_that_a_restarted_controller_does_not_tell_of_is_asked_for(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only) as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:slow")})
            loop, restarted = asyncio.get_running_loop(), 0.0
            async with aclosing(world.wait(revision)) as verdicts:
                async for verdict in verdicts:
                    if verdict.reason == "HEALTH_PROGRESSING" and not restarted:
                        await world.peer.stop_controller()
                        await asyncio.sleep(15)  # it becomes healthy, and no controller sees it
                        await world.peer.restart_controller()
                        restarted = loop.time()
            assert verdict.state is State.SUCCEEDED
            assert loop.time() - restarted < 40.0  # and not at the resync, after 180 s

    run(main)


@BOTH
def test_a_degradation_that_has_passed_unseen_is_no_failure(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only) as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:slow", deadline=4)})
            async with aclosing(world.wait(revision)) as verdicts:
                async for verdict in verdicts:
                    if verdict.reason == "HEALTH_DEGRADED":
                        await world.peer.stop_controller()
                        await asyncio.sleep(15)  # it is late and comes all the same, and no controller sees it
                        await world.peer.restart_controller()
            assert verdict.state is State.SUCCEEDED

    run(main)


def test_500_waits_share_one_stream() -> None:
    async def main() -> None:
        async with argo(quiet=True, refreshes_per_minute=6000.0) as world:
            names = [f"app-{number:02}" for number in range(25)]
            for name in names:
                world.peer.create(name, url=URL, path="apps/a")
            await asyncio.sleep(20)
            waits = [world.verdicts(world.git.tip, app=Application("argo", name)) for name in names * 20]
            assert {last(verdicts)[0] for verdicts in await asyncio.gather(*waits)} == {State.SUCCEEDED}
            assert world.wire.opened == 1

    run(main)


def test_waits_on_one_application_share_refreshes_and_reads() -> None:
    async def main() -> None:
        async with argo() as world:
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            waits = [world.verdicts(revision) for _ in range(30)]
            assert {last(verdicts)[0] for verdicts in await asyncio.gather(*waits)} == {State.SUCCEEDED}
            assert world.wire.opened == 1
            assert world.wire.count("GET", "/applications/a", refresh="normal") <= 8
            assert world.wire.count("GET", "/applications/a") <= 60

    run(main)


@BOTH
def test_a_wait_that_is_left_leaves_nothing_behind(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only) as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:broken")})
            waits = [asyncio.ensure_future(world.verdicts(revision)) for _ in range(5)]
            await asyncio.sleep(7)
            assert leftovers(world)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            assert all(wait.cancelled() for wait in waits)
            assert not leftovers(world)

    run(main)


def test_every_refresh_is_one_record_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> int:
        async with argo() as world:
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            await world.verdicts(revision)
            return world.wire.count("GET", "/applications/a", refresh="normal")

    with caplog.at_level(logging.INFO, "loopseal.engines"):
        refreshes = run(main)
    records = [record for record in caplog.records if getattr(record, "verb", "") == "refresh"]
    assert len(records) == refreshes
    assert {(record.engine, record.object, record.outcome) for record in records} == {  # type: ignore[attr-defined]
        ("argocd", "Application argo/a", "ok")
    }
    assert "token" not in caplog.text


def test_the_budget_of_the_server_is_kept() -> None:
    async def main() -> None:
        async with argo(refreshes_per_minute=6.0) as world:
            world.peer.faults.lost_refreshes = 10_000
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            impatient = replace(QUICK, nudge=(0.1,))
            wait = asyncio.ensure_future(world.until(revision, "HEALTHY", tolerance=impatient))
            await asyncio.sleep(60)
            wait.cancel()
            await asyncio.gather(wait, return_exceptions=True)
            assert 6 <= world.wire.count("GET", "/applications/a", refresh="normal") <= 13

    run(main)


def test_tolerances_of_one_wait_are_its_own() -> None:
    async def main() -> None:
        async with argo() as world:
            first = world.git.tip
            world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            exact, loose = await asyncio.gather(
                world.verdicts(first, Tolerance(exact=True, settle=30.0)), world.verdicts(first)
            )
            assert last(exact) == (State.SUPERSEDED, "LATER_COMMIT")
            assert last(loose) == (State.SUCCEEDED, "HEALTHY")

    run(main)


def test_what_the_peer_answered_is_told_to_the_recorder() -> None:
    async def main() -> None:
        async with argo() as world:
            await world.verdicts()
            channels = {channel for channel, _ in world.heard}
            assert channels == {"argo-rest-get", "argo-sse-projected"}
            assert any("refresh=normal" in body["path"] for channel, body in world.heard if channel == "argo-rest-get")

    run(main)
