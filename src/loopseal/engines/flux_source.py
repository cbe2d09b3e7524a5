"""Does the source offer the commit? GitRepository, HelmChart, and what tells the commit it was made from.

Lives here: the steps of `judge_source`. Does not: what is applied from it (`flux_kustomization`).
"""

from __future__ import annotations

from typing import Final

from loopseal.domain.revision import Action, Relation, State, Tolerance, Verdict
from loopseal.engines import flux_object as flux
from loopseal.engines.fields import Object, text
from loopseal.engines.flux_look import Look, Step, first
from loopseal.engines.relations import Oracle


def judge_source(
    obj: Object, wanted: str, relation: Oracle, tolerance: Tolerance, *, acknowledged: bool = False
) -> Verdict:
    """What `obj` means for `wanted`; SUCCEEDED means fetched, not applied. Total: whatever JSON `obj` is, this answers.

    `acknowledged` says that a pass which began after the push has ended: only then is an old artifact, or a refused
    signature, news.
    """
    artifact = text(obj, "status", "artifact", "revision")
    look = Look(obj, wanted, relation, tolerance, artifact, acknowledged)
    return first(look, _STEPS) or _not_fetched(look)


def _deleting(look: Look) -> Verdict | None:
    if flux.deleting(look.obj):
        return look.say(State.FAILED, "SOURCE_DELETING", "the source is being deleted")
    return None


def _fetched(look: Look) -> Verdict | None:
    """Counts even when a newer fetch fails, or when it was suspended since."""
    if look.arrived(flux.source_commit(look.obj)):
        return look.say(State.SUCCEEDED, "ARTIFACT_AT_COMMIT")
    return None


def _suspended(look: Look) -> Verdict | None:
    if flux.suspended(look.obj):
        return look.say(State.BLOCKED, "SUSPENDED", "the source is suspended", Action.RESUME)
    return None


def _stalled(look: Look) -> Verdict | None:
    stalled = look.condition("Stalled")
    if stalled.true and (look.current(stalled) or stalled.generation is None):
        return look.say(State.FAILED, stalled.reason or "STALLED", stalled.message)
    return None


def _refused(look: Look) -> Verdict | None:
    """Flux verifies the branch's head. What it refuses is named: an older head is not ours, a later one holds ours."""
    verified = look.condition("SourceVerified")
    if not verified.false or not look.acknowledged:
        return None
    match look.relation(flux.refused_commit(look.obj)):
        case Relation.ANCESTOR:
            return look.say(State.PENDING, "NOT_FETCHED", verified.message, Action.NUDGE)
        case Relation.DESCENDANT:
            return look.say(State.FAILED, "SIGNATURE_REJECTED_AT_LATER_COMMIT", verified.message)
        case Relation.EQUAL | Relation.DIVERGED | Relation.UNKNOWN:
            return look.say(State.FAILED, "SIGNATURE_REJECTED", verified.message)


def _fetch_failed(look: Look) -> Verdict | None:
    failed = look.condition("FetchFailed")
    if failed.true:
        return look.say(State.PENDING, "FETCH_FAILED", failed.message, Action.NUDGE)
    return None


def _elsewhere(look: Look) -> Verdict | None:
    relation = look.relation(flux.source_commit(look.obj))
    if relation is Relation.DIVERGED and look.acknowledged and look.condition("Ready").true:
        return look.say(State.SUPERSEDED, "DIVERGED", "the tracked branch no longer contains the commit")
    if look.tolerance.exact and relation is Relation.DESCENDANT:
        return look.say(State.SUPERSEDED, "LATER_COMMIT", "a later commit was fetched instead")
    return None


def _not_fetched(look: Look) -> Verdict:
    commit = flux.source_commit(look.obj)
    if look.observed and not commit:
        message = "the artifact does not tell which commit it was made from"
        return look.say(State.PENDING, "ORIGIN_UNKNOWN", message, Action.NUDGE)
    if commit and look.relation(commit) is Relation.UNKNOWN:
        return look.say(State.PENDING, "ANCESTRY_UNKNOWN", "the repository has not told yet what this commit is")
    return look.say(State.PENDING, "NOT_FETCHED", "", Action.NUDGE)


_STEPS: Final[tuple[Step, ...]] = (
    _deleting,
    _fetched,
    _suspended,
    _stalled,
    _refused,
    _fetch_failed,
    _elsewhere,
)
