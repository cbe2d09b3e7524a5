"""Has the Kustomization applied the commit, and is it healthy?

Lives here: the steps of `judge_kustomization`. Does not: the source (`flux_source`), the objects that were applied
(`flux_inventory`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from loopseal.domain.revision import Action, Relation, State, Tolerance, Verdict
from loopseal.engines import flux_object as flux
from loopseal.engines.fields import Object, Timer, get, pin, seconds, since, stop_others, text, texts
from loopseal.engines.flux_inventory import judge_objects, reads_objects
from loopseal.engines.flux_look import Live, Look, Step, attempted, first
from loopseal.engines.relations import Oracle

TIMERS: Final = {
    "ready": Timer(frozenset({"SETTLING", "APPLIED", "RECONCILING"}), lambda given: given.settle),
    "objects_failed": Timer(frozenset({"OBJECTS_FAILED"}), lambda given: given.degraded_grace),
}
"""The clocks of the memory. A pass at the same revision does not undo being ready."""
_KEPT_PASSES: Final = 20


def judge_kustomization(  # noqa: PLR0917 - what is judged, then time, memory and tolerance: always all of them
    obj: Object,
    wanted: str,
    relation: Oracle,
    now: float,
    memory: dict[str, Any],
    tolerance: Tolerance,
    *,
    origin: Object | None = None,
    objects: Live | None = None,
) -> Verdict:
    """What `obj` means for `wanted`. Total: whatever JSON `obj` is, this answers.

    `origin` is the source object it applies, where it is at hand: a path that is missing in the commit, and an older
    revision that holds the controller, can only be told with it. `objects` are those of its inventory as they are in
    the cluster, to be read when `reads_objects` asks for them.
    """
    pin(memory, obj)
    look = Look(obj, wanted, relation, tolerance, _shown(obj), False, now, memory, origin, objects)
    said = first(look, _STEPS) or _progress(look)
    stop_others(memory, TIMERS, said.reason)
    return said


def with_dependency(said: Verdict, name: str, dependency: Verdict) -> Verdict:
    """`said`, when it waits for the dependency `name`, with what that one's own judgement says as the reason."""
    if said.reason != "DependencyNotReady":
        return said
    told = f"waits for {name}: {dependency.reason}: {dependency.message}"[:2000]
    if dependency.state is State.FAILED:
        reason, state = "DEPENDENCY_FAILED", State.FAILED
    elif dependency.state is State.BLOCKED:
        reason, state = "DEPENDENCY_BLOCKED", State.BLOCKED
    else:
        reason, state = said.reason, said.state
    return replace(said, state=state, reason=reason, message=told, resources=dependency.resources)


def _shown(obj: Object) -> str:
    applied = text(obj, "status", "lastAppliedRevision")
    return applied if flux.condition(obj, "Ready").true else attempted(obj) or applied


def _at_rest(look: Look) -> bool:
    """Whether what was tried last is what was applied last, and holds the wanted commit."""
    applied = text(look.obj, "status", "lastAppliedRevision")
    return applied == attempted(look.obj) and look.arrived(flux.applied_commit(look.obj))


def _deleting(look: Look) -> Verdict | None:
    if flux.deleting(look.obj):
        return look.say(State.FAILED, "DELETING", "the Kustomization is being deleted")
    return None


def _applied(look: Look) -> Verdict | None:
    """Flux's own tests define success this way (kustomize-controller 1.9, `suite_test.go`); here with the revision."""
    ready, generation = look.condition("Ready"), flux.generation(look.obj)
    observed = get(look.obj, "status", "observedGeneration")
    if not (ready.true and look.current(ready) and observed == generation and _at_rest(look)):
        return None
    look.memory["reached"] = [flux.applied_commit(look.obj)]
    if reads_objects(look.obj, look.tolerance):
        said = judge_objects(look.objects, since(look.memory, "objects_failed", look.now), look.tolerance)
        if said is not None:
            return replace(said, observed=look.observed)
    if since(look.memory, "ready", look.now) < look.tolerance.settle:
        return look.say(State.PENDING, "SETTLING", ready.message)
    return look.say(State.SUCCEEDED, "APPLIED", ready.message)


def _went_back(look: Look) -> Verdict | None:
    applied = flux.applied_commit(look.obj)
    for earlier in texts(look.memory, "reached"):
        if applied and not look.arrived(applied) and look.ask(applied, earlier) is Relation.ANCESTOR:
            return look.say(State.REGRESSED, "REVISION_WENT_BACK", f"{earlier[:12]} -> {applied[:12]}", Action.NUDGE)
    return None


def _suspended(look: Look) -> Verdict | None:
    if flux.suspended(look.obj):
        return look.say(State.BLOCKED, "SUSPENDED", "the Kustomization is suspended", Action.RESUME)
    return None


def _stalled(look: Look) -> Verdict | None:
    stalled = look.condition("Stalled")
    if stalled.true and (look.current(stalled) or stalled.generation is None):
        return look.say(State.FAILED, stalled.reason or "STALLED", stalled.message, named=True)
    return None


def _failing(look: Look) -> Verdict | None:
    """A failed pass. Flux will try again, and says `InProgress` all the while: it is we who count."""
    ready = look.condition("Ready")
    if not (ready.false and look.current(ready)):
        return None
    if ready.reason in {"DependencyNotReady", "HealthCheckCanceled"}:
        return look.say(State.PENDING, ready.reason, ready.message)
    if look.arrived(flux.attempted_commit(look.obj)):
        return _counted(look, attempted(look.obj), Action.NUDGE)
    if ready.reason == "ArtifactFailed":
        return _artifact_failed(look)
    return look.say(State.PENDING, "OLDER_REVISION_FAILING", ready.message, Action.NUDGE, named=True)


def _artifact_failed(look: Look) -> Verdict:
    """A missing path or a failed download never becomes `lastAttemptedRevision`: the source tells what was tried."""
    changed = seconds(look.condition("Ready").changed)
    fetched = seconds(look.origin, "status", "artifact", "lastUpdateTime")
    ours = look.origin is not None and look.arrived(flux.source_commit(look.origin))
    if ours and changed is not None and fetched is not None and changed > fetched:
        return _counted(look, text(look.origin, "status", "artifact", "revision"), Action.NUDGE)
    return look.say(State.PENDING, "ARTIFACT_FAILED", look.condition("Ready").message, Action.NUDGE)


def _counted(look: Look, revision: str, action: Action) -> Verdict:
    """FAILED after so many passes. One pass writes several events of one transition time: passes are told by that."""
    ready = look.condition("Ready")
    passes = [one for one in texts(look.memory, "passes") if one][-_KEPT_PASSES:]
    this = f"{revision[:300]}|{ready.changed[:40]}"
    if this not in passes:
        passes.append(this)
    look.memory["passes"] = passes
    reason = ready.reason or "FAILED"
    if len(passes) >= min(look.tolerance.failed_passes, _KEPT_PASSES):
        return look.say(State.FAILED, reason, ready.message, named=True)
    return look.say(State.PENDING, f"FAILED_ONCE_{reason}", ready.message, action, named=True)


def _progress(look: Look) -> Verdict:
    message = look.condition("Reconciling").message or look.condition("Ready").message
    if _at_rest(look) and not look.condition("Ready").false:
        return look.say(State.PENDING, "RECONCILING", message)
    if look.arrived(flux.attempted_commit(look.obj)):
        return look.say(State.PENDING, "PROGRESSING", message)
    if _held_by_older(look):
        return look.say(State.PENDING, "OLDER_REVISION_RUNNING", f"the commit is fetched, but {message}")
    return look.say(State.PENDING, "NOT_ATTEMPTED", message, Action.NUDGE)


def _held_by_older(look: Look) -> bool:
    """Whether the commit is there and the controller still checks the health of an older one, up to its time limit."""
    if look.origin is None or not look.arrived(flux.source_commit(look.origin)):
        return False
    older = look.relation(flux.attempted_commit(look.obj)) is Relation.ANCESTOR
    return older and look.condition("Reconciling").true and not look.condition("Ready").true


_STEPS: Final[tuple[Step, ...]] = (_deleting, _applied, _went_back, _suspended, _stalled, _failing)
