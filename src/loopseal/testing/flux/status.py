"""Conditions of Flux objects, and the one way in which the controllers write a status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from loopseal.testing.clock import LoopClock
from loopseal.testing.store import Object, Store

ORDER: Final = (
    "Reconciling", "Ready", "Stalled", "FetchFailed", "ArtifactOutdated", "ArtifactInStorage", "SourceVerified",
    "Released", "TestSuccess", "Remediated", "Healthy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """One condition: status (`True`, `False`, `Unknown`), reason, message."""

    status: str
    reason: str
    message: str


def conditions(
    old: Sequence[Mapping[str, Any]], new: Mapping[str, Said | None], now: str, generation: int
) -> list[Object]:
    """`old` with `new` put in (None takes one out). The time of a condition moves when anything of it changes."""
    known = {one["type"]: dict(one) for one in old}
    for kind, said in new.items():
        if said is None:
            known.pop(kind, None)
            continue
        before = known.get(kind, {})
        told = {"type": kind, "status": said.status, "reason": said.reason, "message": said.message}
        same = all(before.get(name) == value for name, value in told.items())
        since = before["lastTransitionTime"] if same else now
        known[kind] = {**told, "lastTransitionTime": since, "observedGeneration": generation}
    return sorted(known.values(), key=lambda one: ORDER.index(one["type"]))


class Writer:
    """Writes the status of one object during one pass, on top of whatever the object has become."""

    def __init__(self, store: Store, clock: LoopClock, item: Object) -> None:
        self._store, self._clock = store, clock
        self._key = (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])
        self._generation = item["metadata"]["generation"]

    def write(self, new: Mapping[str, Said | None], **status: Any) -> None:
        """Set conditions and fields; nothing happens when the object is gone."""
        now = self._store.get(*self._key)
        if now is None:
            return
        old = now.get("status") or {}
        told = conditions(old.get("conditions") or (), new, self._clock.stamp(), self._generation)
        self._store.update({**now, "status": {**old, "conditions": told, **status}})
