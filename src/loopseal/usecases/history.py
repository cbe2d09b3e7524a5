"""A change's events: reading them back into a change, and adding one."""

from __future__ import annotations

from loopseal.domain.change import Change, Event, IllegalMove, advance, begin, replay
from loopseal.errors import Code, ConfigError, Conflict
from loopseal.usecases.world import World


async def load(world: World, change_id: str) -> Change | None:
    """The change as the ledger tells it, or None. Raises ConfigError when its events make no sense."""
    events = await world.ledger.read(change_id)
    if not events:
        return None
    try:
        return replay(events)
    except IllegalMove as error:
        raise ConfigError(
            Code.LEDGER_INVALID,
            f"the recorded events cannot have happened: {error}",
            where=change_id,
            hint="The ledger was edited or mixed up. Restore it from a copy; the commits in Git are not affected.",
        ) from error


async def known(world: World, change_id: str) -> Change:
    """As `load`, for a change that must be there."""
    change = await load(world, change_id)
    if change is None:
        raise Conflict(
            Code.REVERT_UNKNOWN_CHANGE,
            f"no change {change_id!r} is recorded here",
            hint="`loopseal log --target …` lists the changes on a branch.",
        )
    return change


async def record(world: World, change: Change | None, event: Event) -> Change:
    """Write `event` and answer the change after it. Record first: whoever calls this acts only when it returns.

    The move is checked before it is written, and the ledger refuses it when another event came first.
    """
    after = begin(event) if change is None else advance(change, event)
    await world.ledger.append(after.id, len(after.events) - 1, event)
    return after
