"""Undo a change by proposing its inverse, key by key. Never `git revert`, never a force-push."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from loopseal.domain.change import Change
from loopseal.domain.identity import Actor
from loopseal.domain.proposal import change_id as make_id
from loopseal.ports import Finding
from loopseal.usecases.history import load
from loopseal.usecases.propose import draft, propose
from loopseal.usecases.world import World


def revert_id(change_id: str) -> str:
    """The id of the change that undoes this one: whoever asks, however often, it is one change."""
    return make_id("revert", change_id)


async def revert(
    world: World,
    change_id: str,
    *,
    target: str,
    actor: Actor,
    reason: str,
    labels: Sequence[tuple[str, str]] = (),
    dag: str = "",
    report: Callable[[Finding], None] | None = None,
) -> Change:
    """Propose what puts back all that the change replaced; commit and observe it as any other.

    A revert that the branch carries already is found again, whoever made it: its base is the commit before it, and
    from there on `commit` looks for it. Raises Conflict when somebody wrote one of its keys since: then there is
    nothing that could be put back without undoing that too.
    """
    reverting = revert_id(change_id)
    standing = await load(world, reverting)
    if standing is not None:
        return standing
    edits = await world.repository(world.route(target).target).inverse(change_id)
    proposal = await draft(
        world,
        change_id=reverting,
        target=target,
        edits=edits,
        reason=reason,
        actor=actor,
        labels=labels,
        reverts=change_id,
        again=True,
    )
    return await propose(world, proposal, dag=dag, report=report)
