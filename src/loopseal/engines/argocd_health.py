"""The health of an Argo CD application's resources where its object does not tell it.

Since 3.0 Argo CD keeps it out of the Application object (`status.resourceHealthSource: appTree`); its API server adds
it to every answer. Who reads the object from Kubernetes must look at the workloads themselves. Lives here: what is
missing in the object, and putting it there in Argo CD's words. Does not: reading workloads (`workloads`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from loopseal.domain.revision import Resource, State, Tolerance, Verdict
from loopseal.engines import kstatus
from loopseal.engines.fields import Object, items, mapping, resource, text
from loopseal.engines.workloads import KINDS, NOT_FOUND, Seen

IN_CLUSTER: Final = "https://kubernetes.default.svc"
"""What Argo CD calls the cluster that it runs in."""
_UNWELL: Final = frozenset({"DEGRADED", "MISSING", "HEALTH_DEGRADED", "HEALTH_MISSING"})
_WELL: Final = frozenset({"HEALTHY", "SETTLING"})
_WORDS: Final = {
    kstatus.CURRENT: "Healthy",
    kstatus.IN_PROGRESS: "Progressing",
    kstatus.TERMINATING: "Progressing",
    kstatus.FAILED: "Degraded",
    NOT_FOUND: "Missing",
}


@dataclass(frozen=True, slots=True)
class Healths:
    """An application with the health of its resources, and what keeps us from knowing more."""

    app: Object
    unread: str = ""


def wanted(said: Verdict, tolerance: Tolerance) -> bool:
    """Whether this verdict should be made again with the health of every workload: a failure must name one."""
    return said.reason in _UNWELL or (tolerance.strict_health and said.reason in _WELL)


def without(app: Object) -> tuple[Resource, ...]:
    """The workloads of `status.resources` whose health is not told. Hooks and what is to be pruned are left out."""
    return tuple(
        resource(row, text(row, "status"))
        for row in items(app, "status", "resources")
        if (text(row, "group"), text(row, "kind")) in KINDS
        and not mapping(row, "health")
        and row.get("hook") is not True
        and row.get("requiresPruning") is not True
    )


def here(app: Object, server: str) -> bool:
    """Whether it deploys to the cluster that we read it from."""
    destination = mapping(app, "spec", "destination")
    if name := text(destination, "name"):
        return name == "in-cluster"
    return text(destination, "server") in {IN_CLUSTER, server}


def elsewhere(app: Object) -> Healths:
    """It deploys to another cluster."""
    destination = mapping(app, "spec", "destination")
    where = text(destination, "name") or text(destination, "server")
    return Healths(app, f"its workloads are in another cluster ({where[:200]}); give the engine Argo CD's `url`")


def filled(app: Object, seen: Seen) -> Healths:
    """`app` as Argo CD's API server would show it, as far as the workloads were read."""
    told: dict[tuple[str, ...], kstatus.ObjectStatus] = {
        (one.group, one.kind, one.namespace, one.name): status for one, status in seen.statuses
    }
    rows = [_with(row, told) for row in items(app, "status", "resources")]
    return Healths({**app, "status": {**mapping(app, "status"), "resources": rows}}, "; ".join(seen.unread))


def _with(row: Object, told: Mapping[tuple[str, ...], kstatus.ObjectStatus]) -> Object:
    status = told.get(tuple(text(row, part) for part in ("group", "kind", "namespace", "name")))
    if status is None:
        return row
    health: dict[str, Any] = {"status": _WORDS.get(status.status, "Unknown"), "message": status.message}
    return {**row, "health": health}


def explained(said: Verdict, healths: Healths, tolerance: Tolerance) -> Verdict:
    """`said` of `healths`, and why it names nothing, or cannot be as strict as it should."""
    if said.reason in _UNWELL and not said.resources:
        others = {text(row, "kind")[:60] for row in items(healths.app, "status", "resources")} - {
            kind for _, kind in KINDS
        }
        kinds = ", ".join(sorted(others)[:10])
        unknown = healths.unread or f"no workload of it is; it has other resources as well: {kinds or 'none'}"
        return replace(said, message=f"{said.message}; {unknown}".removeprefix("; "))
    if tolerance.strict_health and said.reason in _WELL and healths.unread:
        return replace(said, state=State.PENDING, reason="HEALTH_NOT_CHECKED", message=healths.unread)
    return said
