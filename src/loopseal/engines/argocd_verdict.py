"""What one Argo CD Application means for one wanted commit: an ordered list of steps, each of which may decide.

Proven against recordings of Argo CD 3.2 (`tests/recorded/argocd`). The rule of success, in one line: no operation,
every source of ours at the commit or a descendant, compared with the current spec, Synced, compared after the last
operation ended, Healthy for a while, and no failed operation at the commit.

`memory` is plain JSON, is changed in place and may be serialised between any two calls. `now` is seconds since 1970.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from loopseal.domain.revision import Action, Relation, State, Tolerance, Verdict
from loopseal.engines import argocd_application as application
from loopseal.engines.argocd_application import is_commit, positions, resources
from loopseal.engines.argocd_hydrator import awaits_promotion, dry_revisions, judge_rendering, rendered
from loopseal.engines.argocd_look import Look
from loopseal.engines.argocd_operation import operating, operation_failed
from loopseal.engines.argocd_preflight import preflight, with_windows
from loopseal.engines.fields import (
    Memory,
    Object,
    Timer,
    flag,
    get,
    items,
    pin,
    seconds,
    since,
    stop_others,
    text,
    texts,
)
from loopseal.engines.relations import Oracle, arrived

__all__ = [
    "HEALTHS",
    "TIMERS",
    "Oracle",
    "judge",
    "positions",
    "preflight",
    "questions",
    "resources",
    "revisions",
    "with_windows",
]

_BLIND: Final = ("InvalidSpecError", "ComparisonError", "UnknownError")
"""Conditions under which `status.sync` says nothing about the commit it names."""
_UNSIGNED: Final = re.compile(
    r"is not signed, but a signature is required"
    r"|key \S+, but (?:this key is not allowed|verification result was invalid)"
    r"|Could not verify commit signature"
)
_NAMED: Final = re.compile(r"\[([0-9a-f]{40}(?:[0-9a-f]{24})?)\]")
TIMERS: Final = {
    "comparison_failed": Timer(frozenset(_BLIND), lambda given: given.error_grace),
    "wedged": Timer(
        frozenset({"WAITING_FOR_AUTO_SYNC", "AUTO_SYNC_NOT_STARTING", "SYNC_FAILED"}), lambda given: given.wedge
    ),
    "drifted": Timer(frozenset({"OUT_OF_SYNC_AFTER_SYNC"}), lambda given: given.drift_grace),
    "lagging": Timer(frozenset({"SOURCE_LAGGING"}), lambda given: given.wedge),
    "degraded": Timer(
        frozenset({"HEALTH_DEGRADED", "HEALTH_MISSING", "DEGRADED", "MISSING"}), lambda given: given.degraded_grace
    ),
    "healthy": Timer(frozenset({"SETTLING", "HEALTHY"}), lambda given: given.settle),
}
"""The clocks of the memory: how long something must last until it means more than at first."""
_HEALTH: Final = frozenset({"Progressing", "Degraded", "Suspended", "Missing"})
HEALTHS: Final = frozenset({"HEALTH_UNKNOWN", *(f"HEALTH_{one.upper()}" for one in _HEALTH)})
"""Reasons for which nothing is missing but health."""


def judge(  # noqa: PLR0917 - the four things that are judged, then time, memory and tolerance: always all of them
    app: Object,
    wanted: str,
    positions: Sequence[int],
    relation: Oracle,
    now: float,
    memory: dict[str, Any],
    tolerance: Tolerance,
    *,
    baseline: Sequence[str] = (),
    refreshed: bool = False,
) -> Verdict:
    """What `app` means for `wanted`. Total: whatever JSON `app` is, this answers.

    `positions` are those of our repository among the sources; `baseline` are the revisions that were shown before the
    commit landed; `refreshed` says that a refresh which we asked for after the push was seen done. Only such a
    refresh proves that an error, or a branch without the commit, is news: Argo CD hides repository errors for a while.
    """
    pin(memory, app)
    look = Look(app, wanted, tuple(positions), relation, now, memory, tolerance, tuple(baseline), refreshed)
    said = _first(look, _GATES) or (_hydrated(look) if application.uses_hydrator(app) else _applied(look))
    stop_others(memory, TIMERS, said.reason)
    return said


def revisions(app: Object) -> frozenset[str]:
    """Every full commit id in `app` whose relation to the wanted commit `judge` may ask for."""
    named = _NAMED.findall(application.conditions(app).get("SyncError", ""))
    found = (*application.observed_revisions(app), *application.operation_revisions(app), *dry_revisions(app), *named)
    return frozenset(filter(is_commit, found))


def questions(app: Object, wanted: str, memory: Memory, *, baseline: Sequence[str] = ()) -> frozenset[tuple[str, str]]:
    """Every pair (observed, other) whose relation `judge` may ask for: for those who must look it up before."""
    against = {wanted, rendered(app), *baseline, *texts(memory, "reached"), *application.operation_revisions(app)}
    return frozenset((one, other) for one in revisions(app) for other in against if is_commit(other) and one != other)


_Step = Callable[[Look], Verdict | None]


def _hydrated(look: Look) -> Verdict:
    """Two stages: until the wanted commit is rendered, then the rendered one is what is wanted."""
    rendering = judge_rendering(look.app, look.wanted, look.ask, look.tolerance)
    said = rendering or _applied(replace(look, wanted=rendered(look.app)))
    if said.reason == "NOT_OBSERVED" and awaits_promotion(look.app):
        return replace(said, reason="AWAITING_PROMOTION", action=Action.NONE)
    return said


def _applied(look: Look) -> Verdict:
    return _first(look, _STEPS) or _health(look)


def _first(look: Look, steps: Sequence[_Step]) -> Verdict | None:
    return next((said for step in steps if (said := step(look)) is not None), None)


def _deleting(look: Look) -> Verdict | None:
    if get(look.app, "metadata", "deletionTimestamp"):
        return look.say(State.FAILED, "APP_DELETING", "the application is being deleted")
    return None


def _skipped(look: Look) -> Verdict | None:
    if text(look.app, "metadata", "annotations", application.SKIP_RECONCILE) == "true":
        return look.say(State.BLOCKED, "SKIP_RECONCILE", f"annotation {application.SKIP_RECONCILE}=true", Action.RESUME)
    return None


def _comparison_failed(look: Look) -> Verdict | None:
    """While a comparison fails, the status names a commit, or only the ref, and says nothing about it."""
    told = application.conditions(look.app)
    failed = next((one for one in _BLIND if one in told), None)
    if failed is None:
        return None
    message = told[failed]
    if _UNSIGNED.search(message) and look.observed and all(map(look.arrived, look.observed)):
        exact = all(one == look.wanted for one in look.observed)  # here the status does name the refused commit
        return look.say(State.FAILED, "SIGNATURE_REJECTED" if exact else "SIGNATURE_REJECTED_AT_LATER_COMMIT", message)
    lasted = since(look.memory, "comparison_failed", look.now)
    if look.refreshed and lasted >= look.tolerance.error_grace:
        return look.say(State.FAILED, failed, message, named=True)
    return look.say(State.PENDING, failed, message, Action.NUDGE)


def _sync_refused(look: Look) -> Verdict | None:
    """Argo CD refuses to start a sync. Its message names the commits: an older one's refusal is not ours."""
    message = application.conditions(look.app).get("SyncError")
    if message is None or not any(map(look.arrived, look.observed)):
        return None
    named = _NAMED.findall(message)
    if named and all(look.relation(one, look.wanted) is Relation.ANCESTOR for one in named):
        return None
    return look.say(State.FAILED, "SYNC_ERROR", message, named=True)


def _not_observed(look: Look) -> Verdict | None:
    if not look.observed or len(look.observed) < len(look.positions):
        return look.say(State.PENDING, "NOT_OBSERVED", "no revision in the status", Action.NUDGE)
    if not all(map(is_commit, look.observed)):
        named = f"status.sync.revision is {','.join(look.observed)!r}"
        return look.say(State.PENDING, "NOT_RESOLVED", named, Action.NUDGE)
    relations = [look.relation(one, look.wanted) for one in look.observed]
    if Relation.UNKNOWN in relations:
        return look.say(State.PENDING, "ANCESTRY_UNKNOWN", "the repository has not told yet what this commit is")
    if all(arrived(one, look.tolerance) for one in relations):
        look.memory["reached"] = list(look.observed)
        return None
    return _elsewhere(look, relations)


def _elsewhere(look: Look, relations: Sequence[Relation]) -> Verdict:
    """Every commit is known and not all hold ours: moved back, moved away, passed by, or not there yet."""
    before = texts(look.memory, "reached") or look.at(look.baseline)
    for earlier, seen in zip(before, look.observed, strict=False):
        if look.relation(seen, earlier) is Relation.ANCESTOR:
            return look.say(State.REGRESSED, "REVISION_WENT_BACK", f"{earlier[:12]} -> {seen[:12]}", Action.NUDGE)
    if Relation.DIVERGED in relations and look.refreshed:
        return look.say(State.SUPERSEDED, "DIVERGED", "the tracked branch no longer contains the commit")
    if look.tolerance.exact and Relation.DESCENDANT in relations:
        return look.say(State.SUPERSEDED, "LATER_COMMIT", "a later commit was applied instead")
    if any(arrived(one, look.tolerance) for one in relations):
        return _lagging(look)
    return look.say(State.PENDING, "NOT_OBSERVED", "the last comparison was with an older commit", Action.NUDGE)


def _lagging(look: Look) -> Verdict:
    """Several sources are this repository and one stays behind (`$values` with a stale cache)."""
    lasted = since(look.memory, "lagging", look.now)
    state = State.REGRESSED if lasted >= look.tolerance.wedge else State.PENDING
    return look.say(state, "SOURCE_LAGGING", "one source of this repository shows an older commit", Action.NUDGE)


def _other_spec(look: Look) -> Verdict | None:
    if application.compared_to_spec(look.app):
        return None
    return look.say(State.PENDING, "SPEC_NOT_COMPARED", "the status is not yet about the current spec", Action.NUDGE)


def _not_synced(look: Look) -> Verdict | None:
    if look.sync == "Synced":
        return None
    if look.sync != "OutOfSync":
        return look.say(State.PENDING, "SYNC_UNKNOWN", "", Action.NUDGE)
    if not application.automated(look.app):
        return _needs_sync(look)
    if _only_pruning(look):
        return look.say(State.BLOCKED, "NEEDS_PRUNE", "only pruning is left and automated prune is off", named=True)
    if look.phase == "Succeeded" and look.operated_to_wanted and not _policy(look, "selfHeal"):
        drifted = since(look.memory, "drifted", look.now) >= look.tolerance.drift_grace
        state = State.FAILED if drifted else State.PENDING
        return look.say(state, "OUT_OF_SYNC_AFTER_SYNC", "synced to the commit, and still it differs", named=True)
    if since(look.memory, "wedged", look.now) >= look.tolerance.wedge:
        hint = "nobody starts the sync: look for a sync window, or a condition on the project"
        # when what held it is gone (a window has opened), Argo CD starts at its next comparison, and not before
        return look.say(State.PENDING, "AUTO_SYNC_NOT_STARTING", hint, Action.NUDGE, named=True)
    return look.say(State.PENDING, "WAITING_FOR_AUTO_SYNC", named=True)


def _needs_sync(look: Look) -> Verdict:
    if owner := application.owner(look.app):
        hint = (
            f"automated sync is off and ApplicationSet {owner} owns the application: with a RollingSync its turn comes"
        )
        return look.say(State.PENDING, "WAITING_FOR_ROLLING_SYNC", hint, named=True)
    return look.say(State.PENDING, "NEEDS_SYNC", "automated sync is off", Action.SYNC, named=True)


def _only_pruning(look: Look) -> bool:
    differing = application.out_of_sync(look.app)
    return bool(differing) and all(flag(one, "requiresPruning") for one in differing) and not _policy(look, "prune")


def _policy(look: Look, name: str) -> bool:
    return flag(look.app, "spec", "syncPolicy", "automated", name)


def _compared_too_early(look: Look) -> Verdict | None:
    """Times have one second: a comparison in the very second in which the operation ended may be older than it."""
    ended = seconds(look.app, "status", "operationState", "finishedAt")
    compared = seconds(look.app, "status", "reconciledAt")
    if ended is None or application.dry_run(look.app) or (compared is not None and compared > ended):
        return None
    return look.say(State.PENDING, "NOT_RECONCILED_SINCE_SYNC", "not compared since the sync ended", Action.NUDGE)


def _health(look: Look) -> Verdict:
    health = text(look.app, "status", "health", "status")
    message = text(look.app, "status", "health", "message")
    if health == "Healthy" or (health == "Suspended" and look.tolerance.accept_suspended):
        return _strictly_healthy(look) or _settled(look)
    if health in {"Degraded", "Missing"} and since(look.memory, "degraded", look.now) >= look.tolerance.degraded_grace:
        return look.say(State.FAILED, health.upper(), message, named=True)
    known = health.upper() if health in _HEALTH else "UNKNOWN"
    return look.say(State.PENDING, f"HEALTH_{known}", message, Action.NUDGE, named=True)


def _strictly_healthy(look: Look) -> Verdict | None:
    """With `strict_health` every resource counts: Argo CD leaves missing ones and child applications out."""
    if not look.tolerance.strict_health:
        return None
    fine = {"", "Healthy", "Suspended"} if look.tolerance.accept_suspended else {"", "Healthy"}
    if all(text(one, "health", "status") in fine for one in items(look.app, "status", "resources")):
        return None
    return look.say(State.PENDING, "RESOURCES_NOT_HEALTHY", "healthy as a whole, but not every resource is", named=True)


def _settled(look: Look) -> Verdict:
    if since(look.memory, "healthy", look.now) < look.tolerance.settle:
        return look.say(State.PENDING, "SETTLING")
    return look.say(State.SUCCEEDED, "HEALTHY")


_GATES: Final[tuple[_Step, ...]] = (_deleting, _skipped)
_STEPS: Final[tuple[_Step, ...]] = (
    _comparison_failed,
    operating,
    operation_failed,
    _sync_refused,
    _not_observed,
    _other_spec,
    _not_synced,
    _compared_too_early,
)
