"""Reads the few objects that a path needs, for any number of commits and paths at once.

Trees are fetched level by level with partial-clone filters, so that neither the siblings of a folder nor its files come
along; hosts that allow no tree filters but `tree:0` get single ids, and hosts without filters are asked for the whole
commit at depth 1. Decides nothing about what is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from loopseal.errors import Code, Unreachable
from loopseal.git.objects import Commit, commit_of
from loopseal.git.remote import NOT_HANDED_OUT, Fetch, GitObject, ObjectKind, Remote
from loopseal.git.store import Store
from loopseal.git.tree import Tree
from loopseal.git.view import Missing, View

CONTENT_LIMIT: Final = 10 * 1024 * 1024
"""Bytes of a file whose keys may be edited."""
_FEW: Final = 64
"""Entries of a folder whose other small files may come along with the one that is wanted."""
_ROUNDS: Final = 140
"""Fetches for one question: twice the deepest path that a selector could name."""
_DEPTHS: Final = (100, 1_000)
"""How far back an old commit is looked for on hosts that hand out nothing but tips."""
_ONE_LEVEL: Final = 2
"""Names left to resolve below a tree whose sub-folders may come along with it."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One path under one commit; with `content` down to the bytes of the file, if they are at most `limit` (0: any).

    `attributes`: also the `.gitattributes` above it.
    """

    revision: str
    path: str
    content: bool = True
    attributes: bool = False
    limit: int = 0


@dataclass(slots=True)
class _Shelf:
    """What one question has gathered so far."""

    commits: dict[str, Commit] = field(default_factory=dict)
    trees: dict[str, Tree] = field(default_factory=dict)
    blobs: dict[str, GitObject] = field(default_factory=dict)
    too_large: set[str] = field(default_factory=set)

    def view(self, revision: str) -> View:
        return View(revision, self.commits[revision], self.trees, self.blobs)

    def missing(self, ask: Ask) -> list[Missing]:
        wants = self.view(ask.revision).missing(ask.path, content=ask.content, attributes=ask.attributes)
        return [want for want in wants if want.oid not in self.too_large]


class Reader:
    """Views of commits of one remote, through one store."""

    def __init__(self, remote: Remote, store: Store) -> None:
        self._remote, self.store = remote, store
        self._deep = self._sized = True
        self._anchor = ""
        self.tip = ""
        """The newest tip known: what a host hands out that hands out nothing but tips."""

    async def view(self, ask: Ask) -> View:
        """The commit with all that this path leads to. Raises Unreachable."""
        return (await self.views([ask]))[ask.revision]

    async def views(self, asks: Sequence[Ask]) -> Mapping[str, View]:
        """The commits asked for, each with all that its paths lead to. Raises Unreachable."""
        try:
            return await self._gathered(asks)
        finally:
            self.store.trim()

    async def _gathered(self, asks: Sequence[Ask]) -> Mapping[str, View]:
        shelf = _Shelf()
        await self._commits(shelf, list(dict.fromkeys(ask.revision for ask in asks)))
        for _ in range(_ROUNDS):
            wants = self._from_store(shelf, asks)
            if not wants:
                revisions = {ask.revision for ask in asks}
                self._anchor = asks[0].revision if len(revisions) == 1 else self._anchor
                return {revision: shelf.view(revision) for revision in revisions}
            await self._fetch(shelf, wants, asks)
        raise _unanswered("a path has more folders than can be")

    def adopt(self, objects: Iterable[GitObject], trees: Iterable[Tree], *, gone: Iterable[str], revision: str) -> None:
        """The server has taken these from us, they belong to `revision`; `gone` are what they replaced."""
        self.store.discard(gone)
        self.store.put(objects)
        for tree in trees:
            self.store.put_tree(tree)
        self._anchor = revision

    def forget(self) -> None:
        """What the server has is in doubt: see everything anew."""
        self.store.clear()
        self._anchor = ""

    async def _commits(self, shelf: _Shelf, revisions: Sequence[str]) -> None:
        absent = [revision for revision in revisions if revision not in self.store]
        if absent == [self.tip] and self._remote.filters:
            self.store.put(await self._get(self._tip_request()))
            absent = [revision for revision in absent if revision not in self.store]
        if absent and self._remote.filters:
            self.store.put(await self._get(Fetch(tuple(absent), depth=1, filter="tree:0")))
        elif absent:
            await self._whole(absent, absent)
        for revision in revisions:
            obj = self.store.get(revision)
            if obj is None or obj.kind is not ObjectKind.COMMIT:
                raise _unanswered(f"the host did not send commit {revision}")
            shelf.commits[revision] = commit_of(obj.data)

    async def _whole(self, revisions: Sequence[str], needed: Iterable[str]) -> None:
        """Commits with all that is under them. Of a host that hands out tips alone, with all that is above them too."""
        try:
            self.store.put(await self._get(Fetch(tuple(revisions), depth=1)))
        except Unreachable as error:
            if error.code not in NOT_HANDED_OUT or not self.tip:
                raise
            for depth in _DEPTHS:
                if not all(oid in self.store for oid in needed):
                    self.store.put(await self._get(Fetch((self.tip,), depth=depth)))

    def _tip_request(self) -> Fetch:
        """The tip with all trees that are new in it since what we have, or with its upper ones."""
        wants = (self.tip,)
        if self._anchor in self.store:
            return Fetch(wants, (self._anchor,), depth=1, filter="blob:none", shallow=(self._anchor,))
        return Fetch(wants, depth=1, filter="combine:blob:none+tree:2" if self._deep else "tree:0")

    def _from_store(self, shelf: _Shelf, asks: Sequence[Ask]) -> dict[str, Missing]:
        """Put on the shelf whatever is here already; answer what is not."""
        wants: dict[str, Missing] = {}
        for ask in asks:
            while found := shelf.missing(ask):
                here = [self._shelve(shelf, want) for want in found]
                if not all(here):
                    wants |= {want.oid: want for want, is_here in zip(found, here, strict=True) if not is_here}
                    break
        return wants

    def _shelve(self, shelf: _Shelf, want: Missing) -> bool:
        if want.levels:
            tree = self.store.tree(want.oid)
            if tree is not None:
                shelf.trees[want.oid] = tree
            return tree is not None
        blob = self.store.get(want.oid)
        if blob is not None:
            shelf.blobs[want.oid] = blob
        return blob is not None

    async def _fetch(self, shelf: _Shelf, wants: Mapping[str, Missing], asks: Sequence[Ask]) -> None:
        if not self._remote.filters:
            await self._whole(list(dict.fromkeys(ask.revision for ask in asks)), wants)
        else:
            limit = min((ask.limit for ask in asks if ask.content), default=0)
            self.store.put(await self._wanted(shelf, wants, limit))
        if not shelf.too_large.issuperset(wants.keys() - self.store.keys()):
            raise _unanswered("the host did not send what was asked for")

    async def _wanted(self, shelf: _Shelf, wants: Mapping[str, Missing], limit: int) -> list[GitObject]:
        """The wanted objects in as few fetches as their filters allow."""
        got: list[GitObject] = []
        bounded = [want for want in wants.values() if self._bounded(shelf, want, limit)]
        plain = [want for want in wants.values() if want not in bounded]
        if bounded:
            folders = tuple(dict.fromkeys(want.parent for want in bounded))
            got += await self._sized_files(folders, limit)
            absent = [want for want in bounded if want.oid not in {obj.oid for obj in got}]
            shelf.too_large |= {want.oid for want in absent if self._sized}
            plain += [want for want in absent if not self._sized]
        if plain:
            near = [want for want in plain if want.levels]
            shallow = near and all(want.levels == _ONE_LEVEL for want in near)
            deeper = "combine:blob:none+tree:1" if self._deep and shallow else "tree:0"
            got += await self._get(Fetch(tuple(want.oid for want in plain), filter=deeper))
        return got

    def _bounded(self, shelf: _Shelf, want: Missing, limit: int) -> bool:
        """Whether this file can be asked for in a way that leaves it out when it is too large.

        That is with its folder, so the folder must be small and have none beneath it: a filter that also left those out
        would leave out a file that has the same content as one of theirs.
        """
        folder = shelf.trees.get(want.parent)
        small = folder is not None and len(folder) <= _FEW and not any(e.is_folder for e in folder.entries.values())
        return self._sized and limit > 0 and small

    async def _sized_files(self, folders: tuple[str, ...], limit: int) -> list[GitObject]:
        """The files of these folders that are not too large; nothing where the host does not filter by size."""
        try:
            return list(await self._remote.fetch(Fetch(folders, filter=f"blob:limit={limit + 1}"), self.store))
        except Unreachable as error:
            if error.code not in NOT_HANDED_OUT:
                raise
            self._sized = False
            return []

    async def _get(self, request: Fetch) -> list[GitObject]:
        """One fetch. A host that refuses all filters but `tree:0` and `blob:none` gets single ids from then on."""
        try:
            return list(await self._remote.fetch(request, self.store))
        except Unreachable as error:
            if error.code not in NOT_HANDED_OUT or not request.filter.startswith("combine:"):
                raise
        got = await self._remote.fetch(replace(request, filter="tree:0"), self.store)
        self._deep = False
        return list(got)


def _unanswered(message: str) -> Unreachable:
    return Unreachable(
        Code.GIT_PROTOCOL,
        message,
        hint="The repository may have been rewritten or pruned meanwhile. Try again; then run `git fsck` on the host.",
    )
