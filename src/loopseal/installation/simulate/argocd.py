"""One sync by Argo CD: phases, within them waves, within them kinds; and what it waits for before it goes on.

Source: Argo CD 3.2 (`gitops-engine/pkg/sync/sync_context.go`, `sync_tasks.go`), and over a hundred recorded syncs of
the real one. A wave is left when its hooks are done and its objects healthy. After the last one nothing is waited for
but hooks, unless hooks stand in it and it is not the only one: then everything in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from loopseal.installation.manifests import Key, Manifest, table
from loopseal.installation.simulate.annotations import OPTIONS, ORDERED, Phase, hooks, wave
from loopseal.installation.simulate.changes import CONFIRM, KEEP, gone, immutable
from loopseal.installation.simulate.fate import Fate, fate
from loopseal.installation.simulate.fields import unknown
from loopseal.installation.simulate.needs import Need, needs
from loopseal.installation.simulate.outcome import Blocked, Outcome, State
from loopseal.installation.simulate.served import served
from loopseal.installation.simulate.world import Options, World

KINDS: Final = (
    "Namespace", "NetworkPolicy", "ResourceQuota", "LimitRange", "PodDisruptionBudget", "ServiceAccount", "Secret",
    "ConfigMap", "StorageClass", "PersistentVolume", "PersistentVolumeClaim", "CustomResourceDefinition", "ClusterRole",
    "ClusterRoleBinding", "Role", "RoleBinding", "Service", "DaemonSet", "Pod", "ReplicaSet", "Deployment",
    "HorizontalPodAutoscaler", "StatefulSet", "Job", "CronJob", "Ingress",
)  # fmt: skip
"""The order of kinds within a wave; all others come after them."""
_CREATES_NAMESPACE: Final = "CreateNamespace=true"
_SKIPS_DRY_RUN: Final = "SkipDryRunOnMissingResource=true"


class Step(NamedTuple):
    """Where an object stands in the sync."""

    phase: int
    wave: int

    def __str__(self) -> str:
        return f"{ORDERED[self.phase]} wave {self.wave}"


@dataclass(frozen=True, slots=True)
class Task:
    """One object in one phase."""

    manifest: Manifest
    hook: bool

    @property
    def rank(self) -> int:
        """Of its kind."""
        return KINDS.index(self.manifest.kind) if self.manifest.kind in KINDS else len(KINDS)


def sync(manifests: Iterable[Manifest], world: World, options: Options) -> Outcome:
    """One sync, of all that `manifests` say, into a destination that has nothing of them."""
    objects = tuple(manifests)
    namespace: tuple[tuple[Key, ...], ...] = ()
    unserved = any(not served(one, objects, world) and not _skips(one, options) for one in objects)
    if unserved or not (world.namespace_exists or _CREATES_NAMESPACE in options.words):
        return Outcome(State.FAILED, ())  # the dry run, or the first object, is refused: nothing is applied
    if not world.namespace_exists:
        namespace = ((Key("Namespace", "NS"),),)
    left = gone(world.live, objects)
    if options.prune and (asked := [one for one in left if CONFIRM in one.words(OPTIONS)]):
        # the whole operation waits, before anything is applied
        return Outcome(State.RUNNING, (), tuple(Blocked(one.key, ("confirmation of its pruning",)) for one in asked))
    kept = tuple(one.key for one in left if not options.prune or KEEP in one.words(OPTIONS))
    return _Sync(objects, world, options, [*namespace], kept).run()


def _skips(manifest: Manifest, options: Options) -> bool:
    return _SKIPS_DRY_RUN in options.words or _SKIPS_DRY_RUN in manifest.words(OPTIONS)


@dataclass(slots=True)
class _Sync:
    """One sync under way."""

    objects: Sequence[Manifest]
    world: World
    options: Options
    applied: list[tuple[Key, ...]]
    kept: tuple[Key, ...]
    """What has left Git and stays."""
    refused: dict[Key, str] = field(default_factory=dict)
    live: dict[Key, Task] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    """Jobs that ended well."""

    def run(self) -> Outcome:
        tasks = self._planned()
        steps = sorted(tasks)
        for number, step in enumerate(steps):
            refused = self._apply(tasks[step])
            waited = self._waited(tasks, steps, number)
            fates = [self._fate(task) for task in waited]
            if Fate.STUCK in fates and not refused:
                return self._stuck(waited, [one for later in steps[number + 1 :] for one in tasks[later]], str(step))
            if refused or Fate.FAILED in fates:
                self._apply(self._of(Phase.SYNC_FAIL))
                return Outcome(State.FAILED, tuple(self.applied), refused=self._refused(), where=str(step))
        unwell = [key for key, task in self.live.items() if not task.hook and self._fate(task) is not Fate.WELL]
        dropped = (key for key, task in self.live.items() if not task.hook and any(unknown(task.manifest)))
        return Outcome(State.SUCCEEDED, tuple(self.applied), unwell=tuple(unwell), differing=(*dropped, *self.kept))

    def _planned(self) -> dict[Step, list[Task]]:
        out: defaultdict[Step, list[Task]] = defaultdict(list)
        for manifest in self.objects:
            found = hooks(manifest)
            if found is None:
                out[Step(ORDERED.index(Phase.SYNC), self._wave(manifest))].append(Task(manifest, hook=False))
            elif self.options.hooks:
                for phase in (one for one in found if one in ORDERED):
                    out[Step(ORDERED.index(phase), self._wave(manifest))].append(Task(manifest, hook=True))
        return out

    def _of(self, phase: Phase) -> list[Task]:
        return [Task(one, hook=True) for one in self.objects if phase in (hooks(one) or ()) and self.options.hooks]

    def _wave(self, manifest: Manifest) -> int:
        """Definitions and namespaces are pulled forward before their users, whatever their own wave."""
        match manifest.kind:
            case "CustomResourceDefinition":
                kind = table(manifest.spec.get("names")).get("kind")
                users = [one for one in self.objects if one.kind == kind]
            case "Namespace":
                users = [one for one in self.objects if one.metadata.get("namespace") == manifest.name]
            case _:
                users = []
        return min([wave(manifest), *map(wave, users)])

    def _apply(self, tasks: Sequence[Task]) -> bool:
        """Apply one group, kind by kind; whether one was refused. What is not refused is applied all the same."""
        why = {task.manifest.key: self._why_not(task.manifest) for task in tasks}
        self.refused |= {key: reason for key, reason in why.items() if reason}
        good = [task for task in tasks if not why[task.manifest.key]]
        for rank in sorted({task.rank for task in good}):
            self.applied.append(tuple(task.manifest.key for task in good if task.rank == rank))
        for task in good:
            self.live[task.manifest.key] = task
        self._settle()
        return len(good) < len(tasks)

    def _why_not(self, manifest: Manifest) -> str:
        """Why the API server does not take it, empty when it does."""
        if not served(manifest, self.objects, self.world):
            return f"no matches for kind {manifest.kind!r}"
        return self.world.refuses(manifest) or immutable(self.world.live.get(manifest.key), manifest)

    def _refused(self) -> tuple[Blocked, ...]:
        return tuple(Blocked(key, (reason,)) for key, reason in self.refused.items())

    def _settle(self) -> None:
        """Let Jobs go on until none ends any more: one may be what another waits for."""
        while ended := {
            key.name
            for key, task in self.live.items()
            if key.kind == "Job" and key.name not in self.done and self._fate(task) is Fate.WELL
        }:
            self.done |= ended

    def _waited(self, tasks: dict[Step, list[Task]], steps: Sequence[Step], number: int) -> list[Task]:
        """What has to be well before the sync goes on from this step, or ends."""
        here, last = tasks[steps[number]], number + 1 == len(steps)
        hooked = any(task.hook for task in here)
        whole = not last or (len(steps) > 1 and hooked)
        waited = [task for task in here if task.hook or whole or (hooked and self._degraded(task))]
        if not last and steps[number].phase == ORDERED.index(Phase.SYNC):
            keys = {task.manifest.key for task in waited}
            waited += [task for key, task in self.live.items() if not task.hook and key not in keys]
        return waited

    def _degraded(self, task: Task) -> bool:
        """Whether it was Degraded before this sync, which does not change it."""
        key = task.manifest.key
        return key in self.world.degraded and self.world.live[key].spec == task.manifest.spec

    def _missing(self, task: Task) -> Iterator[Need]:
        made = {key for one in self.live.values() if (key := one.manifest.made) and self.world.answered(one.manifest)}
        exists = self.world.exists | self.live.keys() | made
        for need in needs(task.manifest, self.world.waits_for):
            if not need.met(exists, self.done):
                yield need

    def _fate(self, task: Task) -> Fate:
        if self._degraded(task):
            return Fate.FAILED
        return fate(task.manifest, self.world, self.options, met=not any(True for _ in self._missing(task)))

    def _stuck(self, waited: Sequence[Task], later: Sequence[Task], where: str) -> Outcome:
        blocked = tuple(
            Blocked(task.manifest.key, tuple(sorted(map(str, self._missing(task)))))
            for task in waited
            if self._fate(task) is Fate.STUCK
        )
        unwell = tuple(task.manifest.key for task in waited if self._fate(task) is Fate.FAILED)
        never = tuple(task.manifest.key for task in later)
        return Outcome(State.RUNNING, tuple(self.applied), blocked, unwell, never=never, where=where)
