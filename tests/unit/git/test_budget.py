"""Pushes of one host: at once when idle, spread when over budget, silent when told."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.git.budget import Budget, Budgets
from loopseal.testing.clock import LoopClock
from tests.unit.git.memory_remote import living


def times(rate: float, count: int, *, pause: float = 0.0, give_back: bool = False) -> list[float]:
    async def main() -> list[float]:
        clock = LoopClock()
        budget, out = Budget(clock, rate), []
        if pause:
            budget.pause(pause)

        async def one() -> None:
            await budget.take()
            out.append(round(clock.monotonic(), 3))
            if give_back:
                budget.give_back()

        await asyncio.gather(*(one() for _ in range(count)))
        return out

    return living(main)


def test_without_a_limit_nothing_waits() -> None:
    assert times(0, 50) == [0.0] * 50


def test_six_a_minute_are_two_at_once_and_then_one_every_ten_seconds() -> None:
    assert times(6, 5) == [0.0, 0.0, 10.0, 20.0, 30.0]


def test_what_was_not_needed_is_given_back() -> None:
    assert times(6, 20, give_back=True) == [0.0] * 20


def test_a_pause_holds_all() -> None:
    assert times(0, 3, pause=42) == [42.0] * 3
    assert times(6, 3, pause=42) == [42.0, 42.0, 52.0]


@given(st.floats(0.5, 60), st.integers(1, 40))
def test_no_minute_holds_more_than_the_rate_and_the_burst(rate, count) -> None:
    told = times(rate, count)
    for began in told:
        assert sum(began <= one < began + 60 for one in told) <= rate + max(1.0, rate / 3) + 1
    assert told == sorted(told)


def test_a_waiter_that_goes_away_holds_up_nobody() -> None:
    async def main() -> None:
        clock = LoopClock()
        budget = Budget(clock, 6)
        await budget.take()
        await budget.take()
        gone, stays = asyncio.create_task(budget.take()), asyncio.create_task(budget.take())
        await asyncio.sleep(1)
        gone.cancel()
        await stays
        assert clock.monotonic() == pytest.approx(10.0)

    living(main)


def test_one_budget_per_host_and_the_strictest_limit_holds() -> None:
    async def main() -> None:
        budgets = Budgets(LoopClock())
        budget = budgets.of("git.example.com", 60)
        assert budgets.of("git.example.com", 6) is budget
        assert budgets.of("git.example.com") is budget
        assert budgets.of("other") is not budget
        await budget.take()
        began = asyncio.get_running_loop().time()
        for _ in range(3):
            await budget.take()
        assert asyncio.get_running_loop().time() - began == pytest.approx(20.0)

    living(main)
