"""Reads the few objects that a path needs, for any number of commits and paths at once.

Trees are fetched level by level with partial-clone filters, so that neither the siblings of a folder nor its files come
along; hosts that allow no tree filters but `tree:0` get single ids, and hosts without filters are asked for the whole
commit at depth 1. Decides nothing about what is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
        self._deep = True
        self._anchor = ""

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
        if absent:
            self.store.put(await self._get(self._commit_request(absent)))
        for revision in revisions:
            obj = self.store.get(revision)
            if obj is None or obj.kind is not ObjectKind.COMMIT:
                raise _unanswered(f"the host did not send commit {revision}")
            shelf.commits[revision] = commit_of(obj.data)

    def _commit_request(self, revisions: Sequence[str]) -> Fetch:
        wants = tuple(revisions)
        if not self._remote.filters:
            return Fetch(wants, depth=1)
        if not self._deep or len(wants) > 1:
            return Fetch(wants, depth=1, filter="tree:0")
        if self._anchor in self.store:
            return Fetch(wants, (self._anchor,), depth=1, filter="blob:none", shallow=(self._anchor,))
        return Fetch(wants, depth=1, filter="combine:blob:none+tree:2")

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
            revisions = tuple(dict.fromkeys(ask.revision for ask in asks))
            got = await self._get(Fetch(revisions, depth=1))
        else:
            got = await self._wanted(shelf, wants, min((ask.limit for ask in asks if ask.content), default=0))
        self.store.put(got)
        if not shelf.too_large.issuperset(wants.keys() - self.store.keys()):
            raise _unanswered("the host did not send what was asked for")

    async def _wanted(self, shelf: _Shelf, wants: Mapping[str, Missing], limit: int) -> list[GitObject]:
        """The wanted objects in as few fetches as their filters allow."""
        got: list[GitObject] = []
        bounded = [want for want in wants.values() if self._bounded(shelf, want, limit)]
        plain = [want for want in wants.values() if want not in bounded]
        if bounded:
            folders = tuple(dict.fromkeys(want.parent for want in bounded))
            got += await self._get(Fetch(folders, filter=f"combine:tree:1+blob:limit={limit + 1}"))
            absent = {want.oid for want in bounded} - {obj.oid for obj in got}
            if self._deep:
                shelf.too_large |= absent
            else:
                plain += bounded
        if plain:
            near = [want for want in plain if want.levels]
            shallow = near and all(want.levels == _ONE_LEVEL for want in near)
            deeper = "combine:blob:none+tree:1" if self._deep and shallow else "tree:0"
            got += await self._get(Fetch(tuple(want.oid for want in plain), filter=deeper))
        return got

    def _bounded(self, shelf: _Shelf, want: Missing, limit: int) -> bool:
        """Whether this file can be asked for in a way that leaves it out when it is too large."""
        folder = shelf.trees.get(want.parent)
        return self._deep and limit > 0 and folder is not None and len(folder) <= _FEW

    async def _get(self, request: Fetch) -> list[GitObject]:
        """One fetch. A host that refuses all filters but `tree:0` and `blob:none` gets single ids from then on."""
        try:
            return list(await self._remote.fetch(request, self.store))
        except Unreachable as error:
            if error.code not in NOT_HANDED_OUT or not request.filter.startswith("combine:"):
                raise
            self._deep = False
        if "blob:limit" in request.filter:
            return []
        plain = Fetch(request.wants, request.haves, request.depth, "tree:0", request.shallow)
        return list(await self._remote.fetch(plain, self.store))


def _unanswered(message: str) -> Unreachable:
    return Unreachable(
        Code.GIT_PROTOCOL,
        message,
        hint="The repository may have been rewritten or pruned meanwhile. Try again; then run `git fsck` on the host.",
    )
