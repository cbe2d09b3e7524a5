"""Proposing: scope before anything is fetched, the target's rules, preflight, and doing it twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.domain.change import Cleared, Denied, Phase, Proposed, Refusal
from loopseal.domain.decision import Allow, Deny, admits
from loopseal.domain.proposal import DeleteFile, PutFile, SetValue, Target
from loopseal.errors import Code, ConfigError, Conflict, Refused
from loopseal.ports import Finding, Level
from loopseal.testing.memory import MemoryEngine
from loopseal.usecases import Route, load, propose
from loopseal.usecases.propose import answers
from tests.unit.usecases.scene import DAG, PERSON, VALUES, Scene


def test_a_dag_that_the_target_lists_is_cleared():
    async def go():
        scene = Scene()
        change = await propose(scene.world(), await scene.draft(), dag="payments_deploy")
        assert change.phase is Phase.CLEARED
        assert [type(event) for event in change.events] == [Proposed, Cleared]
        assert change.events[1].policies == ("target:payments-staging",)
        assert change.events[1].policy_set == "sha256:0"
        assert await load(scene.world(), change.id) == change
        assert len(scene.repository.commits) == 1

    asyncio.run(go())


@pytest.mark.parametrize("dag", ["", "orders_deploy", "xpayments_deploy", "payments"])
def test_any_other_dag_is_denied_and_that_is_recorded(dag):
    async def go():
        scene = Scene()
        change = await propose(scene.world(), await scene.draft(), dag=dag)
        assert change.phase is Phase.DENIED
        denial = change.events[-1]
        assert isinstance(denial, Denied)
        assert "does not list Dag" in denial.reason

    asyncio.run(go())


def test_a_target_without_dags_is_closed_to_every_dag_but_not_to_people():
    target = Target("t", "r", "main", ("**",))
    assert isinstance(answers(Route(target), DAG, "payments_deploy")[0], Deny)
    assert isinstance(answers(Route(target), PERSON, "")[0], Allow)


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_a_pattern_matches_all_of_a_name_or_nothing(start, middle, end):
    whole = start + middle + end
    assert admits([f"{start}*{end}"], whole) == bool(whole)
    assert admits(["", start], start) == bool(start)
    assert not admits([], whole)
    if "*" not in start and middle:
        assert not admits([start], start + middle)


@pytest.mark.parametrize(
    "edit",
    [
        SetValue("apps/orders/values.yaml", "a", 1),
        PutFile("apps/payments/../orders/x", "x"),
        DeleteFile("/etc/passwd"),
        PutFile("apps/payments/.git/hooks/x", "x"),
    ],
)
def test_a_path_outside_the_scope_is_refused_before_anything_is_fetched(edit):
    async def go():
        scene = Scene()
        scene.repository = None  # touching it would fail otherwise
        with pytest.raises(Refused) as caught:
            await scene.draft(edit)
        assert caught.value.code is Code.PROPOSAL_OUT_OF_SCOPE
        assert "apps/payments/**" in caught.value.hint

    asyncio.run(go())


def test_an_unknown_target_names_the_near_one():
    async def go():
        with pytest.raises(ConfigError, match="did you mean 'payments-staging'"):
            await Scene().draft(target="payments-stagin")

    asyncio.run(go())


def test_preflight_errors_refuse_before_committing_and_are_reported():
    async def go():
        never = Finding(Level.ERROR, "REVISION_PINNED", "tracks a tag", "argo/payments-staging")
        note = Finding(Level.NOTE, "NO_WAIT", "says nothing of health", "argo/payments-staging")
        scene, seen = Scene(argo=MemoryEngine(findings=(never, note))), []
        change = await propose(scene.world(), await scene.draft(), dag="payments_deploy", report=seen.append)
        assert change.phase is Phase.REFUSED
        refusal = change.events[-1]
        assert isinstance(refusal, Refusal)
        assert refusal.code == Code.ENGINE_PREFLIGHT
        assert "tracks a tag" in refusal.message
        assert seen == [never, note]
        assert len(scene.repository.commits) == 1

    asyncio.run(go())


def test_proposing_again_answers_what_stands():
    async def go():
        scene = Scene()
        first = await propose(scene.world(), await scene.draft(), dag="payments_deploy")
        scene.repository.foreign("other", b"x")
        again = await propose(scene.world(), await scene.draft(), dag="payments_deploy")
        assert again == first

    asyncio.run(go())


def test_other_content_under_the_same_id_is_a_conflict():
    async def go():
        scene = Scene()
        proposal = await scene.draft()
        await propose(scene.world(), proposal, dag="payments_deploy")
        with pytest.raises(Conflict):
            await propose(scene.world(), replace(proposal, edits=(SetValue(VALUES, "image.tag", "v3"),)), dag="x")

    asyncio.run(go())


def test_a_proposal_that_was_recorded_but_not_decided_is_not_decided_by_accident():
    """Killed between the two records, the proposal is decided when it is proposed again."""

    async def go():
        scene = Scene()
        proposal = await scene.draft()
        await scene.ledger.append(proposal.id, 0, Proposed(scene.clock.now(), proposal, "sha256:1"))
        change = await propose(scene.world(), proposal, dag="payments_deploy")
        assert change.phase is Phase.CLEARED

    asyncio.run(go())


def test_a_proposal_without_edits_or_reason_is_refused():
    async def go():
        scene = Scene()
        proposal = await scene.draft()
        for bad in (replace(proposal, edits=()), replace(proposal, reason=" "), replace(proposal, id="x")):
            with pytest.raises(Refused) as caught:
                await propose(scene.world(), bad, dag="payments_deploy")
            assert caught.value.code is Code.PROPOSAL_INVALID

    asyncio.run(go())
