"""The Airflow provider: operators, sensors, triggers, hooks, links, cluster policy.

May live here: whatever knows Airflow, and translates between its tasks and the verbs of `loopseal.usecases`.
May not: Git, engines, decisions. Nothing heavy at import: Airflow reads this room while it parses Dags, in every
process, so modules import each other and third parties inside functions.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopseal.airflow.decorators.change import gitops_change_task
    from loopseal.airflow.edits import boolean, number
    from loopseal.airflow.hooks.argocd import ArgoCDHook
    from loopseal.airflow.hooks.git import GitHook
    from loopseal.airflow.hooks.kubernetes import KubernetesHook
    from loopseal.airflow.links import ApplicationLink, CommitLink
    from loopseal.airflow.operators.act import ArgoCDSyncOperator, FluxReconcileOperator
    from loopseal.airflow.operators.change import GitOpsChangeOperator
    from loopseal.airflow.operators.revert import GitOpsRevertOperator
    from loopseal.airflow.sensors.health import ApplicationHealthSensor
    from loopseal.domain.proposal import ABSENT, ANYTHING, DeleteFile, PutFile, RemoveKey, SetImage, SetValue

_HOME = {
    "ABSENT": "loopseal.domain.proposal",
    "ANYTHING": "loopseal.domain.proposal",
    "ApplicationHealthSensor": "loopseal.airflow.sensors.health",
    "ApplicationLink": "loopseal.airflow.links",
    "ArgoCDHook": "loopseal.airflow.hooks.argocd",
    "ArgoCDSyncOperator": "loopseal.airflow.operators.act",
    "CommitLink": "loopseal.airflow.links",
    "DeleteFile": "loopseal.domain.proposal",
    "FluxReconcileOperator": "loopseal.airflow.operators.act",
    "GitHook": "loopseal.airflow.hooks.git",
    "GitOpsChangeOperator": "loopseal.airflow.operators.change",
    "GitOpsRevertOperator": "loopseal.airflow.operators.revert",
    "KubernetesHook": "loopseal.airflow.hooks.kubernetes",
    "PutFile": "loopseal.domain.proposal",
    "RemoveKey": "loopseal.domain.proposal",
    "SetImage": "loopseal.domain.proposal",
    "SetValue": "loopseal.domain.proposal",
    "boolean": "loopseal.airflow.edits",
    "gitops_change_task": "loopseal.airflow.decorators.change",
    "number": "loopseal.airflow.edits",
}
"""Where each public name lives; it is imported when it is first asked for."""

__all__ = [
    "ABSENT",
    "ANYTHING",
    "ApplicationHealthSensor",
    "ApplicationLink",
    "ArgoCDHook",
    "ArgoCDSyncOperator",
    "CommitLink",
    "DeleteFile",
    "FluxReconcileOperator",
    "GitHook",
    "GitOpsChangeOperator",
    "GitOpsRevertOperator",
    "KubernetesHook",
    "PutFile",
    "RemoveKey",
    "SetImage",
    "SetValue",
    "boolean",
    "gitops_change_task",
    "number",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
