"""The objects of a simulated cluster: versions, generations, finalizers, a history to watch.

What Kubernetes promises its clients, without HTTP. Objects are plain JSON data and are replaced, never changed in
place: whoever holds one holds that version for ever.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from loopseal.testing.asgi import encode
from loopseal.testing.clock import LoopClock

Object: TypeAlias = dict[str, Any]

HISTORY: Final = 2000
"""Events kept for watches; a watch from before them gets 410 Gone."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object. `status` says whether the CRD has a status subresource: if so, only other changes count."""

    group: str
    version: str
    kind: str
    plural: str
    status: bool = True

    @property
    def api(self) -> str:
        """`apiVersion` as it stands in an object."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


KINDS: Final = {
    kind.kind: kind
    for kind in (
        Kind("argoproj.io", "v1alpha1", "Application", "applications", status=False),
        Kind("argoproj.io", "v1alpha1", "AppProject", "appprojects", status=False),
        Kind("source.toolkit.fluxcd.io", "v1", "GitRepository", "gitrepositories"),
        Kind("source.toolkit.fluxcd.io", "v1", "OCIRepository", "ocirepositories"),
        Kind("source.toolkit.fluxcd.io", "v1", "HelmRepository", "helmrepositories"),
        Kind("source.toolkit.fluxcd.io", "v1", "HelmChart", "helmcharts"),
        Kind("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations"),
        Kind("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases"),
        Kind("apps", "v1", "Deployment", "deployments"),
        Kind("apps", "v1", "StatefulSet", "statefulsets"),
        Kind("apps", "v1", "DaemonSet", "daemonsets"),
        Kind("batch", "v1", "Job", "jobs"),
        Kind("", "v1", "Pod", "pods"),
        Kind("", "v1", "ConfigMap", "configmaps", status=False),
        Kind("", "v1", "Secret", "secrets", status=False),
        Kind("", "v1", "Service", "services"),
        Kind("", "v1", "ServiceAccount", "serviceaccounts", status=False),
        Kind("", "v1", "Event", "events", status=False),
        Kind("", "v1", "Namespace", "namespaces"),
    )
}


class Rejected(Exception):
    """The API server refuses. `reason` and `code` are those of the Status object."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a watch."""

    version: int
    type: str
    object: Object


Key: TypeAlias = tuple[str, str, str]


class Store:
    """All objects of one cluster, by (kind, namespace, name)."""

    def __init__(self, clock: LoopClock) -> None:
        self._clock = clock
        self._objects: dict[Key, Object] = {}
        self._version = 100
        self._serial = 0
        self._history: deque[Change] = deque(maxlen=HISTORY)
        self._oldest = 100
        self._listeners: list[Callable[[Change], None]] = []
        self._encoded: dict[int, bytes] = {}
        self.admission: list[Callable[[Mapping[str, Any]], None]] = [validate]
        """Asked before every write, with the object as it would become; whoever is against it raises Rejected."""

    def admit(self, manifest: Mapping[str, Any]) -> None:
        """Ask whether this object may be written, as a dry run does. Raises Rejected."""
        for ask in self.admission:
            ask(manifest)

    @property
    def version(self) -> int:
        """The resource version of the last change."""
        return self._version

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """One object, or None."""
        return self._objects.get((kind, namespace, name))

    def need(self, kind: str, namespace: str, name: str) -> Object:
        """One object. Raises Rejected (404)."""
        found = self.get(kind, namespace, name)
        if found is None:
            raise Rejected(404, "NotFound", f'{KINDS[kind]} "{name}" not found')
        return found

    def list(self, kind: str, namespace: str = "") -> list[Object]:
        """All objects of a kind, in one namespace or in all, by name."""
        hits = (key for key in self._objects if key[0] == kind and namespace in {"", key[1]})
        return [self._objects[key] for key in sorted(hits)]

    def create(self, manifest: Mapping[str, Any]) -> Object:
        """Put a new object there. Raises Rejected (409, 422)."""
        kind, metadata = KINDS[manifest["kind"]], dict(manifest["metadata"])
        key = (kind.kind, metadata.get("namespace", ""), metadata["name"])
        if key in self._objects:
            raise Rejected(409, "AlreadyExists", f'{kind} "{metadata["name"]}" already exists')
        self.admit(manifest)
        self._serial += 1
        seed = hashlib.sha256(f"{key}{self._serial}".encode()).digest()[:16]
        metadata |= {"creationTimestamp": self._clock.stamp(), "uid": str(uuid.UUID(bytes=seed)), "generation": 1}
        new = {"apiVersion": kind.api, "kind": kind.kind, **manifest, "metadata": metadata}
        if kind.status and kind.group.endswith("fluxcd.io"):
            new.setdefault("status", {"observedGeneration": -1})
        return self._write(key, "ADDED", new)

    def update(self, new: Object) -> Object:
        """Replace an object. Raises Rejected: 404, 409 when `resourceVersion` is given and stale, 422.

        Nothing happens when nothing changes. The generation rises with every change outside `metadata` and `status`
        (for kinds without a status subresource: outside `metadata`).
        """
        key = (new["kind"], new["metadata"].get("namespace", ""), new["metadata"]["name"])
        old = self.need(*key)
        stale = new["metadata"].get("resourceVersion") not in {None, old["metadata"]["resourceVersion"]}
        if stale:
            text = "the object has been modified; please apply your changes to the latest version and try again"
            raise Rejected(409, "Conflict", f'Operation cannot be fulfilled on {KINDS[key[0]]} "{key[2]}": {text}')
        self.admit(new)
        kept = {name: old["metadata"][name] for name in ("uid", "creationTimestamp", "generation", "resourceVersion")}
        new = {**new, "metadata": {**new["metadata"], **kept}}
        if new == old:
            return old
        silent = {"metadata", "status"} if KINDS[key[0]].status else {"metadata"}
        if _without(new, silent) != _without(old, silent):
            new["metadata"]["generation"] += 1
        if "deletionTimestamp" in new["metadata"] and not new["metadata"].get("finalizers"):
            return self._remove(key, new)
        return self._write(key, "MODIFIED", new)

    def patch(self, kind: str, namespace: str, name: str, patch: Mapping[str, Any]) -> Object:
        """Apply a JSON merge patch (RFC 7396). Raises Rejected."""
        return self.update(merge(self.need(kind, namespace, name), patch))

    def apply(self, manifest: Mapping[str, Any]) -> tuple[Object, str]:
        """Create, or replace all but status and foreign metadata: a server-side apply by the only owner.

        The second value says `created`, `configured` or `unchanged`. Raises Rejected.
        """
        metadata = manifest["metadata"]
        old = self.get(manifest["kind"], metadata.get("namespace", ""), metadata["name"])
        if old is None:
            return self.create(manifest), "created"
        kept = {"status": old["status"]} if "status" in old else {}
        new = self.update({**kept, **manifest, "metadata": merge(old["metadata"], metadata)})
        return new, "unchanged" if new is old else "configured"

    def delete(self, kind: str, namespace: str, name: str) -> Object:
        """Remove an object, or mark it while it has finalizers. Raises Rejected (404)."""
        old = self.need(kind, namespace, name)
        if not old["metadata"].get("finalizers"):
            return self._remove((kind, namespace, name), old)
        if "deletionTimestamp" in old["metadata"]:
            return old
        metadata = {**old["metadata"], "deletionTimestamp": self._clock.stamp()}
        metadata["generation"] += 1
        return self._write((kind, namespace, name), "MODIFIED", {**old, "metadata": metadata})

    def listen(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call `listener` with every change from now on; the result stops that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def watch(self, kind: str, namespace: str = "", since: int | None = None) -> AsyncIterator[Change]:
        """Changes of one kind after version `since`, or from now on. Raises Rejected (410) when that is too old."""
        queue: asyncio.Queue[Change] = asyncio.Queue()
        if since is not None:
            if since < self._oldest:
                raise Rejected(410, "Expired", f"too old resource version: {since} ({self._version})")
            for change in self._history:
                if change.version > since:
                    queue.put_nowait(change)
        stop = self.listen(queue.put_nowait)
        try:
            while True:
                change = await queue.get()
                if _is(change.object, kind, namespace):
                    yield change
        finally:
            stop()

    def forget(self) -> None:
        """Compact the history: every watch from before now gets 410 Gone."""
        self._history.clear()
        self._oldest = self._version

    def encoded(self, item: Object) -> bytes:
        """`item` as JSON, made once per version."""
        version = int(item["metadata"]["resourceVersion"])
        if version not in self._encoded:
            if len(self._encoded) > HISTORY:
                self._encoded.clear()
            self._encoded[version] = encode(item)
        return self._encoded[version]

    def _remove(self, key: Key, last: Object) -> Object:
        gone = self._write(key, "DELETED", last)
        del self._objects[key]
        return gone

    def _write(self, key: Key, kind: str, new: Object) -> Object:
        self._version += 1
        new = {**new, "metadata": {**new["metadata"], "resourceVersion": str(self._version)}}
        self._objects[key] = new
        change = Change(self._version, kind, new)
        if len(self._history) == self._history.maxlen:
            self._oldest = self._history[0].version
        self._history.append(change)
        for listener in tuple(self._listeners):
            listener(change)
        return new


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396 on plain JSON data: what `target` becomes; nothing is changed in place."""
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            out.pop(name, None)
        else:
            out[name] = merge(out.get(name), value)
    return out


def _without(item: Object, names: set[str]) -> Object:
    return {name: value for name, value in item.items() if name not in names}


def _is(item: Object, kind: str, namespace: str) -> bool:
    return item["kind"] == kind and namespace in {"", item["metadata"].get("namespace", "")}


def validate(manifest: Mapping[str, Any]) -> None:
    """The one rule of the real API server that the recordings break: a Deployment has no negative replicas.

    Raises Rejected (422).
    """
    replicas = (manifest.get("spec") or {}).get("replicas")
    if manifest["kind"] == "Deployment" and isinstance(replicas, int) and replicas < 0:
        name = f'Deployment.apps "{manifest["metadata"]["name"]}" is invalid'
        text = f"spec.replicas: Invalid value: {replicas}: must be greater than or equal to 0"
        raise Rejected(422, "Invalid", f"{name}: {text}")
