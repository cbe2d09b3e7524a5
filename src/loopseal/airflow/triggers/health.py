"""Look at applications, or act on them and look, while a task is deferred."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent


class HealthTrigger(BaseTrigger):
    """One event with what was seen ends it. Never raises, has its own deadline, leaves nothing behind when killed.

    :param wish: `loopseal.airflow.looking.Wish` as JSON data.
    :param hold: seconds from the start before which no event is fired (see `compat.hold`).
    """

    def __init__(self, wish: Mapping[str, Any], hold: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own has no annotations
        self.wish, self.hold = dict(wish), hold

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"wish": self.wish, "hold": self.hold},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event: the sight, as JSON data."""
        try:
            payload = await self._fulfil()
        except Exception as error:
            self.log.exception("the applications could not be looked at")
            payload = _broken(error)
        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's own has no annotations

    async def _fulfil(self) -> dict[str, Any]:
        from loopseal.airflow import config, worlds
        from loopseal.airflow.ledger import TaskLedger
        from loopseal.airflow.looking import Wish, fulfil

        async with worlds.opened(await asyncio.to_thread(config.load_settings)) as workshop:
            world = workshop.world(TaskLedger())
            begun = world.clock.monotonic()
            sight = await fulfil(world, Wish.load(self.wish), self.log)
            await world.clock.sleep(max(0.0, begun + self.hold - world.clock.monotonic()))
            return sight.dump()


def _broken(error: Exception) -> dict[str, Any]:
    from loopseal.airflow.looking import Sight
    from loopseal.airflow.outcome import Failure
    from loopseal.domain.revision import State, Verdict

    return Sight(Verdict(State.PENDING, "NOT_ASKED"), failure=Failure.broken(error)).dump()
