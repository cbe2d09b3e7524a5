"""One Kubernetes object as it stands in a file: what others read of it, and no judgement.

Total: whatever is not of the expected shape reads as empty. Manifests come from anybody's repository.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

_WORKLOADS: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"})


class Key(NamedTuple):
    """What names an object within one destination namespace."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True)
class Manifest:
    """One object."""

    body: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """Such as `Deployment`."""
        return _text(self.body.get("kind"))

    @property
    def api(self) -> str:
        """`apiVersion`, such as `apps/v1`."""
        return _text(self.body.get("apiVersion"))

    @property
    def group(self) -> str:
        """The API group, empty for the core one."""
        return self.api.rpartition("/")[0]

    @property
    def name(self) -> str:
        """`metadata.name`, or `generateName` where that is all there is."""
        return _text(self.metadata.get("name")) or _text(self.metadata.get("generateName"))

    @property
    def key(self) -> Key:
        """Kind and name."""
        return Key(self.kind, self.name)

    @property
    def made(self) -> Key | None:
        """What a controller makes of it once it is there: the Secret of an ExternalSecret."""
        if self.kind != "ExternalSecret":
            return None
        return Key("Secret", _text(table(self.spec.get("target")).get("name")) or self.name)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """All of it."""
        return table(self.body.get("metadata"))

    @cached_property
    def annotations(self) -> Mapping[str, str]:
        """Those that are text."""
        return {
            name: value for name, value in table(self.metadata.get("annotations")).items() if isinstance(value, str)
        }

    @property
    def spec(self) -> Mapping[str, Any]:
        """All of it."""
        return table(self.body.get("spec"))

    @property
    def template(self) -> Mapping[str, Any]:
        """The pod template of a workload; the pod itself for a Pod; empty for others."""
        if self.kind == "Pod":
            return self.body
        return table(self.spec.get("template")) if self.kind in _WORKLOADS else {}

    @property
    def pod(self) -> Mapping[str, Any]:
        """The specification of its pods, empty where it has none."""
        return table(self.template.get("spec"))

    @property
    def containers(self) -> Iterator[Mapping[str, Any]]:
        """Those of its pods, init containers first."""
        yield from tables(self.pod.get("initContainers"))
        yield from tables(self.pod.get("containers"))

    def words(self, annotation: str) -> tuple[str, ...]:
        """The words of an annotation that is a list with commas."""
        return tuple(word for part in self.annotations.get(annotation, "").split(",") if (word := part.strip()))


def table(value: Any) -> Mapping[str, Any]:
    """`value` if it is a mapping, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def tables(value: Any) -> Iterator[Mapping[str, Any]]:
    """The mappings in a list; nothing for anything else."""
    if isinstance(value, list | tuple):
        yield from (one for one in value if isinstance(one, Mapping))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
