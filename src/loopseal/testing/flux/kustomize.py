"""The kustomize-controller: one pass over a Kustomization, write by write as recorded.

Suspended, source missing, dependency not ready: nothing is done and the request is acknowledged all the same.
Ready=True "Applied revision" is written before `lastAppliedRevision`. A pass in its health checks holds the object: a
later artifact waits for its end. The health is read at once and then every 5 s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from loopseal.testing import health, manifests
from loopseal.testing.asgi import encode
from loopseal.testing.clock import LoopClock, seconds
from loopseal.testing.faults import Faults
from loopseal.testing.flux.status import Said, Writer
from loopseal.testing.flux.worker import Queue, requested
from loopseal.testing.gitview import GitFailure, GitView
from loopseal.testing.store import Change, Object, Rejected, Store

POLL: Final = 5.0
SHORTEST: Final = 30.0
"""Shorter timeouts are raised to this."""


class _Failed(Exception):
    """The pass ends: condition Ready=False with this reason and message. A `quiet` one is not called a retry."""

    def __init__(self, reason: str, message: str, *, quiet: bool = False, unhealthy: str = "") -> None:
        super().__init__(message)
        self.reason, self.message, self.quiet, self.unhealthy = reason, message, quiet, unhealthy


@dataclass(frozen=True, slots=True)
class _Pass:
    """What one pass works with."""

    item: Object
    writer: Writer
    revision: str
    timeout: float


class KustomizeController:
    """Reconciles every Kustomization of the store. `requeue` is `--requeue-dependency`."""

    def __init__(self, store: Store, git: GitView, clock: LoopClock, faults: Faults, requeue: float) -> None:
        self._store, self._git, self._clock, self._faults, self._requeue = store, git, clock, faults, requeue
        self._artifacts: dict[tuple[str, str], tuple[str, str]] = {}
        """Source -> revision of its artifact, and the URL it was made from: the spec may name another by now."""
        for source in store.list("GitRepository"):
            self._note(source)
        self._queue = Queue("Kustomization", store, clock, faults, self._reconcile)
        self._unlisten = store.listen(self._on_source)

    async def aclose(self) -> None:
        """Stop."""
        self._unlisten()
        await self._queue.aclose()

    def _on_source(self, change: Change) -> None:
        """A new artifact wakes every Kustomization of that source, whatever path changed."""
        source = change.object
        if source["kind"] != "GitRepository" or not self._note(source):
            return
        key = (source["metadata"]["namespace"], source["metadata"]["name"])
        for item in self._store.list("Kustomization"):
            if _source_key(item) == key:
                self._queue.ask(item["metadata"]["namespace"], item["metadata"]["name"], "source")

    def _note(self, source: Object) -> bool:
        """Remember the artifact; whether it is a new one."""
        key = (source["metadata"]["namespace"], source["metadata"]["name"])
        revision = ((source.get("status") or {}).get("artifact") or {}).get("revision", "")
        if revision == self._artifacts.get(key, ("",))[0]:
            return False
        self._artifacts[key] = (revision, source["spec"]["url"])
        return True

    async def _reconcile(self, item: Object, why: str) -> float | None:
        del why  # every pass is the same
        spec, generation = item["spec"], item["metadata"]["generation"]
        writer = Writer(self._store, self._clock, item)
        handled = {"lastHandledReconcileAt": requested(item)} if requested(item) else {}
        if spec.get("suspend"):
            writer.write({}, observedGeneration=generation, **handled)
            return None
        interval = seconds(spec["interval"])
        try:
            at = self._begin(item, writer)
            await self._apply_and_check(at)
        except _Failed as failed:
            self._tell(writer, failed)
            await self._clock.sleep(0.006)
            writer.write({}, **handled)
            return self._requeue if failed.quiet else seconds(spec.get("retryInterval", spec["interval"]))
        applied = Said("True", "ReconciliationSucceeded", f"Applied revision: {at.revision}")
        writer.write({"Ready": applied, "Reconciling": None})
        await self._clock.sleep(0.006)
        writer.write({}, observedGeneration=generation, lastAppliedRevision=at.revision, **handled)
        return interval

    def _tell(self, writer: Writer, failed: _Failed) -> None:
        said: dict[str, Said | None] = {"Ready": Said("False", failed.reason, failed.message)}
        if failed.quiet:
            said["Reconciling"] = None
        else:
            said["Reconciling"] = Said("True", "ProgressingWithRetry", failed.message)
        if failed.unhealthy:
            said["Healthy"] = Said("False", failed.reason, failed.unhealthy)
        writer.write(said)

    def _begin(self, item: Object, writer: Writer) -> _Pass:
        """Source and dependencies; then the pass is announced. Raises _Failed."""
        spec, key = item["spec"], _source_key(item)
        source = self._store.get("GitRepository", *key)
        if source is None:
            text = f'GitRepository.source.toolkit.fluxcd.io "{key[1]}" not found'
            raise _Failed("ArtifactFailed", text, quiet=True)
        revision = ((source.get("status") or {}).get("artifact") or {}).get("revision", "")
        if not revision:
            text = f"Source artifact not found, retrying in {self._requeue:g}s"
            raise _Failed("ArtifactFailed", text, quiet=True)
        for dependency in spec.get("dependsOn") or ():
            where = dependency.get("namespace", item["metadata"]["namespace"])
            if not self._ready(where, dependency["name"], key, revision):
                text = f"dependency '{where}/{dependency['name']}' is not ready"
                raise _Failed("DependencyNotReady", text, quiet=True)
        limit = seconds(spec["timeout"]) if "timeout" in spec else seconds(spec["interval"]) - SHORTEST
        at = _Pass(item, writer, revision, max(SHORTEST, limit))
        self._step(at, "Fetching manifests", {"Ready": Said("Unknown", "Progressing", "Reconciliation in progress")})
        return at

    def _ready(self, namespace: str, name: str, source: tuple[str, str], revision: str) -> bool:
        item = self._store.get("Kustomization", namespace, name)
        if item is None or health.condition(item, "Ready").get("status") != "True":
            return False
        status = item["status"]
        current = _source_key(item) != source or status.get("lastAppliedRevision") == revision
        return bool(current and status.get("observedGeneration") == item["metadata"]["generation"])

    def _step(self, at: _Pass, what: str, more: Mapping[str, Said | None] | None = None, **status: Any) -> None:
        text = f"{what} for revision {at.revision} with a timeout of {at.timeout:g}s"
        at.writer.write({"Reconciling": Said("True", "Progressing", text), **(more or {})}, **status)

    async def _apply_and_check(self, at: _Pass) -> None:
        spec = at.item["spec"]
        files = await self._fetch(at)
        self._step(at, "Building manifests")
        await self._clock.sleep(0.005)
        self._step(at, "Building manifests", lastAttemptedRevision=at.revision)
        wanted = _built(files, at.item)
        await self._clock.sleep(0.07)
        self._step(at, "Detecting drift")
        await self._clock.sleep(0.02)
        entries = self._apply(at, wanted)
        if spec.get("wait") or spec.get("healthChecks"):
            await self._check(at, wanted)
        at.writer.write({}, history=_history(at, entries, self._clock.stamp()))

    async def _fetch(self, at: _Pass) -> Mapping[str, str]:
        _, url = self._artifacts[_source_key(at.item)]
        await self._clock.sleep(0.012)
        path = at.item["spec"].get("path", "./")
        try:
            files = await self._git.files(url, at.revision.rpartition(":")[2], path)
        except GitFailure as error:
            raise _Failed("ArtifactFailed", f"failed to download archive: {error}") from error
        if files is None:
            text = (
                f"kustomization path not found: stat /tmp/kustomization/{path.strip('./')}: no such file or directory"
            )
            raise _Failed("ArtifactFailed", text)
        return files

    def _apply(self, at: _Pass, wanted: list[Object]) -> list[Object]:
        """Dry-run of all, then all; what is not wanted any more is pruned. Raises _Failed."""
        for item in wanted:
            try:
                self._store.admit(item)
            except Rejected as error:
                named = f"{item['kind']}/{item['metadata']['namespace']}/{item['metadata']['name']}"
                text = f"{named} dry-run failed ({error.reason}): {error.message}\n"
                raise _Failed("ReconciliationFailed", text) from error
        for item in wanted:
            self._store.apply(item)
        entries = [{"id": _entry(item), "v": item["apiVersion"].rpartition("/")[2]} for item in wanted]
        old = ((at.item.get("status") or {}).get("inventory") or {}).get("entries") or ()
        kept = {entry["id"] for entry in entries}
        for entry in old if at.item["spec"].get("prune") else ():
            if entry["id"] not in kept:
                namespace, name, _, kind = entry["id"].split("_")
                if self._store.get(kind, namespace, name):
                    self._store.delete(kind, namespace, name)
        at.writer.write({}, inventory={"entries": entries})
        return entries

    async def _check(self, at: _Pass, wanted: list[Object]) -> None:
        """Health checks: at once, then every 5 s, until all is well, something is stalled, or time is up."""
        text = f"Running health checks for revision {at.revision} with a timeout of {at.timeout:g}s"
        self._step(at, "Running health checks", {"Healthy": Said("Unknown", "Progressing", text)})
        started = self._clock.monotonic()
        await self._clock.sleep(0.02)
        checked = _checked(at.item, wanted)
        while True:
            told = {key: health.kstatus(self._store.get(*key)) for key in checked}
            spent = self._clock.monotonic() - started
            stalled = [f"{_named(key)} status: 'Failed'" for key, state in told.items() if state == "Failed"]
            open_ones = [f"{_named(key)} status: '{state}'" for key, state in told.items() if state != "Current"]
            if not open_ones:
                at.writer.write({"Healthy": Said("True", "Succeeded", f"Health check passed in {spent:.3f}s")})
                await self._clock.sleep(0.01)
                return
            if stalled or spent >= at.timeout:
                why = "failed early due to stalled resources" if stalled else "timeout waiting for"
                text = f"{why}: [{', '.join(stalled or open_ones)}]"
                raise _Failed("HealthCheckFailed", f"health check failed after {spent:.3f}s: {text}", unhealthy=text)
            await self._clock.sleep(min(POLL, max(at.timeout - spent, 0.001)))


def _source_key(item: Object) -> tuple[str, str]:
    ref = item["spec"]["sourceRef"]
    return ref.get("namespace", item["metadata"]["namespace"]), ref["name"]


def _built(files: Mapping[str, str], item: Object) -> list[Object]:
    spec, metadata = item["spec"], item["metadata"]
    name = str(spec.get("path", "./")).rstrip("/").rpartition("/")[2] or metadata["name"]
    try:
        found = manifests.render(files, name, recurse=True)
    except manifests.Unreadable as error:
        where = f"/tmp/kustomization/{error.file}"  # noqa: S108 - what the real message looks like
        text = f"failed to decode Kubernetes YAML from {where}: MalformedYAMLError: {error}"
        raise _Failed("BuildFailed", text) from error
    labels = {
        "kustomize.toolkit.fluxcd.io/name": metadata["name"],
        "kustomize.toolkit.fluxcd.io/namespace": metadata["namespace"],
    }
    out = []
    for one in found:
        own = one["metadata"]
        namespace = spec.get("targetNamespace") or own.get("namespace") or metadata["namespace"]
        labelled = {**(own.get("labels") or {}), **labels}
        out.append({**one, "metadata": {**own, "namespace": namespace, "labels": labelled}})
    return out


def _checked(item: Object, wanted: list[Object]) -> list[tuple[str, str, str]]:
    if item["spec"].get("wait"):
        return [(one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]) for one in wanted]
    checks = item["spec"]["healthChecks"]
    return [(one["kind"], one.get("namespace", item["metadata"]["namespace"]), one["name"]) for one in checks]


def _named(key: tuple[str, str, str]) -> str:
    return "/".join(key)


def _entry(item: Object) -> str:
    metadata, group = item["metadata"], item["apiVersion"].rpartition("/")[0]
    return f"{metadata['namespace']}_{metadata['name']}_{group}_{item['kind']}"


def _history(at: _Pass, entries: list[Object], now: str) -> list[Object]:
    digest = hashlib.sha256(encode(entries)).hexdigest()
    entry = {
        "digest": f"sha256:{digest}",
        "firstReconciled": now,
        "lastReconciled": now,
        "lastReconciledStatus": "ReconciliationSucceeded",
        "metadata": {"revision": at.revision},
        "totalReconciliations": 1,
    }
    return [entry, *((at.item.get("status") or {}).get("history") or [])][:5]
