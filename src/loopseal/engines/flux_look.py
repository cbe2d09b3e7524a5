"""One look at a Flux object for one wanted commit: what every step of a judgement may ask.

Lives here: the questions. Does not: any decision (`flux_source`, `flux_kustomization`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from loopseal.domain.revision import Action, Relation, Resource, State, Tolerance, Verdict
from loopseal.engines import flux_object as flux
from loopseal.engines.fields import Memory, Object, text, verdict
from loopseal.engines.flux_message import bad_resources
from loopseal.engines.flux_object import Condition
from loopseal.engines.relations import Oracle, arrived

Live: TypeAlias = Sequence[tuple[Resource, Object | None]]
"""Objects of an inventory as they are in the cluster; None for one that is not there."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a source or a Kustomization; what only one of the two needs has a default."""

    obj: Object
    wanted: str
    ask: Oracle
    tolerance: Tolerance
    observed: str
    acknowledged: bool = False
    now: float = 0.0
    memory: Memory = field(default_factory=dict)
    origin: Object | None = None
    objects: Live | None = None

    def relation(self, commit: str) -> Relation:
        """What `commit` is to the wanted one; no commit is nothing to any."""
        return self.ask(commit, self.wanted) if commit else Relation.UNKNOWN

    def arrived(self, commit: str) -> bool:
        """Whether `commit` holds the wanted one."""
        return arrived(self.relation(commit), self.tolerance)

    def condition(self, kind: str) -> Condition:
        """The condition of this type; an empty one where there is none."""
        return flux.condition(self.obj, kind)

    def current(self, condition: Condition) -> bool:
        """Whether `condition` is about the spec as it is now."""
        return condition.generation == flux.generation(self.obj) is not None

    def say(
        self,
        state: State,
        reason: str,
        message: str = "",
        action: Action = Action.NONE,
        *,
        named: bool = False,
    ) -> Verdict:
        """A verdict about this look; `named` adds the resources that the message complains about."""
        resources = bad_resources(message) if named else ()
        return verdict(state, reason, message, observed=self.observed, resources=resources, action=action)


Step: TypeAlias = Callable[[Look], Verdict | None]


def first(look: Look, steps: Sequence[Step]) -> Verdict | None:
    """What the first step says that decides."""
    return next((said for step in steps if (said := step(look)) is not None), None)


def attempted(obj: Object) -> str:
    """The revision that was tried last, as Flux writes it."""
    return text(obj, "status", "lastAttemptedRevision")
