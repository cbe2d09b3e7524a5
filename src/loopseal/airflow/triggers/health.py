"""Look at applications, or act on them and look, while a task is deferred."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent


class HealthTrigger(BaseTrigger):
    """One event with what was seen ends it. Never raises, has its own deadline, leaves nothing behind when killed.

    :param wish: `loopseal.airflow.looking.Wish` as JSON data.
    :param not_before: ISO time before which no event is fired; see `ChangeTrigger`.
    """

    def __init__(self, wish: Mapping[str, Any], not_before: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own has no annotations
        self.wish, self.not_before = dict(wish), not_before

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"wish": self.wish, "not_before": self.not_before},
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
            sight = await fulfil(world, Wish.load(self.wish), self.log)
            early = (datetime.fromisoformat(self.not_before) - world.clock.now()).total_seconds()
            if early > 0:
                await world.clock.sleep(early)
            return sight.dump()


def _broken(error: Exception) -> dict[str, Any]:
    from loopseal.airflow.looking import Sight
    from loopseal.airflow.outcome import Failure
    from loopseal.domain.revision import State, Verdict

    return Sight(Verdict(State.PENDING, "NOT_ASKED"), failure=Failure.broken(error)).dump()
