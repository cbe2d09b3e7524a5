"""Cluster policy: what a Dag may do with targets is checked while it is parsed, before anything runs.

Airflow loads this module in every process (entry point `airflow.policy`). It does nothing for tasks that are not
loopseal's, and nothing where no settings file is named. It only refuses early: the same rules hold when a task runs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow.policies import hookimpl

# Needed by every Dag with a change. Loaded here it is there before Airflow forks a process per Dag file, and none of
# those pays for it.
import loopseal.domain.proposal  # noqa: F401

if TYPE_CHECKING:
    from loopseal.settings import Settings

log = logging.getLogger(__name__)


@hookimpl
def task_policy(task: Any) -> None:
    """Raise AirflowClusterPolicyViolation for a task that could never do what it says."""
    verb = getattr(getattr(task, "operator_class", type(task)), "loopseal_verb", None)
    if verb is None:
        return
    problems = list(_problems(task))
    if problems:
        from airflow.exceptions import AirflowClusterPolicyViolation

        where = f"{task.dag.dag_id}.{task.task_id}"
        raise AirflowClusterPolicyViolation(f"{where}: " + "; ".join(problems))


def _problems(task: Any) -> Iterator[str]:
    from loopseal.airflow import config

    target = _argument(task, "target")
    tags = frozenset(getattr(task.dag, "tags", None) or ())
    required = config.require_target_for()
    written_out = isinstance(target, str) and "{{" not in target and "{%" not in target
    if not written_out:
        if "*" in required or tags & required:
            yield "the target must be written out, not rendered ([loopseal] require_target_for)"
        return
    if not config.check_targets():
        return
    settings = _settings()
    if settings is not None:
        yield from _against(settings, str(target), task.dag.dag_id, tags)


def _against(settings: Settings, target: str, dag_id: str, tags: frozenset[str]) -> Iterator[str]:
    from loopseal.airflow import config
    from loopseal.settings import dag_allowed, near

    chosen = settings.targets.get(target)
    if chosen is None:
        yield f"no target {target!r} is declared in {settings.source}; {near(target, settings.targets)}"
        return
    if not dag_allowed(chosen, dag_id):
        yield f"target {target!r} does not list Dag {dag_id!r} under `dags`"
    for name, value in config.restrict_labels():
        if chosen.labels.get(name) == value and value not in tags:
            yield f"target {target!r} is labelled {name}={value}: only Dags tagged {value!r} may use it"


def _argument(task: Any, name: str) -> Any:
    """An argument of a task, or of a mapped one that has not been expanded."""
    partial = getattr(task, "partial_kwargs", None)
    return partial.get(name) if partial is not None else getattr(task, name, None)


def _settings() -> Settings | None:
    """The settings, where this process has them: a Dag processor need not."""
    from loopseal.airflow import config
    from loopseal.errors import Code, ConfigError

    try:
        return config.load_settings()
    except ConfigError as error:
        if error.code is not Code.CONFIG_MISSING:
            log.warning("targets are not checked: %s", error)
        return None
