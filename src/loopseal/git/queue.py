"""Group commit: the push in flight is the window.

Whoever comes while a round is away rides on the next one; nobody is made to wait for company. A round answers those it
can and leaves the others for the next. What a round does is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from loopseal.domain.proposal import Proposal
from loopseal.errors import Code, LoopsealError, Unreachable
from loopseal.ports import Landed

BATCH: Final = 256
"""Changes in one push: some 0.5 s of work, and a pack of 150 KB."""


@dataclass(eq=False, slots=True)
class Ticket:
    """One proposal that waits to land. `at` is its commit time, in seconds since the epoch."""

    proposal: Proposal
    at: int
    answer: asyncio.Future[Landed]
    attempts: int = 0

    @property
    def open(self) -> bool:
        """Whether somebody still waits."""
        return not self.answer.done()

    def land(self, landed: Landed) -> None:
        """It is on the branch."""
        if self.open:
            self.answer.set_result(landed)

    def fail(self, error: Exception) -> None:
        """It cannot land."""
        if self.open:
            self.answer.set_exception(error)


Ready = Callable[[], Awaitable[None]]
"""Waits until a round may begin: whoever comes meanwhile is part of it."""
Round = Callable[[Sequence[Ticket]], Awaitable[None]]
"""Answers some of the tickets; the others are there again in the next one."""


class Queue:
    """The changes that wait for one branch. A task runs only while there are any."""

    def __init__(self, ready: Ready, round_: Round) -> None:
        self._ready, self._round = ready, round_
        self._waiting: list[Ticket] = []
        self._runner: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, proposal: Proposal, at: int) -> Landed:
        """Wait until `proposal` has landed. Being cancelled before its round is sent takes it back."""
        if self._closed:
            raise _closed()
        ticket = Ticket(proposal, at, asyncio.get_running_loop().create_future())
        self._waiting.append(ticket)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run(), name="loopseal group commit")
        return await ticket.answer

    async def aclose(self) -> None:
        """Answer all who wait with Unreachable."""
        self._closed = True
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        for ticket in self._waiting:
            ticket.fail(_closed())
        self._waiting.clear()

    async def _run(self) -> None:
        while self._waiting:
            await self._ready()
            batch = [ticket for ticket in self._waiting if ticket.open][:BATCH]
            try:
                await self._round(batch)
            except Exception as error:  # noqa: BLE001 - a round that breaks must not leave anybody waiting for ever
                for ticket in batch:
                    ticket.fail(again(error))
            self._waiting = [ticket for ticket in self._waiting if ticket.open]


def again(error: Exception) -> Exception:
    """The same error, once more: each waiter raises its own, so that tracebacks do not grow into each other."""
    if isinstance(error, Unreachable):
        return Unreachable(error.code, error.message, where=error.where, hint=error.hint, retry_after=error.retry_after)
    if isinstance(error, LoopsealError):
        return type(error)(error.code, error.message, where=error.where, hint=error.hint)
    return error


def _closed() -> Unreachable:
    return Unreachable(
        Code.GIT_UNREACHABLE,
        "the repository was closed before the change was sent",
        hint="Run it again: it looks for the change before it acts.",
    )
