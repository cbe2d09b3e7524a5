"""ApplicationHealthSensor: is it at or past a commit, and healthy now?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.sdk import BaseSensorOperator

from loopseal.airflow import compat
from loopseal.airflow.links import ApplicationLink

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from loopseal.airflow.looking import Sight, Wish


class ApplicationHealthSensor(BaseSensorOperator):
    """Waits until the applications of a target are healthy, at a commit or past it. Looks only; never writes.

    :param target: name of a declared target (templated).
    :param application: one of its applications, by name; default: all of them (templated).
    :param revision: a full commit id; ``"dag"`` for the commit that this run's Dag was parsed from, for Dags and
        manifests in one repository; default: whatever they show (templated).
    :param deferrable: wait in the triggerer instead of in a worker slot; here this is the default.

    `timeout`, `poke_interval`, `mode`, `soft_fail` as for every sensor.
    """

    template_fields: Sequence[str] = ("target", "application", "revision")
    operator_extra_links = (ApplicationLink(),)
    ui_color = "#e6f4ea"
    loopseal_verb: ClassVar[str] = "look"

    def __init__(
        self,
        *,
        target: str,
        application: str = "",
        revision: str | None = None,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.application = application
        self.revision = revision
        self.deferrable = deferrable

    kept_links: Mapping[str, str] = {}

    def execute(self, context: Context) -> Any:
        """Defer, or poke as any sensor."""
        if self.deferrable:
            self._defer(self._wish(context, self.timeout))
        return super().execute(context)

    def _defer(self, wish: Wish) -> NoReturn:
        from loopseal.airflow.triggers.health import HealthTrigger

        trigger = HealthTrigger(wish.dump(), compat.hold())
        self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(
        self,
        context: Context,  # noqa: ARG002 - Airflow's own signature
        event: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The trigger is done."""
        from loopseal.airflow.compat import AirflowSensorTimeout
        from loopseal.airflow.looking import Sight
        from loopseal.airflow.telling import said

        sight = Sight.load(event)
        self.kept_links = dict(sight.links)
        if sight.expired:
            raise AirflowSensorTimeout(said(self.target, sight))
        return self._good(sight)

    def poke(self, context: Context) -> bool:
        """One look, as long as health takes to settle."""
        from loopseal.airflow import config, worlds
        from loopseal.airflow.ledger import TaskLedger
        from loopseal.airflow.looking import fulfil

        async def once() -> Sight:
            async with worlds.opened(config.load_settings()) as workshop:
                world = workshop.world(TaskLedger())
                patience = world.route(self.target).tolerance.settle + 10.0
                return await fulfil(world, self._wish(context, patience), self.log)

        from loopseal.airflow.telling import raised
        from loopseal.errors import LoopsealError

        try:
            sight = asyncio.run(once())
        except LoopsealError as error:
            raise raised(error) from error
        self.kept_links = dict(sight.links)
        return not sight.expired and bool(self._good(sight))

    def _good(self, sight: Sight) -> dict[str, Any]:
        from loopseal.airflow.compat import AirflowFailException
        from loopseal.airflow.telling import said

        if not sight.good:
            raise AirflowFailException(said(self.target, sight))
        return {
            "target": self.target,
            "revision": sight.verdict.observed,
            "reason": sight.verdict.reason,
            "links": dict(sight.links),
        }

    def _wish(self, context: Context, seconds: float) -> Wish:
        from loopseal.airflow.looking import Wish

        return Wish(
            self.target,
            compat.now() + timedelta(seconds=seconds),
            wanted(self.revision, context),
            self.application,
            context["ti"].dag_id,
            pause=min(self.poke_interval, 60.0),
        )


def wanted(revision: str | None, context: Context) -> str:
    """The commit id that `revision` means. Raises AirflowFailException for one that can mean none."""
    from loopseal.airflow.compat import AirflowFailException
    from loopseal.airflow.identity import bundle_version

    if revision != "dag":
        return revision or ""
    version = bundle_version(context["ti"])
    if not version:
        message = (
            "revision='dag' needs a Dag bundle with versions, such as GitDagBundle: this run's bundle has none"
            " (a local folder and dag.test() never have)"
        )
        raise AirflowFailException(message)
    return version
