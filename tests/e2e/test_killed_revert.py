"""A drive that is killed after its revert landed, and run again from nothing but the intent (a trigger elsewhere)."""

from __future__ import annotations

import asyncio

import pytest

from loopseal import settings
from loopseal.domain.change import Phase
from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import SetValue, change_id
from loopseal.ledger.memory import Ledger
from loopseal.testing.memory import MemoryEngine
from loopseal.usecases import OnFailure, World, draft, drive, load, propose, revert_id
from loopseal.wiring import SystemClock, Workshop
from tests.unit.usecases.scene import DEGRADED, HEALTHY

from .conftest import VALUES

ACTOR = Actor("payments_deploy/deploy", "https://airflow.test", ActorKind.DAG)


@pytest.mark.parametrize("steps_before_the_kill", range(1, 9))
def test_one_commit_and_one_revert_however_often_it_is_killed(shell, repository, steps_before_the_kill):
    tree = settings.load(str(shell.config))
    text = shell.config.read_text().replace(
        "paths:\n    - apps/payments/**", "dags: ['*']\n    paths:\n    - apps/payments/**"
    )
    shell.config.write_text(text)
    tree = settings.load(str(shell.config))

    async def go() -> None:
        from loopseal.credentials.reference import References

        first: list[str] = []

        def script(wait):
            first.append(wait.revision)
            return DEGRADED(wait) if wait.revision == first[0] else HEALTHY(wait)

        engine = MemoryEngine(script)
        name = change_id("killed", str(steps_before_the_kill))

        async def world_on(workshop: Workshop, ledger: Ledger) -> World:
            made = workshop.world(ledger)
            return World(made.routes, made.repository, lambda _: engine, ledger, made.clock, made.policy_set)

        workshop = Workshop(tree, References(), SystemClock())
        world = await world_on(workshop, Ledger())
        edits = [SetValue("apps/payments/values.yaml", "image.tag", "v2")]
        proposal = await draft(world, change_id=name, target="payments", edits=edits, reason="try", actor=ACTOR)
        intent = (await propose(world, proposal, dag="d")).events
        deadline = world.clock.now().replace(year=2100)
        running = drive(world, name, deadline=deadline, on_failure=OnFailure.REVERT, dag="d")
        taken = 0
        async for _ in running:
            taken += 1
            if taken == steps_before_the_kill:
                break
        await running.aclose()
        await workshop.aclose()

        elsewhere, ledger = Workshop(tree, References(), SystemClock()), Ledger()
        for number, event in enumerate(intent):
            await ledger.append(name, number, event)
        world = await world_on(elsewhere, ledger)
        steps = [step async for step in drive(world, name, deadline=deadline, on_failure=OnFailure.REVERT, dag="d")]
        assert steps[-1].change.id == revert_id(name)
        assert steps[-1].change.phase is Phase.HEALTHY
        change = await load(world, name)
        assert change is not None
        assert change.phase is Phase.FAILED
        await elsewhere.aclose()

    asyncio.run(go())
    assert repository.show() == VALUES
    assert repository.run("rev-list", "--count", "main").strip() == "3"
