"""Watch a landed change until it is healthy or is not, and record which."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from loopseal.domain.change import (
    Blocked,
    Change,
    Degraded,
    Event,
    Expired,
    Healthy,
    Phase,
    Reconciled,
    Superseded,
)
from loopseal.domain.proposal import Application
from loopseal.domain.revision import Relation, State, Verdict
from loopseal.ports import Behalf, on_behalf_of
from loopseal.usecases.history import known, record
from loopseal.usecases.revert import revert_id
from loopseal.usecases.watch import Outlook, watch
from loopseal.usecases.world import World

_OPEN: Final = {Phase.COMMITTED, Phase.RECONCILED}
_COMMIT: Final = re.compile(r"[0-9a-f]{40}$")


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a change for those who watch: the change as it is now, and what was just said about it."""

    change: Change
    verdict: Verdict | None = None
    note: str = ""


async def baselines(world: World, change: Change) -> Mapping[Application, Mapping[str, Any]]:
    """What each application shows before the commit: against it, going backwards is recognised."""
    applications = change.proposal.target.applications
    with on_behalf_of(Behalf.of(change.proposal)):
        answers = await asyncio.gather(*(world.engine(one).baseline(one) for one in applications))
    return dict(zip(applications, answers, strict=True))


async def observe(
    world: World,
    change_id: str,
    *,
    deadline: datetime,
    before: Mapping[Application, Mapping[str, Any]] | None = None,
) -> AsyncGenerator[Progress, None]:
    """Follow the change until it is closed; `before` is what `baselines` answered, where that was possible.

    The last Progress carries the closed change. A change that has not landed, or is closed, yields itself once.
    """
    change = await known(world, change_id)
    if change.phase not in _OPEN:
        yield Progress(change)
        return
    route = world.route(change.proposal.target.name)
    if not route.target.applications:
        change = await record(world, change, Healthy(world.clock.now(), change.revision))
        yield Progress(change, note="nothing to wait for: the target names no applications")
        return
    whose = Behalf.of(change.proposal)
    outlooks = watch(world, route, change.revision, deadline=deadline, baselines=before, whose=whose)
    async with aclosing(outlooks):
        async for outlook in outlooks:
            for event in await _events(world, change, outlook):
                change = await record(world, change, event)
            yield Progress(change, outlook.verdicts[outlook.news] if outlook.news else outlook.overall)
            if change.closed:
                return


async def _events(world: World, change: Change, outlook: Outlook) -> list[Event]:
    """What this outlook adds to the change's history; most outlooks add nothing."""
    now, overall = world.clock.now(), outlook.overall
    observed = tuple((str(one), verdict.observed) for one, verdict in outlook.verdicts.items())
    if outlook.expired and overall.state is not State.SUCCEEDED:
        told = "; ".join(
            f"{verdict.application}: {verdict.reason} {verdict.message}".strip()
            for verdict in outlook.verdicts.values()
            if verdict.state is not State.SUCCEEDED
        )
        return [Expired(now, overall.reason, told)]
    match overall.state:
        case State.SUCCEEDED:
            if await _was_reverted(world, change, observed):
                return [
                    Superseded(now, "REVERTED", "the change was reverted while it was waited for", overall.observed)
                ]
            reconciled = [] if _reconciled(change) else [Reconciled(now, change.revision, observed)]
            return [*reconciled, Healthy(now, change.revision, observed)]
        case State.FAILED:
            return [
                Degraded(now, overall.reason, overall.message, overall.application, overall.observed, overall.resources)
            ]
        case State.SUPERSEDED:
            return [Superseded(now, overall.reason, overall.message, overall.observed)]
        case State.BLOCKED:
            blocked = Blocked(now, overall.reason, overall.message, overall.application)
            return [] if _said(change, blocked) else [blocked]
        case State.PENDING | State.REGRESSED:
            if not _reconciled(change) and await _all_arrived(world, change, outlook):
                return [Reconciled(now, change.revision, observed)]
            return []


async def _all_arrived(world: World, change: Change, outlook: Outlook) -> bool:
    repository = world.repository(change.proposal.target)
    for verdict in outlook.verdicts.values():
        commit = _COMMIT.search(verdict.observed)
        if commit is None:
            return False
        if await repository.relation(commit[0], change.revision) not in {Relation.EQUAL, Relation.DESCENDANT}:
            return False
    return True


async def _was_reverted(world: World, change: Change, observed: tuple[tuple[str, str], ...]) -> bool:
    """Whether a later commit, which counts as a descendant, took this very change back."""
    if all(revision.endswith(change.revision) for _, revision in observed):
        return False
    repository = world.repository(change.proposal.target)
    return await repository.find(revert_id(change.id), change.revision) is not None


def _reconciled(change: Change) -> bool:
    return change.phase is Phase.RECONCILED


def _said(change: Change, blocked: Blocked) -> bool:
    last = change.events[-1]
    return isinstance(last, Blocked) and (last.reason, last.application) == (blocked.reason, blocked.application)
