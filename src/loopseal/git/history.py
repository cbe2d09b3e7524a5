"""The commits of a branch as far as they were ever seen: who is whose parent, and which change landed where.

A fetch with `filter=tree:0` brings commits alone, some 300 bytes each, so both questions are answered without a clone.
Commits never change: what was once seen need not be asked again. Bounded; never answers more than was seen.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from loopseal.errors import Code, Conflict, Unreachable
from loopseal.git import message
from loopseal.git.objects import Commit, commit_of, is_oid
from loopseal.git.remote import NOT_HANDED_OUT, Fetch, GitObject, ObjectKind, Remote

RECENT: Final = 1_000
"""Commits looked through when it is not known where to begin."""
FAR: Final = 20_000
"""Commits looked through at most between a proposal's base and the tip."""
KEPT: Final = 200_000
"""Commits whose parents are remembered, some 60 MB; beyond that, all are forgotten and seen anew."""
_CHANGES: Final = 50_000
"""Changes remembered, likewise."""


class Place(NamedTuple):
    """Where a change landed: its commit, and the one before it."""

    revision: str
    parent: str


@dataclass(frozen=True, slots=True)
class Gap:
    """The commits that are in `tip` and not in what it was compared with. Not `whole`: there may be older ones."""

    tip: str
    commits: Mapping[str, Commit]
    whole: bool

    def __iter__(self) -> Iterator[tuple[str, Commit]]:
        """Newest first, every commit before its parents where dates allow."""
        heap: list[tuple[float, int, str]] = []
        seen: set[str] = set()

        def push(oid: str) -> None:
            if oid in self.commits and oid not in seen:
                seen.add(oid)
                heapq.heappush(heap, (-self.commits[oid].at.timestamp(), len(seen), oid))

        push(self.tip)
        while heap:
            oid = heapq.heappop(heap)[2]
            yield oid, self.commits[oid]
            for parent in self.commits[oid].parents:
                push(parent)

    def leads_to(self, oid: str) -> bool:
        """Whether one of these commits is a child of `oid`: then `oid` is an ancestor of the tip."""
        return any(oid in commit.parents for commit in self.commits.values())


class History:
    """The known commits of one remote, and the way to those that are not."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self.parents: dict[str, tuple[str, ...]] = {}

    @property
    def cheap(self) -> bool:
        """Whether the host sends commits alone; else every question brings whole trees along."""
        return self._remote.filters

    async def gap(self, tip: str, base: str = "", *, limit: int = RECENT) -> Gap:
        """The commits in `tip` but not in `base`, at most about `limit` deep. Raises Unreachable."""
        haves = (base,) if is_oid(base) else ()
        request = Fetch((tip,), haves, depth=limit, filter="tree:0", thin=False)
        objects = await self._remote.fetch(request, {})
        commits = {obj.oid: commit_of(obj.data) for obj in objects if obj.kind is ObjectKind.COMMIT}
        self.learn(commits)
        return Gap(tip, commits, len(commits) < limit)

    async def knows(self, oid: str) -> bool:
        """Whether the host has this commit. Raises Unreachable when it does not say."""
        if not self.cheap:
            return False
        try:
            return any(obj.oid == oid for obj in await self._remote.fetch(_alone(oid), {}))
        except Unreachable as error:
            if error.code in NOT_HANDED_OUT:
                return False
            raise

    def learn(self, commits: Mapping[str, Commit]) -> None:
        """Remember whose parents these are."""
        if len(self.parents) + len(commits) > KEPT:
            self.parents.clear()
        self.parents |= {oid: commit.parents for oid, commit in commits.items()}


def _alone(oid: str) -> Fetch:
    return Fetch((oid,), depth=1, filter="tree:0", thin=False)


class Landings:
    """Which change landed where, on the branch as it is: an index of trailers, read once and carried forward.

    `_covered` holds the commits from which on, up to `_tip`, every message was read. So a burst of changes with one
    base costs one reading, and our own pushes cost none.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._tip = ""
        self._covered: set[str] = set()
        self._places: dict[str, Place] = {}
        self._turn = asyncio.Lock()

    async def find(self, change: str, *, base: str, tip: str) -> Place | None:
        """Where `change` landed between `base` and `tip`, or None: then it has not.

        An unknown base means the last 1,000 commits. Raises Unreachable; Conflict (`git.contended`) when the branch
        went on by more than 20,000 commits since a base that is known.
        """
        async with self._turn:
            if tip == self._tip and change in self._places:
                return self._places[change]
            if base == tip:
                return None
            await self._advance(tip)
            if change not in self._places and base not in self._covered:
                await self._cover(base)
            return self._places.get(change)

    def covers(self, base: str, tip: str) -> bool:
        """Whether `find` would answer without asking the host."""
        return base == tip or (tip == self._tip and base in self._covered)

    def pushed(self, tip: str, commits: Sequence[tuple[str, GitObject]]) -> None:
        """These changes went onto `tip`, in this order, and the branch is at the last of them."""
        parsed = {obj.oid: commit_of(obj.data) for _, obj in commits}
        self._history.learn(parsed)
        if tip != self._tip:
            self._start(tip)
        for change, obj in commits:
            self._places[change] = Place(obj.oid, parsed[obj.oid].parents[0])
        self._tip = commits[-1][1].oid
        self._covered.add(self._tip)

    def _start(self, tip: str) -> None:
        self._tip, self._covered = tip, {tip}
        self._places.clear()

    async def _advance(self, tip: str) -> None:
        if tip == self._tip:
            return
        if not self._tip or len(self._places) > _CHANGES:
            self._start(tip)
            return
        gap = await self._history.gap(tip, self._tip)
        if not gap.whole or not gap.leads_to(self._tip):
            self._start(tip)  # rewritten, rewound, or far ahead: what was read may not be on the branch any more
            return
        self._read(gap)
        self._tip = tip
        self._covered.add(tip)

    async def _cover(self, base: str) -> None:
        gap = await self._history.gap(self._tip, base)
        if not gap.whole and is_oid(base) and await self._history.knows(base):
            gap = await self._history.gap(self._tip, base, limit=FAR)
            if not gap.whole:
                raise Conflict(
                    Code.GIT_CONTENDED,
                    f"the branch went on by more than {FAR} commits since {base[:12]}, the base of this change",
                    hint="Whether it has landed cannot be told any more. Look with `loopseal log`, then propose anew.",
                )
        self._read(gap)
        self._covered.add(base)

    def _read(self, gap: Gap) -> None:
        for oid, commit in gap.commits.items():
            change = message.first(message.trailers(commit.message), message.CHANGE)
            if change and commit.parents:
                self._places.setdefault(change, Place(oid, commit.parents[0]))
