"""One wait of a scenario: what it was told, and what was live at the moment it ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final

from loopseal.domain.revision import State, Verdict
from loopseal.errors import LoopsealError
from loopseal.ports import Clock

if TYPE_CHECKING:
    from tests.conformance.world import Live

LIMIT: Final = 200.0
"""Seconds within which a wait of a scenario must have ended, or told what it is expected to tell."""


class Waiting:
    """A running wait. `told` grows; `live` and `seconds` are set when it ends."""

    def __init__(
        self,
        verdicts: AsyncIterator[Verdict],
        look: Callable[[], Awaitable[Live]],
        clock: Clock,
        began: float,
    ) -> None:
        self.told: list[Verdict] = []
        self.live: Live | None = None
        self.seconds = 0.0
        self._look, self._clock, self._began = look, clock, began
        self._news = asyncio.Event()
        assert isinstance(verdicts, AsyncGenerator)  # every engine's is: it can be closed
        self._task = asyncio.ensure_future(self._follow(verdicts))

    @property
    def reasons(self) -> list[str]:
        """`STATE REASON` of everything it was told."""
        return [f"{one.state} {one.reason}" for one in self.told]

    async def _follow(self, verdicts: AsyncGenerator[Verdict, None]) -> Verdict:
        async with aclosing(verdicts):
            async for verdict in verdicts:
                if verdict.state.final:
                    self.seconds = self._clock.monotonic() - self._began
                    self.live = await self._look()
                self.told.append(verdict)
                self._news.set()
        return self.told[-1]

    async def until(self, *reasons: str) -> Verdict:
        """The verdict that first gave one of these reasons. It must come before the wait ends."""
        try:
            async with asyncio.timeout(LIMIT):
                while not self._task.done():
                    self._news.clear()
                    if (found := self._found(reasons)) is not None:
                        return found
                    news = asyncio.ensure_future(self._news.wait())
                    await asyncio.wait({news, self._task}, return_when=asyncio.FIRST_COMPLETED)
                    news.cancel()
        except TimeoutError:
            pass
        if (found := self._found(reasons)) is not None:
            return found
        raise AssertionError(f"{reasons} never came: {self.reasons} {self._error()}")

    def _found(self, reasons: tuple[str, ...]) -> Verdict | None:
        return next((one for one in self.told if one.reason in reasons), None)

    async def ends(self, state: State, reason: str = "", live: Live | None = None, within: float = LIMIT) -> Verdict:
        """The final verdict, which must be this one, with this live at the moment it was said."""
        await asyncio.wait({self._task}, timeout=within)
        if not self._task.done():
            await self.aclose()
            raise AssertionError(f"no end after {within:.0f} s: {self.reasons} {self.told[-1:]}")
        said = self._task.result()
        assert said.state is state, (self.reasons, said)
        assert reason in {"", said.reason}, (self.reasons, said)
        assert not any(one.state.final for one in self.told[:-1]), self.reasons
        assert live is None or self.live == live, (self.reasons, self.live)
        return said

    async def refused(self) -> LoopsealError:
        """The error that the wait ended with."""
        await asyncio.wait({self._task}, timeout=LIMIT)
        error = self._error()
        assert isinstance(error, LoopsealError), (self.reasons, error)
        return error

    def _error(self) -> BaseException | None:
        return self._task.exception() if self._task.done() and not self._task.cancelled() else None

    async def aclose(self) -> None:
        """Let go of it."""
        self._task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self._task
