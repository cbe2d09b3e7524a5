"""Whether an object is well, as Argo CD and as Flux see it. Pure.

Argo CD's answers follow gitops-engine `pkg/health` (v3.2), Flux's follow kstatus (fluxcd/cli-utils) with
kustomize-controller's own reader for Jobs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

ORDER: Final = ("Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown")
"""Argo CD's healths, from best to worst."""


def condition(item: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The condition of that type, or nothing."""
    conditions = (item.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == kind), {})


def argo(item: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """Health and message; None for kinds that have no health."""
    if item is None:
        return "Missing", ""
    match item["kind"]:
        case "Deployment":
            return _deployment(item)
        case "Job":
            return _job(item)
        case "Pod":
            ready = condition(item, "Ready").get("status") == "True"
            return ("Healthy", "") if ready else ("Progressing", (item.get("status") or {}).get("message", ""))
        case _:
            return None


def worst(healths: Iterable[str]) -> str:
    """What an application is, given its resources; an empty one is Healthy."""
    return max(healths, key=ORDER.index, default="Healthy")


def _deployment(item: Mapping[str, Any]) -> tuple[str, str]:
    spec, status = item["spec"], item.get("status") or {}
    wanted = spec.get("replicas", 1)
    if status.get("observedGeneration", 0) < item["metadata"]["generation"]:
        text = "observed deployment generation less than desired generation"
        return "Progressing", f"Waiting for rollout to finish: {text}"
    if condition(item, "Progressing").get("reason") == "ProgressDeadlineExceeded":
        return "Degraded", f'Deployment "{item["metadata"]["name"]}" exceeded its progress deadline'
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    available = status.get("availableReplicas", 0)
    if updated < wanted:
        text = f"{updated} out of {wanted} new replicas have been updated..."
    elif total > updated:
        text = f"{total - updated} old replicas are pending termination..."
    elif available < updated:
        text = f"{available} of {updated} updated replicas are available..."
    else:
        return "Healthy", ""
    return "Progressing", f"Waiting for rollout to finish: {text}"


def _job(item: Mapping[str, Any]) -> tuple[str, str]:
    failed = condition(item, "Failed")
    if failed.get("status") == "True":
        return "Degraded", failed.get("message", "")
    if condition(item, "Complete").get("status") == "True":
        return "Healthy", condition(item, "Complete").get("message", "")
    return "Progressing", ""


def kstatus(item: Mapping[str, Any] | None) -> str:
    """`Current`, `InProgress`, `Failed`, `Terminating` or `NotFound`."""
    if item is None:
        return "NotFound"
    if "deletionTimestamp" in item["metadata"]:
        return "Terminating"
    match item["kind"]:
        case "Deployment":
            told = _deployment(item)[0]
            return {"Healthy": "Current", "Degraded": "Failed"}.get(told, "InProgress")
        case "Job":
            told = _job(item)[0]
            return {"Healthy": "Current", "Degraded": "Failed"}.get(told, "InProgress")
        case _:
            return _generic(item)


def _generic(item: Mapping[str, Any]) -> str:
    observed = (item.get("status") or {}).get("observedGeneration")
    if observed is not None and observed != item["metadata"].get("generation"):
        return "InProgress"
    if condition(item, "Reconciling").get("status") == "True":
        return "InProgress"
    if condition(item, "Stalled").get("status") == "True":
        return "Failed"
    ready = condition(item, "Ready").get("status")
    return "Current" if ready in {None, "True"} else "InProgress"
