"""What becomes of a commit: applied, refused, broken, passed by, dropped, taken back."""

from __future__ import annotations

import pytest

from loopseal.domain.change import Phase
from loopseal.domain.proposal import SetValue
from loopseal.domain.revision import State, Verdict
from tests.conformance import content
from tests.conformance.content import deployment, image
from tests.conformance.world import Kind, Live, World


async def shown(world: World, said: Verdict) -> str:
    """All that a person is shown of a verdict."""
    found = await world.evidence(said)
    named = [f"{one.kind}/{one.name}: {one.message}" for one in said.resources]
    return "\n".join((said.message, *named, *(f"{title}\n{text}" for title, text in found.sections)))


@pytest.mark.smoke
async def test_happy_path(world: World) -> None:
    await world.begin()
    commit = await world.commit(deployment("v2"))
    said = await world.wait(commit).ends(State.SUCCEEDED, world.by(argocd="HEALTHY", flux="APPLIED"), Live("v2"))
    assert said.observed.endswith(commit)


async def test_slow_rollout(world: World) -> None:
    await world.begin()
    waiting = world.wait(await world.commit(deployment("slow")))
    assert (await world.live()) != Live("slow")
    await waiting.ends(State.SUCCEEDED, live=Live("slow"))
    assert waiting.seconds >= 2.0


async def test_two_commits_coalesced(world: World) -> None:
    await world.begin()
    first, second = await world.commit(deployment("v2")), await world.commit(deployment("v3"))
    waits = [world.wait(first), world.wait(second)]
    for waiting in waits:
        said = await waiting.ends(State.SUCCEEDED, live=Live("v3"))
        assert said.observed.endswith(second)


async def test_nothing_for_this_application(world: World) -> None:
    await world.begin()
    commit = await world.commit({"apps/other/note.txt": "nothing to apply\n"})
    said = await world.wait(commit).ends(State.SUCCEEDED, live=Live("v1"))
    assert said.observed.endswith(commit)


async def test_broken_yaml(world: World) -> None:
    await world.begin()
    waiting = world.wait(await world.commit({**deployment("v2"), "apps/web/bad.yaml": content.NOT_YAML}))
    said = await waiting.ends(State.FAILED, world.by(argocd="ComparisonError", flux="BuildFailed"), Live("v1"))
    assert "yaml" in said.message
    assert "bad.yaml" in await shown(world, said)


async def test_object_refused_by_admission(world: World) -> None:
    await world.begin()
    waiting = world.wait(await world.commit(deployment("v2", labels={content.REFUSED: "true"})))
    said = await waiting.ends(State.FAILED, world.by(argocd="SYNC_FAILED", flux="ReconciliationFailed"), Live("v1"))
    told = await shown(world, said)
    assert content.REFUSAL in told
    assert "Deployment" in told


@pytest.mark.smoke
async def test_rollout_that_never_becomes_available(world: World) -> None:
    await world.begin()
    waiting = world.wait(await world.commit(deployment("broken")))
    reason = world.by(argocd="DEGRADED", flux="HealthCheckFailed")
    said = await waiting.ends(State.FAILED, reason, Live("broken", available=False))
    told = await shown(world, said)
    assert "Deployment/" in told
    assert world.by(argocd="progress deadline", flux="status: 'Failed'") in told


@pytest.mark.smoke
async def test_failure_is_reverted(world: World) -> None:
    await world.begin()
    last: dict[str, Phase] = {}
    steps = [step async for step in world.drive((SetValue(content.MANIFEST, content.IMAGE, image("broken")),))]
    for step in steps:
        last[step.change.id] = step.change.phase
    assert list(last.values()) == [Phase.FAILED, Phase.HEALTHY], last
    assert await world.live() == Live("v1")


async def test_force_push_that_drops_the_change(world: World) -> None:
    base = await world.begin()
    commit = await world.commit(deployment("v2"))
    await world.commit(deployment("v3"), onto=base)
    waiting = world.wait(commit)
    await waiting.ends(State.SUPERSEDED, "DIVERGED")
    assert waiting.live is not None
    assert waiting.live.tag != "v2"


@pytest.mark.without(Kind.FLUX, "Flux has no hooks; a Job among the manifests is the scenario beside it")
async def test_failing_hook(world: World) -> None:
    await world.begin()
    waiting = world.wait(await world.commit({**deployment("v2"), **content.failing_job("PreSync")}))
    said = await waiting.ends(State.FAILED, "SYNC_FAILED", Live("v1"))
    assert "Job/smoke" in await shown(world, said)


async def test_failing_job(world: World) -> None:
    await world.begin()
    waiting = world.wait(await world.commit({**deployment("v2"), **content.failing_job()}))
    said = await waiting.ends(State.FAILED, world.by(argocd="DEGRADED", flux="HealthCheckFailed"))
    assert waiting.live == Live("v2")
    assert "Job/" in await shown(world, said)


async def test_failure_that_a_later_commit_mends(world: World) -> None:
    await world.begin()
    waiting = world.wait(await world.commit(deployment("broken")))
    await waiting.until(world.by(argocd="HEALTH_PROGRESSING", flux="PROGRESSING"))
    mended = await world.commit(deployment("v3"))
    said = await world.wait(mended).ends(State.SUCCEEDED, live=Live("v3"))
    assert said.observed.endswith(mended)
