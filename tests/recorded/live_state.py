"""What the cluster of a recording really ran at each moment, told without any judge.

The recorded Deployments, the files of the recorded pushes, and the revision that the engine itself wrote down: a commit is
live when the engine has recorded it, or a descendant, and every Deployment of such a commit runs its image and is
available.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from loopseal.domain.revision import Relation, relation
from loopseal.engines.fields import get, mapping, number, text
from loopseal.engines.flux_object import sha_of
from loopseal.engines.recording import Recording, Want


class LiveState:
    """The cluster, event by event: `until(t)` moves on, `holds(sha)` tells."""

    def __init__(self, recording: Recording, want: Want) -> None:
        self.recording, self.want = recording, want
        self._events = list(recording.events)
        self._next = 0
        self._deployments: dict[str, Mapping[str, Any]] = {}
        self._revisions: set[str] = set()
        self._path = ""
        self._trees = dict(_trees(recording))

    def until(self, at: float) -> None:
        while self._next < len(self._events) and self._events[self._next].at <= at:
            event = self._events[self._next]
            self._next += 1
            found = mapping(event.body, "object")
            if event.channel == "k8s-watch-deployment":
                self._deployment(event.body, found)
            elif event.channel in {"k8s-watch-application", "k8s-watch-kustomization"}:
                self._engine(found)

    def _deployment(self, body: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        name = text(found, "metadata", "name")
        if body.get("type") == "DELETED":
            self._deployments.pop(name, None)
        elif name:
            self._deployments[name] = found

    def _engine(self, found: Mapping[str, Any]) -> None:
        names = [name for _, name in self.recording.targets.values()]
        if text(found, "metadata", "name") not in {*names, self.want.name}:
            return
        if self.want.name and text(found, "metadata", "name") != self.want.name:
            return
        self._path = text(found, "spec", "source", "path") or text(found, "spec", "path") or self._path
        self._revisions.add(text(found, "status", "sync", "revision"))
        self._revisions.add(sha_of(text(found, "status", "lastAttemptedRevision")))

    def holds(self, sha: str) -> bool:
        """Whether `sha` or a descendant is recorded by the engine and runs."""
        recorded = any(self._reaches(one, sha) for one in self._revisions if one in self.recording.graph)
        return recorded and any(self._runs(one) for one in self._trees if self._reaches(one, sha))

    def _reaches(self, one: str, sha: str) -> bool:
        return relation(one, sha, self.recording.graph) in {Relation.EQUAL, Relation.DESCENDANT}

    def _runs(self, commit: str) -> bool:
        return all(self._available(one) for one in _deployments(self._trees[commit], self._path))

    def _available(self, manifest: Mapping[str, Any]) -> bool:
        live = self._deployments.get(manifest["metadata"]["name"])
        wanted = manifest["spec"].get("replicas", 1)
        return (
            live is not None
            and _images(live) == _images(manifest)
            and get(live, "spec", "replicas") == wanted
            and get(live, "metadata", "generation") == get(live, "status", "observedGeneration")
            and all(
                number(live, "status", one) == wanted for one in ("replicas", "updatedReplicas", "availableReplicas")
            )
        )


def _images(deployment: Mapping[str, Any]) -> list[str]:
    return [one["image"] for one in deployment["spec"]["template"]["spec"]["containers"]]


def _trees(recording: Recording) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Every pushed commit and its files, from the files that each push changed."""
    trees: dict[str, dict[str, str]] = {}
    for _, body in recording.bodies("git"):
        parents = [parent for parent in body["parents"] if parent in trees]
        tree = dict(trees[parents[0]]) if parents else {}
        tree.update(body["files"])
        trees[body["sha"]] = {path: content for path, content in tree.items() if content is not None}
        yield body["sha"], trees[body["sha"]]


def _deployments(tree: Mapping[str, str], path: str) -> Iterator[Mapping[str, Any]]:
    folder = path.removeprefix("./").rstrip("/")
    for name, content in tree.items():
        if not folder or name.startswith(f"{folder}/"):
            yield from (one for one in _documents(content) if one.get("kind") == "Deployment")


def _documents(content: str) -> list[Any]:
    try:
        return [one for one in yaml.safe_load_all(content) if isinstance(one, dict)]
    except yaml.YAMLError:
        return []
