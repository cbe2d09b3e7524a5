"""The workloads of an application as Kubernetes has them: which of them are not well, and what is seen around one.

For where an engine tells less: Argo CD keeps the health of single resources out of its Application objects since 3.0
(`resourceHealthSource: appTree`), and Flux names an object without saying why. Reads no more kinds than the documented
Role names. Does not live here: what an engine makes of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from loopseal.domain.revision import Resource
from loopseal.engines import kstatus
from loopseal.engines.answers import Gone, Missing
from loopseal.engines.evidence import Bundle, conditions, events, readable
from loopseal.engines.fields import Object, items, mapping, number, text
from loopseal.engines.kubernetes import Cluster, Kind
from loopseal.errors import Code, LoopsealError, Refused

KINDS: Final = {
    (kind.group, kind.kind): kind
    for kind in (
        Kind("apps", "v1", "Deployment", "deployments"),
        Kind("apps", "v1", "StatefulSet", "statefulsets"),
        Kind("apps", "v1", "DaemonSet", "daemonsets"),
        Kind("batch", "v1", "Job", "jobs"),
        Kind("", "v1", "Pod", "pods"),
    )
}
"""What `deploy/workloads-role.yaml` lets us read, by group and kind."""
MAX_WORKLOADS: Final = 60
"""Workloads of one application that are read at once; of more the rest stays unknown."""
NOT_FOUND: Final = "NotFound"
_AT_ONCE: Final = 8
_PODS: Final = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read: each workload with its status, and why others could not be read (each reason once)."""

    statuses: tuple[tuple[Resource, kstatus.ObjectStatus], ...] = ()
    unread: tuple[str, ...] = ()


async def see(cluster: Cluster, listed: Sequence[Resource]) -> Seen:
    """The status of every workload among `listed`. Missing rights make it shorter. Raises Unreachable."""
    wanted = [one for one in listed if (one.group, one.kind) in KINDS]
    found: list[tuple[Resource, kstatus.ObjectStatus]] = []
    unread: dict[str, None] = {}
    for begin in range(0, min(len(wanted), MAX_WORKLOADS), _AT_ONCE):
        some = wanted[begin : min(begin + _AT_ONCE, MAX_WORKLOADS)]
        for one, status in zip(some, await asyncio.gather(*(_status(cluster, one) for one in some)), strict=True):
            if isinstance(status, str):
                unread[status] = None
            else:
                found.append((one, status))
    if len(wanted) > MAX_WORKLOADS:
        unread[f"{len(wanted) - MAX_WORKLOADS} more workloads were not looked at"] = None
    return Seen(tuple(found), tuple(unread))


async def _status(cluster: Cluster, one: Resource) -> kstatus.ObjectStatus | str:
    """Its status, or which right is missing to see it."""
    kind = KINDS[one.group, one.kind]
    try:
        found = await cluster.read(kind.path(one.namespace, one.name))
    except Refused as error:
        if error.code is not Code.ENGINE_FORBIDDEN:
            raise
        resource = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
        return f"no right to `get {resource}` in namespace {one.namespace!r}"
    if found is None:
        return kstatus.ObjectStatus(NOT_FOUND, "not in the cluster")
    said = kstatus.status(found)
    why = _why(found) if said.status != kstatus.CURRENT else ""
    return kstatus.ObjectStatus(said.status, f"{said.message}: {why}" if why else said.message)


def _why(workload: Object) -> str:
    """What its controller says of it: of a rollout that failed, or of pods that cannot be made."""
    told = {text(one, "type"): one for one in items(workload, "status", "conditions")}
    for kind, bad in (("ReplicaFailure", "True"), ("Progressing", "False"), ("Available", "False")):
        if text(told.get(kind), "status") == bad and text(told.get(kind), "message"):
            return text(told.get(kind), "message")
    return ""


async def explain(bundle: Bundle, cluster: Cluster, one: Resource) -> None:
    """Conditions and events of an object, then its pods that are not ready, with their events and logs.

    Flux names objects without their group. What may not be read is named instead.
    """
    kind = next((kind for kind in KINDS.values() if kind.kind == one.kind and one.group in {"", kind.group}), None)
    if not one.namespace or one.kind == "Secret":
        return
    found: Object | None = None
    named = f"{one.kind}/{one.name}"
    try:
        if kind is not None:
            found = await cluster.read(kind.path(one.namespace, one.name))
            bundle.add(named, conditions(found) if found else "not in the cluster")
        bundle.add(f"events of {named}", await happened(cluster, one.namespace, one.kind, one.name))
        for pod in await _pods(cluster, one, found):
            await _pod(bundle, cluster, one.namespace, pod)
    except (LoopsealError, Missing, Gone) as error:
        bundle.add("not available", f"{named}: {error}")


async def happened(cluster: Cluster, namespace: str, kind: str, name: str) -> str:
    """The newest events about one object, one line each."""
    selector = f"involvedObject.kind={kind},involvedObject.name={name}"
    found = await cluster.read(f"/api/v1/namespaces/{namespace}/events", {"fieldSelector": selector, "limit": "50"})
    return events(items(found, "items"))


async def _pods(cluster: Cluster, one: Resource, workload: Object | None) -> list[Object]:
    """Its pods that are not ready: by its selector, else by the name that they begin with."""
    if workload is not None and one.kind == "Pod":
        return [workload]
    labels = mapping(workload, "spec", "selector", "matchLabels")
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    params = {"limit": "200"} | ({"labelSelector": selector} if selector else {})
    listed = items(await cluster.read(f"/api/v1/namespaces/{one.namespace}/pods", params), "items")
    own = [pod for pod in listed if selector or text(pod, "metadata", "name").startswith(one.name)]
    return [pod for pod in own if not _ready(pod)][:_PODS]


def _ready(pod: Object) -> bool:
    return any(
        text(row, "type") == "Ready" and text(row, "status") == "True" for row in items(pod, "status", "conditions")
    )


async def _pod(bundle: Bundle, cluster: Cluster, namespace: str, pod: Object) -> None:
    name, containers = text(pod, "metadata", "name"), items(pod, "status", "containerStatuses")
    bundle.add(f"Pod/{name}", readable([mapping(row, "state") for row in containers]) if containers else "")
    bundle.add(f"events of Pod/{name}", await happened(cluster, namespace, "Pod", name))
    restarted = any(number(row, "restartCount") > 0 for row in containers)
    bundle.add(f"log of {name}", await cluster.log(namespace, name, previous=restarted))
