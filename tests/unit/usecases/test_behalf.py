"""For whom the verbs call engines: whoever proposed the change, and the revert for itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loopseal.domain.proposal import Application
from loopseal.domain.revision import Tolerance, Verdict
from loopseal.ports import Ancestry, Behalf, Finding, Source, Wait, behalf, on_behalf_of
from loopseal.testing.memory import MemoryEngine
from loopseal.usecases import OnFailure, drive, propose, revert_id, watch
from tests.unit.usecases.scene import DEGRADED, HEALTHY, Scene


@dataclass
class Asked(MemoryEngine):
    """Remembers for whom each of its verbs was called."""

    whose: list[tuple[str, Behalf]] = field(default_factory=list)

    async def preflight(self, application: Application, source: Source, tolerance: Tolerance) -> Sequence[Finding]:
        self.whose.append(("preflight", behalf()))
        return await super().preflight(application, source, tolerance)

    async def baseline(self, application: Application) -> Mapping[str, Any]:
        self.whose.append(("baseline", behalf()))
        return await super().baseline(application)

    async def wait(self, wait: Wait, ancestry: Ancestry) -> AsyncIterator[Verdict]:
        self.whose.append(("wait", behalf()))
        async for verdict in super().wait(wait, ancestry):
            yield verdict
            self.whose.append(("still", behalf()))


def test_everything_that_is_asked_of_an_engine_is_asked_for_its_change():
    async def go():
        scene = Scene(argo=Asked(HEALTHY))
        change = await propose(scene.world(), await scene.draft(), dag="payments_deploy")
        steps = drive(scene.world(), change.id, deadline=scene.deadline())
        async for _ in steps:
            assert behalf() == Behalf(), "whoever looks on keeps its own name"
        proposal = change.proposal
        assert {verb for verb, _ in scene.argo.whose} >= {"preflight", "baseline", "wait", "still"}
        assert {whose for _, whose in scene.argo.whose} == {Behalf(str(proposal.actor), proposal.id)}

    asyncio.run(go())


def test_a_revert_is_asked_for_under_its_own_id():
    async def go():
        scene = Scene(argo=Asked(DEGRADED))
        change = await propose(scene.world(), await scene.draft(), dag="payments_deploy")
        steps = drive(
            scene.world(), change.id, deadline=scene.deadline(), on_failure=OnFailure.REVERT, dag="payments_deploy"
        )
        async for _ in steps:
            pass
        waited = [whose.change for verb, whose in scene.argo.whose if verb == "wait"]
        assert waited == [change.id, revert_id(change.id)]
        assert {whose.actor for _, whose in scene.argo.whose} == {str(change.proposal.actor)}

    asyncio.run(go())


def test_a_wait_without_a_change_is_the_callers():
    async def go():
        scene = Scene(argo=Asked(HEALTHY))
        world = scene.world()
        with on_behalf_of(Behalf("dag:look")):
            async for _ in watch(world, world.route("payments-staging"), "a" * 40, deadline=scene.deadline()):
                pass
        assert {whose for _, whose in scene.argo.whose} == {Behalf("dag:look")}

    asyncio.run(go())
