"""What must be there before an object can become well: what its pods mount and read, and the Job they wait for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from loopseal.installation.manifests import Key, Manifest, table, tables

_MIGRATIONS: Final = "run-airflow-migrations"
"""How the official chart's migration Job is called after the release's name."""
_WAITS: Final = re.compile(r"check-migrations|users create")
"""What the chart's init containers, and its create-user Job, wait for the migrations with."""
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_CREATES_USER: Final = "users create"


@dataclass(frozen=True, slots=True)
class Need:
    """`kind` and `name` of what is needed; `done` asks that it ended well, not only that it is there.

    The kind `Env` is a variable that nobody sets: nothing can meet it.
    """

    kind: str
    name: str
    done: bool = False

    def __str__(self) -> str:
        what = f"{self.kind}/{self.name}"
        return f"{what} done" if self.done else what

    def met(self, exists: Iterable[Key], done: Iterable[str]) -> bool:
        """Whether it is, with these objects there and these Jobs done."""
        if self.done:
            return any(job == self.name or job.endswith(f"-{self.name}") for job in done)
        return Key(self.kind, self.name) in exists


WaitsFor = Callable[[Manifest], Iterable[Need]]
"""What pods of a workload wait for beyond what their specification says."""


def needs(manifest: Manifest, waits_for: WaitsFor) -> frozenset[Need]:
    """Everything that the pods of a workload need; empty for what has none."""
    return frozenset((*_mounted(manifest), *_read(manifest), *waits_for(manifest), *_unset(manifest)))


def migrations(manifest: Manifest) -> Iterator[Need]:
    """What containers of the official Airflow chart wait for: that the migration Job has ended well."""
    for container in manifest.containers:
        if _WAITS.search(_script(container)):
            yield Need("Job", _MIGRATIONS, done=True)


def _mounted(manifest: Manifest) -> Iterator[Need]:
    if isinstance(account := manifest.pod.get("serviceAccountName"), str) and account:
        yield Need("ServiceAccount", account)
    for volume in tables(manifest.pod.get("volumes")):
        for field, kind, name in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
            source = table(volume.get(field))
            if isinstance(source.get(name), str) and not source.get("optional"):
                yield Need(kind, source[name])


def _read(manifest: Manifest) -> Iterator[Need]:
    for container in manifest.containers:
        for variable in tables(container.get("env")):
            yield from _referred(table(variable.get("valueFrom")), "secretKeyRef", "configMapKeyRef")
        for source in tables(container.get("envFrom")):
            yield from _referred(source, "secretRef", "configMapRef")


def _referred(source: Mapping[str, Any], secret: str, config: str) -> Iterator[Need]:
    for field, kind in ((secret, "Secret"), (config, "ConfigMap")):
        reference = table(source.get(field))
        if isinstance(reference.get("name"), str) and not reference.get("optional"):
            yield Need(kind, reference["name"])


def _unset(manifest: Manifest) -> Iterator[Need]:
    """Variables that a Job's own command spells and nobody sets: the chart's create-user Job does without them."""
    for container in manifest.containers if manifest.kind == "Job" else ():
        script = _script(container)
        if _CREATES_USER not in script or list(tables(container.get("envFrom"))):
            continue
        known = {one.get("name") for one in tables(container.get("env"))}
        for name in dict.fromkeys(_VARIABLE.findall(script)):
            if name.startswith("AIRFLOW_DEFAULT_") and name not in known:
                yield Need("Env", name)


def _script(container: Mapping[str, Any]) -> str:
    return json.dumps([container.get("command"), container.get("args")], default=str)
