"""The source-controller: GitRepository to artifact, in the order of writes that the recordings show.

Ready=True "stored artifact" is written before `status.artifact`. A request is acknowledged at the end of every pass,
also of one that did nothing (suspended) or failed. Keys of `spec.verify.secretRef` are the names in the Secret's data
without their ending, and of SSH keys what stands there: a simulator compares keys, it does not verify signatures.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from loopseal.testing import health
from loopseal.testing.clock import LoopClock, seconds
from loopseal.testing.faults import Faults
from loopseal.testing.flux.status import Said, Writer
from loopseal.testing.flux.worker import Queue, requested
from loopseal.testing.gitview import GitFailure, GitView
from loopseal.testing.store import Object, Store


class SourceController:
    """Reconciles every GitRepository of the store."""

    def __init__(self, store: Store, git: GitView, clock: LoopClock, faults: Faults, fetch: float) -> None:
        self._store, self._git, self._clock, self._faults, self._fetch = store, git, clock, faults, fetch
        self._failures: dict[str, int] = {}
        self._queue = Queue("GitRepository", store, clock, faults, self._reconcile)

    async def aclose(self) -> None:
        """Stop."""
        await self._queue.aclose()

    async def _reconcile(self, item: Object, why: str) -> float | None:
        spec, generation = item["spec"], item["metadata"]["generation"]
        writer = Writer(self._store, self._clock, item)
        handled = {"lastHandledReconcileAt": requested(item)} if requested(item) else {}
        if spec.get("suspend"):
            writer.write({}, observedGeneration=generation, **handled)
            return None
        first = not (item.get("status") or {}).get("artifact")
        if why != "interval" or health.condition(item, "Reconciling"):
            await self._announce(writer, item, first=first)
        interval = seconds(spec["interval"])
        try:
            revision = await self._head(spec)
            verified = await self._verify(item, revision)
        except _Broken as error:
            failed = {**_failure(error), "Reconciling": Said("True", "ProgressingWithRetry", self._message(item, why))}
            writer.write(failed)
            await self._clock.sleep(0.006)
            writer.write({}, **handled)
            if error.kind == "SourceVerified":
                return interval  # as recorded: the same commit is not asked about again
            tries = self._failures[item["metadata"]["uid"]] = self._failures.get(item["metadata"]["uid"], 0) + 1
            return min(0.75 * 2.0 ** (tries - 1), interval)
        self._failures.pop(item["metadata"]["uid"], None)
        await self._store_artifact(writer, item, revision, verified)
        writer.write({}, observedGeneration=generation, artifact=self._artifact(item, revision), **handled)
        return interval

    async def _announce(self, writer: Writer, item: Object, *, first: bool) -> None:
        message = self._message(item, "request")
        said: dict[str, Said | None] = {"Reconciling": Said("True", "Progressing", message)}
        if first:
            said["Ready"] = Said("Unknown", "Progressing", message)
        writer.write(said)
        if first:
            await self._clock.sleep(0.01)
            building = Said("True", "Progressing", "building artifact")
            writer.write({"Reconciling": building, "Ready": Said("Unknown", "Progressing", "building artifact")})

    def _message(self, item: Object, why: str) -> str:
        generation = item["metadata"]["generation"]
        observed = (item.get("status") or {}).get("observedGeneration", -1)
        if observed != generation:
            return f"processing object: new generation {observed} -> {generation}"
        return "reconciliation in progress" if why != "interval" else "retrying"

    async def _head(self, spec: Mapping[str, Any]) -> str:
        ref = spec.get("ref") or {}
        name = ref.get("commit") or ref.get("tag") or ref.get("branch") or "HEAD"
        prefix = "failed to checkout and determine revision: unable to list remote for"
        await self._clock.sleep(self._fetch)
        why = self._faults.fetch_error
        try:
            sha = "" if why else await self._git.resolve(spec["url"], name)
        except GitFailure as error:
            why = str(error)
        if why:
            raise _Broken("FetchFailed", "GitOperationFailed", f"{prefix} '{spec['url']}': {why}")
        await self._clock.sleep(self._faults.fetch_delay)
        return f"sha1:{sha}" if ref.get("commit") else f"{name}@sha1:{sha}"

    async def _verify(self, item: Object, revision: str) -> Said | None:
        verify = item["spec"].get("verify")
        if not verify:
            return None
        sha = revision.rpartition(":")[2]
        secret = self._store.get("Secret", item["metadata"]["namespace"], verify["secretRef"]["name"])
        keys = set(map(_key, (secret or {}).get("data", {}).items()))
        signer = await self._git.signer(item["spec"]["url"], sha)
        if signer in keys:
            return Said("True", "Succeeded", f"verified signature of\n\t- commit '{sha}' with key '{signer}'")
        why = (
            "unable to verify payload with any of the given key rings"
            if signer
            else "unsupported signature type: empty"
        )
        text = f"signature verification of commit '{sha}' failed: {why}"
        raise _Broken("SourceVerified", "InvalidCommitSignature", text)

    async def _store_artifact(self, writer: Writer, item: Object, revision: str, verified: Said | None) -> None:
        current = ((item.get("status") or {}).get("artifact") or {}).get("revision")
        signed = {"SourceVerified": verified}
        stored = Said("True", "Succeeded", f"stored artifact for revision '{revision}'")
        done = {"Reconciling": None, "FetchFailed": None, "ArtifactOutdated": None, "Ready": stored, **signed}
        if revision == current:
            writer.write({**done, "ArtifactInStorage": stored})
            return
        text = f"new upstream revision '{revision}'"
        building = Said("True", "Progressing", f"building artifact: {text}")
        ready = Said("Unknown", "Progressing", f"building artifact: {text}")
        outdated = {"ArtifactOutdated": Said("True", "NewRevision", text)} if current else {}
        writer.write({"Reconciling": building, "Ready": ready, "FetchFailed": None, **outdated, **signed})
        await self._clock.sleep(0.02)
        writer.write({**done, "ArtifactInStorage": stored})
        await self._clock.sleep(0.006)

    def _artifact(self, item: Object, revision: str) -> Object:
        old = (item.get("status") or {}).get("artifact") or {}
        if old.get("revision") == revision:
            return dict(old)
        metadata, sha = item["metadata"], revision.rpartition(":")[2]
        path = f"gitrepository/{metadata['namespace']}/{metadata['name']}/{sha}.tar.gz"
        return {
            "digest": f"sha256:{hashlib.sha256(sha.encode()).hexdigest()}",
            "lastUpdateTime": self._clock.stamp(),
            "path": path,
            "revision": revision,
            "size": 377,
            "url": f"http://source-controller.flux-system.svc.cluster.local./{path}",
        }


class _Broken(Exception):
    """No artifact from this pass: the condition that says so, its reason, the text."""

    def __init__(self, kind: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.reason, self.message = kind, reason, message


def _key(entry: tuple[str, str]) -> str:
    """The key of one entry of a Secret: for SSH its content, else its name without the ending."""
    name, _, ending = entry[0].rpartition(".")
    return " ".join(base64.b64decode(entry[1]).decode().split()[:2]) if ending == "sshpub" else name


def _failure(error: _Broken) -> dict[str, Said | None]:
    marked = "True" if error.kind == "FetchFailed" else "False"
    return {
        "Ready": Said("False", error.reason, error.message),
        error.kind: Said(marked, error.reason, error.message),
    }
