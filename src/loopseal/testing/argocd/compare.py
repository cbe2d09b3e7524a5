"""What Argo CD concludes from an application, its manifests and what is live. Pure: no clock, no store, no I/O.

After `controller/state.go` and `autoSync` of `controller/appcontroller.go` (v3.2) and the recordings of v3.2.11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from loopseal.testing import health
from loopseal.testing.store import Object

TRACKING: Final = "argocd.argoproj.io/tracking-id"
HOOK: Final = "argocd.argoproj.io/hook"
REFRESH: Final = "argocd.argoproj.io/refresh"
HYDRATE: Final = "argocd.argoproj.io/hydrate"
SKIP: Final = "argocd.argoproj.io/skip-reconcile"
CASCADE: Final = "resources-finalizer.argocd.argoproj.io"

Live = Callable[[str, str, str], Object | None]
"""(kind, namespace, name) -> what is live."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison: what goes into `status`. `error` is the ComparisonError, if there is one."""

    sync: str
    revision: str
    resources: tuple[Object, ...]
    health: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What automated sync does now: start an operation, complain (SyncError), or nothing."""

    operation: Object | None = None
    error: str = ""


def own(manifest: Mapping[str, Any], app: Object) -> Object:
    """`manifest` as the application deploys it: in its namespace, with its tracking id."""
    metadata = {"namespace": app["spec"]["destination"].get("namespace", ""), **manifest["metadata"]}
    name, kind = app["metadata"]["name"], manifest["kind"]
    where = f"{name}:{_group(manifest)}/{kind}:{metadata['namespace']}/{metadata['name']}"
    annotations = {**(metadata.get("annotations") or {}), TRACKING: where}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def hook_of(item: Mapping[str, Any]) -> str:
    """`PreSync`, `PostSync`, … or an empty string."""
    return str((item["metadata"].get("annotations") or {}).get(HOOK, ""))


def owned_by(item: Mapping[str, Any], name: str) -> bool:
    """Whether the tracking id names that application."""
    return str((item["metadata"].get("annotations") or {}).get(TRACKING, "")).startswith(f"{name}:")


def compare(revision: str, wanted: Iterable[Object], live: Live, tracked: Iterable[Object]) -> Comparison:
    """`wanted` (already `own`ed) beside what is live; `tracked` is all that lives and carries the tracking id."""
    rows: dict[tuple[str, str, str], Object] = {}
    healths: list[str] = []
    for item in wanted:
        if hook_of(item):
            continue
        found = live(item["kind"], item["metadata"]["namespace"], item["metadata"]["name"])
        told = health.argo(found)
        healths += [told[0]] if told else []
        rows[_key(item)] = _row(item, status="Synced" if found and matches(item, found) else "OutOfSync")
    for item in tracked:
        if _key(item) in rows:
            continue
        if hook_of(item):
            rows[_key(item)] = _row(item, hook=True, requiresPruning=True)
        else:
            rows[_key(item)] = _row(item, status="OutOfSync", requiresPruning=True)
    resources = tuple(rows[key] for key in sorted(rows, key=lambda key: (key[0], key[2])))
    differs = any(row.get("status") == "OutOfSync" for row in resources)
    return Comparison("OutOfSync" if differs else "Synced", revision, resources, health.worst(healths))


def failed(app: Object, error: str, tracked: Iterable[Object]) -> Comparison:
    """Manifests could not be had: Unknown, at the NAME of the tracked ref, the live objects' health as it is."""
    rows = [_row(item, requiresPruning=True, **_unknown(item)) for item in tracked]
    healths = [told[0] for item in tracked if not hook_of(item) and (told := health.argo(item))]
    name = app["spec"]["source"]["targetRevision"]
    return Comparison("Unknown", name, tuple(sorted(rows, key=lambda row: row["kind"])), health.worst(healths), error)


def matches(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    """Whether what is live is as wanted, leaving out status and foreign metadata."""
    own_metadata, its_metadata = wanted["metadata"], live["metadata"]
    for kind in ("labels", "annotations"):
        its = its_metadata.get(kind) or {}
        if any(its.get(key) != value for key, value in (own_metadata.get(kind) or {}).items()):
            return False
    names = set(wanted) | set(live)
    return all(wanted.get(name) == live.get(name) for name in names - {"metadata", "status"})


def auto_sync(app: Object, found: Comparison, *, window_open: bool) -> Decision:
    """What automated sync does about `found`; the order of the questions is Argo CD's."""
    policy = app["spec"].get("syncPolicy") or {}
    automated = policy.get("automated")
    state = (app.get("status") or {}).get("operationState") or {}
    if automated is None or app.get("operation") or "deletionTimestamp" in app["metadata"]:
        return Decision()
    if found.sync != "OutOfSync" or not window_open:
        return Decision()
    changed = [row for row in found.resources if row.get("status") == "OutOfSync"]
    if not automated.get("prune") and all(row.get("requiresPruning") for row in changed):
        return Decision()
    healing = 0
    if _attempted(state) == found.revision:
        if state.get("phase") != "Succeeded":
            return Decision(error=f"Failed last sync attempt to [{found.revision}]: {state.get('message', '')}")
        if not automated.get("selfHeal"):
            return Decision()
        healing = (state.get("operation") or {}).get("sync", {}).get("autoHealAttemptsCount", 0) + 1
    rows = [row for row in found.resources if not row.get("hook")]
    if automated.get("prune") and not automated.get("allowEmpty") and all(row.get("requiresPruning") for row in rows):
        return Decision(error=f"Skipping sync attempt to [{found.revision}]: auto-sync will wipe out all resources")
    return Decision(_operation(app, found.revision, policy, automated, healing))


def _operation(
    app: Object, revision: str, policy: Mapping[str, Any], automated: Mapping[str, Any], healing: int
) -> Object:
    sync: Object = {"revision": revision, "source": app["spec"]["source"]}
    if automated.get("prune"):
        sync["prune"] = True
    if healing:
        sync["autoHealAttemptsCount"] = healing
    retry = policy.get("retry", {"limit": 5})  # not set still means five times
    retry = {name: value for name, value in retry.items() if (name, value) != ("limit", 0)}
    return {"initiatedBy": {"automated": True}, "retry": retry, "sync": sync}


def _attempted(state: Mapping[str, Any]) -> str:
    if state.get("phase") in {None, "Running", "Terminating"}:
        return ""
    result = state.get("syncResult") or (state.get("operation") or {}).get("sync") or {}
    return str(result.get("revision", ""))


def conditions(found: Comparison, complaint: str, old: Sequence[Mapping[str, Any]], now: str) -> list[Object]:
    """The conditions after a comparison; the time of one that stays is kept."""
    wanted = [("ComparisonError", found.error), ("SyncError", complaint)]
    known = {(one["type"], one["message"]): one["lastTransitionTime"] for one in old}
    return [
        {"lastTransitionTime": known.get((kind, text), now), "message": text, "type": kind}
        for kind, text in wanted
        if text
    ]


def images(wanted: Iterable[Mapping[str, Any]]) -> list[str]:
    """The images that the objects name."""
    return sorted({image for item in wanted for image in images_of(item)})


def images_of(item: Mapping[str, Any]) -> list[str]:
    """The images of one workload."""
    spec = (((item.get("spec") or {}).get("template") or {}).get("spec")) or {}
    return [container["image"] for container in spec.get("containers") or () if "image" in container]


def _group(item: Mapping[str, Any]) -> str:
    group, slash, _ = str(item["apiVersion"]).rpartition("/")
    return group if slash else ""


def _unknown(item: Mapping[str, Any]) -> Object:
    return {"hook": True} if hook_of(item) else {"status": "Unknown"}


def _key(item: Mapping[str, Any]) -> tuple[str, str, str]:
    return item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _row(item: Mapping[str, Any], **more: Any) -> Object:
    group, metadata = _group(item), item["metadata"]
    named = {"kind": item["kind"], "name": metadata["name"], "namespace": metadata.get("namespace", "")}
    row = {**({"group": group} if group else {}), **named, "version": item["apiVersion"].rpartition("/")[2], **more}
    return dict(sorted(row.items()))
