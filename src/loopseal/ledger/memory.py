"""A ledger that lives as long as its process: for tests, demos and one-off runs."""

from __future__ import annotations

from collections.abc import Sequence

from loopseal.domain.change import Event
from loopseal.errors import Code, Conflict


class Ledger:
    """Events by change, in memory (port `Ledger`)."""

    def __init__(self) -> None:
        self._events: dict[str, tuple[Event, ...]] = {}

    async def read(self, change: str) -> Sequence[Event]:
        """All events of one change, in order."""
        return self._events.get(change, ())

    async def append(self, change: str, expected: int, event: Event) -> None:
        """Write `event` as number `expected`. Raises Conflict when another came first."""
        events = self._events.get(change, ())
        if len(events) != expected:
            raise Conflict(
                Code.LEDGER_CONFLICT,
                f"event {expected} cannot be written: there are {len(events)}",
                where=change,
                hint="Read the change again and decide anew.",
            )
        self._events[change] = (*events, event)
