"""Drive one change to its end while its task is deferred."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from loopseal.airflow import compat


class Told(TriggerEvent):
    """An event that does not print what it carries: Airflow logs every event, and these carry edits."""

    def __repr__(self) -> str:
        return f"Told<{self.payload.get('change', '')}>"


class ChangeTrigger(BaseTrigger):
    """Commits, waits and, where it is ordered, reverts; one event with the outcome ends it, and nothing else does.

    All triggers of one event loop share a world, so that their changes share pushes and their waits share watches.
    It may be started twice, or anew after a crash: the change id makes every step find what is done.

    :param order: `loopseal.airflow.errand.Order` as JSON data.
    :param events: the change's events so far, as wire documents by change id.
    :param not_before: ISO time before which no event is fired. An event that arrives while the executor has not yet
        reported the end of the deferring task process lets Airflow fail the task that it has just resumed.
    """

    def __init__(self, order: Mapping[str, Any], events: Mapping[str, Any], not_before: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own has no annotations
        self.order, self.events, self.not_before = dict(order), dict(events), not_before
        self._over = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"order": self.order, "events": self.events, "not_before": self.not_before},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event: what is new, as `Outcome`'s JSON data. Never raises: a trigger that raises loses all that it knew."""
        try:
            payload = await self._carry_out()
        except Exception as error:
            self.log.exception("the change could not be driven")
            payload = self._broken(error)
        self._over = True
        yield Told(payload)  # type: ignore[no-untyped-call]  # Airflow's own has no annotations

    async def _carry_out(self) -> dict[str, Any]:
        from loopseal.airflow import config, worlds
        from loopseal.airflow.errand import Order, carry_out
        from loopseal.airflow.ledger import TaskLedger

        order, ledger = Order.load(self.order), TaskLedger.load(self.events)
        async with worlds.opened(await asyncio.to_thread(config.load_settings)) as workshop:
            world = workshop.world(ledger)
            outcome = await carry_out(world, ledger, order, self.log)
            early = (datetime.fromisoformat(self.not_before) - world.clock.now()).total_seconds()
            if early > 0:
                await world.clock.sleep(early)
            return outcome.since(self.events).dump()

    def _broken(self, error: Exception) -> dict[str, Any]:
        from loopseal.airflow.outcome import Failure, Outcome

        return Outcome(self.order["change"], self.events, Failure.broken(error)).since(self.events).dump()

    async def on_kill(self) -> None:
        """Somebody marked or cleared the deferred task (Airflow >= 3.3 calls this)."""
        from loopseal.airflow import config, worlds
        from loopseal.airflow.errand import Order, take_back
        from loopseal.airflow.ledger import TaskLedger
        from loopseal.usecases import load

        order, ledger = Order.load(self.order), TaskLedger.load(self.events)
        async with worlds.opened(await asyncio.to_thread(config.load_settings)) as workshop:
            world = workshop.world(ledger)
            change = await load(world, order.change)
            if change is not None:
                await take_back(world, order, change.proposal.actor, self.log)

    async def cleanup(self) -> None:
        """Runs at every end of a trigger. Before 3.3 a kill shows only here, and in the state of the task."""
        if self._over or compat.triggers_hear_kills() or self.task_instance is None:
            return
        if not await compat.still_deferred(self.task_instance):
            await self.on_kill()
