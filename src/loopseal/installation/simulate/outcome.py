"""What a sync comes to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from loopseal.installation.manifests import Key


class State(StrEnum):
    """The phase of the operation, in Argo CD's words."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    RUNNING = "Running"
    """It never ends."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """An object that stands in the way, and what is missing: needs that nothing meets, or why it is not taken."""

    key: Key
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`applied` are the objects in order of creation, in groups within which the order is not defined."""

    state: State
    applied: tuple[tuple[Key, ...], ...]
    blocked: tuple[Blocked, ...] = ()
    """What a sync that never ends waits for."""
    unwell: tuple[Key, ...] = ()
    """What is not healthy when the sync ends, or fails in time while it does not."""
    differing: tuple[Key, ...] = ()
    """What stays OutOfSync although the sync has ended: a field is dropped that the API server does not know, or it is
    no longer in Git and not pruned."""
    refused: tuple[Blocked, ...] = ()
    """What the API server does not take, and why."""
    never: tuple[Key, ...] = ()
    """What is never reached."""
    where: str = ""
    """The phase and wave at which it stopped."""

    @property
    def converges(self) -> bool:
        """Whether it ends, and everything is healthy and as it was asked for then."""
        return self.state is State.SUCCEEDED and not self.unwell and not self.differing
