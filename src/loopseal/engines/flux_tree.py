"""From the source to the last release: every object of Flux that stands between a commit and health, judged in order.

    source         does it offer the commit?                     else its own verdict
    Kustomization  has it applied the commit, is it healthy?      a dependency's verdict where it waits for one
    what it applied, as far as it is Flux's own: Kustomizations of the same source, HelmReleases; five levels deep

Does not live here: how objects are read, when, and who is asked to look again (`flux_wait`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from loopseal.domain.revision import Action, State, Verdict, worst
from loopseal.engines import flux_object as flux
from loopseal.engines import kstatus
from loopseal.engines.ancestors import Ancestors
from loopseal.engines.fields import Memory, Object, items, text
from loopseal.engines.flux_look import Live
from loopseal.engines.flux_places import (
    GIT_REPOSITORY,
    HELM_RELEASE,
    Place,
    chart_of,
    dependencies_of,
    nested_in,
    parent_of,
    source_of,
)
from loopseal.engines.flux_verdict import (
    acknowledged,
    judge_helm_release,
    judge_kustomization,
    judge_source,
    reads_objects,
    with_dependency,
)
from loopseal.engines.relations import Oracle
from loopseal.ports import Clock, Wait

MAX_DEPTH: Final = 5
MAX_OBJECTS: Final = 100
"""Objects of Flux looked at for one verdict; further ones are left to the health checks of those above them."""

Read: TypeAlias = Callable[[Place], Awaitable[Object | None]]


@dataclass(frozen=True, slots=True)
class Request:
    """What we wrote into an object's `requestedAt`, and what it had handled until then."""

    token: str
    before: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """A verdict, and whose it is: a nudge, where it wants one, is for that object."""

    verdict: Verdict
    place: Place


@dataclass(slots=True)
class Tree:
    """The objects of one wait, as one reader shows them. `memories` and `requests` outlive it."""

    wait: Wait
    root: Place
    read: Read
    live: Callable[[Object], Awaitable[Live | None]]
    ancestors: Ancestors
    clock: Clock
    memories: MutableMapping[str, Memory]
    requests: Mapping[Place, Request]
    may_ask: bool = True
    origin: Place | None = None
    looked: int = 0

    async def seen(self) -> Seen | None:
        """What decides now; None when the object that is waited for does not exist."""
        if self.root.kind == GIT_REPOSITORY:
            source = await self.read(self.root)
            return None if source is None else Seen(await self._fetched(source, self.root), self.root)
        if self.root.kind == HELM_RELEASE:
            return await self._root_release()
        return await self._kustomization(self.root, ())

    async def _root_release(self) -> Seen | None:
        """A HelmRelease knows no commit: the Kustomization that applies it does, or its chart, when it is from Git."""
        release = await self.read(self.root)
        if release is None:
            return None
        parent = parent_of(release)
        if parent is not None:
            above = await self._applied(parent)
            if above.verdict.state is not State.SUCCEEDED and above.verdict.reason != "SETTLING":
                return above
            said = await self._release(self.root)
            return Seen(above.verdict, self.root) if said.verdict.state is State.SUCCEEDED else said
        self.origin = source_of(release, self.root)
        if self.origin is None or self.origin.kind != GIT_REPOSITORY:
            message = "no Kustomization applies it and its chart is not from Git: it cannot be told which commit it has"
            return Seen(Verdict(State.PENDING, "ORIGIN_UNKNOWN", message), self.root)
        return await self._release(self.root)

    async def _applied(self, place: Place) -> Seen:
        """The Kustomization itself, without what it applied."""
        found = await self.read(place)
        if found is None:
            return Seen(Verdict(State.PENDING, "NOT_CREATED", f"{place} does not exist"), place)
        return await self._own(place, found, (place,))

    async def _kustomization(self, place: Place, trail: tuple[Place, ...]) -> Seen | None:
        found = await self.read(place)
        if found is None:
            return None
        if trail and not self._same_source(found, place):
            return Seen(_foreign(found, place), place)
        said = await self._own(place, found, (*trail, place))
        if said.verdict.state is not State.SUCCEEDED and said.verdict.reason != "SETTLING":
            return said
        below = await self._below(found, (*trail, place))
        return below if below is not None and below.verdict.state is not State.SUCCEEDED else said

    async def _own(self, place: Place, found: Object, trail: tuple[Place, ...]) -> Seen:
        origin_place = source_of(found, place)
        self.origin = self.origin or origin_place
        origin = await self.read(origin_place) if origin_place is not None else None
        if origin is not None and origin_place is not None and not flux.suspended(found):
            fetched = await self._fetched(origin, origin_place)
            if fetched.state is not State.SUCCEEDED:
                return Seen(fetched, origin_place)
        objects = await self.live(found) if reads_objects(found, self.wait.tolerance) else None
        now = self.clock.now().timestamp()

        def judge(relation: Oracle, memory: Memory) -> Verdict:
            return judge_kustomization(
                found, self.wait.revision, relation, now, memory, self.wait.tolerance, origin=origin, objects=objects
            )

        said = await self.ancestors.judged(judge, self.memories.setdefault(str(place), {}))
        if said.reason == "DependencyNotReady":
            return await self._waits_for(said, place, found, trail)
        return Seen(said, place)

    async def _fetched(self, source: Object, place: Place) -> Verdict:
        def judge(relation: Oracle, _: Memory) -> Verdict:
            return judge_source(
                source,
                self.wait.revision,
                relation,
                self.wait.tolerance,
                acknowledged=self._acknowledged(source, place),
            )

        return await self.ancestors.judged(judge, {})

    def _acknowledged(self, obj: Object, place: Place) -> bool:
        request = self.requests.get(place)
        return request is not None and acknowledged(obj, request.token, request.before)

    async def _waits_for(self, said: Verdict, place: Place, found: Object, trail: tuple[Place, ...]) -> Seen:
        """The first dependency that is not ready either, in its own words."""
        for dependency in dependencies_of(found, place):
            if dependency in trail or not self._may_look(trail):
                continue
            theirs = await self._kustomization(dependency, trail)
            missing = Verdict(State.PENDING, "NOT_CREATED", f"{dependency} does not exist")
            verdict = theirs.verdict if theirs is not None else missing
            if verdict.state is not State.SUCCEEDED and verdict.reason != "SETTLING":
                told = with_dependency(said, str(dependency), verdict)
                helps = theirs.place if theirs is not None else dependency
                return Seen(replace(told, action=verdict.action), helps)
        return Seen(said, place)

    async def _below(self, found: Object, trail: tuple[Place, ...]) -> Seen | None:
        """What stands worst among the objects of Flux that it applied."""
        below: list[Seen] = []
        for place in nested_in(found):
            if place in trail or not self._may_look(trail):
                continue
            if place.kind == HELM_RELEASE:
                below.append(await self._release(place))
            else:
                missing = Verdict(State.PENDING, "NOT_CREATED", "it was applied and is not there")
                below.append(await self._kustomization(place, trail) or Seen(missing, place))
        if not below:
            return None
        decides = worst(one.verdict for one in below)
        seen = next(one for one in below if one.verdict is decides)
        return Seen(replace(decides, message=f"{seen.place}: {decides.message}"[:2000]), seen.place)

    def _may_look(self, trail: tuple[Place, ...]) -> bool:
        self.looked += 1
        return len(trail) < MAX_DEPTH and self.looked <= MAX_OBJECTS

    def _same_source(self, found: Object, place: Place) -> bool:
        return self.origin is not None and source_of(found, place) == self.origin

    async def _release(self, place: Place) -> Seen:
        release = await self.read(place)
        if release is None:
            return Seen(Verdict(State.PENDING, "NOT_CREATED", "it does not exist yet"), place)
        revision = ""
        if self._same_source(release, place):
            chart_place = chart_of(release)
            chart = await self.read(chart_place) if chart_place is not None else None
            if chart is None or chart_place is None:
                return Seen(Verdict(State.PENDING, "NO_STATUS", "its chart has not been made yet"), place)
            packed = await self._fetched(chart, chart_place)
            if packed.state is not State.SUCCEEDED:
                return Seen(packed, chart_place)
            revision = text(chart, "status", "artifact", "revision")
        token = self._values_token(release, place)
        return Seen(
            judge_helm_release(release, self.wait.tolerance, chart_revision=revision, config_token=token), place
        )

    def _values_token(self, release: Object, place: Place) -> str:
        """The request that must have been handled, where values come from objects that raise no generation."""
        if not items(release, "spec", "valuesFrom") or not self.may_ask:
            return ""
        if self._acknowledged(release, place):
            return text(release, "status", "lastHandledReconcileAt")
        request = self.requests.get(place)
        return request.token if request is not None else "not asked yet"


def _foreign(found: Object, place: Place) -> Verdict:
    """An object of another source has nothing to do with our commit; it must be well, and its failure is not ours."""
    told = kstatus.status(found)
    if flux.suspended(found):
        return Verdict(State.BLOCKED, "SUSPENDED", f"{place} is suspended", action=Action.RESUME)
    if told.status == kstatus.CURRENT:
        return Verdict(State.SUCCEEDED, "READY", told.message)
    return Verdict(State.PENDING, "OBJECTS_NOT_READY", f"{told.status}: {told.message}"[:2000])
