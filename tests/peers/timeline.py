"""What happened around one wait, in order: for whoever must find out why it went wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loopseal.testing.store import Change

_SHORT = 8
"""Characters of a commit."""


@dataclass(slots=True)
class Timeline:
    """Moments (`clock` gives seconds) and what was so from then on. `name` is the application's and its namespace's."""

    name: str
    clock: Callable[[], float]
    moments: list[tuple[float, str]] = field(default_factory=list)
    _last: dict[str, str] = field(default_factory=dict)

    def note(self, what: str) -> None:
        """Something has happened."""
        self.moments.append((self.clock(), what))

    def on_change(self, change: Change) -> None:
        """An object has changed: it is noted if it is one of this wait, and shows something new."""
        found = change.object
        kind, metadata = found["kind"], found["metadata"]
        if metadata["name"] != self.name and metadata.get("namespace") != self.name:
            return
        shown = "is gone" if change.type == "DELETED" else brief(found)
        if self._last.get(kind) != shown:
            self._last[kind] = shown
            self.note(f"{kind} {shown}")

    def told(self, outages: list[tuple[float, str]]) -> list[str]:
        """All of it, with the processes that were killed and started meanwhile."""
        if not self.moments:
            return []
        began = self.moments[0][0]
        both = sorted([*self.moments, *(one for one in outages if one[0] >= began)])
        return [f"{at - began:7.2f} s  {what}" for at, what in both]


def brief(found: dict[str, Any]) -> str:
    """One line that says what an object shows."""
    status = found.get("status") or {}
    match found["kind"]:
        case "Application":
            return _application(found, status)
        case "Deployment":
            image = found["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]
            conditions = " ".join(f"{one['type']}={one['status']}/{one['reason']}" for one in _conditions(status))
            return f"{image} generation {found['metadata'].get('generation')}/{status.get('observedGeneration')} {conditions}"
        case "ConfigMap":
            return str(found.get("data"))
        case _:
            ready = " ".join(f"{one['type']}={one['status']}/{one['reason']}" for one in _conditions(status))
            applied, tried = status.get("lastAppliedRevision", ""), status.get("lastAttemptedRevision", "")
            return f"applied {applied[-40:][:_SHORT]} tried {tried[-40:][:_SHORT]} {ready}"


def _application(found: dict[str, Any], status: dict[str, Any]) -> str:
    sync, operation = status.get("sync") or {}, status.get("operationState") or {}
    result = (operation.get("syncResult") or {}).get("revision", "")
    asked = (found["metadata"].get("annotations") or {}).get("argocd.argoproj.io/refresh", "")
    words = [
        f"{sync.get('status')} at {str(sync.get('revision'))[:_SHORT]}",
        f"health {(status.get('health') or {}).get('status')}",
        f"operation {operation.get('phase')} at {result[:_SHORT]}",
        f"reconciled {status.get('reconciledAt')}",
        *(f"{one['type']}: {one['message'][:80]}" for one in status.get("conditions") or ()),
    ]
    return ", ".join(
        [*words, *(["refresh asked"] if asked else []), *(["operation asked"] if "operation" in found else [])]
    )


def _conditions(status: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(status.get("conditions") or (), key=lambda one: str(one["type"]))
