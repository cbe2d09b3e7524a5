"""Shared watches: one connection per scope of a server, however many waits look at it.

    Watch   one connection; hands news to the cells it concerns, opens anew when it breaks, ends with its last follower
    Cell    one object as everybody last saw it: read once for all who need it

Everything is level-triggered: news only wake a waiter, and what counts is the object as it then is. A late joiner
misses nothing, a lost event costs one poll. Does not live here: any knowledge of an engine or of a protocol.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from loopseal.engines import telemetry
from loopseal.engines.fields import Object, text
from loopseal.errors import Code, LoopsealError, Refused
from loopseal.ports import Behalf, Clock, on_behalf_of

MAX_BACKOFF: Final = 60.0
"""Seconds between two attempts to open a broken watch, at most; with 500 waits behind it one attempt is one request."""


@dataclass(frozen=True, slots=True)
class News:
    """Something happened to `key`; `object` is what it became, None where the peer must be asked.

    `key` None means everything: events may have been lost. `version` is the object's resourceVersion where it is told:
    what was read at that version or later need not be read again.
    """

    key: Hashable | None = None
    object: Object | None = None
    version: str = ""


OPENED: Final = News("")
"""The connection is open and nothing was missed: nobody has the empty key."""

Connect: TypeAlias = Callable[[], AsyncGenerator[News, None]]
"""Opens one connection. Ends when the peer ends it; raises LoopsealError when it breaks."""
Read: TypeAlias = Callable[[], Awaitable[Object | None]]
"""Reads one object from the peer; None when there is none."""


class Cell:
    """One object, shared by all who look at it. Reads are shared as well, those under way and those that fail."""

    def __init__(self, read: Read, clock: Clock) -> None:
        self._read, self._clock = read, clock
        self._lock = asyncio.Lock()
        self._begun = self._ended = 0
        self._object: Object | None = None
        self._error: LoopsealError | None = None
        self._stale = True
        self._read_at = 0.0
        self.followers: list[asyncio.Event] = []

    async def current(self, max_age: float) -> Object | None:
        """The object as last seen, read anew if there were news since, or if it is older than `max_age` seconds."""
        if not self._stale and self._clock.monotonic() - self._read_at <= max_age:
            return self._object
        return await self.fresh()

    async def fresh(self) -> Object | None:
        """The object as of a read that begins after this call. Raises what the read raises."""
        wanted = self._begun + 1
        async with self._lock:
            if self._ended < wanted:
                await self._once()
            if self._error is not None:
                raise self._error
            return self._object

    async def _once(self) -> None:
        self._begun += 1
        began, self._stale = self._clock.monotonic(), False
        try:
            found, error = await self._read(), None
        except LoopsealError as failure:
            found, error = None, failure
        except BaseException:
            self._stale = True
            raise
        self._ended, self._error = self._begun, error
        if error is not None:
            self._stale = True
        elif not _older(found, self._object):
            self._object, self._read_at = found, began

    def put(self, found: Object) -> None:
        """Take what a peer just told, without reading again, and wake the followers. What is older is left aside."""
        if _older(found, self._object):
            return
        self._object, self._error, self._stale = found, None, False
        self._read_at = self._clock.monotonic()
        self.wake()

    def stale(self, version: str = "") -> None:
        """There are news: whoever looks next reads, and the followers should look."""
        if not self._stale and _reaches(text(self._object, "metadata", "resourceVersion"), version):
            return
        self._stale = True
        self.wake()

    def wake(self) -> None:
        """Let every follower look."""
        for follower in self.followers:
            follower.set()


class Watch:
    """One connection to one scope, open while anybody follows a key of it."""

    def __init__(self, engine: str, connect: Connect, clock: Clock) -> None:
        self._engine, self._connect, self._clock = engine, connect, clock
        self._cells: dict[Hashable, Cell] = {}
        self._task: asyncio.Task[None] | None = None
        self.live = False
        """Whether events are arriving now; without them a waiter must poll more often."""

    @asynccontextmanager
    async def follow(self, key: Hashable, read: Read, wake: asyncio.Event) -> AsyncIterator[Cell]:
        """The cell of `key`; `wake` is set whenever there are news of it."""
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = Cell(read, self._clock)
        cell.followers.append(wake)
        if self._task is None:
            with on_behalf_of(Behalf(shared=True)):  # not of him who came first: it serves whoever comes
                self._task = asyncio.create_task(self._run(), name=f"loopseal watch {self._engine}")
        try:
            yield cell
        finally:
            cell.followers.remove(wake)
            if not cell.followers and self._cells.get(key) is cell:
                del self._cells[key]
            if not self._cells:
                await self.aclose()

    async def aclose(self) -> None:
        """Let go of the connection."""
        task, self._task, self.live = self._task, None, False
        while task is not None and not task.done():
            task.cancel()  # again, should a library have swallowed it: `asyncio.wait_for` of Python 3.11 may
            await asyncio.wait({task}, timeout=1.0)

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                async with aclosing(self._connect()) as stream:
                    async for news in stream:
                        failures, self.live = 0, True
                        self._dispatch(news)
                pause = random.uniform(0.0, 1.0)  # noqa: S311 - spreads reconnections, guards nothing
            except LoopsealError as error:
                failures += 1
                pause = self._pause(error, failures)
                telemetry.reconnected(self._engine)
                telemetry.logger.info("%s: watch broke: %s", self._engine, error)
            finally:
                self.live = False
            await self._clock.sleep(pause)

    @staticmethod
    def _pause(error: LoopsealError, failures: int) -> float:
        if isinstance(error, Refused) and error.code is Code.ENGINE_FORBIDDEN:
            return MAX_BACKOFF
        return min(MAX_BACKOFF, 2.0 ** min(failures - 1, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - as above

    def _dispatch(self, news: News) -> None:
        if news.key is None:
            for cell in self._cells.values():
                cell.stale()
            return
        if news.key not in self._cells:
            return
        cell = self._cells[news.key]
        if news.object is None:
            cell.stale(news.version)
        else:
            cell.put(news.object)


def _older(one: Object | None, other: Object | None) -> bool:
    """Whether `one` is an earlier state of the same object than `other`: events and answers overtake each other."""
    if text(one, "metadata", "uid") != text(other, "metadata", "uid"):
        return False
    version = text(one, "metadata", "resourceVersion")
    return _reaches(text(other, "metadata", "resourceVersion"), version) and not _reaches(
        version, text(other, "metadata", "resourceVersion")
    )


def _reaches(one: str, other: str) -> bool:
    """Whether resourceVersion `one` is `other` or later; False when they are no numbers, which Kubernetes allows."""
    return one.isdecimal() and other.isdecimal() and int(one) >= int(other)


async def within(clock: Clock, seconds: float, event: asyncio.Event) -> bool:
    """Wait for `event`, `seconds` at most; whether it came. Leaves no task behind, whatever ends it."""
    if event.is_set() or seconds <= 0:
        return event.is_set()
    tasks = [
        asyncio.create_task(event.wait(), name="loopseal news"),
        asyncio.create_task(_sleep(clock, seconds), name="loopseal pause"),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return event.is_set()


async def _sleep(clock: Clock, seconds: float) -> bool:
    await clock.sleep(seconds)
    return True
