"""Reading the objects that a Kustomization applied, whatever their kinds: for health where Flux checks none.

Lives here: from the entries of an inventory to objects of the cluster. Does not: what they mean (`flux_inventory`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from loopseal.domain.revision import Resource
from loopseal.engines import flux_object as flux
from loopseal.engines.fields import Object, flag, items, text
from loopseal.engines.flux_look import Live
from loopseal.engines.kubernetes import Cluster, Kind
from loopseal.errors import Refused
from loopseal.ports import Clock

MAX_OBJECTS: Final = 300
"""Objects read for one verdict; of a larger inventory health must be left to Flux (`wait: true`)."""
_AT_ONCE: Final = 8
_KEEP: Final = 3.0
"""Seconds that one reading serves: events come in bursts."""
KNOWN: Final = {
    (kind.group, kind.kind): kind
    for kind in (
        Kind("", "v1", "ConfigMap", "configmaps"),
        Kind("", "v1", "Namespace", "namespaces", namespaced=False),
        Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
        Kind("", "v1", "Pod", "pods"),
        Kind("", "v1", "Secret", "secrets"),
        Kind("", "v1", "Service", "services"),
        Kind("", "v1", "ServiceAccount", "serviceaccounts"),
        Kind("apps", "v1", "DaemonSet", "daemonsets"),
        Kind("apps", "v1", "Deployment", "deployments"),
        Kind("apps", "v1", "StatefulSet", "statefulsets"),
        Kind("batch", "v1", "CronJob", "cronjobs"),
        Kind("batch", "v1", "Job", "jobs"),
        Kind("networking.k8s.io", "v1", "Ingress", "ingresses"),
        Kind("rbac.authorization.k8s.io", "v1", "Role", "roles"),
        Kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
    )
}
"""Kinds that need no question; others are looked up in the API's own list."""
PLAIN: Final = frozenset({"ConfigMap", "Secret", "ServiceAccount", "Role", "RoleBinding", "ClusterRole"})
"""Kinds that are as they should be once they exist; Secrets are not even read."""


class InventoryReader:
    """Reads inventories of one cluster."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster, self._clock = cluster, clock
        self._kinds: dict[tuple[str, str], Kind | None] = dict(KNOWN)
        self._read: dict[str, tuple[float, Live | None]] = {}

    async def live(self, kustomization: Object) -> Live | None:
        """The objects that matter for health; None when they cannot be read, and so nothing is known."""
        if flux.is_remote(kustomization):
            return None
        uid, now = text(kustomization, "metadata", "uid"), self._clock.monotonic()
        kept = self._read.get(uid)
        if kept is not None and now - kept[0] < _KEEP:
            return kept[1]
        entries = [one for one in flux.inventory(kustomization) if one.kind not in PLAIN]
        found = None
        if len(entries) <= MAX_OBJECTS:
            versions = _versions(kustomization)
            try:
                found = await self._all(entries, versions)
            except Refused:
                found = None
        self._read = {key: one for key, one in self._read.items() if now - one[0] < _KEEP}
        self._read[uid] = (now, found)
        return found

    async def _all(self, entries: Sequence[Resource], versions: dict[Resource, str]) -> Live | None:
        out: list[tuple[Resource, Object | None]] = []
        for begin in range(0, len(entries), _AT_ONCE):
            some = entries[begin : begin + _AT_ONCE]
            kinds = [await self._kind(one, versions.get(one, "v1")) for one in some]
            if None in kinds:
                return None
            paths = [kind.path(one.namespace, one.name) for kind, one in zip(kinds, some, strict=True) if kind]
            read = await asyncio.gather(*(self._cluster.read(path) for path in paths), return_exceptions=True)
            for one, obj in zip(some, read, strict=True):
                if isinstance(obj, BaseException):
                    raise obj
                out.append((one, obj))
        return out

    async def _kind(self, one: Resource, version: str) -> Kind | None:
        """The kind as the API lists it; None when it does not know it, or does not tell."""
        key = (one.group, one.kind)
        if key not in self._kinds:
            base = f"/apis/{one.group}/{version}" if one.group else f"/api/{version}"
            listed = await self._cluster.read(base)
            self._kinds[key] = next(
                (
                    Kind(one.group, version, one.kind, text(row, "name"), namespaced=flag(row, "namespaced"))
                    for row in items(listed, "resources")
                    if text(row, "kind") == one.kind and "/" not in text(row, "name")
                ),
                None,
            )
        return self._kinds[key]


def _versions(kustomization: Object) -> dict[Resource, str]:
    entries = items(kustomization, "status", "inventory", "entries")
    named = ((flux.inventory_id(text(one, "id")), text(one, "v")) for one in entries)
    return {one: version for one, version in named if one is not None}
