"""What is significant of an object's state, and a history of it without times, duplicates and matters of chance.

Of chance are states that last under a second, of these kinds only (the real controllers show them in some recordings and
not in others, depending on which of two workers was first):

- an operation has succeeded and the comparison after it is still to come (OutOfSync at the very commit);
- the comparison was first: Synced at the commit whose operation is still running;
- health Progressing: whether anybody looks while the make-believe kubelet makes a pod ready;
- Flux: the source has no artifact yet when the Kustomization is looked at first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

State = tuple[Any, ...]

SHORT = 1.0


def application(event: Mapping[str, Any], names: Mapping[str, str]) -> State:
    """(operation at, phase, ended at, attempt, between attempts, sync, revision, health, conditions, refresh asked)."""
    app = event["object"]
    if event["type"] == "DELETED" or "deletionTimestamp" in app["metadata"]:
        return ("deleting",)
    status = app.get("status") or {}
    state, sync = status.get("operationState") or {}, status.get("sync") or {}
    wanted = ((app.get("operation") or {}).get("sync") or {}).get("revision", "")
    running = state.get("phase") == "Running"
    done = "" if running else (state.get("syncResult") or {}).get("revision", "")
    return (
        names.get(wanted, wanted),
        state.get("phase", ""),
        names.get(done, done),
        state.get("retryCount", 0),
        running and bool(state.get("finishedAt")),
        sync.get("status", ""),
        names.get(sync.get("revision", ""), sync.get("revision", "")),
        (status.get("health") or {}).get("status", ""),
        tuple(sorted(one["type"] for one in status.get("conditions") or ())),
        "argocd.argoproj.io/refresh" in (app["metadata"].get("annotations") or {}),
    )


def chance(state: State) -> bool:
    """Whether an Application's state is one of chance, if it is short."""
    if state == ("deleting",):
        return False
    operation, phase, done, _, _, sync, revision, health, _, _ = state
    ended = not operation and phase == "Succeeded" and sync == "OutOfSync" and revision == done
    overtaken = operation and phase == "Running" and sync == "Synced" and revision == operation
    return bool(ended or overtaken or health == "Progressing")


def source(event: Mapping[str, Any], names: Mapping[str, str]) -> State:
    """(artifact, Ready, Reconciling, FetchFailed, SourceVerified, acknowledged, current, suspended)."""
    item = event["object"]
    status = item.get("status") or {}
    told = {one["type"]: one for one in status.get("conditions") or ()}
    return (
        _revision((status.get("artifact") or {}).get("revision", ""), names),
        _condition(told, "Ready"),
        told.get("Reconciling", {}).get("reason", ""),
        "FetchFailed" in told,
        _condition(told, "SourceVerified"),
        status.get("lastHandledReconcileAt", ""),
        status.get("observedGeneration") == item["metadata"]["generation"],
        bool(item["spec"].get("suspend")),
    )


def kustomization(event: Mapping[str, Any], names: Mapping[str, str]) -> State:
    """(attempted, applied, Ready, Reconciling, Healthy, acknowledged, current, suspended)."""
    item = event["object"]
    status = item.get("status") or {}
    told = {one["type"]: one for one in status.get("conditions") or ()}
    return (
        _revision(status.get("lastAttemptedRevision", ""), names),
        _revision(status.get("lastAppliedRevision", ""), names),
        _condition(told, "Ready"),
        told.get("Reconciling", {}).get("reason", ""),
        _condition(told, "Healthy"),
        status.get("lastHandledReconcileAt", ""),
        status.get("observedGeneration") == item["metadata"]["generation"],
        bool(item["spec"].get("suspend")),
    )


def early(state: State) -> bool:
    """Whether a Kustomization's state is one of chance, if it is short."""
    return state[2] == ("False", "ArtifactFailed") and not state[0]


def history(
    events: Iterable[tuple[float, Mapping[str, Any]]],
    names: Mapping[str, str],
    state: Callable[[Mapping[str, Any], Mapping[str, str]], State],
    of_chance: Callable[[State], bool],
) -> list[State]:
    """The states in order: each once, those of chance left out when they are short (or short of the end)."""
    spans: list[tuple[float, State]] = []
    for at, event in events:
        now = state(event, names)
        if not spans or spans[-1][1] != now:
            spans.append((at, now))
    kept: list[State] = []
    for (begin, one), (end, _) in zip(spans, [*spans[1:], (float("inf"), ())], strict=True):
        if end - begin < SHORT and of_chance(one):
            continue
        if not kept or kept[-1] != one:
            kept.append(one)
    return kept


def _revision(revision: str, names: Mapping[str, str]) -> str:
    ref, at, sha = revision.partition("@sha1:")
    return f"{ref}@{names.get(sha, sha)}" if at else revision


def _condition(told: Mapping[str, Any], kind: str) -> tuple[str, str]:
    one = told.get(kind, {})
    return one.get("status", ""), one.get("reason", "")
