"""Is this HelmRelease released as its spec says?

Lives here: `judge_helm_release`. A HelmRelease knows no commit: ask only after the Kustomization that applies it is at
the commit, so that its generation is that commit's.
"""

from __future__ import annotations

from typing import Final

from loopseal.domain.revision import Action, State, Tolerance, Verdict
from loopseal.engines import flux_object as flux
from loopseal.engines.fields import Object, get, text, verdict
from loopseal.engines.flux_message import bad_resources

_REMEDIES: Final = frozenset({"RollbackSucceeded", "UninstallSucceeded"})
"""Reasons that read like success and mean that a release failed and was put back."""


def judge_helm_release(
    obj: Object, tolerance: Tolerance, *, chart_revision: str = "", config_token: str = ""
) -> Verdict:
    """What `obj` means for its own generation. Total: whatever JSON `obj` is, this answers.

    `chart_revision` is `status.artifact.revision` of its HelmChart when the chart comes from the repository;
    `config_token` is our request when the commit changes only data that `valuesFrom` reads, which raises no generation.
    """
    del tolerance  # every engine's judge takes it; nothing here depends on it
    ready, stalled = flux.condition(obj, "Ready"), flux.condition(obj, "Stalled")
    generation, observed = flux.generation(obj), text(obj, "status", "lastAttemptedRevision")
    tried = get(obj, "status", "lastAttemptedGeneration") == generation is not None
    bad = bad_resources(ready.message)
    if flux.deleting(obj):
        return verdict(State.FAILED, "DELETING", "the HelmRelease is being deleted", observed=observed)
    if flux.suspended(obj):  # its observedGeneration is raised all the same, and Ready may still be True
        message = "the HelmRelease is suspended"
        return verdict(State.BLOCKED, "SUSPENDED", message, observed=observed, action=Action.RESUME)
    if ready.true and ready.generation == generation and _seen(obj, chart_revision, config_token):
        return verdict(State.SUCCEEDED, ready.reason or "READY", ready.message, observed=observed)
    if stalled.true and stalled.generation == generation is not None:
        message = ready.message or stalled.message
        return verdict(State.FAILED, stalled.reason or "STALLED", message, observed=observed, resources=bad)
    remedied = flux.condition(obj, "Remediated").true or ready.reason in _REMEDIES
    if ready.false and tried and remedied:
        return verdict(State.FAILED, ready.reason or "REMEDIATED", ready.message, observed=observed, resources=bad)
    action = Action.NONE if _seen(obj, chart_revision, config_token) else Action.NUDGE
    reason = ready.reason or "NO_STATUS"
    return verdict(State.PENDING, reason, ready.message, observed=observed, resources=bad, action=action)


def _seen(obj: Object, chart_revision: str, config_token: str) -> bool:
    """Whether the last attempt was with this spec, this chart and, where asked for, these values."""
    generation, attempted = flux.generation(obj), text(obj, "status", "lastAttemptedRevision")
    if generation is None or {
        get(obj, "status", "observedGeneration") == generation,
        get(obj, "status", "lastAttemptedGeneration") == generation,
    } != {True}:
        return False
    if chart_revision and attempted not in {chart_revision, chart_revision.removeprefix("v")}:
        return False
    return not config_token or text(obj, "status", "lastHandledReconcileAt") == config_token
