"""One change, from proposal to healthy: its events, its phases and the one table of its moves.

The log is the state: a `Change` is what `replay` makes of its events, and nothing else is stored anywhere. Everything
that affects a change's state stands in `TRANSITIONS`; the diagram in the docs is generated from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias

from loopseal.domain.identity import Actor
from loopseal.domain.proposal import Proposal
from loopseal.domain.revision import Resource


class Phase(StrEnum):
    """Where a change stands. Phases without a way out in `TRANSITIONS` are closed."""

    PROPOSED = "proposed"
    HELD = "held"
    CLEARED = "cleared"
    LEASED = "leased"
    COMMITTED = "committed"
    RECONCILED = "reconciled"
    HEALTHY = "healthy"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    DENIED = "denied"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"

    @property
    def closed(self) -> bool:
        """Whether nothing can happen to such a change any more."""
        return not any(phase is self for phase, _ in TRANSITIONS)


@dataclass(frozen=True, slots=True)
class Proposed:
    """Somebody asks. `digest` is that of the proposal's content."""

    at: datetime
    proposal: Proposal
    digest: str


@dataclass(frozen=True, slots=True)
class Cleared:
    """Policy allows it; `policy_set` identifies the whole set that was asked."""

    at: datetime
    policies: tuple[str, ...]
    policy_set: str


@dataclass(frozen=True, slots=True)
class Held:
    """Policy wants people: `needs` is ((group, count), …), until `expires`."""

    at: datetime
    policies: tuple[str, ...]
    policy_set: str
    needs: tuple[tuple[str, int], ...]
    expires: datetime


@dataclass(frozen=True, slots=True)
class Denied:
    """Policy says no."""

    at: datetime
    policies: tuple[str, ...]
    policy_set: str
    reason: str


@dataclass(frozen=True, slots=True)
class Approved:
    """One vote for the content with this digest."""

    at: datetime
    actor: Actor
    group: str
    digest: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """One vote against; one is enough."""

    at: datetime
    actor: Actor
    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class Leased:
    """A credential was minted. Only its SHA-256 is ever recorded."""

    at: datetime
    scope: str
    sha256: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class Committed:
    """It is on the branch as `revision`. `changed` is False when the branch already held all that was asked."""

    at: datetime
    revision: str
    parent: str
    attempts: int = 1
    changed: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """It could not be committed and never will be as it stands: `code` is one of `loopseal.errors.Code`."""

    at: datetime
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Every application reports `revision` or a descendant of it (`observed`, by application)."""

    at: datetime
    revision: str
    observed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Healthy:
    """…and is healthy. Closes the change."""

    at: datetime
    revision: str
    observed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Degraded:
    """It was applied, or tried, and it is not good. Closes the change; a revert is a change of its own."""

    at: datetime
    reason: str
    message: str
    application: str = ""
    observed: str = ""
    resources: tuple[Resource, ...] = ()


@dataclass(frozen=True, slots=True)
class Superseded:
    """The branch went on without it, or past it where only the very commit was wanted."""

    at: datetime
    reason: str
    message: str
    observed: str = ""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Somebody else must act first (suspended, sync window, …). The wait goes on."""

    at: datetime
    reason: str
    message: str
    application: str = ""


@dataclass(frozen=True, slots=True)
class Expired:
    """Time is up: of the hold, or of the wait. Carries the last verdict: "timed out" alone helps nobody."""

    at: datetime
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Its author took it back before it landed."""

    at: datetime
    actor: Actor
    reason: str


Event: TypeAlias = (
    Proposed
    | Cleared
    | Held
    | Denied
    | Approved
    | Rejected
    | Leased
    | Committed
    | Refusal
    | Reconciled
    | Healthy
    | Degraded
    | Superseded
    | Blocked
    | Expired
    | Withdrawn
)

TRANSITIONS: Final[Mapping[tuple[Phase, type[Event]], Phase]] = MappingProxyType(
    {
        (Phase.PROPOSED, Cleared): Phase.CLEARED,
        (Phase.PROPOSED, Held): Phase.HELD,
        (Phase.PROPOSED, Denied): Phase.DENIED,
        (Phase.PROPOSED, Refusal): Phase.REFUSED,
        (Phase.PROPOSED, Withdrawn): Phase.WITHDRAWN,
        (Phase.HELD, Approved): Phase.HELD,
        (Phase.HELD, Rejected): Phase.DENIED,
        (Phase.HELD, Cleared): Phase.CLEARED,
        (Phase.HELD, Denied): Phase.DENIED,
        (Phase.HELD, Expired): Phase.DENIED,
        (Phase.HELD, Withdrawn): Phase.WITHDRAWN,
        (Phase.CLEARED, Leased): Phase.LEASED,
        (Phase.CLEARED, Committed): Phase.COMMITTED,
        (Phase.CLEARED, Refusal): Phase.REFUSED,
        (Phase.CLEARED, Denied): Phase.DENIED,
        (Phase.CLEARED, Withdrawn): Phase.WITHDRAWN,
        (Phase.LEASED, Leased): Phase.LEASED,
        (Phase.LEASED, Committed): Phase.COMMITTED,
        (Phase.LEASED, Refusal): Phase.REFUSED,
        (Phase.LEASED, Withdrawn): Phase.WITHDRAWN,
        (Phase.COMMITTED, Reconciled): Phase.RECONCILED,
        (Phase.COMMITTED, Blocked): Phase.COMMITTED,
        (Phase.COMMITTED, Healthy): Phase.HEALTHY,
        (Phase.COMMITTED, Degraded): Phase.FAILED,
        (Phase.COMMITTED, Superseded): Phase.SUPERSEDED,
        (Phase.COMMITTED, Expired): Phase.FAILED,
        (Phase.RECONCILED, Reconciled): Phase.RECONCILED,
        (Phase.RECONCILED, Blocked): Phase.RECONCILED,
        (Phase.RECONCILED, Healthy): Phase.HEALTHY,
        (Phase.RECONCILED, Degraded): Phase.FAILED,
        (Phase.RECONCILED, Superseded): Phase.SUPERSEDED,
        (Phase.RECONCILED, Expired): Phase.FAILED,
    }
)
"""Every move a change can make. What is not here cannot happen."""


class IllegalMove(ValueError):
    """A sequence of events that no change can have gone through."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change as its events tell it. `revision` is empty until it has landed."""

    proposal: Proposal
    digest: str
    phase: Phase
    events: tuple[Event, ...]
    revision: str = ""
    expires: datetime | None = None

    @property
    def id(self) -> str:
        """The change id."""
        return self.proposal.id

    @property
    def closed(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.phase.closed


def begin(event: Event) -> Change:
    """The change that this first event opens. Raises IllegalMove unless it is `Proposed`."""
    if not isinstance(event, Proposed):
        message = f"a change begins with Proposed, not {type(event).__name__}"
        raise IllegalMove(message)
    problems = (*event.proposal.problems(), *(() if event.digest else ("a proposal needs the digest of its content",)))
    if problems:
        raise IllegalMove("; ".join(problems))
    _check_times(event)
    return Change(event.proposal, event.digest, Phase.PROPOSED, (event,))


def advance(change: Change, event: Event) -> Change:
    """`change` after `event`. Raises IllegalMove when the table or the content forbid it.

    The order of the log decides, not `at`: events come from several machines, and their clocks differ.
    """
    phase = TRANSITIONS.get((change.phase, type(event)))
    if phase is None:
        message = f"{type(event).__name__} cannot follow in phase {change.phase}"
        raise IllegalMove(message)
    _check(change, event)
    events = (*change.events, event)
    if isinstance(event, Committed):
        return replace(change, phase=phase, events=events, revision=event.revision, expires=None)
    if isinstance(event, Held):
        return replace(change, phase=phase, events=events, expires=event.expires)
    return replace(change, phase=phase, events=events)


def _check(change: Change, event: Event) -> None:
    _check_times(event)
    if isinstance(event, Committed) and not event.revision:
        message = "a change lands as some revision"
        raise IllegalMove(message)
    if isinstance(event, Approved | Rejected) and event.digest != change.digest:
        message = "the vote is for other content"
        raise IllegalMove(message)
    if isinstance(event, Reconciled | Healthy) and event.revision != change.revision:
        message = f"{type(event).__name__} speaks of {event.revision}, the change landed as {change.revision}"
        raise IllegalMove(message)
    if isinstance(event, Approved | Cleared) and change.expires is not None and event.at >= change.expires:
        message = "the hold has expired"
        raise IllegalMove(message)


def _check_times(event: Event) -> None:
    times = [event.at, event.expires] if isinstance(event, Held | Leased) else [event.at]
    if any(time.utcoffset() is None for time in times):
        message = f"{type(event).__name__} has a time without its zone"
        raise IllegalMove(message)


def replay(events: Iterable[Event]) -> Change:
    """The change that these events tell of, in order. Raises IllegalMove when no change can have gone this way."""
    told = iter(events)
    try:
        change = begin(next(told))
    except StopIteration:
        message = "a change has at least one event"
        raise IllegalMove(message) from None
    for event in told:
        change = advance(change, event)
    return change
