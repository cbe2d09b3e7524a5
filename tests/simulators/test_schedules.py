"""The invariants of a wait hold in 2,000 random schedules, with the simulator's own knowledge as the oracle.

I1 never SUCCEEDED while what is live is not our commit or a descendant, healthy · I2 said within a bound when it stays so ·
I3 FAILED within a bound when it has failed for good, never otherwise, naming the resource · I4 killing the waiter changes
nothing of this (it is killed in half of the schedules) · I5 refreshes within the budget · I7 the token is never spoken.
I6 and I8 are about whole changes: `test_loops.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from loopseal.domain.proposal import Application
from loopseal.domain.revision import State, Verdict
from loopseal.ports import Ancestry, Evidence, Wait
from tests.simulators import schedules, worlds

BLOCK = 50
SEEDS = {"argocd": 1200, "flux": 700, "argocd_objects": 100}


@pytest.mark.parametrize(
    ("kind", "first"), [(kind, first) for kind, count in SEEDS.items() for first in range(0, count, BLOCK)]
)
def test_invariants_hold(kind: str, first: int) -> None:
    ends: Counter[str] = Counter()
    for seed in range(first, first + BLOCK):
        schedule = schedules.draw(seed, kind)
        outcome, broken = schedules.play(getattr(worlds, kind), schedule)
        assert not broken, f"{schedule}: {broken}; said {outcome.verdicts[-3:]}"
        ends[str(outcome.verdict.state) if outcome.verdict else "none"] += 1
    assert ends["SUCCEEDED"] > BLOCK / 4
    assert ends["FAILED"] > 0


def test_there_are_two_thousand() -> None:
    assert sum(SEEDS.values()) >= 2000


def test_a_schedule_is_the_same_every_time() -> None:
    played = [schedules.play(worlds.argocd, schedules.draw(7, "argocd"))[0] for _ in range(2)]
    assert [(one.verdict, one.at, one.nudges) for one in played[:1]] == [
        (one.verdict, one.at, one.nudges) for one in played[1:]
    ]
    assert played[0].truth.good == played[1].truth.good


def test_the_seeds_hold_every_kind_of_trouble() -> None:
    drawn = Counter(step.what for seed in range(1000) for step in schedules.draw(seed, "argocd").steps)
    assert set(drawn) >= {*schedules.TROUBLE, "lost", "stale", "foreign", "force-push", "drift", "kill-waiter"}
    assert "gone" in {step.what for seed in range(200) for step in schedules.draw(seed, "flux").steps}


class Naive:
    """What is usually asked right after a push: Synced, Healthy, no operation. With `hasty` it
    refreshes, and takes anything else for a failure.

    It exists to show that the schedules find mistakes of both kinds.
    """

    kind = "argocd"

    def __init__(self, transport: httpx2.AsyncBaseTransport, clock: Any, *, hasty: bool) -> None:
        self._hasty = hasty
        self._client = httpx2.AsyncClient(
            transport=transport, base_url="http://argocd.test", headers={"authorization": "Bearer bot-token"}
        )
        self._clock = clock

    async def wait(self, wait: Wait, ancestry: Ancestry) -> AsyncIterator[Verdict]:
        del ancestry
        while True:
            status = await self._status(wait.application.name)
            if status and status["sync"]["status"] == "Synced" and status["health"]["status"] == "Healthy":
                yield Verdict(State.SUCCEEDED, "HEALTHY")
                return
            if status and self._hasty:
                yield Verdict(State.FAILED, "NOT_HEALTHY")
                return
            await self._clock.sleep(1.0)

    async def _status(self, name: str) -> Mapping[str, Any]:
        try:
            refresh = "&refresh=normal" if self._hasty else ""
            answer = await self._client.get(f"/api/v1/applications/{name}?project=default{refresh}")
        except httpx2.TransportError:
            return {}
        app = answer.json() if answer.status_code == 200 else {}
        return {} if "operation" in app else app.get("status", {})

    async def aclose(self) -> None:
        await self._client.aclose()

    async def evidence(self, application: Application, verdict: Verdict) -> Evidence:
        del application, verdict
        return Evidence()


@pytest.mark.parametrize(("hasty", "told", "least"), [(False, "I1", 20), (True, "I3: false alarm", 3)])
def test_the_usual_predicates_break_the_invariants(hasty: bool, told: str, least: int) -> None:
    @asynccontextmanager
    async def naive(schedule: schedules.Schedule, repository: Any) -> AsyncIterator[schedules.World]:
        async with worlds.argocd(schedule, repository) as world:
            world.make_engine = lambda transport, _: Naive(transport, world.peer.clock, hasty=hasty)
            yield world

    lines = [
        line for seed in range(40) for line in schedules.play(naive, schedules.draw(seed, "argocd"))[1] if told in line
    ]
    assert len(lines) >= least
