"""What happens to applications while somebody waits: they come, go, are held, depend on each other, are many."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loopseal.domain.revision import State
from tests.conformance.content import deployment
from tests.conformance.world import NOTHING, QUICK, Kind, Live, World

MANY = 50


async def test_created_late(world: World) -> None:
    commit = await world.commit(deployment("v1"))
    waiting = world.wait(commit, patience=replace(QUICK, create_grace=60.0, error_grace=60.0))
    await waiting.until("NOT_CREATED")
    assert await world.live() == NOTHING
    await world.create()
    await waiting.ends(State.SUCCEEDED, live=Live("v1"))


async def test_never_created(world: World) -> None:
    waiting = world.wait(await world.commit(deployment("v1")), patience=replace(QUICK, create_grace=3.0))
    await waiting.until("NOT_CREATED")
    await waiting.ends(State.FAILED, "APP_MISSING", NOTHING)


async def test_deleted_in_the_middle(world: World) -> None:
    await world.begin()
    waiting = world.wait(await world.commit(deployment("slow")))
    await waiting.until(world.by(argocd="HEALTH_PROGRESSING", flux="PROGRESSING"))
    await world.delete()
    said = await waiting.ends(State.FAILED)
    assert said.reason in {"APP_MISSING", "APP_DELETING", "DELETING"}, waiting.reasons


async def test_suspended_and_resumed(world: World) -> None:
    await world.begin()
    await world.suspend(on=True)
    waiting = world.wait(await world.commit(deployment("v2")))
    told = await waiting.until(world.by(argocd="SKIP_RECONCILE", flux="SUSPENDED"))
    assert told.state is State.BLOCKED
    assert await world.live() == Live("v1")
    await world.suspend(on=False)
    await waiting.ends(State.SUCCEEDED, live=Live("v2"))


@pytest.mark.without(Kind.FLUX, "Flux has no sync windows; suspension is the scenario beside it")
async def test_sync_window(world: World) -> None:
    await world.begin()
    await world.close_window(on=True)
    waiting = world.wait(await world.commit(deployment("v2")))
    # an Application object does not tell of windows: there it is only said that nobody starts the sync
    told = await waiting.until("SYNC_WINDOW" if world.kind is Kind.ARGOCD else "AUTO_SYNC_NOT_STARTING")
    assert told.state is (State.BLOCKED if world.kind is Kind.ARGOCD else State.PENDING)
    assert await world.live() == Live("v1")
    await world.close_window(on=False)
    await waiting.ends(State.SUCCEEDED, live=Live("v2"))


ARGO_HAS_NO_DEPENDENCIES = "Argo CD knows no dependencies between applications"


@pytest.mark.without(Kind.ARGOCD, ARGO_HAS_NO_DEPENDENCIES)
@pytest.mark.without(Kind.OBJECTS, ARGO_HAS_NO_DEPENDENCIES)
async def test_dependency_not_ready(world: World) -> None:
    await world.commit({**deployment("v1"), **deployment("broken", "base")})
    await world.create("base")
    await world.create("web", after="base")
    commit = await world.commit(deployment("v2"))
    waiting = world.wait(commit, patience=replace(QUICK, failed_passes=20))
    told = await waiting.until("DependencyNotReady")
    assert "base" in told.message
    assert await world.live() == NOTHING
    mended = await world.commit(deployment("v1", "base"))
    await world.refresh()
    said = await waiting.ends(State.SUCCEEDED, live=Live("v2"))
    assert said.observed.endswith(mended)


@pytest.mark.without(Kind.ARGOCD, ARGO_HAS_NO_DEPENDENCIES)
@pytest.mark.without(Kind.OBJECTS, ARGO_HAS_NO_DEPENDENCIES)
async def test_dependency_that_fails(world: World) -> None:
    await world.commit({**deployment("v1"), **deployment("v1", "base")})
    await world.create("base")
    await world.create("web", after="base")
    commit = await world.commit({**deployment("v2"), **deployment("broken", "base")})
    said = await world.wait(commit).ends(State.FAILED, "DEPENDENCY_FAILED")
    assert "base" in said.message
    assert (await world.live()).tag in {"", "v1"}


@pytest.mark.alone
async def test_many_applications_on_one_commit(world: World) -> None:
    names = [f"app{number:02}" for number in range(MANY)]
    await world.commit({path: text for name in names for path, text in deployment("v1", name).items()})
    for name in names:
        await world.create(name)
    commit = await world.commit({path: text for name in names for path, text in deployment("v2", name).items()})
    patience = replace(QUICK, create_grace=30.0, error_grace=60.0, degraded_grace=60.0, failed_passes=20)
    waits = [world.wait(commit, name, patience=patience) for name in names]
    for waiting in waits:
        await waiting.ends(State.SUCCEEDED, live=Live("v2"), within=400.0)
    streams = [one for one in world.calls() if "/stream/" in one or "watch=true" in one]
    assert len(streams) <= 4, streams  # one per kind of objects, whoever waits; a few may break and come back
