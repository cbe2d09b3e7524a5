"""Drive one change to its end while its task is deferred."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final

from airflow.triggers.base import BaseTrigger, TriggerEvent

from loopseal.airflow import compat

KILL_SECONDS: Final = 20.0
"""Below `[triggerer] on_kill_timeout`, 30 s by default."""


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
    :param hold: seconds from the start before which no event is fired (see `compat.hold`).
    """

    def __init__(self, order: Mapping[str, Any], events: Mapping[str, Any], hold: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own has no annotations
        self.order, self.events, self.hold = dict(order), dict(events), hold
        self._over = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"order": self.order, "events": self.events, "hold": self.hold},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event: the outcome, as JSON data. Never raises: that would lose all that is known."""
        try:
            payload = await self._carry_out()
        except Exception as error:
            self.log.exception("the change could not be driven")
            payload = self._broken(error)
        self._over = True
        yield Told(payload=payload)

    async def _carry_out(self) -> dict[str, Any]:
        from loopseal.airflow import config, worlds
        from loopseal.airflow.errand import Order, carry_out
        from loopseal.airflow.ledger import TaskLedger

        order, ledger = Order.load(self.order), TaskLedger.load(self.events)
        async with worlds.opened(await asyncio.to_thread(config.load_settings)) as workshop:
            world = workshop.world(ledger)
            begun = world.clock.monotonic()
            outcome = await carry_out(world, ledger, order, self.log)
            await world.clock.sleep(max(0.0, begun + self.hold - world.clock.monotonic()))
            return outcome.dump()

    def _broken(self, error: Exception) -> dict[str, Any]:
        from loopseal.airflow.outcome import Failure, Outcome

        return Outcome(self.order["change"], self.events, Failure.broken(error)).dump()

    async def on_kill(self) -> None:
        """Somebody marked or cleared the deferred task (Airflow >= 3.3 calls this)."""
        await _outlive(self._take_back())

    async def _take_back(self) -> None:
        from loopseal.airflow import config, worlds
        from loopseal.airflow.errand import Order, take_back
        from loopseal.airflow.ledger import TaskLedger
        from loopseal.usecases import load

        order, ledger = Order.load(self.order), TaskLedger.load(self.events)
        async with asyncio.timeout(KILL_SECONDS):
            async with worlds.opened(await asyncio.to_thread(config.load_settings)) as workshop:
                world = workshop.world(ledger)
                change = await load(world, order.change)
                if change is not None:
                    await take_back(world, order, change.proposal.actor, self.log)

    async def cleanup(self) -> None:
        """Runs at every end of a trigger. Before 3.3 a kill shows only here, and in the state of the task."""
        if not self._over and not compat.triggers_hear_kills() and self.task_instance is not None:
            await _outlive(self._take_back_if_killed(self.task_instance))

    async def _take_back_if_killed(self, task: Any) -> None:
        if not await compat.still_deferred(task):
            await self._take_back()


async def _outlive(work: Coroutine[Any, Any, None]) -> None:
    """Finish `work` although we are cancelled.

    Airflow cancels a killed trigger anew with every sync, about once a second, until it hears that the trigger has
    ended: that would end the work of `on_kill` as well. The work has a limit of its own.
    """
    task = asyncio.create_task(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
