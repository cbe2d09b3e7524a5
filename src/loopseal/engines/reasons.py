"""Every reason a verdict may carry, and every finding of preflight, with its meaning.

The page `docs/reference/verdicts.md` is generated from here (`python -m loopseal.engines.reasons`). Tests compare it
and hold the judges to this table. A code is never reused for something else.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Final

from loopseal.domain.revision import State


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason: under which states it is said, by which engines, and what it means."""

    code: str
    states: tuple[State, ...]
    engines: str
    meaning: str


_S, _F, _B, _X, _R, _P = (
    State.SUCCEEDED,
    State.FAILED,
    State.BLOCKED,
    State.SUPERSEDED,
    State.REGRESSED,
    State.PENDING,
)
_ARGO, _FLUX, _BOTH = "Argo CD", "Flux", "both"

REASONS: Final = (
    Reason("HEALTHY", (_S,), _ARGO, "At the commit or a descendant, synced, compared since, healthy for `settle`."),
    Reason("APPLIED", (_S,), _FLUX, "The Kustomization is Ready with the commit or a descendant, for `settle`."),
    Reason("ARTIFACT_AT_COMMIT", (_S,), _FLUX, "The source offers the commit or a descendant; not yet applied."),
    Reason("READY", (_S,), _FLUX, "A HelmRelease is Ready and gives no reason of its own."),
    Reason("SYNC_FAILED", (_F,), _ARGO, "The operation for the commit failed: a refused object, a failed hook."),
    Reason("SYNC_FAILED_AT_LATER_COMMIT", (_F,), _ARGO, "The same at a descendant, which holds the commit."),
    Reason("SYNC_FAILED_RETRYING", (_F,), _ARGO, "`failed_syncs` attempts failed; Argo CD would still retry."),
    Reason("SYNC_ERROR", (_F,), _ARGO, "Argo CD refuses to sync it, for instance because it would remove everything."),
    Reason("OUT_OF_SYNC_AFTER_SYNC", (_F, _P), _ARGO, "Synced to the commit and different again; self-heal is off."),
    Reason("DEGRADED", (_F,), _ARGO, "Degraded at the commit for longer than `degraded_grace`."),
    Reason("MISSING", (_F,), _ARGO, "Objects are missing at the commit for longer than `degraded_grace`."),
    Reason("ComparisonError", (_F, _P), _ARGO, "Manifests cannot be made; FAILED after `error_grace` and a refresh."),
    Reason("InvalidSpecError", (_F, _P), _ARGO, "The application's spec is refused; as ComparisonError."),
    Reason("UnknownError", (_F, _P), _ARGO, "Argo CD cannot store or compare; as ComparisonError."),
    Reason("SIGNATURE_REJECTED", (_F,), _BOTH, "The commit's signature is missing or not accepted."),
    Reason("SIGNATURE_REJECTED_AT_LATER_COMMIT", (_F,), _BOTH, "The same for a descendant."),
    Reason("HYDRATION_FAILED", (_F,), _ARGO, "The source hydrator could not render the commit."),
    Reason("APP_DELETING", (_F,), _ARGO, "The application is being deleted."),
    Reason("APP_MISSING", (_F,), _BOTH, "The application is gone, or was not created in time."),
    Reason("DELETING", (_F,), _FLUX, "The Kustomization or HelmRelease is being deleted."),
    Reason("SOURCE_DELETING", (_F,), _FLUX, "The source is being deleted."),
    Reason("STALLED", (_F,), _FLUX, "Flux has given up and gives no reason of its own."),
    Reason("FAILED", (_F,), _FLUX, "Passes fail and Flux gives no reason of its own."),
    Reason("REMEDIATED", (_F,), _FLUX, "A release failed and was put back; Flux gives no reason of its own."),
    Reason("OBJECTS_FAILED", (_F, _P), _FLUX, "`strict_health`: an object of the inventory failed."),
    Reason("DEPENDENCY_FAILED", (_F,), _FLUX, "A Kustomization that it depends on failed with the commit."),
    Reason("DEPENDENCY_BLOCKED", (_B,), _FLUX, "A Kustomization that it depends on is blocked."),
    Reason("SKIP_RECONCILE", (_B,), _ARGO, "The annotation `argocd.argoproj.io/skip-reconcile` switches it off."),
    Reason("SUSPENDED", (_B,), _FLUX, "The source, Kustomization or HelmRelease is suspended."),
    Reason("SYNC_WINDOW", (_B,), _ARGO, "A sync window is closed."),
    Reason("OLD_OPERATION_RUNNING", (_B,), _ARGO, "A sync of an older commit has run longer than `old_operation`."),
    Reason("NEEDS_PRUNE", (_B,), _ARGO, "Only removals are left, and automated prune is off."),
    Reason("DELETION_CONFIRMATION", (_B,), _ARGO, "Somebody must confirm a deletion (`Prune=confirm`)."),
    Reason("DIVERGED", (_X,), _BOTH, "The tracked branch no longer contains the commit; seen after a refresh."),
    Reason("LATER_COMMIT", (_X,), _BOTH, "`exact`: a descendant was applied instead."),
    Reason("REVISION_WENT_BACK", (_R,), _BOTH, "An older commit is shown again after a newer one: a stale cache."),
    Reason("SOURCE_LAGGING", (_P, _R), _ARGO, "Of several sources of the repository one shows an older commit."),
    Reason("NOT_OBSERVED", (_P,), _ARGO, "The last comparison was with an older commit, or there was none."),
    Reason("NOT_RESOLVED", (_P,), _ARGO, "The status names a ref instead of a commit."),
    Reason("ANCESTRY_UNKNOWN", (_P,), _BOTH, "The repository has not told yet what the observed commit is to ours."),
    Reason("SPEC_NOT_COMPARED", (_P,), _ARGO, "The spec was edited and the status is about the old one."),
    Reason("OPERATION_REQUESTED", (_P,), _ARGO, "A sync is asked for and not begun."),
    Reason("OPERATION_RUNNING", (_P,), _ARGO, "A sync is running."),
    Reason("OPERATION_TERMINATING", (_P,), _ARGO, "A sync is being stopped."),
    Reason("RETRY_BACKOFF", (_P,), _ARGO, "An attempt failed; the operation waits for its next one."),
    Reason("SYNC_UNKNOWN", (_P,), _ARGO, "Argo CD does not know whether it is in sync."),
    Reason("WAITING_FOR_AUTO_SYNC", (_P,), _ARGO, "Different, and the automated sync is about to begin."),
    Reason("AUTO_SYNC_NOT_STARTING", (_P,), _ARGO, "The same for longer than `wedge`: look for a sync window."),
    Reason("WAITING_FOR_ROLLING_SYNC", (_P,), _ARGO, "Automated sync is off and an ApplicationSet owns it."),
    Reason("NEEDS_SYNC", (_P,), _ARGO, "Automated sync is off: somebody must sync."),
    Reason("NOT_RECONCILED_SINCE_SYNC", (_P,), _ARGO, "Not compared since the sync ended; a refresh is due."),
    Reason("HEALTH_PROGRESSING", (_P,), _ARGO, "At the commit, and rolling out."),
    Reason("HEALTH_DEGRADED", (_P,), _ARGO, "At the commit and degraded, within `degraded_grace`."),
    Reason("HEALTH_MISSING", (_P,), _ARGO, "At the commit and missing, within `degraded_grace`."),
    Reason("HEALTH_SUSPENDED", (_P,), _ARGO, "At the commit and suspended: a paused rollout, a suspended CronJob."),
    Reason("HEALTH_UNKNOWN", (_P,), _ARGO, "At the commit; health is not known."),
    Reason("RESOURCES_NOT_HEALTHY", (_P,), _ARGO, "`strict_health`: healthy as a whole, but not every resource is."),
    Reason("SETTLING", (_P,), _BOTH, "Good, but not yet for `settle`."),
    Reason("HYDRATING", (_P,), _ARGO, "The source hydrator is rendering."),
    Reason("NOT_HYDRATED", (_P,), _ARGO, "The source hydrator has not rendered the commit."),
    Reason("AWAITING_PROMOTION", (_P,), _ARGO, "Rendered to a branch of its own that is not merged yet."),
    Reason("NOT_CREATED", (_P,), _BOTH, "The application does not exist yet, within `create_grace`."),
    Reason("ENGINE_FORBIDDEN", (_P,), _BOTH, "The engine does not let us look, for now."),
    Reason("ENGINE_UNREACHABLE", (_P,), _BOTH, "The engine does not answer; the wait goes on."),
    Reason("NO_APPLICATIONS", (_P,), _BOTH, "There is nothing to wait for: never a success."),
    Reason("NOT_FETCHED", (_P,), _FLUX, "The source still offers an older commit."),
    Reason("FETCH_FAILED", (_P,), _FLUX, "The source cannot fetch."),
    Reason("ORIGIN_UNKNOWN", (_P,), _FLUX, "An artefact does not tell which commit it was made from."),
    Reason("NOT_ATTEMPTED", (_P,), _FLUX, "The Kustomization has not tried the commit yet."),
    Reason("PROGRESSING", (_P,), _FLUX, "The Kustomization is applying the commit, or checks its health."),
    Reason("RECONCILING", (_P,), _FLUX, "Another pass at what is already applied."),
    Reason("OLDER_REVISION_RUNNING", (_P,), _FLUX, "The controller still checks the health of an older commit."),
    Reason("OLDER_REVISION_FAILING", (_P,), _FLUX, "A pass failed, at an older commit."),
    Reason("ARTIFACT_FAILED", (_P,), _FLUX, "The artefact or the path cannot be read; not yet known to be ours."),
    Reason(
        "HEALTH_NOT_CHECKED",
        (_P,),
        _BOTH,
        "`strict_health`: the engine tells no health here, and the objects are not read.",
    ),
    Reason("OBJECTS_NOT_READY", (_P,), _FLUX, "`strict_health`: objects of the inventory are not ready."),
    Reason("DependencyNotReady", (_P,), _FLUX, "Waits for a Kustomization that it depends on."),
    Reason("HealthCheckCanceled", (_P,), _FLUX, "A health check was ended because a newer revision came."),
    Reason("NO_STATUS", (_P,), _FLUX, "A HelmRelease without a Ready condition."),
)
"""All reasons of ours. Besides them Flux's own reasons are passed on as they are written there."""

_OWN: Final = {one.code: one for one in REASONS}
_ENGINES_OWN: Final = re.compile(r"(?:FAILED_ONCE_)?[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*")


def known(state: State, code: str) -> bool:
    """Whether a verdict may carry `code` under `state`: a reason of ours, or one that Flux wrote."""
    if code in _OWN:
        return state in _OWN[code].states or _ENGINES_OWN.fullmatch(code) is not None
    return code.startswith("FAILED_ONCE_") or _ENGINES_OWN.fullmatch(code) is not None


FINDINGS: Final = (
    ("argocd.other_repository", "error", "No source of the application is the repository that is written to."),
    ("argocd.other_revision", "error", "It tracks a tag, a version, a commit or another branch."),
    ("argocd.default_branch", "warning", "It tracks the default branch, whichever that is."),
    ("argocd.other_path", "warning", "Its path lies outside the paths of the change."),
    ("argocd.deleting", "error", "It is being deleted."),
    ("argocd.health_unread", "error", "`strict_health`, and the health of its workloads cannot be read."),
    ("argocd.skip_reconcile", "error", "It is switched off by annotation."),
    ("argocd.failing", "warning", "It has a condition under which no commit is seen."),
    ("argocd.operation_running", "note", "A sync is running."),
    ("argocd.no_auto_sync", "warning", "Automated sync is off."),
    ("argocd.no_prune", "note", "Automated prune is off."),
    ("argocd.hydrated", "note", "The source hydrator renders to another branch first."),
    ("argocd.promotion", "warning", "Rendered manifests must be merged before they are applied."),
    ("argocd.default_retry", "note", "A refused commit is tried for 310 s before it counts as failed."),
    ("argocd.sync_window", "warning", "A sync window is closed."),
    ("argocd.signature", "error", "The project wants OpenPGP signatures, and ours are none, of another kind or key."),
    ("argocd.signature_unproven", "note", "The project wants signatures; which keys it trusts we may not read."),
    ("argocd.missing", "error", "It does not exist; a note with `create_grace`."),
    ("argocd.version", "note", "Connection test: what answers."),
    ("argocd.rights", "note", "Connection test: we may not read everything."),
    ("argocd.no_get", "error", "The right to read the application is missing."),
    ("argocd.no_sync", "warning", "Automated sync is off and the right to sync is missing."),
    ("argocd.no_watch", "note", "The right to watch is missing: applications are looked at every few seconds."),
    ("argocd.no_patch", "note", "The right to ask for a refresh is missing: Argo CD's own timer finds the commit."),
    ("argocd.no_logs", "note", "The right to read logs is missing."),
    ("flux.deleting", "error", "It is being deleted."),
    ("flux.suspended", "error", "It is suspended."),
    ("flux.stalled", "warning", "It has given up."),
    ("flux.no_source", "error", "Its source does not exist."),
    ("flux.source_suspended", "error", "Its source is suspended."),
    ("flux.artifact_source", "warning", "Its source is an artefact that something must build from the commit."),
    ("flux.not_from_git", "error", "Its source does not tell of commits: a Git commit cannot be seen there."),
    ("flux.other_repository", "error", "Its source is another repository."),
    ("flux.other_revision", "error", "Its source tracks a tag, a version, a commit or another branch."),
    ("flux.default_branch", "warning", "Its source tracks the default branch, whichever that is."),
    ("flux.signature", "error", "Its source accepts signed commits only, and ours are not signed."),
    ("flux.signature_unproven", "note", "Its source accepts signed commits only; its keys stand in a Secret."),
    ("flux.other_path", "warning", "Its path lies outside the paths of the change."),
    (
        "flux.health_unknown",
        "warning",
        "Flux checks no health here; an error with `strict_health` and a remote cluster.",
    ),
    ("flux.health_read", "note", "Flux checks no health here; the objects are read instead."),
    ("flux.no_prune", "note", "`prune` is off."),
    ("flux.depends_on", "note", "It waits for another Kustomization."),
    ("flux.remote_cluster", "note", "It applies to another cluster."),
    ("flux.chart_version", "warning", "A chart from Git is only released when its version is raised."),
    ("flux.missing", "error", "It does not exist; a note with `create_grace`."),
    ("flux.no_get", "error", "The right to read it is missing."),
    ("flux.no_watch", "note", "The right to watch it or its source is missing: they are looked at every few seconds."),
    ("flux.no_health", "warning", "The right to read what was applied is missing, and Flux does not tell its health."),
    ("flux.no_patch", "note", "The right to ask Flux to look again is missing: its own interval finds the commit."),
    ("flux.version", "note", "Connection test: what answers."),
    ("flux.rights", "note", "Connection test: we may not read everything."),
    ("flux.retry_on_failure", "note", "A failed release is tried for ever."),
)
"""Code, level and meaning of every finding of the two preflights."""


def page() -> str:
    """The reference page."""
    rows = "".join(
        f"| `{one.code}` | {', '.join(one.states)} | {one.engines} | {one.meaning} |\n"
        for one in sorted(REASONS, key=lambda one: (list(State).index(one.states[0]), one.code))
    )
    findings = "".join(f"| `{code}` | {level} | {meaning} |\n" for code, level, meaning in FINDINGS)
    return _HEAD + rows + _MIDDLE + findings


_HEAD: Final = """\
# Verdicts and their reasons

Generated from `loopseal.engines.reasons`; a test compares.

SUCCEEDED, FAILED and SUPERSEDED end a wait. BLOCKED and REGRESSED are told and may still turn. Words in code, such as
`settle`, are fields of the target's `wait:`.

| reason | state | engine | meaning |
|---|---|---|---|
"""
_MIDDLE: Final = """
Flux's own reasons (`HealthCheckFailed`, `BuildFailed`, `ReconciliationFailed`, `PruneFailed`, `ArtifactFailed`,
`UpgradeFailed`, `RollbackSucceeded`, `RetriesExceeded`, …) are passed on as they are written there. With
`FAILED_ONCE_` before it, such a reason is PENDING: a pass failed, and fewer than `failed_passes` did.

# Findings of preflight

An error means that the change cannot arrive as things are, and nothing is committed.

| finding | level | meaning |
|---|---|---|
"""

if __name__ == "__main__":
    sys.stdout.write(page())
