"""What an operation of Argo CD, asked for, running or failed, means for the wanted commit.

Lives here: the two steps of `argocd_verdict.judge` that read `operation` and `status.operationState`. A Succeeded
operation proves nothing by itself: with a single wave it returns before anything is healthy, it may have been a dry run
or for some resources only. So there is no step for it; the comparison after it decides.
"""

from __future__ import annotations

from dataclasses import replace

from loopseal.domain.revision import Action, Relation, State, Verdict
from loopseal.engines import argocd_application as application
from loopseal.engines.argocd_look import Look
from loopseal.engines.fields import get, number, seconds, since


def operating(look: Look) -> Verdict | None:
    """An operation is asked for or running: nothing else counts until it ends."""
    if get(look.app, "operation") is None and look.phase not in {"Running", "Terminating"}:
        return None
    message = look.operation_message
    if look.phase == "Running" and "blocked by sync window" in message:
        return look.say(State.BLOCKED, "SYNC_WINDOW", message)
    if _held_by_older(look):
        held = f"sync of {','.join(look.operated)} blocks {look.wanted[:12]}: {message}"
        return look.say(State.BLOCKED, "OLD_OPERATION_RUNNING", held, Action.TERMINATE, named=True)
    if look.phase == "Running" and seconds(look.app, "status", "operationState", "finishedAt") is not None:
        return _between_attempts(look)
    if "deletion confirmation" in message:
        return look.say(State.BLOCKED, "DELETION_CONFIRMATION", message)
    phase = look.phase if look.phase in {"Running", "Terminating"} else "Requested"
    return look.say(State.PENDING, f"OPERATION_{phase.upper()}", message)


def _held_by_older(look: Look) -> bool:
    """Whether an operation for an ancestor has run for too long; unlimited retries would hide it for ever."""
    started = seconds(look.app, "status", "operationState", "startedAt")
    if started is None or look.now - started <= look.tolerance.old_operation or look.operated_to_wanted:
        return False
    return any(look.relation(one, look.wanted) is Relation.ANCESTOR for one in look.operated)


def _between_attempts(look: Look) -> Verdict:
    """Running with an end time: Argo CD waits before its next attempt (5 of them when nothing is configured)."""
    attempts = int(number(look.app, "status", "operationState", "retryCount"))
    enough = look.tolerance.failed_syncs
    if look.operated_to_wanted and enough and attempts >= enough:
        said = look.say(State.FAILED, "SYNC_FAILED_RETRYING", look.operation_message, Action.TERMINATE, named=True)
        return replace(said, observed=",".join(look.operated))
    return look.say(State.PENDING, "RETRY_BACKOFF", f"attempt {attempts} failed: {look.operation_message}", named=True)


def operation_failed(look: Look) -> Verdict | None:
    """The operation for the commit ended badly, unless a later commit is just about to be synced."""
    if look.phase not in {"Failed", "Error"} or not look.operated_to_wanted or application.dry_run(look.app):
        return None
    if application.partial(look.app) and look.sync == "Synced":
        return None  # of some resources only, and all is in place: not the commit's failure
    if _later_is_due(look) and since(look.memory, "wedged", look.now) < look.tolerance.wedge:
        return look.say(State.PENDING, "WAITING_FOR_AUTO_SYNC", "the operation failed, but a later commit is observed")
    exact = all(one == look.wanted for one in look.operated)
    message = application.conditions(look.app).get("SyncError") or look.operation_message
    said = look.say(State.FAILED, "SYNC_FAILED" if exact else "SYNC_FAILED_AT_LATER_COMMIT", message, named=True)
    return replace(said, observed=",".join(look.operated))


def _later_is_due(look: Look) -> bool:
    if look.tolerance.exact or not application.automated(look.app) or look.sync != "OutOfSync":
        return False
    if "SyncError" in application.conditions(look.app):
        return False
    pairs = zip(look.observed, look.operated, strict=False)
    return any(look.relation(seen, tried) is Relation.DESCENDANT for seen, tried in pairs)
