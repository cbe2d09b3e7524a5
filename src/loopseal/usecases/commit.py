"""Put a cleared change on its branch, exactly once."""

from __future__ import annotations

from typing import Final

from loopseal.domain.change import Change, Committed, Phase, Refusal
from loopseal.errors import Code, Conflict, Refused
from loopseal.usecases.history import known, record
from loopseal.usecases.world import World

_OF_THE_CONTENT: Final = ("edit.", "proposal.", "revert.")
"""Codes that say: this change, as it stands, can never land. All others may be cured without touching it."""


async def commit(world: World, change_id: str) -> Change:
    """Land the change and record where; run again, it finds the commit by its id instead of making another.

    What lies in the change itself (an edit that cannot be done, an expectation not met, a protected branch) is
    recorded as a Refusal and answered. What lies outside of it (host down, token expired) is raised: the change stays
    cleared and the verb may be run again.
    """
    change = await known(world, change_id)
    if change.phase not in {Phase.CLEARED, Phase.LEASED}:
        return change
    try:
        landed = await world.repository(change.proposal.target).commit(change.proposal)
    except (Refused, Conflict) as error:
        if not error.code.startswith(_OF_THE_CONTENT) and error.code is not Code.GIT_BRANCH_PROTECTED:
            raise
        return await record(world, change, Refusal(world.clock.now(), error.code, error.diagnostics()))
    event = Committed(world.clock.now(), landed.revision, landed.parent, landed.attempts, landed.changed)
    return await record(world, change, event)
