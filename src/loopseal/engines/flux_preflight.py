"""Whether a commit can ever reach a Kustomization or HelmRelease: findings before anything is committed.

Lives here: what the objects tell. Does not: asking for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from loopseal.domain.revision import Tolerance
from loopseal.engines import flux_object as flux
from loopseal.engines.fields import Object, get, items, mapping, text
from loopseal.engines.preflight import error, follows, note, touches, warning
from loopseal.engines.repository_url import same_repository
from loopseal.ports import Finding, Signing, SigningFormat, Source

NO_SOURCE: Final = "flux.no_source"


def preflight(target: Object, origin: Object | None, source: Source, tolerance: Tolerance) -> tuple[Finding, ...]:
    """Everything that keeps, or may keep, a commit at `source` from becoming healthy in `target`; errors first.

    `target` is a Kustomization, HelmRelease or GitRepository, `origin` the source object that it names, or None when
    there is none by that name.
    """
    found = (
        *_state(target),
        *(_origin(target, origin, source) if text(target, "kind") != "GitRepository" else ()),
        *_repository(target if text(target, "kind") == "GitRepository" else origin, source),
        *_kustomization(target, source, tolerance),
        *_helm_release(target, origin),
    )
    return tuple(sorted(found, key=lambda one: ("error", "warning", "note").index(one.level)))


def _state(target: Object) -> Iterator[Finding]:
    if flux.deleting(target):
        yield error("flux.deleting", "the object is being deleted", "Name another one.")
    if flux.suspended(target):
        yield error("flux.suspended", "it is suspended: nothing is applied", "Resume it, or ask who suspended it.")
    stalled = flux.condition(target, "Stalled")
    if stalled.true:
        yield warning("flux.stalled", f"{stalled.reason}: {stalled.message}", "A commit must change what stalls it.")


def _origin(target: Object, origin: Object | None, source: Source) -> Iterator[Finding]:
    if origin is None:
        name = text(target, "spec", "sourceRef", "name") or text(target, "spec", "chartRef", "name") or "its source"
        yield error(NO_SOURCE, f"the source {name!r} does not exist", "Create it, or correct the reference.")
        return
    if flux.suspended(origin):
        yield error("flux.source_suspended", "its source is suspended: no commit is fetched", "Resume the source.")
    if text(origin, "kind") in {"OCIRepository", "ExternalArtifact", "Bucket", "HelmRepository"}:
        yield from _not_git(origin, source)


def _not_git(origin: Object, source: Source) -> Iterator[Finding]:
    """No commit reaches such a source: something must build an artefact from it, and only then can it be seen."""
    kind = text(origin, "kind")
    if kind in {"OCIRepository", "ExternalArtifact"} and flux.source_commit(origin):
        yield warning(
            "flux.artifact_source",
            f"the source is an {kind}: a commit to {source.url} arrives only when something packs it",
            "Have the pipeline that packs it run within the time of the wait.",
        )
        return
    yield error(
        "flux.not_from_git",
        f"the source is a {kind} that does not tell the commit it was made from: a Git commit cannot be seen there",
        f"Wait for what a Git source applies, or have artefacts carry the annotation {flux.ORIGIN}.",
    )


def _repository(repository: Object | None, source: Source) -> Iterator[Finding]:
    if repository is None or text(repository, "kind") not in {"GitRepository", ""}:
        return
    url = text(repository, "spec", "url")
    if not same_repository(url, source.url):
        yield error("flux.other_repository", f"the source reads {url}, not {source.url}", "Name the right application.")
        return
    ref = mapping(repository, "spec", "ref")
    pinned = next((kind for kind in ("commit", "name", "semver", "tag") if text(ref, kind)), "branch")
    if pinned in {"branch", "name"}:
        yield from follows("flux", text(ref, pinned) or "master", source.branch)
    else:
        yield error(
            "flux.other_revision",
            f"the source is pinned to {pinned} {text(ref, pinned)[:200]!r}; nothing on {source.branch!r} arrives",
            "Let it follow the branch, or choose another target.",
        )
    if text(repository, "spec", "verify", "secretRef", "name") and source.signing is not None:
        yield from _signature(repository, source.signing)


def _signature(repository: Object, signing: Signing) -> Iterator[Finding]:
    """Flux verifies OpenPGP, and SSH since source-controller 1.9; which keys it trusts stands in a Secret."""
    mode = text(repository, "spec", "verify", "mode")
    if mode not in {"", "HEAD", "head", "TagAndHEAD"}:
        return  # the tag is verified, and a branch has none
    secret = text(repository, "spec", "verify", "secretRef", "name")
    match signing.format:
        case SigningFormat.NONE | SigningFormat.OTHER:
            told = f"the source accepts commits signed by OpenPGP or SSH only; ours: {signing.format}"
            yield error("flux.signature", told, "Configure `sign` for the repository.")
        case SigningFormat.OPENPGP | SigningFormat.SSH:
            yield note(
                "flux.signature_unproven",
                f"the source accepts commits signed by the keys in Secret {secret!r} only; ours are made by "
                f"{signing.format} {signing.key[:100]}".rstrip(),
                "Is its public half there? Secrets are not read by loopseal.",
            )


def _kustomization(target: Object, source: Source, tolerance: Tolerance) -> Iterator[Finding]:
    if text(target, "kind") != "Kustomization":
        return
    path = text(target, "spec", "path") or "."
    if source.paths and not touches(source.paths, path):
        yield warning(
            "flux.other_path",
            f"it applies {path}; the change touches {', '.join(source.paths[:5])}",
            "A commit elsewhere is applied as a new revision and changes nothing; is it the right one?",
        )
    if not flux.checks_health(target):
        yield from _unchecked(target, tolerance)
    if get(target, "spec", "prune") is not True:
        yield note("flux.no_prune", "`prune` is off: objects that a commit removes stay in the cluster")
    for one in items(target, "spec", "dependsOn")[:10]:
        yield note("flux.depends_on", f"it waits for {text(one, 'name')!r} to be ready")
    if flux.is_remote(target):
        yield note("flux.remote_cluster", "it applies to another cluster: only Flux's own conditions can be seen")


def _unchecked(target: Object, tolerance: Tolerance) -> Iterator[Finding]:
    message = "neither `wait` nor `healthChecks`: Ready means applied, not healthy"
    if tolerance.strict_health and flux.is_remote(target):
        hint = "Set `wait: true`: the objects are in another cluster and cannot be read from here."
        yield error("flux.health_unknown", message, hint)
    elif tolerance.strict_health:
        yield note("flux.health_read", f"{message}; its objects are read instead, which needs the right to")
    else:
        yield warning("flux.health_unknown", message, "Set `wait: true` there, or `strict_health: true` here.")


def _helm_release(target: Object, origin: Object | None) -> Iterator[Finding]:
    if text(target, "kind") != "HelmRelease":
        return
    chart = mapping(target, "spec", "chart", "spec")
    strategy = text(chart, "reconcileStrategy") or text(origin, "spec", "reconcileStrategy")
    if text(chart, "sourceRef", "kind") == "GitRepository" and strategy != "Revision":
        yield warning(
            "flux.chart_version",
            "the chart comes from Git with strategy ChartVersion: a commit that leaves its version never deploys",
            "Raise the chart's version with each change, or set `reconcileStrategy: Revision`.",
        )
    for action in ("install", "upgrade"):
        if text(target, "spec", action, "strategy", "name") == "RetryOnFailure":
            yield note("flux.retry_on_failure", f"{action}: RetryOnFailure never gives up; only our deadline ends it")
