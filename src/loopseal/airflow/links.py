"""Links beside a task in Airflow's pages: the commit, and the application that it goes to.

Airflow asks for them in the task's process at the end of every leg, the deferring one included, and the last answer
stands. So they come from what is kept, not from what this process happens to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

from loopseal.airflow import compat

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class _Kept(BaseOperatorLink):
    """A link that an operator has kept under a name."""

    kept_as: str

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The URL, or an empty string."""
        here: Mapping[str, str] = getattr(operator, "kept_links", {})
        return here.get(self.kept_as) or _from_store(ti_key).get(self.kept_as, "")


class CommitLink(_Kept):
    """The page of the commit at its host."""

    kept_as = "commit"

    @property
    def name(self) -> str:
        """What the button says."""
        return "Commit"


class ApplicationLink(_Kept):
    """The application's page in its engine."""

    kept_as = "application"

    @property
    def name(self) -> str:
        """What the button says."""
        return "Application"


def _from_store(task: Any) -> Mapping[str, str]:
    """What the task's state store keeps; Airflow passes the running task itself as `ti_key`."""
    from loopseal.airflow.intent import recall

    if not hasattr(task, "get_template_context"):
        return {}
    intent = recall(compat.state_store(task.get_template_context()))
    return dict(intent.links) if intent is not None else {}
