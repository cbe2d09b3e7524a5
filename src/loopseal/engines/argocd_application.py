"""One Argo CD Application (argoproj.io/v1alpha1), read: sources, revisions, operation, what stands in the way.

Lives here: what a field of the object means. Does not: what it means for a wanted commit (`argocd_verdict`).
Both forms are read alike: the REST answer, which has `status.resources[].health` and no `kind`, and the object in
Kubernetes, which has neither health of resources nor, since 3.0, a way to ask for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from loopseal.domain.revision import Resource
from loopseal.engines.fields import MAX_RESOURCES, Object, flag, get, items, mapping, resource, text, texts
from loopseal.engines.repository_url import is_git, same_repository
from loopseal.ports import Source

COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
"""A full commit id, SHA-1 or SHA-256."""
SKIP_RECONCILE: Final = "argocd.argoproj.io/skip-reconcile"
REQUIRES_PRUNING: Final = "requires pruning"


def is_commit(revision: str) -> bool:
    """Whether `revision` is a full commit id: after a failed comparison Argo CD shows the name of the ref instead."""
    return COMMIT.fullmatch(revision) is not None


def uses_hydrator(app: Object) -> bool:
    """Whether manifests are written to another branch first (source hydrator, beta in 3.5)."""
    return isinstance(get(app, "spec", "sourceHydrator"), dict)


def sources(app: Object) -> tuple[Object, ...]:
    """The sources in the order of `status.sync.revisions`; of a hydrated application its dry source."""
    if uses_hydrator(app):
        return (mapping(app, "spec", "sourceHydrator", "drySource"),)
    several = items(app, "spec", "sources")
    if several:
        return several
    one = mapping(app, "spec", "source")
    return (one,) if one else ()


def positions(app: Object, source: Source) -> tuple[int, ...]:
    """Indexes of the sources that are our Git repository; Helm charts and OCI artefacts are left out.

    A source that only lends its values (`ref`) counts: it has a revision of its own.
    """
    return tuple(
        index
        for index, one in enumerate(sources(app))
        if not text(one, "chart") and is_git(text(one, "repoURL")) and same_repository(text(one, "repoURL"), source.url)
    )


def observed_revisions(app: Object) -> tuple[str, ...]:
    """What the last comparison looked at, one per source."""
    return _revisions(mapping(app, "status", "sync"))


def operation_revisions(app: Object) -> tuple[str, ...]:
    """What the operation, running, finished or asked for, syncs to: its result first, then what was asked."""
    state = mapping(app, "status", "operationState")
    places = (
        mapping(state, "syncResult"),
        mapping(state, "operation", "sync"),
        mapping(app, "operation", "sync"),
    )
    return next((found for place in places if (found := _revisions(place))), ())


def _revisions(place: Object) -> tuple[str, ...]:
    several = texts(place, "revisions")
    one = text(place, "revision")
    return several if any(several) else ((one,) if one else ())


def automated(app: Object) -> bool:
    """Whether Argo CD syncs by itself (`enabled: false` counts as off, 3.1)."""
    policy = get(app, "spec", "syncPolicy", "automated")
    return isinstance(policy, dict) and policy.get("enabled") is not False


def compared_to_spec(app: Object) -> bool:
    """Whether the comparison is one with the sources of the current spec.

    A hydrated application is compared with its sync source, which the spec does not spell out; it is let pass.
    """
    compared = mapping(app, "status", "sync", "comparedTo")
    if uses_hydrator(app):
        return True
    name = "sources" if items(app, "spec", "sources") else "source"
    try:
        return bool((get(compared, name) or {}) == (get(app, "spec", name) or {}))
    except RecursionError:  # nested deeper than any source
        return False


def conditions(app: Object) -> dict[str, str]:
    """Type and message of every condition; of two of one type the last."""
    return {text(one, "type"): text(one, "message") for one in items(app, "status", "conditions")}


def dry_run(app: Object) -> bool:
    """Whether the last operation only tried."""
    return flag(app, "status", "operationState", "operation", "sync", "dryRun")


def partial(app: Object) -> bool:
    """Whether the last operation was for some resources only: a selection of a user, or self-heal."""
    return bool(items(app, "status", "operationState", "operation", "sync", "resources"))


def out_of_sync(app: Object) -> tuple[Object, ...]:
    """The entries of `status.resources` that differ from Git."""
    return tuple(one for one in items(app, "status", "resources") if text(one, "status") == "OutOfSync")


def owner(app: Object) -> str:
    """The name of the ApplicationSet that owns the application, or an empty string."""
    owners = items(app, "metadata", "ownerReferences")
    return next((text(one, "name") for one in owners if text(one, "kind") == "ApplicationSet"), "")


def resources(app: Object) -> tuple[Resource, ...]:
    """What stands in the way, each object once: failed in the operation, then unhealthy, then different from Git."""
    found: dict[tuple[str, str, str, str], Resource] = {}
    for one in _troubled(app):
        found.setdefault((one.group, one.kind, one.namespace, one.name), one)
        if len(found) == MAX_RESOURCES:
            break
    return tuple(found.values())


def _troubled(app: Object) -> Iterator[Resource]:
    for row in items(app, "status", "operationState", "syncResult", "resources"):
        hook = text(row, "hookPhase")
        if text(row, "status") == "SyncFailed" or hook in {"Failed", "Error"}:
            yield resource(row, text(row, "status") or f"Hook{hook}", text(row, "message"))
    for row in items(app, "status", "resources"):
        health, sync = text(row, "health", "status"), text(row, "status")
        if health not in {"", "Healthy"}:
            yield resource(row, health, text(row, "health", "message"))
        elif sync not in {"", "Synced"}:
            yield resource(row, sync, REQUIRES_PRUNING if flag(row, "requiresPruning") else "")
