"""Is the commit I wait for live? The relation of two commits, and what an engine's state means for one of them.

A wait is a predicate over Git ancestry, not over equality or status. On a shared branch an engine may skip a commit and
apply a later one; that later one contains it, so it counts. `relation` answers for a graph that is at hand; the port
`Ancestry` answers for a repository that is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Relation(StrEnum):
    """What the OBSERVED commit is to the WANTED one."""

    EQUAL = "equal"
    DESCENDANT = "descendant"
    ANCESTOR = "ancestor"
    DIVERGED = "diverged"
    UNKNOWN = "unknown"


def relation(observed: str, wanted: str, parents: Mapping[str, Sequence[str]]) -> Relation:
    """What `observed` is to `wanted` in the graph `parents` (commit id -> parent ids).

    A commit that the graph does not hold makes the answer UNKNOWN, never DIVERGED: a shallow graph must not lie.
    """
    if observed == wanted:
        return Relation.EQUAL
    if observed not in parents or wanted not in parents:
        return Relation.UNKNOWN
    above, whole = _ancestors(observed, parents)
    if wanted in above:
        return Relation.DESCENDANT
    below, whole_below = _ancestors(wanted, parents)
    if observed in below:
        return Relation.ANCESTOR
    return Relation.DIVERGED if whole and whole_below else Relation.UNKNOWN


def _ancestors(commit: str, parents: Mapping[str, Sequence[str]]) -> tuple[set[str], bool]:
    """All that can be reached from `commit`, and whether no edge led out of the graph."""
    seen: set[str] = set()
    whole = True
    stack = list(parents[commit])
    while stack:
        one = stack.pop()
        if one in seen:
            continue
        seen.add(one)
        if one in parents:
            stack.extend(parents[one])
        else:
            whole = False
    return seen, whole


class State(StrEnum):
    """What a verdict says. SUCCEEDED, FAILED and SUPERSEDED end a wait; the others may still turn."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    BLOCKED = "BLOCKED"
    SUPERSEDED = "SUPERSEDED"
    REGRESSED = "REGRESSED"
    PENDING = "PENDING"

    @property
    def final(self) -> bool:
        """Whether a wait ends here."""
        return self in {State.SUCCEEDED, State.FAILED, State.SUPERSEDED}


class Action(StrEnum):
    """What would help a verdict along. A hint: policy decides whether it is done."""

    NONE = ""
    NUDGE = "nudge"
    SYNC = "sync"
    TERMINATE = "terminate"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Resource:
    """One object that stands in the way, as the engine names it."""

    kind: str
    name: str
    namespace: str = ""
    group: str = ""
    status: str = ""
    message: str = ""

    def __str__(self) -> str:
        what = "/".join(part for part in (self.kind, self.namespace, self.name) if part)
        return f"{what} {self.status}" + (f": {self.message}" if self.message else "")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one engine's state means for one wanted revision.

    `reason` is stable: either a name of ours in capitals (HEALTHY, NOT_OBSERVED, SYNC_FAILED, …; the full list with its
    meaning stands in the reference) or the engine's own reason as it is written there (ComparisonError,
    HealthCheckFailed). `message` is the engine's text, cut; `observed` the revision the engine reports.
    """

    state: State
    reason: str
    message: str = ""
    observed: str = ""
    resources: tuple[Resource, ...] = ()
    action: Action = Action.NONE
    application: str = ""

    def same_as(self, other: Verdict | None) -> bool:
        """Whether there is nothing new to tell after `other`."""
        return other is not None and (self.state, self.reason, self.observed, self.resources) == (
            other.state,
            other.reason,
            other.observed,
            other.resources,
        )


_ORDER = (State.FAILED, State.REGRESSED, State.SUPERSEDED, State.BLOCKED, State.PENDING, State.SUCCEEDED)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """All must succeed: the verdict that decides for several applications. None at all is PENDING, never success."""
    told = tuple(verdicts)
    if not told:
        return Verdict(State.PENDING, "NO_APPLICATIONS", "no application to wait for")
    return min(told, key=lambda verdict: _ORDER.index(verdict.state))


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How patient and how strict a wait is. All times in seconds."""

    exact: bool = False
    """Only the very commit counts; a descendant supersedes it."""
    settle: float = 10.0
    """Health must be good for this long without a break."""
    error_grace: float = 200.0
    """How long a comparison error may last: Argo CD hides repository errors for 180 s itself."""
    degraded_grace: float = 60.0
    """How long Degraded or Missing may last before it is a failure: rollouts pass through both."""
    drift_grace: float = 60.0
    """How long an application may differ right after it was synced to the commit."""
    wedge: float = 120.0
    """How long nobody may act on a difference before we say so."""
    old_operation: float = 900.0
    """How long an operation for an older commit may hold the application before it counts as blocking."""
    failed_passes: int = 2
    """Flux: failed reconciliations of the commit before it counts as failed."""
    failed_syncs: int = 0
    """Argo CD: failed attempts of one operation before it counts as failed; 0 leaves it to Argo CD (5, about 311 s)."""
    accept_suspended: bool = False
    """Whether Argo CD's health `Suspended` counts as healthy."""
    create_grace: float = 0.0
    """How long an application may not exist yet: for those that this very commit creates."""
    strict_health: bool = False
    """Flux without health checks: read the health of every object itself, or refuse at preflight. Argo CD: every
    resource must be healthy by itself, not only the application's aggregate."""
    nudge: tuple[float, ...] = field(default=(2.0, 4.0, 8.0, 16.0, 32.0, 60.0))
    """Pauses between refreshes of one application while one is wanted; the last one repeats."""
