"""`@task.gitops_change`: the return value of a function becomes the edits of a change."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory

from loopseal.airflow import compat
from loopseal.airflow import edits as plain_edits
from loopseal.airflow.operators.change import GitOpsChangeOperator

if TYPE_CHECKING:
    from airflow.sdk.definitions.context import Context


class GitOpsChangeDecoratedOperator(DecoratedOperator, GitOpsChangeOperator):
    """Calls the function, and goes on as GitOpsChangeOperator with the edit or edits that it returned.

    Values keep their types; nothing that the function returned is rendered as a template.
    """

    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, "target", "reason")
    template_fields_renderers: ClassVar[dict[str, str]] = {**DecoratedOperator.template_fields_renderers}
    custom_operator_name = "@task.gitops_change"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, edits=(), **kwargs)

    def execute(self, context: Context) -> Any:
        """Call the function, then propose what it returned."""
        from airflow.sdk.definitions.context import context_merge

        context_merge(context, self.op_kwargs)
        kwargs = compat.determine_kwargs(self.python_callable, self.op_args, context)
        self.edits = plain_edits.plain(self.python_callable(*self.op_args, **kwargs))
        return super().execute(context)


def gitops_change_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """``@task.gitops_change(target=…, reason=…)``: takes the parameters of GitOpsChangeOperator but for `edits`."""
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=GitOpsChangeDecoratedOperator, **kwargs
    )
