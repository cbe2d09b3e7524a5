from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.testing.clock import EPOCH, LoopClock, Stuck, VirtualLoop, outside, run, seconds


def test_time_jumps_to_the_next_timer() -> None:
    async def main() -> tuple[datetime, float]:
        clock = LoopClock()
        await clock.sleep(3600)
        return clock.now(), clock.monotonic()

    assert run(main) == (EPOCH + timedelta(hours=1), 3600)


@given(st.lists(st.floats(0, 1e6), max_size=20))
def test_timers_ring_in_order_at_their_times(pauses: list[float]) -> None:
    async def main() -> list[tuple[float, float]]:
        rung: list[tuple[float, float]] = []

        async def one(pause: float) -> None:
            await asyncio.sleep(pause)
            rung.append((pause, asyncio.get_running_loop().time()))

        await asyncio.gather(*map(one, pauses))
        return rung

    rung = run(main)
    assert [pause for pause, _ in rung] == sorted(pauses)
    assert all(at == pytest.approx(pause, abs=1e-6) for pause, at in rung)


def test_a_world_in_which_nothing_can_happen_is_stuck_instead_of_hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loopseal.testing.clock._PATIENCE", 0.01)

    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck):
        run(main)


def test_time_stands_still_while_the_real_world_works() -> None:
    async def main() -> tuple[float, bytes]:
        loop = asyncio.get_running_loop()
        alarm = loop.create_task(asyncio.sleep(1000))
        with outside():
            process = await asyncio.create_subprocess_exec("echo", "real", stdout=asyncio.subprocess.PIPE)
            out, _ = await process.communicate()
        passed = loop.time()
        alarm.cancel()
        return passed, out

    assert run(main) == (0.0, b"real\n")


def test_outside_is_nothing_in_real_time() -> None:
    async def main() -> None:
        with outside():
            assert not isinstance(asyncio.get_running_loop(), VirtualLoop)

    asyncio.run(main())


def test_a_result_of_a_thread_is_waited_for() -> None:
    async def main() -> int:
        return await asyncio.to_thread(lambda: 7)

    assert run(main) == 7


def test_stamps_are_cut_and_not_rounded() -> None:
    async def main() -> str:
        clock = LoopClock(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
        await clock.sleep(0.999)
        return clock.stamp()

    assert run(main) == "2026-01-02T03:04:05Z"


def test_a_real_clock_tells_the_time_of_day() -> None:
    async def main() -> datetime:
        return LoopClock.real().now()

    assert abs(asyncio.run(main()) - datetime.now(UTC)) < timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("90s", 90), ("1h30m", 5400), ("10m", 600), ("1.5s", 1.5), ("250ms", 0.25), ("1d", 86400), ("", 0)],
)
def test_go_durations(text: str, wanted: float) -> None:
    assert seconds(text) == wanted
