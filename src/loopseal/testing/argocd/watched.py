"""What the workers of the application controller share: levels, timings, and the memory of one application."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from loopseal.testing.store import Object


class Level(IntEnum):
    """How thoroughly a refresh looks."""

    NOTHING = 0
    TREE = 1
    LATEST = 2
    RESOLVE = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take, in seconds; the defaults are Argo CD's, the short ones those of an idle machine."""

    resync: float = 180.0
    """`timeout.reconciliation`: between comparisons that nobody asked for."""
    ref_cache: float = 180.0
    """How long a resolved ref is believed by such comparisons."""
    grace: float = 180.0
    """`repo-error-grace-period-seconds`: how long such comparisons hide that the repository cannot be read."""
    queue: float = 0.015
    """From an event to the worker, and between two writes."""
    tree: float = 0.05
    """From a change of something live to the worker."""
    refs: float = 0.03
    """Listing refs."""
    fetch: float = 0.15
    """Fetching a commit and making its manifests, the first time."""
    apply: float = 0.2
    """Applying a handful of objects."""


@dataclass(slots=True)
class Watched:
    """What the controller remembers about one application between events."""

    key: tuple[str, str]
    level: Level = Level.NOTHING
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    source: Any = None
    loaded: dict[str, tuple[Object, ...]] = field(default_factory=dict)
    """Manifest cache: commit -> objects."""
    failing_since: float | None = None

    def ask(self, level: Level) -> None:
        """Look at it, at least this thoroughly."""
        self.level = max(self.level, level)
        self.asked.set()
