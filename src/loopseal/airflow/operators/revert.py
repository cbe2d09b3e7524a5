"""GitOpsRevertOperator: take back a change that landed earlier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from loopseal.airflow.operators.base import ChangeOperator

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from loopseal.domain.change import Change
    from loopseal.usecases import World


class GitOpsRevertOperator(ChangeOperator):
    """Put back, key by key, what a change replaced, and wait until that is live and healthy.

    Whoever asks, and however often: one change has one revert. Fails when somebody wrote one of the keys since.

    :param change: the id of the change, or what its task returned: ``deploy.output``, or
        ``{{ ti.xcom_pull('deploy', key='change') }}`` for one that failed (templated).

    All other parameters: see `ChangeOperator`.
    """

    template_fields: Sequence[str] = ("target", "change", "reason")
    loopseal_verb = "change"

    def __init__(self, *, change: Any, reason: str = "taken back by a task", **kwargs: Any) -> None:
        super().__init__(reason=reason, **kwargs)
        self.change = change

    def _reverted(self) -> str:
        change = self.change.get("change") if isinstance(self.change, Mapping) else self.change
        return str(change or "").strip()

    def change_id(self, context: Context, generation: str) -> str:  # noqa: ARG002 - of the base
        """As `ChangeOperator`: the revert of a change has one id, whoever asks."""
        from loopseal.usecases import revert_id

        return revert_id(self._reverted())

    async def propose(
        self,
        world: World,
        change_id: str,  # noqa: ARG002 - of the base
        standing: Change | None,  # noqa: ARG002 - of the base
        context: Context,
    ) -> Change:
        """As `ChangeOperator`."""
        from loopseal import usecases
        from loopseal.airflow import identity
        from loopseal.domain.proposal import CHANGE_ID
        from loopseal.errors import Code, ConfigError

        if not CHANGE_ID.fullmatch(self._reverted()):
            raise ConfigError(
                Code.PROPOSAL_INVALID,
                f"{self._reverted()!r:.60} is no change id",
                where=f"{self.task_id}: change",
                hint="Pass the id, or the output of the task that made the change.",
            )
        return await usecases.revert(
            world,
            self._reverted(),
            target=self.target,
            actor=identity.actor(context),
            reason=self.reason,
            labels=identity.labels(context),
            dag=context["ti"].dag_id,
        )
