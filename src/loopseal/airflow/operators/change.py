"""GitOpsChangeOperator: the operator that most Dags want."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from loopseal.airflow import compat
from loopseal.airflow import edits as plain_edits
from loopseal.airflow.operators.base import ChangeOperator

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context

    from loopseal.domain.change import Change
    from loopseal.ports import Finding
    from loopseal.usecases import World


class GitOpsChangeOperator(ChangeOperator):
    """Change keys or files of a Git repository, and succeed when exactly that change is live and healthy.

    Returns references (`change`, `revision`, `target`, `phase`, `reason`, `links`), never content. Fails without a
    retry for a definite no (denied, refused, rollout failed, superseded), with one when a peer could not be reached.

    :param edits: one edit or a list: SetValue, SetImage, RemoveKey, PutFile, DeleteFile, or their JSON form. Templated
        throughout; a template renders to text, so wrap it in `number` or `boolean` where another kind of value is
        meant. An XComArg may stand for the list, an edit's JSON form, or any value in it.
    :param reason: why; stands in the commit (templated).

    All other parameters: see `ChangeOperator`.
    """

    template_fields: Sequence[str] = ("target", "edits", "reason")
    template_fields_renderers: ClassVar[dict[str, str]] = {"edits": "json"}

    def __init__(self, *, edits: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.edits = plain_edits.plain(edits)

    def change_id(self, context: Context, generation: str) -> str:
        """As `ChangeOperator`."""
        from loopseal.airflow.identity import name_change

        return name_change(context["ti"], self.target, generation)

    async def propose(self, world: World, change_id: str, standing: Change | None, context: Context) -> Change:
        """As `ChangeOperator`. A retry proposes against the base that the first try looked at."""
        from loopseal import usecases
        from loopseal.airflow import identity

        asked = plain_edits.build(self.edits)
        if standing is not None:
            route = world.route(self.target)
            proposal = replace(standing.proposal, target=route.target, edits=asked)
        else:
            proposal = await usecases.draft(
                world,
                change_id=change_id,
                target=self.target,
                edits=asked,
                reason=self.reason,
                actor=identity.actor(context),
                labels=identity.labels(context),
            )
            if compat.state_store(context) is None and context["ti"].try_number > 1:
                landed = await world.repository(proposal.target).find(change_id)
                proposal = replace(proposal, base=landed.parent) if landed is not None else proposal
        return await usecases.propose(world, proposal, dag=context["ti"].dag_id, report=self.report)

    def report(self, finding: Finding) -> None:
        """Log what preflight found; what makes the change impossible is told again when the task fails."""
        from loopseal.ports import Level

        words = ": ".join(word for word in (finding.where, finding.message) if word)
        tell = self.log.info if finding.level is Level.NOTE else self.log.warning
        tell("preflight: %s%s", words, f" ({finding.hint})" if finding.hint else "")
