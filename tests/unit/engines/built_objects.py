"""Objects of Argo CD and Flux built for one moment, and a little history of commits to judge them by."""

from __future__ import annotations

import copy
import json
from typing import Any

from loopseal.domain.revision import Relation, Tolerance, Verdict, relation
from loopseal.engines import argocd_verdict, flux_verdict
from loopseal.ports import Source

P, X, Y, Z = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)
"""Parent, wanted, its child, and its grandchild."""
FORK = "e" * 40
"""A child of P beside X."""
STRANGE = "f" * 40
"""No commit that anybody knows."""
H1, H2 = "1" * 40, "2" * 40
"""Rendered commits on the branch of a source hydrator."""
GRAPH = {P: (), X: (P,), Y: (X,), Z: (Y,), FORK: (P,), H1: (), H2: (H1,)}
URL = "https://git.test/org/platform.git"
SOURCE = Source(URL, "main", ("apps/a/values.yaml",))
T0 = 1_800_000_000.0
"""The time at which an operation of `app` ended."""
PATIENT = Tolerance()
QUICK = Tolerance(settle=0.0)


def ask(observed: str, wanted: str) -> Relation:
    return relation(observed, wanted, GRAPH)


def merged(base: Any, over: Any) -> Any:
    """`base` with `over` laid on it; None removes a key."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    out = dict(base)
    for key, value in over.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merged(out.get(key), value)
    return out


def at(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(T0 + seconds, UTC).isoformat().replace("+00:00", "Z")


_SOURCE = {"repoURL": URL, "path": "apps/a", "targetRevision": "main"}
_APP: dict[str, Any] = {
    "metadata": {"name": "a", "namespace": "argocd", "uid": "u1"},
    "spec": {"project": "default", "source": _SOURCE, "syncPolicy": {"automated": {}}},
    "status": {
        "sync": {"status": "Synced", "revision": X, "comparedTo": {"source": _SOURCE}},
        "health": {"status": "Healthy"},
        "operationState": {
            "phase": "Succeeded",
            "startedAt": at(-3),
            "finishedAt": at(0),
            "operation": {"sync": {"revision": X}},
            "syncResult": {"revision": X},
        },
        "reconciledAt": at(5),
    },
}


def app(revision: str = X, over: dict[str, Any] | None = None) -> dict[str, Any]:
    """An Application that is synced and healthy at `revision`, with `over` laid on it."""
    seen = {"status": {"sync": {"revision": revision}}}
    operated = {"operation": {"sync": {"revision": revision}}, "syncResult": {"revision": revision}}
    whole = merged(_APP, merged(seen, {"status": {"operationState": operated}}))
    return copy.deepcopy(merged(whole, over or {}))


def observed(revision: str, over: dict[str, Any] | None = None) -> dict[str, Any]:
    """The same where only the observed revision is `revision`: its last operation was at P."""
    return merged(app(P), merged({"status": {"sync": {"revision": revision}}}, over or {}))


class Waiter:
    """A wait on one Application, event by event; its memory is written to JSON and read again each time."""

    def __init__(self, wanted: str = X, tolerance: Tolerance = PATIENT, **more: Any) -> None:
        self.wanted, self.tolerance, self.more, self.memory = wanted, tolerance, more, "{}"
        self.positions: tuple[int, ...] = (0,)

    def sees(self, obj: dict[str, Any], after: float = 10.0) -> Verdict:
        memory = json.loads(self.memory)
        said = argocd_verdict.judge(
            obj, self.wanted, self.positions, ask, T0 + after, memory, self.tolerance, **self.more
        )
        self.memory = json.dumps(memory)
        return said


def judged(obj: dict[str, Any], wanted: str = X, tolerance: Tolerance = QUICK, **more: Any) -> Verdict:
    """The verdict of somebody who looks for the first time."""
    return Waiter(wanted, tolerance, **more).sees(obj)


def rev(commit: str) -> str:
    return f"main@sha1:{commit}"


def condition(
    kind: str, status: str, reason: str = "", message: str = "", *, generation: int = 3, changed: str = ""
) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason or "Because",
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": changed or at(0),
    }


def kustomization(
    applied: str = X,
    attempted: str = "",
    conditions: list[dict[str, Any]] | None = None,
    over: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A Kustomization that is Ready with `applied`, or as `conditions` say."""
    whole = {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": "app", "namespace": "team", "generation": 3, "uid": "k1"},
        "spec": {
            "path": "./apps/a",
            "prune": True,
            "wait": True,
            "sourceRef": {"kind": "GitRepository", "name": "src"},
        },
        "status": {
            "observedGeneration": 3,
            "lastAppliedRevision": rev(applied),
            "lastAttemptedRevision": rev(attempted or applied),
            "conditions": [condition("Ready", "True", "ReconciliationSucceeded")] if conditions is None else conditions,
        },
    }
    return copy.deepcopy(merged(whole, over or {}))


def failing(
    attempted: str,
    reason: str = "HealthCheckFailed",
    message: str = "",
    changed: str = "",
    over: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A Kustomization whose last pass, at `attempted`, failed; Flux will try again."""
    conditions = [
        condition("Ready", "False", reason, message, changed=changed),
        condition("Reconciling", "True", "ProgressingWithRetry"),
    ]
    return kustomization(P, attempted, conditions, over)


def progressing(attempted: str, applied: str = P, over: dict[str, Any] | None = None) -> dict[str, Any]:
    """A Kustomization in the middle of a pass at `attempted`."""
    conditions = [
        condition("Ready", "Unknown", "Progressing", "Reconciliation in progress"),
        condition("Reconciling", "True", "Progressing", "Running health checks"),
    ]
    return kustomization(applied, attempted, conditions, over)


def repository(
    revision: str = X, conditions: list[dict[str, Any]] | None = None, over: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A GitRepository whose artifact is `revision`."""
    whole = {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": {"name": "src", "namespace": "team", "generation": 3, "uid": "g1"},
        "spec": {"url": URL, "ref": {"branch": "main"}},
        "status": {
            "observedGeneration": 3,
            "artifact": {"revision": rev(revision), "lastUpdateTime": at(0)},
            "conditions": [condition("Ready", "True", "Succeeded")] if conditions is None else conditions,
        },
    }
    return copy.deepcopy(merged(whole, over or {}))


def release(conditions: list[dict[str, Any]], over: dict[str, Any] | None = None) -> dict[str, Any]:
    """A HelmRelease at generation 3, attempted at it."""
    whole = {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {"name": "shop", "namespace": "team", "generation": 3},
        "spec": {"chart": {"spec": {"chart": "./chart", "sourceRef": {"kind": "GitRepository", "name": "src"}}}},
        "status": {
            "observedGeneration": 3,
            "lastAttemptedGeneration": 3,
            "lastAttemptedRevision": "1.2.3",
            "conditions": conditions,
        },
    }
    return copy.deepcopy(merged(whole, over or {}))


class FluxWaiter:
    """A wait on one Kustomization, event by event; its memory is written to JSON and read again each time."""

    def __init__(self, wanted: str = X, tolerance: Tolerance = QUICK) -> None:
        self.wanted, self.tolerance, self.memory = wanted, tolerance, "{}"

    def sees(self, obj: dict[str, Any], after: float = 10.0, **more: Any) -> Verdict:
        memory = json.loads(self.memory)
        said = flux_verdict.judge_kustomization(obj, self.wanted, ask, T0 + after, memory, self.tolerance, **more)
        self.memory = json.dumps(memory)
        return said
