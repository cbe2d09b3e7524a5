"""What the fields of Flux's objects mean: revisions, conditions, acknowledgements, inventory.

Lives here: one object, read (groups source, kustomize and helm.toolkit.fluxcd.io). Does not: what it means for a wanted
commit (`flux_verdict`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from loopseal.domain.revision import Resource
from loopseal.engines.fields import MAX_ITEMS, Object, flag, get, items, mapping, text

REQUESTED_AT: Final = "reconcile.fluxcd.io/requestedAt"
ORIGIN: Final = "org.opencontainers.image.revision"
"""Where an OCI or external artefact tells the commit that it was made from (RFC-0005)."""
_REVISION: Final = re.compile(r"(?:.+@)?(?:sha1:([0-9a-f]{40})|sha256:([0-9a-f]{64}))", re.DOTALL)
_LEGACY: Final = re.compile(r".+/([0-9a-f]{40})", re.DOTALL)
_BARE: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REFUSED: Final = re.compile(r"commit '([0-9a-f]{40}(?:[0-9a-f]{24})?)'")
_REASON: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
_INVENTORY_ID: Final = re.compile(r"([^_]*)_((?:[^_]|__)+)_([^_]*)_([^_]+)")


def sha_of(revision: str) -> str:
    """The commit in a revision of Flux (RFC-0005), or an empty string.

    `main@sha1:…`, `feature/x@y@sha1:…` (the last `@sha` counts), `sha1:…`, and `main/…` of old versions. The digest of
    an OCI artefact looks like a SHA-256 commit: ask only for what comes from Git.
    """
    if found := _REVISION.fullmatch(revision):
        return found[1] or found[2]
    legacy = _LEGACY.fullmatch(revision)
    return legacy[1] if legacy else ""


def origin_sha(revision: str) -> str:
    """The commit in an origin annotation, where it may also stand bare."""
    return revision if _BARE.fullmatch(revision) else sha_of(revision)


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, or, when the object has none of that type, an empty one."""

    status: str = ""
    reason: str = ""
    message: str = ""
    generation: object = None
    changed: str = ""

    @property
    def true(self) -> bool:
        """Whether it holds."""
        return self.status == "True"

    @property
    def false(self) -> bool:
        """Whether it is said not to hold; a condition that is not there says nothing."""
        return self.status == "False"


def condition(obj: Object, kind: str) -> Condition:
    """The first condition of this type. A reason that is no identifier is not repeated."""
    for one in items(obj, "status", "conditions"):
        if text(one, "type") == kind:
            reason = text(one, "reason")
            return Condition(
                text(one, "status"),
                reason if _REASON.fullmatch(reason) else "",
                text(one, "message"),
                get(one, "observedGeneration"),
                text(one, "lastTransitionTime"),
            )
    return Condition()


def generation(obj: Object) -> object:
    """The generation of the spec; a new number with every edit of it."""
    return get(obj, "metadata", "generation")


def suspended(obj: Object) -> bool:
    """Whether somebody switched it off."""
    return flag(obj, "spec", "suspend")


def deleting(obj: Object) -> bool:
    """Whether it is on its way out; its conditions may still say Ready."""
    return bool(get(obj, "metadata", "deletionTimestamp"))


def from_git(kustomization: Object) -> bool:
    """Whether its source is a Git repository, so that its revisions are commits."""
    return text(kustomization, "spec", "sourceRef", "kind") in {"", "GitRepository"}


def source_commit(source: Object) -> str:
    """The commit that a source object offers, or an empty string when it does not tell one.

    A HelmChart tells the revision it was packaged from; OCI and external artefacts tell where they come from.
    """
    if text(source, "kind") == "HelmChart" or "observedSourceArtifactRevision" in mapping(source, "status"):
        return sha_of(text(source, "status", "observedSourceArtifactRevision"))
    if text(source, "kind") in {"OCIRepository", "ExternalArtifact", "Bucket"}:
        return origin_sha(text(mapping(source, "status", "artifact", "metadata"), ORIGIN))
    return sha_of(text(source, "status", "artifact", "revision"))


def refused_commit(source: Object) -> str:
    """The commit whose signature was not accepted, as the message names it; empty when none is refused."""
    verified = condition(source, "SourceVerified")
    found = _REFUSED.search(verified.message) if verified.false else None
    return found[1] if found else ""


def applied_commit(kustomization: Object) -> str:
    """The commit that was applied last, and where health is checked, became healthy."""
    if from_git(kustomization):
        return sha_of(text(kustomization, "status", "lastAppliedRevision"))
    return origin_sha(text(kustomization, "status", "lastAppliedOriginRevision"))


def attempted_commit(kustomization: Object) -> str:
    """The commit that was tried last; of OCI and external artefacts only what was applied is told."""
    attempted = text(kustomization, "status", "lastAttemptedRevision")
    if from_git(kustomization):
        return sha_of(attempted)
    return applied_commit(kustomization) if attempted == text(kustomization, "status", "lastAppliedRevision") else ""


def checks_health(kustomization: Object) -> bool:
    """Whether Ready means healthy: `wait` or `healthChecks`. Without them it means applied."""
    return flag(kustomization, "spec", "wait") or bool(items(kustomization, "spec", "healthChecks"))


def is_remote(obj: Object) -> bool:
    """Whether it applies to another cluster, whose objects we do not see."""
    return bool(mapping(obj, "spec", "kubeConfig"))


def acknowledged(obj: Object, token: str, before: str = "") -> bool:
    """Whether a pass that began after we asked has ended. It may have done nothing: never a success by itself.

    `token` is what we wrote, `before` what stood there until then. Requests overwrite one another, and ours may never
    be answered; an answer to one that replaced ours is as good.
    """
    handled = text(obj, "status", "lastHandledReconcileAt")
    asked = text(obj, "metadata", "annotations", REQUESTED_AT)
    if not token or not handled:
        return False
    return handled == token or (handled == asked and asked != before)


def inventory(kustomization: Object) -> tuple[Resource, ...]:
    """The objects that it applied. Entries whose id cannot be read are left out."""
    found = (inventory_id(text(one, "id")) for one in items(kustomization, "status", "inventory", "entries"))
    return tuple(one for one in found if one is not None)[:MAX_ITEMS]


def inventory_id(written: str) -> Resource | None:
    """The object behind `<namespace>_<name>_<group>_<kind>`; `:` in names of RBAC objects is written `__`."""
    found = _INVENTORY_ID.fullmatch(written[:1024])
    if found is None:
        return None
    namespace, name, group, kind = found.groups()
    return Resource(kind=kind, name=name.replace("__", ":"), namespace=namespace, group=group)
