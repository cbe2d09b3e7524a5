"""The whole way of one change: commit, watch, and take it back when it does not become healthy."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime, timedelta
from enum import StrEnum

from loopseal.domain.change import Change, Committed, Degraded, Expired, Phase
from loopseal.errors import Conflict, Refused
from loopseal.usecases.commit import commit
from loopseal.usecases.history import known, record
from loopseal.usecases.observe import Progress, baselines, observe
from loopseal.usecases.revert import revert, revert_id
from loopseal.usecases.world import World


class OnFailure(StrEnum):
    """What happens after a change failed."""

    FAIL = "fail"
    REVERT = "revert"


async def drive(
    world: World,
    change_id: str,
    *,
    deadline: datetime,
    on_failure: OnFailure = OnFailure.FAIL,
    dag: str = "",
) -> AsyncGenerator[Progress, None]:
    """Take a cleared change to its end. Killed at any point and run again, it finds its place and goes on.

    `deadline` is for the change; its revert gets the target's whole timeout again. The last Progress but for those of
    a revert carries the closed change; those of the revert carry the reverting change. Raises Unreachable, ConfigError
    and Refused for what lies outside of the change: run it again when that is mended.
    """
    change = await known(world, change_id)
    before = {} if change.revision else await baselines(world, change)
    change = await commit(world, change_id)
    yield Progress(change)
    if await _reverted_already(world, change):
        change = await record(world, change, Degraded(world.clock.now(), "REVERTED", "it was reverted already"))
        yield Progress(change)
    steps = observe(world, change_id, deadline=deadline, before=before)
    async with aclosing(steps):
        async for step in steps:
            change = step.change
            yield step
    if on_failure is OnFailure.REVERT and change.phase is Phase.FAILED and _changed(change):
        back = _take_back(world, change, dag)
        async with aclosing(back):
            async for step in back:
                yield step


async def _take_back(world: World, change: Change, dag: str) -> AsyncGenerator[Progress, None]:
    target = change.proposal.target.name
    try:
        reverting = await revert(
            world,
            change.id,
            target=target,
            actor=change.proposal.actor,
            reason=f"take back {change.revision[:12]}: {_why(change)}",
            labels=change.proposal.labels,
            dag=dag,
        )
    except (Conflict, Refused) as error:
        yield Progress(change, note=f"not reverted: {error.diagnostics()}")
        return
    yield Progress(reverting, note=f"reverting {change.id}")
    limit = world.clock.now() + timedelta(seconds=world.route(target).timeout)
    steps = drive(world, reverting.id, deadline=limit, dag=dag)
    async with aclosing(steps):
        async for step in steps:
            yield step


async def _reverted_already(world: World, change: Change) -> bool:
    """Whether an earlier run of this very verb had got as far as the revert.

    Without this a healthy revert, being a descendant, would make the reverted change look healthy.
    """
    if change.phase not in {Phase.COMMITTED, Phase.RECONCILED} or not _changed(change):
        return False
    repository = world.repository(change.proposal.target)
    return await repository.find(revert_id(change.id), change.revision) is not None


def _changed(change: Change) -> bool:
    return any(isinstance(event, Committed) and event.changed for event in change.events)


def _why(change: Change) -> str:
    last = change.events[-1]
    return f"{last.reason} {last.message}".strip() if isinstance(last, Degraded | Expired) else str(change.phase)
