"""The queue of one controller: one worker per object, woken by what a controller watches, never two passes at once.

As controller-runtime with Flux's predicates: a new generation and a changed `requestedAt` wake it, a status write does
not; what comes while a pass runs is looked at in one next pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from loopseal.testing.clock import LoopClock
from loopseal.testing.faults import Faults
from loopseal.testing.store import Change, Object, Store

REQUESTED: Final = "reconcile.fluxcd.io/requestedAt"

Pass: TypeAlias = Callable[[Object, str], Awaitable[float | None]]
"""(object, why) -> seconds until the next pass by itself, or None for never."""


@dataclass(slots=True)
class _Item:
    """What is known about one object between passes; `why` says what woke it."""

    trigger: tuple[int, str]
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    why: str = "generation"
    due: float | None = None


class Queue:
    """Runs `reconcile` for every object of a kind."""

    def __init__(self, kind: str, store: Store, clock: LoopClock, faults: Faults, reconcile: Pass) -> None:
        self._kind, self._store, self._clock, self._faults = kind, store, clock, faults
        self._reconcile = reconcile
        self._items: dict[tuple[str, str], _Item] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._unlisten = store.listen(self._on_change)
        for item in store.list(kind):
            self._adopt(item)

    async def aclose(self) -> None:
        """Stop; what was in flight is lost."""
        self._unlisten()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def ask(self, namespace: str, name: str, why: str) -> None:
        """Look at this object soon."""
        if item := self._items.get((namespace, name)):
            item.why = why
            item.asked.set()

    def _on_change(self, change: Change) -> None:
        item = change.object
        if item["kind"] != self._kind:
            return
        key = (item["metadata"].get("namespace", ""), item["metadata"]["name"])
        known = self._items.get(key)
        if change.type == "DELETED":
            self._items.pop(key, None)
            if task := self._tasks.pop(key, None):
                task.cancel()
        elif known is None:
            self._adopt(item)
        elif known.trigger != _trigger(item):
            self.ask(*key, why="request" if known.trigger[0] == _trigger(item)[0] else "generation")
            known.trigger = _trigger(item)

    def _adopt(self, item: Object) -> None:
        key = (item["metadata"].get("namespace", ""), item["metadata"]["name"])
        self._items[key] = _Item(_trigger(item))
        self._items[key].asked.set()
        self._tasks[key] = asyncio.get_running_loop().create_task(self._work(key, self._items[key]))

    async def _work(self, key: tuple[str, str], item: _Item) -> None:
        while True:
            left = None if item.due is None else max(0.0, item.due - self._clock.monotonic())
            try:
                await asyncio.wait_for(item.asked.wait(), left)
            except TimeoutError:
                item.why = "interval"
            await self._clock.sleep(0.005)
            while self._faults.paused:
                await self._clock.sleep(0.25)
            item.asked.clear()
            found = self._store.get(self._kind, *key)
            if found is None:
                return
            after = await self._reconcile(found, item.why)
            item.due = None if after is None else self._clock.monotonic() + after


def requested(item: Mapping[str, Any]) -> str:
    """The token of the last request for a pass, or an empty string."""
    return str((item["metadata"].get("annotations") or {}).get(REQUESTED, ""))


def _trigger(item: Object) -> tuple[int, str]:
    return item["metadata"]["generation"], requested(item)
