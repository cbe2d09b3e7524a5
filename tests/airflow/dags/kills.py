"""Tasks that kill themselves with SIGKILL on their first try, each at another step."""

from __future__ import annotations

import os
import signal
from typing import Any

from airflow.sdk import DAG

from loopseal.airflow import GitOpsChangeOperator, SetValue
from loopseal.domain.change import Cleared, Committed, Proposed, Reconciled


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Mortal(GitOpsChangeOperator):
    """Dies at `dies`: before or after an event is kept, or at the start or end of a leg."""

    def __init__(self, *, dies: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dies = dies

    def _at(self, context: Any, step: str) -> None:
        if self.dies == step and context["ti"].try_number == 1:
            die()

    def _plan(self, context: Any) -> Any:
        self._at(context, "before_intent")
        return super()._plan(context)

    def _begin(self, plan: Any, workshop: Any, context: Any) -> Any:
        order, ledger, world = super()._begin(plan, workshop, context)
        append = ledger.append

        async def dying(change: str, expected: int, event: Any) -> None:
            self._at(context, f"before_{type(event).__name__}")
            await append(change, expected, event)
            self._at(context, f"after_{type(event).__name__}")

        ledger.append = dying
        return order, ledger, world

    def execute_complete(self, context: Any, event: Any) -> Any:
        self._at(context, "on_waking")
        return super().execute_complete(context, event)

    def _tell(self, context: Any, outcome: Any) -> Any:
        self._at(context, "before_telling")
        return super()._tell(context, outcome)


STEPS = {
    "before_intent": True,
    f"after_{Proposed.__name__}": True,
    f"after_{Cleared.__name__}": True,
    "on_waking": True,
    "before_telling": True,
    f"before_{Committed.__name__}": False,
    f"after_{Committed.__name__}": False,
    f"after_{Reconciled.__name__}": False,
}

with DAG("loop_kills", schedule=None):
    Mortal(
        task_id="asks_for_something_else",
        dies="after_Cleared",
        target="plain",
        edits=SetValue("plain/settings.yaml", "key20", "try {{ ti.try_number }}"),
        reason="another content on each try",
        deferrable=True,
        retries=3,
        retry_delay=1,
    )
    for index, (step, deferrable) in enumerate(STEPS.items()):
        Mortal(
            task_id=f"dies_{step}",
            dies=step,
            target="wide",
            edits=SetValue("apps/wide/values.yaml", f"key{30 + index}", "{{ dag_run.conf['tag'] }}"),
            reason=f"killed {step}",
            deferrable=deferrable,
            retries=1,
            retry_delay=1,
        )

for name, deferrable in (("deferred", True), ("running", False)):
    with DAG(f"loop_stop_{name}", schedule=None):
        GitOpsChangeOperator(
            task_id="change",
            target="gamma",
            edits=SetValue("apps/gamma/values.yaml", "image.tag", "{{ dag_run.conf['tag'] }}"),
            reason="somebody will stop it",
            deferrable=deferrable,
            on_kill_action="revert",
        )

with DAG("loop_anew", schedule=None):
    GitOpsChangeOperator(
        task_id="change",
        target="plain",
        edits=SetValue("plain/settings.yaml", "key21", "{{ dag_run.conf['tag'] }}"),
        reason="once, and once more",
        retries=1,
    )
