"""Acting on an application without a change of one's own: a sync of Argo CD, a reconciliation of Flux, and the wait."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from loopseal.airflow import compat
from loopseal.airflow.links import ApplicationLink
from loopseal.airflow.sensors.health import wanted

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from loopseal.airflow.looking import Sight, Wish
    from loopseal.wiring import Workshop


class _ActOperator(BaseOperator):
    """Asks the engine to act on the applications of a target, and waits until they are healthy.

    What is asked for is within the target's rules: without `sync: true` nothing is asked for, and it only waits.

    :param target: name of a declared target (templated).
    :param application: one of its applications, by name; default: all of them (templated).
    :param revision: a full commit id, or ``"dag"``; default: the tip of the target's branch (templated).
    :param timeout: how long it may take; default: the target's own.
    :param deferrable: wait in the triggerer instead of in a worker slot; here this is the default.
    """

    template_fields: Sequence[str] = ("target", "application", "revision")
    operator_extra_links = (ApplicationLink(),)
    loopseal_verb: ClassVar[str] = "act"
    engine_kind: ClassVar[str]

    def __init__(
        self,
        *,
        target: str,
        application: str = "",
        revision: str | None = None,
        timeout: timedelta | float | None = None,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.application = application
        self.revision = revision
        self.timeout = timeout
        self.deferrable = deferrable

    kept_links: Mapping[str, str] = {}

    def execute(self, context: Context) -> Any:
        """Settle what is wanted, then defer or act here."""
        from loopseal.airflow.looking import Wish
        from loopseal.airflow.telling import raised
        from loopseal.airflow.triggers.health import HealthTrigger
        from loopseal.errors import LoopsealError

        try:
            done = asyncio.run(self._leg(context))
        except LoopsealError as error:
            raise raised(error) from error
        if isinstance(done, Wish):
            trigger = HealthTrigger(done.dump(), compat.hold())
            self.defer(trigger=trigger, method_name="execute_complete")
        return self._tell(done)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> Any:  # noqa: ARG002 - Airflow's own
        """The trigger is done."""
        from loopseal.airflow.looking import Sight

        return self._tell(Sight.load(event))

    async def _leg(self, context: Context) -> Wish | Sight:
        from loopseal.airflow import config, worlds
        from loopseal.airflow.ledger import TaskLedger
        from loopseal.airflow.looking import fulfil, route_of

        async with worlds.opened(config.load_settings()) as workshop:
            wish = await self._wish(workshop, context)
            world = workshop.world(TaskLedger())
            route_of(world, wish)
            return wish if self.deferrable else await fulfil(world, wish, self.log)

    async def _wish(self, workshop: Workshop, context: Context) -> Wish:
        from loopseal.airflow.ledger import TaskLedger
        from loopseal.airflow.looking import Wish

        world = workshop.world(TaskLedger())
        route = world.route(self.target)
        limit = self.timeout if self.timeout is not None else route.timeout
        return Wish(
            self.target,
            world.clock.now() + (limit if isinstance(limit, timedelta) else timedelta(seconds=limit)),
            wanted(self.revision, context) or await world.repository(route.target).tip(),
            self.application,
            context["ti"].dag_id,
            act=self.engine_kind,
        )

    def _tell(self, sight: Sight) -> dict[str, Any]:
        from loopseal.airflow.compat import AirflowException, AirflowFailException
        from loopseal.airflow.telling import said

        self.kept_links = dict(sight.links)
        if sight.good:
            verdict = sight.verdict
            return {
                "target": self.target,
                "revision": verdict.observed,
                "reason": verdict.reason,
                "links": dict(sight.links),
            }
        again = sight.failure is not None and sight.failure.again
        raise (AirflowException if again else AirflowFailException)(said(self.target, sight))


class ArgoCDSyncOperator(_ActOperator):
    """Syncs applications of Argo CD to a commit, and waits until they are healthy there.

    With automated sync on this is a refresh. The running operation of another is awaited, not fought, and nothing is
    ever overridden.
    """

    ui_color = "#fdeee6"
    engine_kind = "argocd"


class FluxReconcileOperator(_ActOperator):
    """Asks Flux to reconcile, and waits until its objects are ready at a commit."""

    ui_color = "#e6f0fd"
    engine_kind = "flux"
