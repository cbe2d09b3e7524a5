"""The ledger of one task: its change, and the change that reverts it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from loopseal import wire
from loopseal.domain.change import Event
from loopseal.errors import Code, Conflict


class TaskLedger:
    """Events in memory, by change. `save` (blocking) gets the whole after each addition, before anything acts on it.

    A worker saves into the task's state store. A trigger cannot: it starts from the events it was given, and the
    event that ends it carries them back.
    """

    def __init__(
        self, events: Mapping[str, Sequence[Event]] | None = None, save: Callable[[TaskLedger], None] | None = None
    ) -> None:
        self._events = {change: list(known) for change, known in (events or {}).items()}
        self._save = save

    async def read(self, change: str) -> Sequence[Event]:
        """As `ports.Ledger`."""
        return tuple(self._events.get(change, ()))

    async def append(self, change: str, expected: int, event: Event) -> None:
        """As `ports.Ledger`. Once it returns, the event is saved."""
        known = self._events.setdefault(change, [])
        if len(known) != expected:
            raise Conflict(
                Code.LEDGER_CONFLICT,
                f"event {expected} of {change} is there already",
                hint="Two runs of the same task are at work; one of them goes on.",
            )
        known.append(event)
        if self._save is not None:
            await asyncio.to_thread(self._save, self)

    def dump(self) -> dict[str, Any]:
        """All events as JSON data, by change."""
        return {change: wire.dump_events(events) for change, events in self._events.items() if events}

    @classmethod
    def load(cls, data: Mapping[str, Any], save: Callable[[TaskLedger], None] | None = None) -> TaskLedger:
        """The ledger that `dump` wrote. Raises ConfigError (`ledger.invalid`)."""
        return cls({change: wire.load_events(document) for change, document in data.items()}, save)

    def events(self, change: str) -> tuple[Event, ...]:
        """What is known of one change now."""
        return tuple(self._events.get(change, ()))
