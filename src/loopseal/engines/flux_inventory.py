"""Health where Flux does not look: the objects of an inventory, each read from the cluster.

A Kustomization without `wait` and `healthChecks` is Ready as soon as everything is applied. With `strict_health` the
objects themselves are asked. Lives here: when to ask, and what the answers mean. Does not: reading them.
"""

from __future__ import annotations

from loopseal.domain.revision import Resource, State, Tolerance, Verdict
from loopseal.engines import flux_object as flux
from loopseal.engines import kstatus
from loopseal.engines.fields import Object, resource, verdict
from loopseal.engines.flux_look import Live


def reads_objects(kustomization: Object, tolerance: Tolerance) -> bool:
    """Whether `judge_kustomization` wants the objects of the inventory as they are in the cluster."""
    return tolerance.strict_health and not flux.checks_health(kustomization)


def judge_objects(objects: Live | None, failed_for: float, tolerance: Tolerance) -> Verdict | None:
    """What `objects` say, or None when all are as they should be.

    A failed object is a failure after `degraded_grace`: `failed_for` is for how many seconds one has been.
    """
    if objects is None:
        return verdict(State.PENDING, "HEALTH_NOT_CHECKED", "Flux checks no health here, and the objects are not read")
    bad = [(one, kstatus.status(live)) for one, live in objects if live is not None]
    missing = [_named(one, "NotFound", "not in the cluster") for one, live in objects if live is None]
    failed = [_named(one, said.status, said.message) for one, said in bad if said.status == kstatus.FAILED]
    waiting = [
        _named(one, said.status, said.message)
        for one, said in bad
        if said.status not in {kstatus.CURRENT, kstatus.FAILED}
    ]
    named = (*failed, *missing, *waiting)
    if failed:
        state = State.FAILED if failed_for >= tolerance.degraded_grace else State.PENDING
        return verdict(state, "OBJECTS_FAILED", str(failed[0]), resources=named)
    if named:
        return verdict(State.PENDING, "OBJECTS_NOT_READY", str(named[0]), resources=named)
    return None


def _named(one: Resource, status: str, message: str) -> Resource:
    entry = {"kind": one.kind, "name": one.name, "namespace": one.namespace, "group": one.group}
    return resource(entry, status, message)
