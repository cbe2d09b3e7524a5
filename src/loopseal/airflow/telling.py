"""How an outcome is told to Airflow: logs, XCom, asset events, and the exception that fits.

AirflowFailException is for a no that another try would only repeat; AirflowException is for what may pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from loopseal.airflow.outcome import Outcome, references, story
from loopseal.domain.change import Phase
from loopseal.errors import LoopsealError, Unreachable

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.definitions.context import Context

    from loopseal.airflow.compat import AirflowException
    from loopseal.airflow.looking import Sight
    from loopseal.ports import Evidence


def tell(operator: BaseOperator, context: Context, outcome: Outcome) -> dict[str, Any]:
    """Log it, then return the references of a change that went well or raise for one that did not."""
    from loopseal.airflow.compat import AirflowException, AirflowFailException

    refs = references(outcome)
    change = outcome.of(outcome.change)
    landed = change is not None and change.phase in {Phase.COMMITTED, Phase.RECONCILED}
    done = change is not None and change.phase is Phase.HEALTHY
    if done or (landed and outcome.failure is None and not getattr(operator, "wait", True)):
        operator.log.info("change %s is %s at %s", outcome.change, refs["phase"], refs["revision"] or "no commit")
        publish(operator, context, refs)
        return refs
    log_evidence(operator.log, outcome.evidence)
    context["ti"].xcom_push("failed", refs)
    text = story(outcome)
    if outcome.failure is not None and outcome.failure.again:
        raise AirflowException(text)
    raise AirflowFailException(text)


def raised(error: LoopsealError) -> AirflowException:
    """What to raise for an error that came before there was anything to tell."""
    from loopseal.airflow.compat import AirflowException, AirflowFailException

    kind = AirflowException if isinstance(error, Unreachable) else AirflowFailException
    return kind(error.diagnostics())


def said(target: str, sight: Sight) -> str:
    """What was seen last, for people."""
    if sight.failure is not None:
        return sight.failure.text
    verdict = sight.verdict
    late = "not in time: " if sight.expired else ""
    where = verdict.application or target
    lines = [f"{where} is {late}{verdict.state} {verdict.reason}: {verdict.message}".rstrip(": ")]
    return "\n".join([*lines, *(f"  {resource}" for resource in verdict.resources[:10])])


def log_evidence(log: Any, evidence: Evidence) -> None:
    """Everything that was seen around a failure, each part in a group of its own."""
    for title, text in evidence.sections:
        log.info("::group::%s", title)
        for line in text.splitlines():
            log.info("%s", line)
        log.info("::endgroup::")
    for title, url in evidence.links:
        log.info("%s: %s", title, url)


def publish(operator: BaseOperator, context: Context, refs: Mapping[str, Any]) -> None:
    """Every asset among the task's outlets gets an event that says which change made it."""
    from airflow.sdk import Asset

    extra = {name: refs[name] for name in ("change", "revision", "target") if refs.get(name)}
    for outlet in operator.outlets or ():
        if isinstance(outlet, Asset):
            accessor = context["outlet_events"][outlet]
            accessor.extra = {**accessor.extra, **extra}
