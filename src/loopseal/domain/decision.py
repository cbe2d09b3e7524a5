"""Allow, hold or deny: the fold of all answers into one decision.

* Deny beats hold beats allow.
* No answer at all means deny.
* A policy that could not be evaluated answers `Deny`; it is never skipped.
* A hold names what it needs; approvals that meet the need turn it into an allow, and nothing else does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from loopseal.domain.identity import Actor


@dataclass(frozen=True, slots=True)
class Allow:
    """Go ahead. `policies` are the ids that made it so."""

    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait for people: `needs` is ((group, count), …), each at least one."""

    policies: tuple[str, ...]
    needs: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        if not self.needs or any(not group or count < 1 for group, count in self.needs):
            message = "a hold needs at least one person of at least one group"  # else nobody would be asked
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Deny:
    """No, because `reason`."""

    policies: tuple[str, ...]
    reason: str


Decision: TypeAlias = Allow | Hold | Deny


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's vote, as a member of `group`, on the content with this digest."""

    actor: Actor
    group: str
    digest: str


def decide(answers: Iterable[Decision], approvals: Iterable[Approval] = (), *, digest: str = "") -> Decision:
    """Fold the answers of all policies, and the approvals given so far, into one decision.

    Approvals of another digest, or of none, do not count; the same person counts once per group. The order of answers
    and approvals changes nothing.
    """
    told = tuple(answers)
    denials = [answer for answer in told if isinstance(answer, Deny)]
    if denials:
        return Deny(_ids(denials), "; ".join(sorted({denial.reason for denial in denials})))
    holds = [answer for answer in told if isinstance(answer, Hold)]
    if holds:
        open_needs = _unmet(holds, approvals, digest)
        if open_needs:
            return Hold(_ids(holds), tuple(sorted(open_needs.items())))
        return Allow(_ids(told))
    if not told:
        return Deny((), "no policy allows it")
    return Allow(_ids(told))


def admits(patterns: Iterable[str], name: str) -> bool:
    """Whether one pattern covers all of `name`; `*` stands for any text. No pattern admits nobody, nor does no name."""
    return bool(name) and any(
        re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None for pattern in patterns
    )


def _ids(answers: Iterable[Decision]) -> tuple[str, ...]:
    return tuple(sorted({policy for answer in answers for policy in answer.policies}))


def _unmet(holds: Iterable[Hold], approvals: Iterable[Approval], digest: str) -> Mapping[str, int]:
    votes = {
        (vote.group, vote.actor.issuer, vote.actor.subject) for vote in approvals if digest and vote.digest == digest
    }
    needed: dict[str, int] = {}
    for hold in holds:
        for group, count in hold.needs:
            needed[group] = max(needed.get(group, 0), count)
    missing = {group: count - sum(vote[0] == group for vote in votes) for group, count in needed.items()}
    return {group: count for group, count in missing.items() if count > 0}
