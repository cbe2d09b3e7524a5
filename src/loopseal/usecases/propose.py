"""Propose a change: shape it, check its scope, decide, and see whether it can ever arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from loopseal.domain.change import Change, Cleared, Denied, Held, Proposed, Refusal
from loopseal.domain.decision import Allow, Decision, Deny, Hold, admits, decide
from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import Edit, Proposal
from loopseal.errors import Code, Conflict, Refused
from loopseal.ports import Behalf, Finding, Level, Source, on_behalf_of
from loopseal.usecases.history import load, record
from loopseal.usecases.world import Route, World
from loopseal.wire import digest

HOLD_FOR: Final = timedelta(days=7)
"""How long a hold waits for people."""


async def draft(
    world: World,
    *,
    change_id: str,
    target: str,
    edits: Sequence[Edit],
    reason: str,
    actor: Actor,
    labels: Sequence[tuple[str, str]] = (),
    reverts: str = "",
    again: bool = False,
) -> Proposal:
    """A proposal for a declared target, based on what its branch is now.

    The scope is checked first: nothing is fetched for a path that the target does not cover. Raises Refused.
    With `again` the change may have landed already, and nothing here remembers it: then it is based on the commit
    before its own, so that `commit` finds it.
    """
    route = world.route(target)
    proposal = Proposal(change_id, route.target, "", tuple(edits), reason, actor, tuple(labels), reverts)
    _require(proposal)
    repository = world.repository(route.target)
    landed = await repository.find(change_id) if again else None
    base = landed.parent if landed is not None else await repository.tip()
    return Proposal(change_id, route.target, base, tuple(edits), reason, actor, tuple(labels), reverts)


async def propose(
    world: World, proposal: Proposal, *, dag: str = "", report: Callable[[Finding], None] | None = None
) -> Change:
    """Record the proposal, decide it, and refuse it now if no application could ever see it.

    Writes nothing to Git. `dag` is the id of the asking Dag, which the target must allow; `report` gets what
    preflight found. Proposing the same change again answers the one that stands; other content under its id is
    a Conflict.
    """
    _require(proposal)
    standing = await load(world, proposal.id)
    if standing is not None and not _same_content(standing.proposal, proposal):
        raise Conflict(
            Code.PROPOSAL_INVALID,
            f"change {proposal.id} stands for other edits already",
            where=proposal.target.name,
            hint="What was asked under this id changed in between. Clear the task to propose anew.",
        )
    change = standing or await record(world, None, Proposed(world.clock.now(), proposal, digest(proposal)))
    if len(change.events) > 1:
        return change
    change = await _decide(world, change, dag)
    if change.closed:
        return change
    findings = await preflight(world, change.proposal)
    for finding in findings:
        if report is not None:
            report(finding)
    errors = [finding for finding in findings if finding.level is Level.ERROR]
    if errors:
        told = "; ".join(f"{finding.where}: {finding.message}" for finding in errors)
        return await record(world, change, Refusal(world.clock.now(), Code.ENGINE_PREFLIGHT, told))
    return change


async def preflight(world: World, proposal: Proposal) -> Sequence[Finding]:
    """What stands between this proposal and its applications. Reads only."""
    route = world.route(proposal.target.name)
    repository = world.repository(route.target)
    source = Source(repository.url, repository.branch, proposal.paths, await repository.signing())
    with on_behalf_of(Behalf.of(proposal)):
        answers = await asyncio.gather(
            *(
                world.engine(application).preflight(application, source, route.tolerance)
                for application in route.target.applications
            )
        )
    return [finding for answer in answers for finding in answer]


def answers(route: Route, actor: Actor, dag: str) -> Sequence[Decision]:
    """What the target's own rules say: the whole policy where no gateway decides.

    A Dag needs a pattern that matches its id. Whoever runs the command line holds the credentials already.
    """
    rule = f"target:{route.target.name}"
    if actor.kind is not ActorKind.DAG:
        return [Allow((rule,))]
    if admits(route.dags, dag):
        return [Allow((rule,))]
    return [Deny((rule,), f"target {route.target.name!r} does not list Dag {dag!r} under `dags`")]


async def _decide(world: World, change: Change, dag: str) -> Change:
    now, proposal = world.clock.now(), change.proposal
    decision = decide(answers(world.route(proposal.target.name), proposal.actor, dag), digest=change.digest)
    match decision:
        case Allow(policies):
            return await record(world, change, Cleared(now, policies, world.policy_set))
        case Hold(policies, needs):
            return await record(world, change, Held(now, policies, world.policy_set, needs, now + HOLD_FOR))
        case Deny(policies, reason):
            return await record(world, change, Denied(now, policies, world.policy_set, reason))


def _require(proposal: Proposal) -> None:
    outside = proposal.out_of_scope()
    if outside:
        raise Refused(
            Code.PROPOSAL_OUT_OF_SCOPE,
            f"{', '.join(map(repr, outside))} is outside target {proposal.target.name!r}",
            where=proposal.target.name,
            hint=f"The target covers {', '.join(proposal.target.paths)}. Its owner widens it in the settings file.",
        )
    problems = proposal.problems()
    if problems:
        raise Refused(Code.PROPOSAL_INVALID, "; ".join(problems), where=proposal.target.name)


def _same_content(one: Proposal, other: Proposal) -> bool:
    return (one.target.name, one.edits, one.reverts) == (other.target.name, other.edits, other.reverts)
