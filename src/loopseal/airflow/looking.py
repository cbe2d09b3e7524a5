"""Waiting for applications without a change of one's own: for those who look, and for those who ask for a sync first.

The wish says what is wanted and until when; it is plain data, so that it can travel to a trigger.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from loopseal import wire
from loopseal.airflow.errand import PAUSES, Log
from loopseal.airflow.outcome import Failure
from loopseal.domain.decision import admits
from loopseal.domain.identity import ActorKind
from loopseal.domain.proposal import Application
from loopseal.domain.revision import State, Verdict, worst
from loopseal.errors import Code, ConfigError, LoopsealError, Refused, Unreachable
from loopseal.ports import Behalf, on_behalf_of
from loopseal.usecases import Route, World, watch

_COMMIT: Final = re.compile(r"(?:[0-9a-f]{64}|[0-9a-f]{40})(?![0-9a-f])")

NOT_ASKED: Final = "NOT_ASKED"
"""The reason of a verdict before anybody has answered."""

SHORTEST_PAUSE: Final = 1.0
"""Seconds between two looks at least, whatever the Dag says."""


@dataclass(frozen=True, slots=True)
class Wish:
    """All applications of a target (or the one named `application`) at or past `revision`, and healthy.

    Without a revision any will do that is healthy now. `act` asks the engine for a sync or reconciliation first, where
    the target allows it; then a failure is the end, else it is looked again every `pause` seconds.
    """

    target: str
    deadline: datetime
    revision: str = ""
    application: str = ""
    dag: str = ""
    act: str = ""
    pause: float = 60.0

    def dump(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "target": self.target,
            "deadline": self.deadline.isoformat(),
            "revision": self.revision,
            "application": self.application,
            "dag": self.dag,
            "act": self.act,
            "pause": self.pause,
        }

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Wish:
        """The wish that `dump` wrote."""
        return cls(**{**data, "deadline": datetime.fromisoformat(data["deadline"])})


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen last: one verdict for all, whether time was up, or what went wrong."""

    verdict: Verdict
    expired: bool = False
    failure: Failure | None = None
    links: tuple[tuple[str, str], ...] = ()

    @property
    def good(self) -> bool:
        """Whether the wish came true."""
        return self.failure is None and self.verdict.state is State.SUCCEEDED

    def dump(self) -> dict[str, Any]:
        """As JSON data."""
        failure = self.failure
        return {
            "verdict": wire.dump(self.verdict),
            "expired": self.expired,
            "failure": None if failure is None else [failure.code, failure.text, failure.again],
            "links": [list(link) for link in self.links],
        }

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Sight:
        """The sight that `dump` wrote."""
        failure = data["failure"]
        return cls(
            wire.load(Verdict, data["verdict"]),
            data["expired"],
            None if failure is None else Failure(*failure),
            tuple((name, url) for name, url in data["links"]),
        )


def route_of(world: World, wish: Wish) -> Route:
    """The target's route, narrowed to the named application. Raises ConfigError or Refused."""
    route = world.route(wish.target)
    if not admits(route.dags, wish.dag):
        raise Refused(
            Code.PROPOSAL_DENIED,
            f"target {wish.target!r} does not list Dag {wish.dag!r} under `dags`",
            where=wish.target,
            hint="The target's owner adds it in the settings file.",
        )
    chosen = [one for one in route.target.applications if wish.application in {"", one.name, str(one)}]
    if not chosen:
        raise ConfigError(
            Code.CONFIG_INVALID,
            f"target {wish.target!r} has no application {wish.application!r}",
            where=wish.target,
            hint=f"Its applications: {', '.join(map(str, route.target.applications)) or 'none'}.",
        )
    return replace(route, target=replace(route.target, applications=tuple(chosen)))


async def fulfil(world: World, wish: Wish, log: Log) -> Sight:
    """Act if that is wished, then look until the wish came true or time is up. Raises nothing of ours."""
    with on_behalf_of(Behalf(f"{ActorKind.DAG}:{wish.dag}")):
        return await _fulfil(world, wish, log)


async def _fulfil(world: World, wish: Wish, log: Log) -> Sight:
    last = Verdict(State.PENDING, NOT_ASKED)
    links: tuple[tuple[str, str], ...] = ()
    attempt = 0
    while True:
        left = (wish.deadline - world.clock.now()).total_seconds()
        try:
            route = route_of(world, wish)
            links = _links(world, route)
            if wish.act:
                await asyncio.wait_for(_act(world, route, wish, log), max(left, 0.0))
            seen = await look(world, route, wish)
            last = last if seen.reason == NOT_ASKED else seen
            pause = max(wish.pause, SHORTEST_PAUSE)
            log.info("%s: %s %s %s", wish.target, last.state, last.reason, last.message)
            if last.state is State.SUCCEEDED or last.state is State.SUPERSEDED or (wish.act and last.state.final):
                return Sight(last, links=links)
        except TimeoutError:
            last = Verdict(State.PENDING, "OPERATION_RUNNING", "the running operation of another did not end in time")
            return Sight(last, expired=True, links=links)
        except Unreachable as error:
            last = Verdict(State.PENDING, "UNREACHABLE", str(error))
            pause = max(error.retry_after or 0.0, PAUSES[min(attempt, len(PAUSES) - 1)])
            attempt += 1
            log.warning("%s; trying again in %.0f s", error, pause)
        except LoopsealError as error:
            return Sight(last, failure=Failure.of(error), links=links)
        left = (wish.deadline - world.clock.now()).total_seconds()
        if left <= 0:
            return Sight(last, expired=True, links=links)
        await world.clock.sleep(min(pause, left))


async def look(world: World, route: Route, wish: Wish) -> Verdict:
    """The verdict that decides for all applications: at the deadline, or as soon as there is a final one for each."""
    verdicts = await asyncio.gather(*(_look(world, route, one, wish) for one in route.target.applications))
    return worst(verdicts)


async def _look(world: World, route: Route, application: Application, wish: Wish) -> Verdict:
    revision = wish.revision or await _shown(world, application)
    if not revision:
        return Verdict(State.PENDING, "NOT_OBSERVED", "it shows no commit yet", application=str(application))
    alone = replace(route, target=replace(route.target, applications=(application,)))
    last = Verdict(State.PENDING, NOT_ASKED, application=str(application))
    outlooks = watch(world, alone, revision, deadline=wish.deadline)
    async with aclosing(outlooks):
        async for outlook in outlooks:
            last = outlook.overall
    return last


async def _shown(world: World, application: Application) -> str:
    """The commit that an application shows now; engines write `main@sha1:…` around it."""
    shows = await world.engine(application).status(application)
    found = _COMMIT.search(str(shows.get("revision") or ""))
    return found[0] if found else ""


async def _act(world: World, route: Route, wish: Wish, log: Log) -> None:
    for application in route.target.applications:
        engine = world.engine(application)
        if engine.kind != wish.act:
            raise ConfigError(
                Code.CONFIG_INVALID,
                f"{application} is looked after by {engine.kind}, not by {wish.act}",
                where=wish.target,
                hint="Use the operator for that engine, or name one application of the target.",
            )
        if not route.sync:
            log.warning("target %s does not allow syncs (`sync: true`): only watching %s", wish.target, application)
            continue
        how = await engine.act(application, wish.revision)
        log.info("%s: %s", application, how)


def _links(world: World, route: Route) -> tuple[tuple[str, str], ...]:
    first = route.target.applications[0]
    url = world.engine(first).link(first)
    return (("application", url),) if url else ()
