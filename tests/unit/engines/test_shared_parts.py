"""Cells, watches, nudges, budgets, tokens, lines: what every wait shares, each by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.engines import lines as lines_module
from loopseal.engines.bearer import Bearer, Token, from_reference
from loopseal.engines.lines import json_lines, lines, server_sent
from loopseal.engines.nudges import Budget, Nudges
from loopseal.engines.watches import OPENED, Cell, News, Watch, within
from loopseal.errors import Code, Refused, Unreachable
from loopseal.ports import Secret
from loopseal.testing.clock import LoopClock, run
from tests.unit.engines.worlds import Vault


def thing(version: int, uid: str = "u") -> dict[str, Any]:
    return {"metadata": {"uid": uid, "resourceVersion": str(version)}}


class Peer:
    """Counts reads; each takes a second and answers what `now` is at its end."""

    def __init__(self) -> None:
        self.now: Any = thing(1)
        self.reads = 0
        self.error: Exception | None = None

    async def read(self) -> Any:
        self.reads += 1
        await asyncio.sleep(1)
        if self.error is not None:
            raise self.error
        return self.now


def gone() -> Unreachable:
    return Unreachable(Code.NET_UNREACHABLE, "down")


def test_one_reading_serves_all_who_ask_for_it() -> None:
    async def main() -> None:
        peer = Peer()
        cell = Cell(peer.read, LoopClock())
        assert await asyncio.gather(*(cell.fresh() for _ in range(50))) == [peer.now] * 50
        assert peer.reads == 2, "the first begins at once, all others share the one after it"
        assert await cell.current(10) == peer.now
        assert peer.reads == 2

    run(main)


def test_a_reading_under_way_does_not_count_as_fresh() -> None:
    async def main() -> None:
        peer = Peer()
        cell = Cell(peer.read, LoopClock())
        first = asyncio.ensure_future(cell.fresh())
        await asyncio.sleep(0.5)
        later = [asyncio.ensure_future(cell.fresh()) for _ in range(5)]
        await asyncio.gather(first, *later)
        assert peer.reads == 2

    run(main)


def test_a_failure_is_shared_and_does_not_stay() -> None:
    async def main() -> None:
        peer = Peer()
        peer.error = gone()
        cell = Cell(peer.read, LoopClock())
        out = await asyncio.gather(*(cell.fresh() for _ in range(5)), return_exceptions=True)
        assert {type(one) for one in out} == {Unreachable}
        assert peer.reads == 2
        peer.error = None
        assert await cell.current(100) == peer.now

    run(main)


def test_a_cancelled_reader_leaves_the_reading_to_the_next() -> None:
    async def main() -> None:
        peer = Peer()
        cell = Cell(peer.read, LoopClock())
        first = asyncio.ensure_future(cell.fresh())
        second = asyncio.ensure_future(cell.fresh())
        await asyncio.sleep(0.5)
        first.cancel()
        assert await second == peer.now
        assert peer.reads == 2

    run(main)


def test_news_and_age_make_a_cell_stale() -> None:
    async def main() -> None:
        peer, clock = Peer(), LoopClock()
        cell = Cell(peer.read, clock)
        await cell.current(10)
        cell.stale()
        await cell.current(10)
        assert peer.reads == 2
        cell.stale("1")  # it was read at that version already
        await cell.current(10)
        assert peer.reads == 2
        cell.stale("2")
        await cell.current(10)
        assert peer.reads == 3
        await clock.sleep(11)
        await cell.current(10)
        assert peer.reads == 4

    run(main)


def test_news_during_a_reading_are_not_lost() -> None:
    async def main() -> None:
        peer = Peer()
        cell = Cell(peer.read, LoopClock())
        reading = asyncio.ensure_future(cell.current(10))
        await asyncio.sleep(0.5)
        cell.stale()
        await reading
        await cell.current(10)
        assert peer.reads == 2

    run(main)


@given(st.lists(st.integers(1, 9), min_size=1))
def test_of_states_that_overtake_each_other_the_newest_stays(versions: list[int]) -> None:
    async def main() -> Any:
        cell = Cell(Peer().read, LoopClock())
        for version in versions:
            cell.put(thing(version))
        return await cell.current(100)

    assert run(main) == thing(max(versions))


def test_another_object_of_that_name_replaces_whatever_its_version() -> None:
    async def main() -> Any:
        cell = Cell(Peer().read, LoopClock())
        cell.put(thing(9))
        cell.put(thing(3, "other"))
        return await cell.current(100)

    assert run(main) == thing(3, "other")


class Stream:
    """Connections made of steps: news, seconds to wait, or what breaks it."""

    def __init__(self, *connections: Sequence[Any]) -> None:
        self._connections = list(connections)
        self.opened: list[float] = []

    async def connect(self) -> AsyncGenerator[News, None]:
        self.opened.append(asyncio.get_running_loop().time())
        for step in self._connections.pop(0) if self._connections else [1e6]:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, News):
                yield step
            else:
                await asyncio.sleep(step)


def test_a_watch_is_open_while_somebody_follows_and_wakes_whom_it_concerns() -> None:
    async def main() -> None:
        stream, peer = Stream([OPENED, 1, News("a"), 1, News("b", thing(5)), 1, News(), 1e6]), Peer()
        watch = Watch("test", stream.connect, LoopClock())
        a, b = asyncio.Event(), asyncio.Event()
        assert stream.opened == []
        async with watch.follow("a", peer.read, a) as first, watch.follow("b", peer.read, b) as second:
            await asyncio.sleep(0.5)
            assert watch.live
            assert not a.is_set()
            await asyncio.sleep(1)
            assert (a.is_set(), b.is_set()) == (True, False)
            await asyncio.sleep(1)
            assert await second.current(100) == thing(5)
            a.clear()
            b.clear()
            await asyncio.sleep(1)
            assert (a.is_set(), b.is_set()) == (True, True)
            assert first is not second
        assert not watch.live
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("loopseal")]
        async with watch.follow("a", peer.read, a):
            await asyncio.sleep(0.5)
        assert len(stream.opened) == 2

    run(main)


def test_a_broken_watch_is_opened_again_with_longer_and_longer_pauses() -> None:
    async def main() -> None:
        stream, peer = Stream(*([gone()] for _ in range(40))), Peer()
        watch = Watch("test", stream.connect, LoopClock())
        async with watch.follow("a", peer.read, asyncio.Event()):
            await asyncio.sleep(600)
            assert not watch.live
            assert 10 < len(stream.opened) < 30
            assert max(b - a for a, b in zip(stream.opened, stream.opened[1:], strict=False)) <= 60

    run(main)


def test_a_forbidden_watch_is_tried_once_a_minute_and_a_peaceful_end_at_once() -> None:
    async def main() -> None:
        forbidden = Refused(Code.ENGINE_FORBIDDEN, "no")
        stream, peer = Stream([forbidden], [forbidden], [OPENED, 5], [OPENED, 1e6]), Peer()
        async with Watch("test", stream.connect, LoopClock()).follow("a", peer.read, asyncio.Event()):
            await asyncio.sleep(200)
            assert stream.opened[1:3] == [60.0, 120.0]
            assert 125 <= stream.opened[3] <= 126

    run(main)


def test_within_leaves_nothing_behind_however_it_ends() -> None:
    async def main() -> None:
        clock, event = LoopClock(), asyncio.Event()
        assert not await within(clock, 5, event)
        asyncio.get_running_loop().call_later(2, event.set)
        assert await within(clock, 5, event)
        assert clock.monotonic() == 7
        event.clear()
        waiting = asyncio.ensure_future(within(clock, 5, event))
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        assert len(asyncio.all_tasks()) == 1
        assert not await within(clock, 0, event)

    run(main)


@given(st.floats(1, 600), st.lists(st.floats(0, 30), max_size=60))
def test_a_budget_is_never_overdrawn(per_minute: float, pauses: list[float]) -> None:
    async def main() -> None:
        clock, taken = LoopClock(), 0
        budget = Budget(per_minute, clock)
        for pause in pauses:
            await clock.sleep(pause)
            wait = budget.take()
            assert wait >= 0
            taken += wait == 0
            assert taken <= per_minute * (1 + clock.monotonic() / 60) + 1e-6

    run(main)


def test_urgent_refreshes_may_take_the_next_minute_s_in_advance_but_no_more() -> None:
    async def main() -> None:
        clock = LoopClock()
        budget = Budget(5, clock)
        assert [budget.take() for _ in range(5)] == [0.0] * 5
        assert budget.take() > 0
        assert [budget.take(urgent=True) for _ in range(5)] == [0.0] * 5
        pause = budget.take(urgent=True)
        assert pause > 0
        await clock.sleep(pause)
        assert budget.take(urgent=True) == 0

    run(main)


def test_refreshes_are_shared_by_all_whose_ticket_is_older() -> None:
    async def main() -> None:
        nudges, sent = Nudges(60, LoopClock()), []

        async def send() -> None:
            sent.append(asyncio.get_running_loop().time())
            await asyncio.sleep(1)

        tickets = [nudges.ticket("a") for _ in range(20)]
        assert all(await asyncio.gather(*(nudges.ask("a", send, ticket=ticket) for ticket in tickets)))
        assert len(sent) == 1
        early = asyncio.ensure_future(nudges.ask("a", send, ticket=nudges.ticket("a")))
        await asyncio.sleep(0.5)
        late = [nudges.ask("a", send, ticket=nudges.ticket("a")) for _ in range(5)]
        await asyncio.gather(early, *late)
        assert len(sent) == 3, "one that was under way does not count for those who came later"
        await nudges.ask("b", send, ticket=nudges.ticket("b"))
        assert len(sent) == 4

    run(main)


def test_a_refresh_that_failed_counts_for_nobody() -> None:
    async def main() -> None:
        nudges, sent = Nudges(60, LoopClock()), []

        async def send() -> None:
            sent.append(1)
            if len(sent) == 1:
                raise gone()

        ticket = nudges.ticket("a")
        with pytest.raises(Unreachable):
            await nudges.ask("a", send, ticket=ticket)
        assert await nudges.ask("a", send, ticket=ticket)
        assert len(sent) == 2

    run(main)


def test_without_budget_a_nudge_is_put_off_and_an_urgent_one_waits() -> None:
    async def main() -> None:
        clock = LoopClock()
        nudges, sent = Nudges(1, clock), []

        async def send() -> None:
            sent.append(clock.monotonic())

        for number in range(2000):  # lanes that nobody uses are forgotten
            await nudges.ask(number, send, ticket=0, urgent=number < 2)
        assert len(sent) == 2
        assert not await nudges.ask("a", send, ticket=0)
        assert await nudges.ask("a", send, ticket=0, urgent=True)
        assert sent[-1] > 50

    run(main)


def test_a_refused_token_is_fetched_once_for_all() -> None:
    async def main() -> None:
        vault = Vault({"env:T": "old"}, {"env:T": "new"})
        bearer = Bearer(from_reference(vault, "env:T"), LoopClock())
        sent = await asyncio.gather(*(bearer.headers() for _ in range(10)))
        assert vault.resolved == ["env:T"]
        for one in sent:
            bearer.refused(one)
        assert {one["authorization"] for one in await asyncio.gather(*(bearer.headers() for _ in range(10)))} == {
            "Bearer new"
        }
        assert (vault.resolved, vault.forgotten) == (["env:T"] * 2, ["env:T"])
        bearer.refused(sent[0])  # said late, of the old one
        await bearer.headers()
        assert len(vault.resolved) == 2

    run(main)


def test_without_a_reference_nothing_is_sent_and_a_short_life_is_kept_short() -> None:
    async def main() -> None:
        assert await Bearer(from_reference(Vault(), ""), LoopClock()).headers() == {}
        clock, count = LoopClock(), []

        async def fetch(refused: bool) -> Token:
            count.append(refused)
            return Token(Secret("t"), 90.0)

        bearer = Bearer(fetch, clock)
        for _ in range(10):
            await bearer.headers()
            await clock.sleep(10)
        assert count == [False, False]

    run(main)


async def chunked(data: bytes, sizes: list[int]) -> AsyncIterator[bytes]:
    at = 0
    for size in [*sizes, len(data)]:
        if at < len(data):
            yield data[at : at + size]
            at += size


@given(
    st.lists(st.binary(max_size=20).filter(lambda one: b"\n" not in one and not one.endswith(b"\r"))),
    st.lists(st.integers(1, 9)),
)
def test_lines_come_whole_however_they_are_cut(wanted: list[bytes], sizes: list[int]) -> None:
    async def main() -> list[bytes]:
        data = b"".join(one + b"\n" for one in wanted) + b"unfinished"
        return [line async for line in lines(chunked(data, sizes), "test")]

    assert asyncio.run(main()) == wanted


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3)),
    st.lists(st.integers(1, 30)),
)
def test_events_come_whole_with_keepalives_between(wanted: list[dict[str, Any]], sizes: list[int]) -> None:
    async def main() -> tuple[list[Any], list[Any]]:
        events = b"".join(b":\ndata: " + json.dumps(one).encode() + b" \r\n\r\n" for one in wanted)
        rows = b"".join(json.dumps(one).encode() + b"\n\n" for one in wanted)
        sent = [one async for one in server_sent(chunked(events, sizes), "test")]
        return sent[1::2], [one async for one in json_lines(chunked(rows, sizes), "test")]

    assert asyncio.run(main()) == (wanted, wanted)


@pytest.mark.parametrize("data", [b"data: nope\n", b"data: [1]\n", b"data: " + b"[" * 100_000 + b"\n", b"data: \xff\n"])
def test_what_is_no_object_breaks_the_stream(data: bytes) -> None:
    async def main() -> None:
        async for _ in server_sent(chunked(data, []), "test"):
            pass

    with pytest.raises(Unreachable) as caught:
        asyncio.run(main())
    assert caught.value.code is Code.ENGINE_PROTOCOL


def test_a_line_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "MAX_LINE", 1000)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100

    async def main() -> None:
        async for _ in lines(endless(), "test"):
            pass

    with pytest.raises(Unreachable) as caught:
        asyncio.run(main())
    assert caught.value.code is Code.NET_TOO_LARGE
