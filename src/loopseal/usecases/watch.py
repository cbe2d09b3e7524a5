"""Wait for one revision in all applications of a target at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from loopseal.domain.proposal import Application
from loopseal.domain.revision import State, Verdict, worst
from loopseal.ports import Ancestry, Behalf, Source, Wait, behalf, on_behalf_of
from loopseal.usecases.world import Route, World

Listen: TypeAlias = Callable[[Wait, Ancestry], Ancestry]
"""Told of each wait, with what it asks about ancestry; answers what it shall ask instead."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What all applications say at one moment. `news` is the one that just spoke; `expired` says that time is up."""

    verdicts: Mapping[Application, Verdict]
    news: Application | None = None
    expired: bool = False

    @property
    def overall(self) -> Verdict:
        """The verdict that decides: all must succeed, one failure fails."""
        return worst(self.verdicts.values())

    @property
    def final(self) -> bool:
        """Whether the wait is over."""
        overall = self.overall
        return self.expired or overall.state in {State.FAILED, State.SUPERSEDED, State.SUCCEEDED}


async def watch(
    world: World,
    route: Route,
    revision: str,
    *,
    deadline: datetime,
    baselines: Mapping[Application, Mapping[str, Any]] | None = None,
    listen: Listen | None = None,
    whose: Behalf | None = None,
) -> AsyncGenerator[Outlook, None]:
    """Outlooks as they change; the last one is final.

    Ends when every application succeeded, as soon as one failed or was superseded, or at the deadline: then the
    outlook is `expired` and still carries each last verdict. `listen` is told of each wait and may stand between it and
    the repository (a flight recorder does). `whose` wait it is goes into the record of calls; default: the caller's.
    """
    repository = world.repository(route.target)
    source = Source(repository.url, repository.branch)
    waits = [
        Wait(application, revision, source, route.tolerance, (baselines or {}).get(application, {}))
        for application in route.target.applications
    ]
    verdicts = {
        wait.application: Verdict(State.PENDING, "NOT_ASKED", application=str(wait.application)) for wait in waits
    }
    spoken: asyncio.Queue[tuple[Application, Verdict]] = asyncio.Queue()

    async def hear(wait: Wait) -> None:
        ancestry = listen(wait, repository) if listen is not None else repository
        with on_behalf_of(whose or behalf()):
            async for verdict in world.engine(wait.application).wait(wait, ancestry):
                spoken.put_nowait((wait.application, replace(verdict, application=str(wait.application))))

    listeners = [asyncio.create_task(hear(wait), name=f"wait {wait.application}") for wait in waits]
    try:
        while True:
            left = (deadline - world.clock.now()).total_seconds()
            news = await _next(spoken, listeners, left)
            if news is not None:
                verdicts[news[0]] = news[1]
            outlook = Outlook(dict(verdicts), news[0] if news else None, expired=news is None)
            yield outlook
            if outlook.final:
                return
    finally:
        for listener in listeners:
            listener.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)


async def _next(
    spoken: asyncio.Queue[tuple[Application, Verdict]], listeners: list[asyncio.Task[None]], left: float
) -> tuple[Application, Verdict] | None:
    """The next verdict, or None when time is up. What breaks a listener is raised here."""
    getter = asyncio.create_task(spoken.get())
    try:
        pending: set[asyncio.Task[Any]] = {getter, *(one for one in listeners if not one.done())}
        async with asyncio.timeout(max(left, 0.0)):
            while not getter.done():
                for listener in listeners:
                    if listener.done() and not listener.cancelled() and (error := listener.exception()):
                        raise error
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        return None
    else:
        return getter.result()
    finally:
        getter.cancel()
