"""What stands where: the state of targets, and whether they would work."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loopseal.domain.proposal import Application
from loopseal.errors import LoopsealError
from loopseal.ports import Finding, Level, Repository, Signing, Source
from loopseal.usecases.world import World


@dataclass(frozen=True, slots=True)
class ApplicationStatus:
    """One application as its engine shows it now; `relation` is that of its revision to the branch's tip."""

    application: Application
    shows: Mapping[str, Any]
    relation: str
    link: str


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """One target now: the tip of its branch and its applications."""

    name: str
    url: str
    branch: str
    tip: str
    applications: tuple[ApplicationStatus, ...]


async def status(world: World, target: str) -> TargetStatus:
    """Where a target stands now. Reads only."""
    route = world.route(target)
    repository = world.repository(route.target)
    tip = await repository.tip()

    async def one(application: Application) -> ApplicationStatus:
        engine = world.engine(application)
        shows = await engine.status(application)
        revision = str(shows.get("revision") or "")
        relation = str(await repository.relation(revision, tip)) if revision else "unknown"
        return ApplicationStatus(application, shows, relation, engine.link(application))

    applications = await asyncio.gather(*(one(application) for application in route.target.applications))
    return TargetStatus(target, repository.url, repository.branch, tip, tuple(applications))


async def check(world: World, target: str) -> Sequence[Finding]:
    """Whether a change to this target could land and arrive: repository, engines, applications. Reads only.

    What cannot be asked is itself a finding; this does not raise for a peer that is down.
    """
    route = world.route(target)
    try:
        repository = world.repository(route.target)
        source = Source(repository.url, repository.branch, (), await _signing(repository))
        answers = await asyncio.gather(
            repository.check(),
            *(world.engine(one).preflight(one, source, route.tolerance) for one in route.target.applications),
            return_exceptions=True,
        )
    except LoopsealError as error:
        return [_finding(error)]
    out: list[Finding] = []
    for answer in answers:
        if isinstance(answer, LoopsealError):
            out.append(_finding(answer))
        elif isinstance(answer, BaseException):
            raise answer
        else:
            out.extend(answer)
    return out


async def _signing(repository: Repository) -> Signing | None:
    """How commits are signed; None when the key cannot be used, which the repository's own check tells."""
    try:
        return await repository.signing()
    except LoopsealError:
        return None


def _finding(error: LoopsealError) -> Finding:
    return Finding(Level.ERROR, error.code, error.message, error.where, error.hint)
