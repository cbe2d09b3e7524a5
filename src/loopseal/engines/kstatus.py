"""The status of any Kubernetes object, as kstatus computes it (fluxcd/cli-utils `generic.go`, `core.go`).

Lives here: one pure function over one object. One difference is meant: a Job counts as current only when it is
complete, as kustomize-controller reads it; kstatus itself is content once it has started.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from loopseal.engines.fields import Object, get, items, mapping, number, text

CURRENT: Final = "Current"
IN_PROGRESS: Final = "InProgress"
FAILED: Final = "Failed"
TERMINATING: Final = "Terminating"
UNKNOWN: Final = "Unknown"


@dataclass(frozen=True, slots=True)
class ObjectStatus:
    """One of the five statuses, and why."""

    status: str
    message: str = ""


_CURRENT: Final = ObjectStatus(CURRENT)


def status(obj: Object) -> ObjectStatus:
    """Whether `obj` is as its spec says. Total: whatever JSON it is, this answers."""
    if not mapping(obj, "metadata"):
        return ObjectStatus(UNKNOWN, "not a Kubernetes object")
    return _generic(obj) or _KINDS.get((_group(obj), text(obj, "kind")), _by_ready)(obj)


def _generic(obj: Object) -> ObjectStatus | None:
    if get(obj, "metadata", "deletionTimestamp"):
        return ObjectStatus(TERMINATING, "being deleted")
    generation, observed = get(obj, "metadata", "generation"), get(obj, "status", "observedGeneration")
    if observed is not None and generation is not None and observed != generation:
        return ObjectStatus(IN_PROGRESS, "the controller has not seen this generation")
    for kind, said in (("Reconciling", IN_PROGRESS), ("Stalled", FAILED)):
        if _is(obj, kind, "True"):
            return ObjectStatus(said, _told(obj, kind))
    return None


def _group(obj: Object) -> str:
    group, slash, _ = text(obj, "apiVersion").partition("/")
    return group if slash else ""


def _is(obj: Object, kind: str, value: str) -> bool:
    return any(text(one, "type") == kind and text(one, "status") == value for one in _conditions(obj))


def _reason(obj: Object, kind: str) -> str:
    return next((text(one, "reason") for one in _conditions(obj) if text(one, "type") == kind), "")


def _told(obj: Object, kind: str) -> str:
    found = next((one for one in _conditions(obj) if text(one, "type") == kind), {})
    return text(found, "message") or text(found, "reason")


def _conditions(obj: Object) -> tuple[Object, ...]:
    return items(obj, "status", "conditions")


def _wanted(obj: Object, default: int = 1) -> int:
    return default if get(obj, "spec", "replicas") is None else int(number(obj, "spec", "replicas"))


def _below(obj: Object, wanted: int, *fields: str) -> ObjectStatus | None:
    """The first of these counts of the status that has not come to `wanted`."""
    for field in fields:
        have = int(number(obj, "status", field))
        if have < wanted:
            return ObjectStatus(IN_PROGRESS, f"{field}: {have}/{wanted}")
    return None


def _deployment(obj: Object) -> ObjectStatus:
    if _reason(obj, "Progressing") == "ProgressDeadlineExceeded":
        return ObjectStatus(FAILED, "progress deadline exceeded")
    wanted = _wanted(obj)
    if behind := _below(obj, wanted, "replicas", "updatedReplicas"):
        return behind
    if number(obj, "status", "replicas") > wanted:
        return ObjectStatus(IN_PROGRESS, "old pods are still there")
    if behind := _below(obj, int(number(obj, "status", "updatedReplicas")), "availableReplicas"):
        return behind
    if behind := _below(obj, wanted, "readyReplicas"):
        return behind
    if not _is(obj, "Available", "True"):
        return ObjectStatus(IN_PROGRESS, _told(obj, "Available") or "not available")
    return _seen(obj)


def _stateful_set(obj: Object) -> ObjectStatus:
    if text(obj, "spec", "updateStrategy", "type") == "OnDelete":
        return _CURRENT
    wanted = _wanted(obj)
    if behind := _below(obj, wanted, "replicas", "readyReplicas"):
        return behind
    if number(obj, "status", "replicas") > wanted:
        return ObjectStatus(IN_PROGRESS, "old pods are still there")
    partition = get(obj, "spec", "updateStrategy", "rollingUpdate", "partition")
    if partition is not None:
        kept = int(number(obj, "spec", "updateStrategy", "rollingUpdate", "partition"))
        return _below(obj, wanted - kept, "updatedReplicas") or _seen(obj)
    if behind := _below(obj, wanted, "currentReplicas"):
        return behind
    if text(obj, "status", "currentRevision") != text(obj, "status", "updateRevision"):
        return ObjectStatus(IN_PROGRESS, "waits for the new revision")
    return _seen(obj)


def _daemon_set(obj: Object) -> ObjectStatus:
    if get(obj, "status", "observedGeneration") is None:
        return _not_seen()
    if get(obj, "status", "desiredNumberScheduled") is None:
        return ObjectStatus(IN_PROGRESS, "not scheduled yet")
    wanted = int(number(obj, "status", "desiredNumberScheduled"))
    counts = ("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable", "numberReady")
    return _below(obj, wanted, *counts) or _CURRENT


def _replica_set(obj: Object) -> ObjectStatus:
    if _is(obj, "ReplicaFailure", "True"):
        return ObjectStatus(IN_PROGRESS, _told(obj, "ReplicaFailure"))
    wanted = _wanted(obj)
    if behind := _below(obj, wanted, "fullyLabeledReplicas", "availableReplicas", "readyReplicas"):
        return behind
    if number(obj, "status", "replicas") > wanted:
        return ObjectStatus(IN_PROGRESS, "old pods are still there")
    return _seen(obj)


def _pod(obj: Object) -> ObjectStatus:
    match text(obj, "status", "phase"):
        case "Succeeded":
            return _CURRENT
        case "Failed":
            return ObjectStatus(FAILED, text(obj, "status", "message") or "the pod failed")
        case "Running" if _is(obj, "Ready", "True"):
            return _CURRENT
        case "Running" if waits := _crash_loops(obj):
            return ObjectStatus(FAILED, f"containers crash: {', '.join(waits)[:200]}")
        case "Pending" if _reason(obj, "PodScheduled") == "Unschedulable":
            return ObjectStatus(FAILED, _told(obj, "PodScheduled"))
        case "Running" | "Pending":
            return ObjectStatus(IN_PROGRESS, "the pod is not ready")
        case _:
            return ObjectStatus(IN_PROGRESS, "the pod has no known phase")


def _crash_loops(obj: Object) -> list[str]:
    waiting = (
        (text(one, "name"), mapping(one, "state", "waiting")) for one in items(obj, "status", "containerStatuses")
    )
    return [name for name, state in waiting if text(state, "reason") == "CrashLoopBackOff"]


def _job(obj: Object) -> ObjectStatus:
    if _is(obj, "Failed", "True"):
        return ObjectStatus(FAILED, _told(obj, "Failed"))
    if _is(obj, "Complete", "True"):
        return _CURRENT
    if _is(obj, "Suspended", "True"):
        return ObjectStatus(IN_PROGRESS, "the job is suspended")
    return ObjectStatus(IN_PROGRESS, "the job is not complete")


def _claim(obj: Object) -> ObjectStatus:
    phase = text(obj, "status", "phase")
    return _CURRENT if phase == "Bound" else ObjectStatus(IN_PROGRESS, f"the claim is {phase[:40] or 'not bound'}")


def _service(obj: Object) -> ObjectStatus:
    if text(obj, "spec", "type") == "LoadBalancer" and not items(obj, "status", "loadBalancer", "ingress"):
        return ObjectStatus(IN_PROGRESS, "the load balancer has no address")
    return _CURRENT


def _definition(obj: Object) -> ObjectStatus:
    if _is(obj, "NamesAccepted", "False"):
        return ObjectStatus(FAILED, _told(obj, "NamesAccepted"))
    if _is(obj, "Established", "True"):
        return _CURRENT
    if _is(obj, "Established", "False") and _reason(obj, "Established") != "Installing":
        return ObjectStatus(FAILED, _told(obj, "Established"))
    return ObjectStatus(IN_PROGRESS, "the definition is being installed")


def _always(obj: Object) -> ObjectStatus:
    del obj
    return _CURRENT


def _by_ready(obj: Object) -> ObjectStatus:
    """Anything else: its Ready condition, or, without one, nothing to wait for.

    An object of Flux that has no status yet would read as current: it has a controller, and is waited for.
    """
    if _is(obj, "Ready", "True"):
        return _CURRENT
    if any(text(one, "type") == "Ready" for one in _conditions(obj)):
        return ObjectStatus(IN_PROGRESS, _told(obj, "Ready"))
    if _group(obj).endswith(".toolkit.fluxcd.io") and get(obj, "status", "observedGeneration") is None:
        return _not_seen()
    return _CURRENT


def _seen(obj: Object) -> ObjectStatus:
    return _CURRENT if get(obj, "status", "observedGeneration") is not None else _not_seen()


def _not_seen() -> ObjectStatus:
    return ObjectStatus(IN_PROGRESS, "no controller has looked at it yet")


_KINDS: Final[dict[tuple[str, str], Callable[[Object], ObjectStatus]]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "ReplicaSet"): _replica_set,
    ("", "Pod"): _pod,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Service"): _service,
    ("", "ConfigMap"): _always,
    ("", "Secret"): _always,
    ("batch", "Job"): _job,
    ("batch", "CronJob"): _always,
    ("policy", "PodDisruptionBudget"): _seen,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
}
