"""What all operators that make a change share: intent first, then driven here or in a trigger, then told."""

from __future__ import annotations

import asyncio
import threading
from abc import abstractmethod
from collections.abc import Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NoReturn, TypeVar

from airflow.sdk import BaseOperator

from loopseal.airflow import compat
from loopseal.airflow.links import ApplicationLink, CommitLink

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from loopseal.airflow.errand import Order
    from loopseal.airflow.intent import Plan
    from loopseal.airflow.ledger import TaskLedger
    from loopseal.airflow.outcome import Outcome
    from loopseal.domain.change import Change
    from loopseal.ports import Secrets
    from loopseal.usecases import World
    from loopseal.wiring import Workshop

T = TypeVar("T")

KILL_SECONDS: Final = 4.0
"""Airflow sends SIGKILL five seconds after the SIGTERM that `on_kill` answers."""


class ChangeOperator(BaseOperator):
    """Base of the operators that make a change.

    :param target: name of a declared target (templated).
    :param on_failure: `fail` or `revert`: what happens when the change landed and did not become healthy.
    :param wait: whether to wait until the applications are healthy; otherwise landing on the branch is the end.
    :param timeout: how long the change may take to become healthy; default: the target's own.
    :param deferrable: wait in the triggerer instead of in a worker slot; here this is the default.
    :param on_kill_action: `keep` or `revert`: what becomes of a change that has landed when somebody kills the task.
        One that has not landed is withdrawn in any case.
    """

    template_fields: Sequence[str] = ("target", "reason")
    operator_extra_links = (CommitLink(), ApplicationLink())
    ui_color = "#e8f0fe"
    loopseal_verb: ClassVar[str] = "change"
    """How cluster policies tell what an operator does: `change`, `act` or `look`."""

    def __init__(
        self,
        *,
        target: str,
        reason: str,
        on_failure: Literal["fail", "revert"] = "fail",
        wait: bool = True,
        timeout: timedelta | float | None = None,
        deferrable: bool = True,
        on_kill_action: Literal["keep", "revert"] = "keep",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.reason = reason
        self.on_failure = on_failure
        self.wait = wait
        self.timeout = timeout
        self.deferrable = deferrable
        self.on_kill_action = on_kill_action

    kept_links: Mapping[str, str] = {}
    _secrets: Secrets | None = None
    _order: Order | None = None
    _ledger: TaskLedger | None = None
    _outcome: Outcome | None = None
    _working: asyncio.Task[Any] | None = None

    @abstractmethod
    async def propose(self, world: World, change_id: str, standing: Change | None, context: Context) -> Change:
        """Record and decide what is asked. `standing` is what an earlier try of the same generation recorded."""

    @abstractmethod
    def change_id(self, context: Context, generation: str) -> str:
        """The id of the change, the same on every try of a generation."""

    # --- the legs of a task ----------------------------------------------------------------------------------------

    def execute(self, context: Context) -> Any:
        """Propose, then defer or drive. AirflowFailException is a no, AirflowException may be cured by a retry."""
        from loopseal.airflow.telling import raised
        from loopseal.errors import LoopsealError

        try:
            plan = self._plan(context)
            outcome = self._run(self._leg(plan, context))
        except LoopsealError as error:
            raise raised(error) from error
        if outcome is not None:
            return self._tell(context, outcome)
        order, ledger = self._require()
        context["ti"].xcom_push("change", order.change)
        return self._defer(order, ledger)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> Any:
        """The trigger is done: keep what it brings, then say how it went."""
        from loopseal.airflow import intent
        from loopseal.airflow.outcome import Outcome

        outcome = Outcome.load(event)
        store = compat.state_store(context)
        before = intent.recall(store)
        if before is not None and before.change == outcome.change:
            intent.keep(store, intent.with_events(before, outcome.events, outcome.links))
        return self._tell(context, outcome)

    def _plan(self, context: Context) -> Plan:
        """Which change this try is about: that of an earlier try, or a new one."""
        from loopseal.airflow import intent

        before = intent.recall(compat.state_store(context))
        return intent.plan(context["ti"], before, lambda generation: self.change_id(context, generation))

    async def _leg(self, plan: Plan, context: Context) -> Outcome | None:
        """The first leg: the outcome, or None when a trigger is to bring it."""
        from loopseal.airflow import config, worlds
        from loopseal.airflow.errand import carry_out, links, outcome
        from loopseal.airflow.secrets import MaskedSecrets

        self._secrets = MaskedSecrets()
        async with worlds.opened(config.load_settings(), self._secrets) as workshop:
            order, ledger, world = self._begin(plan, workshop, context)
            self._order, self._ledger = order, ledger
            change = await self.propose(world, plan.change, plan.standing, context)
            if change.closed:
                return outcome(world, ledger, change.id)
            if self.deferrable and not self._brief(change, context):
                self.kept_links = dict(links(world, ledger, change.id))
                return None
            return await carry_out(world, ledger, order, self.log)

    def _brief(self, change: Change, context: Context) -> bool:
        """Whether deferring would take longer than the work: one commit, and nothing to wait for.

        One of many mapped instances defers all the same: in the triggerer they share pushes.
        """
        from loopseal.airflow.identity import is_mapped

        waits = self.wait and bool(change.proposal.target.applications)
        return not waits and not is_mapped(context["ti"])

    def _begin(self, plan: Plan, workshop: Workshop, context: Context) -> tuple[Order, TaskLedger, World]:
        """The order, and a ledger that keeps the intent with every event before anything acts on it."""
        from loopseal.airflow import intent
        from loopseal.airflow.errand import LOOK, Order
        from loopseal.airflow.ledger import TaskLedger
        from loopseal.usecases import OnFailure

        store, now = compat.state_store(context), workshop.clock.now()
        deadline = now + timedelta(seconds=self._limit(workshop.world(TaskLedger())))
        if plan.deadline is not None:
            deadline = max(plan.deadline, now + LOOK)
        kept = intent.Intent(plan.change, self.target, plan.generation, deadline, {}, plan.previous)
        ledger = TaskLedger.load(
            plan.events, lambda ledger: intent.keep(store, intent.with_events(kept, ledger.dump()))
        )
        order = Order(
            plan.change, deadline, OnFailure(self.on_failure), self.wait, context["ti"].dag_id, self.on_kill_action
        )
        return order, ledger, workshop.world(ledger)

    def _limit(self, world: World) -> float:
        if self.timeout is None:
            return world.route(self.target).timeout
        return self.timeout.total_seconds() if isinstance(self.timeout, timedelta) else float(self.timeout)

    def _defer(self, order: Order, ledger: TaskLedger) -> NoReturn:
        from loopseal.airflow.triggers.change import ChangeTrigger

        trigger = ChangeTrigger(order.dump(), ledger.dump(), compat.hold())
        self.defer(trigger=trigger, method_name="execute_complete")

    def _tell(self, context: Context, outcome: Outcome) -> Any:
        from loopseal.airflow.telling import tell

        self.kept_links = dict(outcome.links)
        self._outcome = outcome
        return tell(self, context, outcome)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002 - OpenLineage's own signature
        """What Airflow's OpenLineage provider asks a task that went well: the files that it wrote."""
        from loopseal.airflow.lineage import written

        return written(self._outcome)

    def _require(self) -> tuple[Order, TaskLedger]:
        if self._order is None or self._ledger is None:
            message = "execute() has not begun"
            raise RuntimeError(message)
        return self._order, self._ledger

    # --- kills -----------------------------------------------------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """`asyncio.run` that `on_kill` can interrupt."""

        async def cancellable() -> T:
            self._working = asyncio.current_task()
            try:
                return await work
            finally:
                self._working = None

        return asyncio.run(cancellable())

    def on_kill(self) -> None:
        """Airflow's SIGTERM: stop, then withdraw what has not landed. Returns within four seconds.

        Airflow calls this between two instructions of the very thread that drives the change, so its event loop
        cannot be used: what is still to be done is done on another thread, with connections of its own.
        """
        working = self._working
        if working is not None:
            working.get_loop().call_soon_threadsafe(working.cancel)
        if self._order is None or self._ledger is None:
            return
        thread = threading.Thread(target=self._take_back, name="loopseal on_kill", daemon=True)
        thread.start()
        thread.join(KILL_SECONDS)

    def _take_back(self) -> None:
        try:
            asyncio.run(self._take_back_now())
        except Exception:
            self.log.exception("the change could not be taken back")

    async def _take_back_now(self) -> None:
        from loopseal import usecases
        from loopseal.airflow import config, worlds
        from loopseal.airflow.errand import take_back

        order, ledger = self._require()
        async with worlds.opened(config.load_settings(), self._secrets) as workshop:
            world = workshop.world(ledger)
            change = await usecases.load(world, order.change)
            if change is not None:
                await take_back(world, order, change.proposal.actor, self.log)
