"""One change on its way, in whatever process: driven to its end through every passing trouble, or taken back by a kill.

The order says what is to be done and until when; it is plain data, so that it can travel to a trigger.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from loopseal import usecases
from loopseal.airflow.ledger import TaskLedger
from loopseal.airflow.outcome import Failure, Outcome
from loopseal.domain.change import Change, Phase, Withdrawn, replay
from loopseal.domain.identity import Actor
from loopseal.domain.proposal import Target
from loopseal.domain.revision import Verdict
from loopseal.errors import ConfigError, LoopsealError, Unreachable
from loopseal.ports import Behalf, Evidence, Repository, on_behalf_of
from loopseal.usecases import OnFailure, Progress, World

LOOK: Final = timedelta(minutes=2)
"""However late an order is taken up again, it gets this long to see what has become of the change."""

GRACE: Final = timedelta(hours=1)
"""An errand ends this long after its deadline, whatever hangs: the longest that a revert should take."""

PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between attempts while a peer cannot be reached; the last one repeats."""

LANDED: Final = frozenset({Phase.COMMITTED, Phase.RECONCILED, Phase.HEALTHY, Phase.FAILED, Phase.SUPERSEDED})


class Log(Protocol):
    """What is needed of a logger, whichever Airflow gives."""

    def info(self, event: str, /, *args: Any) -> Any:
        """A line."""
        ...

    def warning(self, event: str, /, *args: Any) -> Any:
        """A line that stands out."""
        ...


Links = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done with a change. `dag` is the id of the asking Dag; `on_kill` is `keep` or `revert`."""

    change: str
    deadline: datetime
    on_failure: OnFailure = OnFailure.FAIL
    wait: bool = True
    dag: str = ""
    on_kill: str = "keep"

    def dump(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "change": self.change,
            "deadline": self.deadline.isoformat(),
            "on_failure": str(self.on_failure),
            "wait": self.wait,
            "dag": self.dag,
            "on_kill": self.on_kill,
        }

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Order:
        """The order that `dump` wrote."""
        fields = {
            **data,
            "deadline": datetime.fromisoformat(data["deadline"]),
            "on_failure": OnFailure(data["on_failure"]),
        }
        return cls(**fields)


async def carry_out(world: World, ledger: TaskLedger, order: Order, log: Log) -> Outcome:
    """Drive the change until it is closed or time is up. Raises nothing of ours: errors are part of the outcome.

    What passes (a peer that is down) is sat out until the order's deadline; what does not is answered at once.
    """
    errand = _Errand(world, order, log)
    deadline = max(order.deadline, world.clock.now() + LOOK)
    try:
        async with asyncio.timeout((deadline + GRACE - world.clock.now()).total_seconds()):
            failure = await _persist(errand, world, deadline, log)
    except TimeoutError:
        failure = Failure("unexpected", f"gave up {GRACE} after the deadline: something hangs", again=True)
    return outcome(world, ledger, order.change, failure, errand)


async def _persist(errand: _Errand, world: World, deadline: datetime, log: Log) -> Failure | None:
    attempt = 0
    while True:
        try:
            await errand.go(deadline)
        except Unreachable as error:
            left = (deadline - world.clock.now()).total_seconds()
            if left <= 0:
                return Failure.of(error)
            pause = min(max(error.retry_after or 0.0, PAUSES[min(attempt, len(PAUSES) - 1)]), left)
            attempt += 1
            log.warning("%s; trying again in %.0f s", error, pause)
            await world.clock.sleep(pause)
        except LoopsealError as error:
            return Failure.of(error)
        else:
            return None


class _Errand:
    """One run of the verbs, and what is picked up on the way."""

    def __init__(self, world: World, order: Order, log: Log) -> None:
        self._world, self._order, self._log = world, order, log
        self.evidence, self.notes = Evidence(), list[str]()
        self._said = ""

    async def go(self, deadline: datetime) -> None:
        order = self._order
        if not order.wait:
            await usecases.commit(self._world, order.change)
            return
        steps: AsyncGenerator[Progress, None] = usecases.drive(
            self._world, order.change, deadline=deadline, on_failure=order.on_failure, dag=order.dag
        )
        async with aclosing(steps):
            async for step in steps:
                await self._pick_up(step)

    async def _pick_up(self, step: Progress) -> None:
        change, verdict = step.change, step.verdict
        self._tell(step)
        if step.note and change.id == self._order.change and step.note not in self.notes and change.closed:
            self.notes.append(step.note)
        if change.phase is Phase.FAILED and verdict is not None and not self.evidence.sections:
            self.evidence = await _evidence(self._world, change, verdict)

    def _tell(self, step: Progress) -> None:
        verdict = step.verdict
        words = [
            f"{step.change.proposal.target.name} {step.change.revision[:12] or step.change.id}: {step.change.phase}"
        ]
        if verdict is not None:
            words += [f"{verdict.application} {verdict.state} {verdict.reason}".strip(), verdict.message]
        words.append(step.note)
        said = ", ".join(word for word in words if word)
        if said != self._said:
            self._log.info("%s", said)
        self._said = said


def outcome(
    world: World, ledger: TaskLedger, change_id: str, failure: Failure | None = None, errand: _Errand | None = None
) -> Outcome:
    """What is to be told of a change now."""
    target = replay(ledger.events(change_id)).proposal.target
    with suppress(ConfigError):  # the settings have changed since: that is told elsewhere
        return Outcome(
            change_id,
            ledger.dump(),
            failure,
            errand.evidence if errand else Evidence(),
            tuple(errand.notes) if errand else (),
            links(world, ledger, change_id),
            world.repository(target).url,
        )
    return Outcome(change_id, ledger.dump(), failure)


async def _evidence(world: World, change: Change, verdict: Verdict) -> Evidence:
    for application in change.proposal.target.applications:
        if str(application) == verdict.application:
            with on_behalf_of(Behalf.of(change.proposal)):
                return await world.engine(application).evidence(application, verdict)
    return Evidence()


async def take_back(world: World, order: Order, actor: Actor, log: Log) -> None:
    """Somebody killed the task: a change that has not landed is withdrawn; one that has stays, or is reverted.

    Whether it landed is asked from the repository: a push may have got through without its answer.
    """
    change = await usecases.load(world, order.change)
    if change is None:
        return
    landed = change.revision or await _found(world.repository(change.proposal.target), change)
    if not landed:
        if not change.closed:
            await usecases.record(world, change, Withdrawn(world.clock.now(), actor, "the task was killed"))
        log.info("change %s has not landed and never will", change.id)
    elif order.on_kill != "revert":
        log.info("change %s has landed as %s and stays; on_kill_action='revert' would take it back", change.id, landed)
    else:
        back = await usecases.revert(
            world,
            change.id,
            target=change.proposal.target.name,
            actor=actor,
            reason=f"take back {landed[:12]}: the task was killed",
            labels=change.proposal.labels,
            dag=order.dag,
        )
        back = await usecases.commit(world, back.id)
        log.info("change %s had landed as %s and is taken back: %s %s", change.id, landed, back.phase, back.revision)


async def _found(repository: Repository, change: Change) -> str:
    landed = await repository.find(change.id, change.proposal.base)
    return landed.revision if landed is not None else ""


def links(world: World, ledger: TaskLedger, change_id: str) -> Links:
    """Where people can look: the commit, once there is one, and the first application. What has no page is left out."""
    events = ledger.events(change_id)
    if not events:
        return ()
    change = replay(events)
    target: Target = change.proposal.target
    commit = commit_url(world.repository(target).url, change.revision) if change.revision else ""
    first = next(iter(target.applications), None)
    application = world.engine(first).link(first) if first is not None else ""
    return tuple((name, url) for name, url in (("commit", commit), ("application", application)) if url)


def commit_url(repository: str, revision: str) -> str:
    """The page of a commit at the usual hosts (GitHub, GitLab, Gitea, Forgejo), or nothing for other transports."""
    if not repository.startswith(("https://", "http://")):
        return ""
    base = repository.rstrip("/").removesuffix(".git")
    return f"{base}/commit/{revision}"
