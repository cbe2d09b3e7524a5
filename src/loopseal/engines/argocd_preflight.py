"""Whether a commit can ever reach an Argo CD Application: findings before anything is committed.

Lives here: what the object, its sync windows and our permissions tell. Does not: asking for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from loopseal.domain.revision import Action, State, Tolerance, Verdict
from loopseal.engines import argocd_application as application
from loopseal.engines.argocd_signatures import Demand, findings
from loopseal.engines.fields import Object, get, items, mapping, text
from loopseal.engines.preflight import error, follows, note, touches, warning
from loopseal.ports import Finding, Source

_WAITING_FOR_SYNC: Final = frozenset({"WAITING_FOR_AUTO_SYNC", "AUTO_SYNC_NOT_STARTING", "NEEDS_SYNC"})
_PATHS: Final = "argocd.argoproj.io/manifest-generate-paths"


def preflight(
    app: Object,
    source: Source,
    tolerance: Tolerance,
    *,
    windows: Object | None = None,
    can: Mapping[str, bool] | None = None,
    unread: str = "",
    demand: Demand | None = None,
) -> tuple[Finding, ...]:
    """Everything that keeps, or may keep, a commit at `source` from becoming healthy in `app`; errors first.

    `windows` is the answer of `GET …/syncwindows`; `can` tells rights by name (`get`, `sync`, `logs`); `unread` says
    why the health of single resources cannot be seen, where `strict_health` needs it; `demand` is what the project
    wants of signatures, where that is known.
    """
    found = (
        *_place(app, source),
        *_state(app),
        *_policy(app, tolerance),
        *_strict(unread),
        *(findings(demand, source.signing) if demand is not None and source.signing is not None else ()),
        *_windows(windows),
        *_rights(app, can or {}),
    )
    return tuple(sorted(found, key=lambda one: ("error", "warning", "note").index(one.level)))


def _place(app: Object, source: Source) -> Iterator[Finding]:
    found = application.positions(app, source)
    if not found:
        urls = ", ".join(text(one, "repoURL") for one in application.sources(app)[:5]) or "nothing"
        yield error(
            "argocd.other_repository",
            f"the application reads {urls}, not {source.url}",
            "Name the application that reads this repository, or the repository that it reads.",
        )
        return
    ours = [application.sources(app)[index] for index in found]
    for one in ours:
        yield from follows("argocd", text(one, "targetRevision"), source.branch)
    paths = [text(one, "path") or "." for one in ours if not text(one, "ref") or text(one, "path")]
    generate = text(app, "metadata", "annotations", _PATHS)
    if source.paths and paths and not any(touches(source.paths, path) for path in paths) and not generate:
        yield warning(
            "argocd.other_path",
            f"the application is made from {', '.join(paths[:5])}; the change touches {', '.join(source.paths[:5])}",
            "A commit elsewhere is seen at once and changes nothing; is it the right application?",
        )


def _state(app: Object) -> Iterator[Finding]:
    if get(app, "metadata", "deletionTimestamp"):
        yield error("argocd.deleting", "the application is being deleted", "Name another application.")
    if text(app, "metadata", "annotations", application.SKIP_RECONCILE) == "true":
        yield error(
            "argocd.skip_reconcile",
            f"the application carries {application.SKIP_RECONCILE}=true and sees no commit",
            "Remove the annotation, or ask who set it.",
        )
    for kind in ("InvalidSpecError", "ComparisonError", "UnknownError"):
        message = application.conditions(app).get(kind)
        if message is not None:
            yield warning("argocd.failing", f"{kind}: {message[:500]}", "A commit is not seen while this lasts.")
    if get(app, "operation") is not None or text(app, "status", "operationState", "phase") == "Running":
        yield note("argocd.operation_running", "a sync is running; a commit is synced only after it ends")


def _policy(app: Object, tolerance: Tolerance) -> Iterator[Finding]:
    if not application.automated(app):
        owner = application.owner(app)
        who = f"ApplicationSet {owner} decides when it is synced" if owner else "somebody must sync each commit"
        yield warning("argocd.no_auto_sync", f"automated sync is off: {who}", "Turn it on, or allow `sync: true` here.")
    elif get(app, "spec", "syncPolicy", "automated", "prune") is not True:
        yield note("argocd.no_prune", "automated prune is off: a commit that removes an object stays out of sync")
    if application.uses_hydrator(app):
        yield note("argocd.hydrated", "manifests are rendered to another branch first; the wait has two stages")
        if mapping(app, "spec", "sourceHydrator", "hydrateTo"):
            yield warning(
                "argocd.promotion",
                "rendered manifests wait on a branch of their own (`hydrateTo`) until they are merged",
                "Have the merge done within the time of the wait.",
            )
    retry = mapping(app, "spec", "syncPolicy", "retry")
    if application.automated(app) and not retry and not tolerance.failed_syncs:
        yield note(
            "argocd.default_retry",
            "no retry policy: Argo CD tries a refused commit 5 times more, for 310 s, before it says so; "
            "`failed_syncs: 1` tells at once",
        )


def _strict(unread: str) -> Iterator[Finding]:
    if unread:
        yield error(
            "argocd.health_unread",
            f"`strict_health` cannot be kept: {unread}",
            "Grant the right, or set `strict_health: false` for this target.",
        )


def _windows(windows: Object | None) -> Iterator[Finding]:
    if windows is not None and closed(windows):
        yield warning(
            "argocd.sync_window",
            f"a sync window is closed: {described(windows)}",
            "The commit waits until it opens; start later, or give the wait more time.",
        )


def _rights(app: Object, can: Mapping[str, bool]) -> Iterator[Finding]:
    if can.get("get") is False:
        yield error("argocd.no_get", "no right `applications, get`", "Grant it: without it nothing is seen.")
    if can.get("sync") is False and not application.automated(app):
        yield warning("argocd.no_sync", "no right `applications, sync`", "Grant it, or let somebody else sync.")
    if can.get("logs") is False:
        yield note("argocd.no_logs", "no right `logs, get`: evidence of a failure will lack the pods' logs")


def closed(windows: Object) -> bool:
    """Whether this answer of `GET …/syncwindows` forbids a sync now; an answer without windows forbids nothing."""
    return get(windows, "canSync") is not True and bool(items(windows, "assignedWindows"))


def described(windows: Object) -> str:
    """The windows of such an answer in words: those in force, or, when none is, those assigned."""
    some = items(windows, "activeWindows") or items(windows, "assignedWindows")
    return "; ".join(
        f"{text(one, 'kind')[:20]} {text(one, 'schedule')[:80]!r} for {text(one, 'duration')[:20]}"
        f" ({text(one, 'timeZone')[:40] or 'UTC'})"
        for one in some[:5]
    )


def with_windows(said: Verdict, windows: Object) -> Verdict:
    """`said`, or BLOCKED when nobody starts the sync because a window is closed: Argo CD itself does not tell."""
    if said.state is not State.PENDING or said.reason not in _WAITING_FOR_SYNC or not closed(windows):
        return said
    message = f"a sync window is closed: {described(windows)}"
    return replace(said, state=State.BLOCKED, reason="SYNC_WINDOW", message=message, action=Action.NONE)
