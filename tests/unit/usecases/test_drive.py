"""The whole way of a change: commit, watch, revert; and finding one's place after a kill at any step."""

from __future__ import annotations

import asyncio

import pytest

from loopseal.domain.change import (
    Blocked,
    Committed,
    Degraded,
    Expired,
    Healthy,
    Phase,
    Reconciled,
    Refusal,
    Superseded,
)
from loopseal.domain.proposal import SetValue
from loopseal.domain.revision import State
from loopseal.errors import Code, Conflict, Refused, Unreachable
from loopseal.ledger.memory import Ledger
from loopseal.testing.memory import MemoryEngine
from loopseal.usecases import OnFailure, drive, load, propose, revert, revert_id
from tests.unit.usecases.scene import DEGRADED, EUROPE, HEALTHY, PERSON, STAGING, VALUES, Scene, verdicts


async def proposed(scene: Scene, *edits):
    return await propose(scene.world(), await scene.draft(*edits), dag="payments_deploy")


async def driven(scene: Scene, change_id: str, on_failure: OnFailure = OnFailure.FAIL):
    steps = drive(scene.world(), change_id, deadline=scene.deadline(), on_failure=on_failure, dag="payments_deploy")
    return [step async for step in steps]


def kinds(change):
    return [type(event) for event in change.events[2:]]


def test_a_good_change_is_committed_reconciled_healthy():
    async def go():
        scene = Scene(argo=MemoryEngine(HEALTHY))
        change = await proposed(scene)
        steps = await driven(scene, change.id)
        assert steps[-1].change.phase is Phase.HEALTHY
        assert kinds(steps[-1].change) == [Committed, Reconciled, Healthy]
        assert scene.value() == b"image:\n  tag: v2\nreplicas: 2\n"
        assert scene.argo.baselines == 1

    asyncio.run(go())


def test_running_it_again_changes_nothing():
    async def go():
        scene = Scene(argo=MemoryEngine(HEALTHY))
        change = await proposed(scene)
        await driven(scene, change.id)
        again = await driven(scene, change.id)
        assert again[-1].change.phase is Phase.HEALTHY
        assert len(scene.repository.commits) == 2

    asyncio.run(go())


def test_a_failed_change_stays_without_a_revert():
    async def go():
        scene = Scene(argo=MemoryEngine(DEGRADED))
        change = await proposed(scene)
        steps = await driven(scene, change.id)
        assert steps[-1].change.phase is Phase.FAILED
        assert isinstance(steps[-1].change.events[-1], Degraded)
        assert b"v2" in scene.value()

    asyncio.run(go())


def failing_once(scene: Scene):
    """The first revision that is waited for fails, every other one is healthy."""
    bad: list[str] = []

    def script(wait):
        if not bad:
            bad.append(wait.revision)
        return DEGRADED(wait) if wait.revision == bad[0] else HEALTHY(wait)

    scene.argo = MemoryEngine(script)
    return scene


def test_a_failed_change_is_taken_back_and_the_revert_is_watched():
    async def go():
        scene = failing_once(Scene())
        change = await proposed(scene)
        steps = await driven(scene, change.id, OnFailure.REVERT)
        last = steps[-1].change
        assert last.id == revert_id(change.id)
        assert last.proposal.reverts == change.id
        assert last.phase is Phase.HEALTHY
        assert scene.value() == b"image:\n  tag: v1\nreplicas: 2\n"
        assert (await load(scene.world(), change.id)).phase is Phase.FAILED
        assert "DEGRADED" in last.proposal.reason

    asyncio.run(go())


def test_a_revert_that_would_undo_others_is_not_made():
    async def go():
        scene = failing_once(Scene())
        change = await proposed(scene)
        steps = drive(
            scene.world(), change.id, deadline=scene.deadline(), on_failure=OnFailure.REVERT, dag="payments_deploy"
        )
        notes = []
        async for step in steps:
            if step.change.phase is Phase.COMMITTED and len(scene.repository.commits) == 2:
                scene.repository.foreign(VALUES, b"image:\n  tag: v9\n")
            notes.append(step.note)
        assert "not reverted" in notes[-1]
        assert b"v9" in scene.value()

    asyncio.run(go())


@pytest.mark.parametrize("kept", [True, False], ids=["ledger kept", "ledger lost"])
@pytest.mark.parametrize("killed_after", range(1, 9))
def test_killed_after_any_step_and_run_again_it_ends_the_same(kept, killed_after):
    """With its ledger, or with nothing but the intent (as a trigger on another machine has): one commit, one revert."""

    async def go():
        scene = failing_once(Scene())
        change = await proposed(scene)
        intent = change.events
        steps = drive(
            scene.world(), change.id, deadline=scene.deadline(), on_failure=OnFailure.REVERT, dag="payments_deploy"
        )
        taken = 0
        async for _ in steps:
            taken += 1
            if taken == killed_after:
                break
        await steps.aclose()
        if not kept:
            scene.ledger = Ledger()
            for number, event in enumerate(intent):
                await scene.ledger.append(change.id, number, event)
        again = await driven(scene, change.id, OnFailure.REVERT)
        assert (await load(scene.world(), change.id)).phase in {Phase.FAILED, Phase.SUPERSEDED}
        assert again[-1].change.phase in {Phase.HEALTHY, Phase.FAILED, Phase.SUPERSEDED}
        assert scene.value() == b"image:\n  tag: v1\nreplicas: 2\n"
        carried = [one.proposal.id for one in scene.repository.commits if one.proposal]
        assert carried == [change.id, revert_id(change.id)]

    asyncio.run(go())


def test_a_lost_answer_is_found_by_the_change_id():
    async def go():
        scene = Scene(argo=MemoryEngine(HEALTHY))
        scene.repository.lose_answers.append(Unreachable(Code.GIT_UNREACHABLE, "cut"))
        change = await proposed(scene)
        with pytest.raises(Unreachable):
            await driven(scene, change.id)
        steps = await driven(scene, change.id)
        assert steps[-1].change.phase is Phase.HEALTHY
        assert len(scene.repository.commits) == 2

    asyncio.run(go())


def test_what_lies_in_the_edit_closes_the_change():
    async def go():
        scene = Scene()
        change = await proposed(scene, SetValue(VALUES, "image.tag", "v2", expect="v0"))
        steps = await driven(scene, change.id)
        refusal = steps[-1].change.events[-1]
        assert isinstance(refusal, Refusal)
        assert refusal.code == Code.EDIT_EXPECTATION

    asyncio.run(go())


@pytest.mark.parametrize(
    "error",
    [Refused(Code.GIT_AUTHENTICATION, "401"), Conflict(Code.GIT_CONTENDED, "busy"), Unreachable(Code.NET_TLS, "x")],
)
def test_what_lies_outside_leaves_the_change_cleared(error):
    async def go():
        scene = Scene(argo=MemoryEngine(HEALTHY))
        scene.repository.failures.append(error)
        change = await proposed(scene)
        with pytest.raises(type(error)):
            await driven(scene, change.id)
        assert (await load(scene.world(), change.id)).phase is Phase.CLEARED
        assert (await driven(scene, change.id))[-1].change.phase is Phase.HEALTHY

    asyncio.run(go())


def test_all_applications_must_be_healthy_and_one_failure_fails():
    async def go():
        scene = Scene(applications=(STAGING, EUROPE), argo=MemoryEngine(HEALTHY), flux=MemoryEngine(DEGRADED))
        change = await proposed(scene)
        last = (await driven(scene, change.id))[-1].change
        assert last.phase is Phase.FAILED
        assert last.events[-1].application == "flux/payments-eu"

    asyncio.run(go())


def test_time_runs_out_with_the_last_verdict():
    async def go():
        scene = Scene(argo=MemoryEngine(verdicts((State.PENDING, "NEEDS_SYNC"))))
        change = await proposed(scene)
        steps = drive(scene.world(), change.id, deadline=scene.clock.now(), dag="payments_deploy")
        last = [step async for step in steps][-1].change
        assert last.phase is Phase.FAILED
        assert isinstance(last.events[-1], Expired)

    asyncio.run(go())


def test_blocked_is_told_once_and_does_not_end_the_wait():
    async def go():
        blocked = (State.BLOCKED, "SUSPENDED")
        scene = Scene(argo=MemoryEngine(verdicts(blocked, blocked, (State.SUCCEEDED, "HEALTHY"))))
        change = await proposed(scene)
        last = (await driven(scene, change.id))[-1].change
        assert kinds(last).count(Blocked) == 1
        assert last.phase is Phase.HEALTHY

    asyncio.run(go())


def test_superseded_closes_it():
    async def go():
        scene = Scene(argo=MemoryEngine(verdicts((State.SUPERSEDED, "DIVERGED"))))
        change = await proposed(scene)
        last = (await driven(scene, change.id, OnFailure.REVERT))[-1].change
        assert last.phase is Phase.SUPERSEDED
        assert len(scene.repository.commits) == 2

    asyncio.run(go())


def test_a_healthy_descendant_that_reverts_the_change_is_no_success():
    async def go():
        scene = Scene()
        change = await proposed(scene)

        async def taken_back_meanwhile():
            reverting = await revert(
                scene.world(), change.id, target="payments-staging", actor=PERSON, reason="no", dag=""
            )
            return (await scene.world().repository(None).commit(reverting.proposal)).revision

        async def run():
            async for step in drive(scene.world(), change.id, deadline=scene.deadline(), dag="payments_deploy"):
                if step.change.phase is Phase.COMMITTED and len(scene.repository.commits) == 2:
                    tip = await taken_back_meanwhile()
                    scene.argo.script = verdicts((State.SUCCEEDED, "HEALTHY"), observed=tip)
                last = step
            return last.change

        last = await run()
        assert last.phase in {Phase.SUPERSEDED, Phase.FAILED}
        assert isinstance(last.events[-1], Superseded | Degraded)
        assert last.events[-1].reason == "REVERTED"

    asyncio.run(go())


def test_nothing_to_wait_for_ends_with_the_commit():
    async def go():
        scene = Scene(applications=())
        change = await proposed(scene)
        last = (await driven(scene, change.id))[-1]
        assert last.change.phase is Phase.HEALTHY
        assert "names no applications" in last.note

    asyncio.run(go())


def test_an_edit_that_changes_nothing_makes_no_commit_and_no_revert():
    async def go():
        scene = failing_once(Scene())
        change = await proposed(scene, SetValue(VALUES, "image.tag", "v1"))
        last = (await driven(scene, change.id, OnFailure.REVERT))[-1].change
        assert last.phase is Phase.FAILED
        assert len(scene.repository.commits) == 1

    asyncio.run(go())
