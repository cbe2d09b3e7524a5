"""What goes wrong around a wait: processes die, tokens end, connections break, requests are lost. It survives them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loopseal.domain.revision import State
from loopseal.errors import Code
from tests.conformance.content import deployment
from tests.conformance.world import QUICK, Kind, Live, Peer, World

OUTAGE = 3.0
"""Seconds that something is away."""


@pytest.mark.alone
async def test_api_server_killed_and_started(world: World) -> None:
    await world.begin()
    waiting = world.wait(await world.commit(deployment("slow")))
    await waiting.until(world.by(argocd="HEALTH_PROGRESSING", flux="PROGRESSING"))
    await world.kill(Peer.API_SERVER)
    await waiting.until("ENGINE_UNREACHABLE")
    await world.clock.sleep(OUTAGE)
    await world.start(Peer.API_SERVER)
    await waiting.ends(State.SUCCEEDED, live=Live("slow"))


@pytest.mark.alone
async def test_controller_killed_and_started(world: World) -> None:
    await world.begin()
    await world.kill(Peer.CONTROLLER)
    waiting = world.wait(await world.commit(deployment("v2")))
    await world.clock.sleep(OUTAGE)
    assert await world.live() == Live("v1")
    assert not any(one.state.final for one in waiting.told)
    await world.start(Peer.CONTROLLER)
    await waiting.ends(State.SUCCEEDED, live=Live("v2"))


@pytest.mark.alone
async def test_controller_killed_in_a_rollout(world: World) -> None:
    await world.begin()
    waiting = world.wait(await world.commit(deployment("slow")))
    await waiting.until(world.by(argocd="HEALTH_PROGRESSING", flux="PROGRESSING"))
    await world.kill(Peer.CONTROLLER)
    await world.clock.sleep(OUTAGE)
    await world.start(Peer.CONTROLLER)
    await waiting.ends(State.SUCCEEDED, live=Live("slow"))


@pytest.mark.alone
async def test_reader_of_git_killed_and_started(world: World) -> None:
    await world.begin()
    await world.kill(Peer.READER)
    waiting = world.wait(await world.commit(deployment("v2")), patience=replace(QUICK, error_grace=60.0))
    await waiting.until(world.by(argocd="ComparisonError", flux="NOT_FETCHED"))
    await world.clock.sleep(OUTAGE)
    assert await world.live() == Live("v1")
    await world.start(Peer.READER)
    await waiting.ends(State.SUCCEEDED, live=Live("v2"))


async def test_token_expires_in_the_middle(world: World) -> None:
    await world.begin()
    await world.suspend(on=True)
    await world.expiring()
    waiting = world.wait(await world.commit(deployment("v2")))
    await waiting.until(world.by(argocd="SKIP_RECONCILE", flux="SUSPENDED"))
    await world.expired()
    assert not any(one.state.final for one in waiting.told)
    await world.suspend(on=False)
    await waiting.ends(State.SUCCEEDED, live=Live("v2"))


async def test_token_revoked_in_the_middle(world: World) -> None:
    await world.begin()
    await world.suspend(on=True)
    commit = await world.commit(deployment("v2"))
    waiting = world.wait(commit)
    await waiting.until(world.by(argocd="SKIP_RECONCILE", flux="SUSPENDED"))
    await world.revoke()
    error = await waiting.refused()
    assert error.code is Code.ENGINE_AUTHENTICATION
    assert not any(one.state.final for one in waiting.told)
    await world.restore()
    await world.suspend(on=False)
    await world.wait(commit).ends(State.SUCCEEDED, live=Live("v2"))


async def test_connection_dropped(world: World) -> None:
    await world.begin()
    waiting = world.wait(await world.commit(deployment("slow")))
    await waiting.until(world.by(argocd="HEALTH_PROGRESSING", flux="PROGRESSING"))
    await world.cut()
    await world.clock.sleep(1.0)
    await world.cut()
    await waiting.ends(State.SUCCEEDED, live=Live("slow"))


@pytest.mark.without(
    Kind.ARGOCD, "the stream of Argo CD's API server begins with everything: it goes on from no version"
)
@pytest.mark.alone
async def test_watch_that_is_too_old(world: World) -> None:
    await world.begin()
    waiting = world.wait(await world.commit(deployment("slow")))
    await waiting.until(world.by(argocd="HEALTH_PROGRESSING", flux="PROGRESSING"))
    await world.forget()
    await waiting.ends(State.SUCCEEDED, live=Live("slow"))
    watches = [one for one in world.calls() if "watch=true" in one]
    first = next(number for number, one in enumerate(watches) if "resourceVersion=" in one)
    assert any("resourceVersion=" not in one for one in watches[first:]), watches  # begun anew, from no version


async def test_half_open_connection(world: World) -> None:
    await world.begin()
    waiting = world.wait(await world.commit(deployment("slow")))
    await waiting.until(world.by(argocd="HEALTH_PROGRESSING", flux="PROGRESSING"))
    await world.freeze(on=True)
    await waiting.ends(State.SUCCEEDED, live=Live("slow"))
    await world.freeze(on=False)


async def test_refresh_that_is_lost(world: World) -> None:
    await world.begin()
    await world.slow_git(3.0)
    await world.commit(deployment("v2"))
    await world.refresh()
    await world.clock.sleep(0.5)  # it is being fetched: what is asked for now goes with it
    waiting = world.wait(await world.commit(deployment("v3")))
    await world.clock.sleep(1.0)
    await world.slow_git(0.0)
    await waiting.ends(State.SUCCEEDED, live=Live("v3"))
    asked = [one for one in world.calls() if "refresh=" in one or one.startswith("PATCH")]
    assert len(asked) >= 2, asked
