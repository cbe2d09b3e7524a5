"""Which of the rights that make a wait quick and sure are missing, told before it begins: one question for each.

Kubernetes answers for any right without side effect (SelfSubjectAccessReview). What an engine cannot do without is not
here: that shows by itself when it is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loopseal.engines.checks import outcome
from loopseal.engines.kubernetes import Cluster, Kind
from loopseal.ports import Finding, Level


@dataclass(frozen=True, slots=True)
class Right:
    """One right, and what is told when it is missing."""

    verb: str
    kind: Kind
    namespace: str
    name: str
    code: str
    lost: str
    hint: str
    level: Level = Level.NOTE

    def finding(self) -> Finding:
        """What is missing, and what is lost by it."""
        resource = f"{self.kind.plural}.{self.kind.group}" if self.kind.group else self.kind.plural
        message = f"no right to `{self.verb} {resource}` in namespace {self.namespace!r}: {self.lost}"
        return Finding(self.level, self.code, message, f"{self.namespace}/{self.name}".strip("/"), self.hint)


def watching(engine: str, kind: Kind, namespace: str) -> Right:
    """To hear of changes as they happen."""
    lost, hint = "it is looked at every few seconds instead", "Grant `watch`: that is quicker and asks the server less."
    return Right("watch", kind, namespace, "", f"{engine}.no_watch", lost, hint)


def asking(engine: str, kind: Kind, namespace: str, name: str) -> Right:
    """To have a controller look again."""
    lost = "the commit is found when the engine looks by itself"
    hint = "Grant `patch`, with the admission policy that narrows it to the annotation; or have a webhook tell it."
    return Right("patch", kind, namespace, name, f"{engine}.no_patch", lost, hint)


def health(kind: Kind, namespace: str) -> Right:
    """To see whether what was applied is healthy, where Flux does not tell."""
    lost, hint = "whether they are healthy cannot be seen", "Grant `get` there, or set `wait: true` on the object."
    return Right("get", kind, namespace, "", "flux.no_health", lost, hint, Level.WARNING)


async def lacking(cluster: Cluster, rights: Iterable[Right]) -> Sequence[Finding]:
    """A finding for each right that is missing. Raises Unreachable."""
    asked = tuple(dict.fromkeys(rights))
    answers = await asyncio.gather(
        *(outcome(cluster.allowed(one.verb, one.kind, one.namespace, one.name)) for one in asked)
    )
    return [one.finding() for one, answer in zip(asked, answers, strict=True) if answer.known() is False]
