"""One look at an Argo CD Application for one wanted commit: what every step of the judgement may ask.

Lives here: the questions. Does not: any decision (`argocd_verdict`, `argocd_operation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loopseal.domain.revision import Action, Relation, State, Tolerance, Verdict
from loopseal.engines import argocd_application as application
from loopseal.engines.argocd_application import is_commit, resources
from loopseal.engines.fields import Memory, Object, text, verdict
from loopseal.engines.relations import Oracle, arrived


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the application, and everything that a step may ask."""

    app: Object
    wanted: str
    positions: tuple[int, ...]
    ask: Oracle
    now: float
    memory: Memory
    tolerance: Tolerance
    baseline: tuple[str, ...]
    refreshed: bool

    def at(self, revisions: Sequence[str]) -> tuple[str, ...]:
        """Those of `revisions` that are of our repository."""
        return tuple(revisions[index] for index in self.positions if index < len(revisions))

    def relation(self, observed: str, wanted: str) -> Relation:
        """What one commit is to another; a name of a ref is nothing to any."""
        return self.ask(observed, wanted) if is_commit(observed) and is_commit(wanted) else Relation.UNKNOWN

    def arrived(self, revision: str) -> bool:
        """Whether `revision` holds the wanted commit."""
        return arrived(self.relation(revision, self.wanted), self.tolerance)

    @property
    def observed(self) -> tuple[str, ...]:
        """What the last comparison looked at in our repository."""
        return self.at(application.observed_revisions(self.app))

    @property
    def operated(self) -> tuple[str, ...]:
        """What the operation syncs to in our repository."""
        return self.at(application.operation_revisions(self.app))

    @property
    def phase(self) -> str:
        """The phase of the operation."""
        return text(self.app, "status", "operationState", "phase")

    @property
    def sync(self) -> str:
        """`Synced`, `OutOfSync`, or anything else for unknown."""
        return text(self.app, "status", "sync", "status")

    @property
    def operation_message(self) -> str:
        """What the operation says."""
        return text(self.app, "status", "operationState", "message")

    @property
    def operated_to_wanted(self) -> bool:
        """Whether the operation is one for the wanted commit or a descendant."""
        return bool(self.operated) and all(map(self.arrived, self.operated))

    def say(
        self, state: State, reason: str, message: str = "", action: Action = Action.NONE, *, named: bool = False
    ) -> Verdict:
        """A verdict about this look; `named` adds the resources that stand in the way."""
        return verdict(
            state,
            reason,
            message,
            observed=",".join(self.observed),
            resources=resources(self.app) if named else (),
            action=action,
        )
