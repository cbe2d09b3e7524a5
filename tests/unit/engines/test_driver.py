"""The loop of one wait over a subject made of a script: what it tells, when it asks, what it survives."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import metrics

from loopseal.domain.revision import Action, Relation, State, Tolerance, Verdict
from loopseal.engines import driver, telemetry
from loopseal.engines.ancestors import Ancestors
from loopseal.engines.driver import drive
from loopseal.errors import Code, ConfigError, Refused, Unreachable
from loopseal.testing.clock import LoopClock, run

DOWN = Unreachable(Code.NET_UNREACHABLE, "down")
FORBIDDEN = Refused(Code.ENGINE_FORBIDDEN, "no")
DONE = Verdict(State.SUCCEEDED, "HEALTHY")
WORKING = Verdict(State.PENDING, "WORKING")
WANTED = Verdict(State.PENDING, "NOT_OBSERVED", action=Action.NUDGE)

Step = Any
"""A verdict, None (missing), or an exception."""


@dataclass
class Script:
    """A `Subject` that says at each moment what `at` says; confirms by the same unless `confirms` says otherwise."""

    at: Callable[[float], Step]
    confirms: list[Step] = field(default_factory=list)
    budget: bool = True
    pause: float = 0.0
    nudge_pauses: tuple[float, ...] = Tolerance().nudge
    live: bool = True
    engine: str = "test"
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    looked: list[tuple[float, float]] = field(default_factory=list)
    nudged: list[float] = field(default_factory=list)
    confirmed: int = 0
    fails: list[Exception] = field(default_factory=list)
    ripe: float = math.inf
    """When time alone makes another verdict of it."""

    @staticmethod
    def now() -> float:
        return asyncio.get_running_loop().time()

    def _say(self, step: Step) -> Any:
        if isinstance(step, Exception):
            raise step
        return step

    async def look(self, max_age: float) -> Verdict | None:
        self.looked.append((self.now(), max_age))
        return self._say(self.at(self.now()))

    async def confirm(self, verdict: Verdict) -> Verdict | None:
        self.confirmed += 1
        return self._say(self.confirms.pop(0) if self.confirms else self.at(self.now()))

    async def nudge(self) -> bool:
        self.nudged.append(self.now())
        if self.fails:
            raise self.fails.pop(0)
        return self.budget

    def pauses(self, verdict: Verdict) -> tuple[float, ...]:
        return (self.pause, *self.nudge_pauses)

    def ripens(self) -> float:
        return self.ripe - self.now() if self.ripe > self.now() else math.inf


def after(*steps: tuple[float, Step]) -> Callable[[float], Step]:
    """The last step whose time has come."""
    return lambda now: [step for at, step in steps if at <= now][-1]


def told(subject: Script, tolerance: Tolerance | None = None, limit: float = 10_000) -> list[Verdict]:
    async def main() -> list[Verdict]:
        out: list[Verdict] = []
        verdicts = drive(subject, tolerance or Tolerance(), LoopClock(), poll=30.0, application="a")
        async with aclosing(verdicts):
            try:
                async with asyncio.timeout(limit):
                    async for verdict in verdicts:
                        out.append(verdict)  # noqa: PERF401 - what came before the limit is kept
            except TimeoutError:
                pass
        return out

    return run(main)


def reasons(verdicts: list[Verdict]) -> list[str]:
    return [one.reason for one in verdicts]


def test_a_grace_that_runs_out_is_noticed_then_and_not_at_the_next_poll() -> None:
    subject = Script(after((0, WORKING), (5, DONE)), ripe=5.0)
    told(subject)
    assert [round(at, 1) for at, _ in subject.looked] == [0.0, 5.0]


def test_a_grace_that_is_just_running_out_does_not_make_it_spin() -> None:
    subject = Script(after((0, WORKING), (5.05, DONE)), ripe=5.05)
    told(subject)
    assert len(subject.looked) <= 3


def test_changes_are_told_once_and_a_final_one_ends_it() -> None:
    subject = Script(after((0, WORKING), (100, Verdict(State.BLOCKED, "SUSPENDED")), (300, WORKING), (500, DONE)))
    verdicts = told(subject)
    assert reasons(verdicts) == ["WORKING", "SUSPENDED", "WORKING", "HEALTHY"]
    assert {one.application for one in verdicts} == {"a"}
    assert subject.confirmed == 1
    assert len(subject.looked) < 30


@pytest.mark.parametrize("state", [State.FAILED, State.SUCCEEDED, State.SUPERSEDED])
def test_what_would_end_it_is_confirmed_first(state: State) -> None:
    final = Verdict(state, "END")
    subject = Script(after((0, final)), confirms=[WORKING, DOWN, None, final])
    assert reasons(told(subject)) == ["WORKING", "ENGINE_UNREACHABLE", "APP_MISSING"]
    subject = Script(after((0, final)), confirms=[WORKING, final])
    assert reasons(told(subject)) == ["WORKING", "END"]
    assert subject.confirmed == 2


@pytest.mark.parametrize("state", [State.REGRESSED, State.BLOCKED, State.PENDING])
def test_the_others_do_not_end_it(state: State) -> None:
    subject = Script(after((0, Verdict(state, "X")), (1000, DONE)))
    assert reasons(told(subject)) == ["X", "HEALTHY"]


def test_nudges_come_at_2_4_8_and_then_every_60_seconds_give_or_take_a_fifth() -> None:
    subject = Script(after((0, WANTED)))
    told(subject, limit=400)
    pauses = [b - a for a, b in zip(subject.nudged, subject.nudged[1:], strict=False)]
    assert subject.nudged[0] == 0
    for pause, wanted in zip(pauses, (2, 4, 8, 16, 32, 60, 60, 60), strict=False):
        assert 0.8 * wanted - 1e-6 <= pause <= 1.2 * wanted + 1e-6
    assert len(pauses) >= 7


def test_another_reason_begins_a_new_row_and_none_stops_it() -> None:
    other = Verdict(State.PENDING, "NOT_RECONCILED_SINCE_SYNC", action=Action.NUDGE)
    subject = Script(after((0, WANTED), (100, WORKING), (200, other), (203, WORKING)), pause=1.0)
    told(subject, limit=400)
    assert not [at for at in subject.nudged if 130 < at < 200]
    late = [at for at in subject.nudged if at >= 200]
    assert len(late) <= 2
    assert all(at >= 201 for at in late), "its patience is kept"


def test_without_budget_it_tries_again_soon_and_then_less_often() -> None:
    subject = Script(after((0, WANTED)), budget=False)
    told(subject, limit=600)
    assert len([at for at in subject.nudged if at < 10]) >= 3
    assert 15 <= len(subject.nudged) <= 45, "500 that wait for a budget must not spin"


@pytest.mark.parametrize("error", [DOWN, FORBIDDEN, Refused(Code.ENGINE_NOT_FOUND, "gone")])
def test_a_nudge_that_fails_ends_nothing(error: Exception) -> None:
    subject = Script(after((0, WANTED), (20, DONE)), fails=[error, error])
    assert reasons(told(subject)) == ["NOT_OBSERVED", "HEALTHY"]
    assert len(subject.nudged) >= 3


def test_polls_are_rare_while_a_stream_tells_and_frequent_when_blind() -> None:
    quiet = Script(after((0, WORKING)))
    told(quiet, limit=600)
    blind = Script(after((0, WORKING)), live=False)
    told(blind, limit=600)
    assert 18 <= len(quiet.looked) <= 24
    assert {age for _, age in quiet.looked} == {30.0}
    assert 100 <= len(blind.looked) <= 140
    assert {age for _, age in blind.looked} == {5.0}


def test_news_end_the_sleep() -> None:
    subject = Script(after((0, WORKING), (3, DONE)))

    async def main() -> float:
        asyncio.get_running_loop().call_later(3, subject.wake.set)
        async with aclosing(drive(subject, Tolerance(), LoopClock(), poll=30.0, application="a")) as verdicts:
            async for _ in verdicts:
                pass
        return subject.now()

    assert run(main) == 3


def test_while_health_settles_it_looks_often() -> None:
    settling = Verdict(State.PENDING, "SETTLING")
    subject = Script(after((0, settling), (10, DONE)))
    told(subject, Tolerance(settle=10.0))
    assert [at for at, _ in subject.looked] == [0, 5, 10]
    short = Script(after((0, settling), (0.5, DONE)))
    told(short, Tolerance(settle=0.5))
    assert short.looked[-1][0] == 0.5


def test_an_unreachable_peer_is_asked_less_and_less() -> None:
    subject = Script(after((0, WORKING), (10, DOWN), (1000, DONE)))
    assert reasons(told(subject)) == ["WORKING", "ENGINE_UNREACHABLE", "HEALTHY"]
    during = [at for at, _ in subject.looked if 10 <= at < 1000]
    assert 30 < len(during) < 60


def test_an_unreachable_peer_at_the_start() -> None:
    assert reasons(told(Script(after((0, DOWN), (60, DONE))))) == ["ENGINE_UNREACHABLE", "HEALTHY"]


def test_missing_is_a_failure_unless_it_may_come() -> None:
    assert reasons(told(Script(after((0, None))))) == ["APP_MISSING"]
    verdicts = told(Script(after((0, None))), Tolerance(create_grace=60.0))
    assert reasons(verdicts) == ["NOT_CREATED", "APP_MISSING"]
    assert reasons(told(Script(after((0, None), (30, DONE))), Tolerance(create_grace=60.0))) == [
        "NOT_CREATED",
        "HEALTHY",
    ]
    (_, gone) = told(Script(after((0, WORKING), (30, None))))
    assert (gone.reason, gone.message) == ("APP_MISSING", "it was deleted while we waited")


def test_deleting_is_a_failure_unless_it_may_come_again() -> None:
    deleting = Verdict(State.FAILED, "APP_DELETING")
    assert reasons(told(Script(after((0, deleting))))) == ["APP_DELETING"]
    subject = Script(after((0, WORKING), (5, deleting), (40, DONE)))
    assert reasons(told(subject, Tolerance(create_grace=60.0))) == ["WORKING", "NOT_CREATED", "HEALTHY"]


def test_forbidden_is_an_answer_at_the_start_and_a_blindness_later() -> None:
    with pytest.raises(Refused):
        told(Script(after((0, FORBIDDEN))))
    subject = Script(after((0, FORBIDDEN), (30, DONE)))
    assert reasons(told(subject, Tolerance(create_grace=60.0))) == ["NOT_CREATED", "HEALTHY"]
    with pytest.raises(Refused):
        told(Script(after((0, FORBIDDEN))), Tolerance(create_grace=60.0))
    subject = Script(after((0, WORKING), (30, FORBIDDEN), (90, DONE)))
    assert reasons(told(subject)) == ["WORKING", "ENGINE_FORBIDDEN", "HEALTHY"]


def test_a_refusal_at_the_start_must_stay() -> None:
    """An API server of Kubernetes that was just started refuses everybody for a moment."""
    subject = Script(after((0, FORBIDDEN), (driver.REFUSED / 2, DONE)))
    assert reasons(told(subject)) == ["ENGINE_FORBIDDEN", "HEALTHY"]
    subject = Script(after((0, DOWN), (0.5, FORBIDDEN), (driver.REFUSED / 2, WORKING), (60, DONE)))
    assert reasons(told(subject)) == ["ENGINE_UNREACHABLE", "ENGINE_FORBIDDEN", "WORKING", "HEALTHY"]


@pytest.mark.parametrize("error", [Refused(Code.ENGINE_AUTHENTICATION, "who"), ConfigError(Code.CONFIG_SECRET, "x")])
def test_what_only_somebody_can_mend_is_raised_at_any_time(error: Exception) -> None:
    for at in (0, 100):
        with pytest.raises(type(error)):
            told(Script(after((0, WORKING), (at, error))), Tolerance(create_grace=1000.0))


steps = st.sampled_from(
    [WORKING, WANTED, DONE, DOWN, None, Verdict(State.BLOCKED, "B"), Verdict(State.REGRESSED, "R"), FORBIDDEN]
)


@given(st.lists(st.tuples(st.floats(0.1, 200), steps), max_size=8), st.lists(steps, max_size=4), st.booleans())
def test_whatever_happens_it_tells_only_changes_and_only_what_is_confirmed(
    schedule: list[tuple[float, Step]], confirms: list[Step], live: bool
) -> None:
    final = Verdict(State.FAILED, "OVER")
    at, plan = 0.0, [(0.0, WORKING)]
    for pause, step in schedule:
        at += pause
        plan.append((at, step))
    subject = Script(after(*plan, (at + 500, final)), confirms=list(confirms), live=live)
    verdicts = told(subject)
    assert verdicts[-1].state.final
    assert not any(one.state.final for one in verdicts[:-1])
    assert not any(one.same_as(before) for before, one in itertools.pairwise(verdicts))
    assert subject.confirmed >= 1
    assert len(subject.looked) < 1000, "it never spins"


def test_nothing_is_left_of_a_wait_that_is_left() -> None:
    async def main() -> None:
        subject = Script(after((0, WORKING)))
        verdicts = drive(subject, Tolerance(), LoopClock(), poll=30.0, application="a")
        await anext(verdicts)
        following = asyncio.ensure_future(anext(verdicts))
        await asyncio.sleep(10)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert len(asyncio.all_tasks()) == 1

    run(main)


def test_an_act_is_logged_whatever_becomes_of_it(caplog: pytest.LogCaptureFixture) -> None:
    assert metrics.get_meter("x") is not None
    with caplog.at_level(logging.INFO, "loopseal.engines"):
        with telemetry.acting("argocd", "sync", "Application a"):
            pass
        for error in (FORBIDDEN, KeyboardInterrupt()):
            with pytest.raises(type(error)), telemetry.acting("argocd", "refresh", "Application a"):
                raise error
    outcomes = [record.outcome for record in caplog.records]  # type: ignore[attr-defined]
    assert outcomes == ["ok", "engine.forbidden", "interrupted"]
    assert caplog.messages[0] == "argocd: sync Application a: ok"


A, B, C = "a" * 40, "b" * 40, "c" * 40


class Slow:
    """An ancestry that answers after a while, and not for `unknown`."""

    def __init__(self, unknown: str = "", error: Exception | None = None) -> None:
        self.asked: list[tuple[str, str]] = []
        self._unknown, self._error = unknown, error

    async def relation(self, observed: str, wanted: str) -> Relation:
        self.asked.append((observed, wanted))
        await asyncio.sleep(1)
        if self._error is not None:
            raise self._error
        return Relation.UNKNOWN if self._unknown in {observed, wanted} else Relation.ANCESTOR


def chain(relation: Any, memory: dict[str, Any]) -> Verdict:
    """Asks about C only once it knows of B, as judges do."""
    memory["ran"] = memory.get("ran", 0) + 1
    if relation(A, A) is not Relation.EQUAL or relation("main", A) is not Relation.UNKNOWN:
        return Verdict(State.FAILED, "BROKEN")
    if relation(A, B) is Relation.UNKNOWN:
        return Verdict(State.PENDING, "ANCESTRY_UNKNOWN")
    return Verdict(State.PENDING, str(relation(A, C)))


def test_what_a_judge_asks_is_looked_up_and_it_is_asked_again() -> None:
    async def main() -> None:
        ancestry, memory = Slow(), {}
        ancestors = Ancestors(ancestry)
        assert (await ancestors.judged(chain, memory)).reason == "ancestor"
        assert ancestry.asked == [(A, B), (A, C)], "names are never asked about, nor is a commit about itself"
        assert memory == {"ran": 1}, "judges that ran in vain leave no trace"
        await ancestors.judged(chain, memory)
        assert len(ancestry.asked) == 2, "a relation never changes"
        assert memory == {"ran": 2}

    run(main)


@pytest.mark.parametrize("ancestry", [Slow(unknown=B), Slow(error=DOWN)])
def test_what_nobody_knows_stays_unknown_for_this_time(ancestry: Slow) -> None:
    async def main() -> None:
        ancestors = Ancestors(ancestry)
        for _ in range(2):
            assert (await ancestors.judged(chain, {})).reason == "ANCESTRY_UNKNOWN"
        assert ancestry.asked == [(A, B)] * 2

    run(main)


def test_an_object_that_names_many_commits_is_not_asked_about_without_end() -> None:
    async def main() -> None:
        ancestry = Slow()

        def curious(relation: Any, memory: dict[str, Any]) -> Verdict:
            for number in range(10_000):
                relation(f"{number:040x}", A)
            return WORKING

        assert await Ancestors(ancestry).judged(curious, {}) == WORKING
        assert len(ancestry.asked) <= 200

    run(main)
