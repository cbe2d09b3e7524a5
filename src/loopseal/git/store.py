"""The objects that the server has and we have seen: bounded, least recently used first to go.

Only trees and files on the paths of changes are worth keeping; an old version of a tree is dropped as soon as a newer
one stands in its place. Nothing here decides correctness: what is missing is fetched again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from loopseal.git import tree
from loopseal.git.objects import Entry
from loopseal.git.remote import GitObject
from loopseal.git.tree import Tree

LIMIT: Final = 64 * 1024 * 1024
"""Bytes of objects kept for one repository."""


class Store(Mapping[str, GitObject]):
    """Objects by id. `trim` alone lets go of any: between two trims nothing that was put in is lost."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit, self.size = limit, 0
        self._objects: OrderedDict[str, GitObject] = OrderedDict()
        self._shapes: dict[str, Mapping[bytes, Entry]] = {}

    def __getitem__(self, oid: str) -> GitObject:
        obj = self._objects[oid]
        self._objects.move_to_end(oid)
        return obj

    def __contains__(self, oid: object) -> bool:
        return oid in self._objects

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._objects))

    def __len__(self) -> int:
        return len(self._objects)

    def put(self, objects: Iterable[GitObject]) -> None:
        """Keep these objects: the server has them."""
        for obj in objects:
            if obj.oid not in self._objects:
                self._objects[obj.oid] = obj
                self.size += len(obj.data)

    def tree(self, oid: str) -> Tree | None:
        """The tree with this id, parsed once, or None when it is not here."""
        if oid == tree.EMPTY.oid:
            return tree.EMPTY  # Git knows it without having it
        if oid not in self._objects:
            return None
        obj, shape = self[oid], self._shapes.get(oid)
        if shape is not None:
            return Tree(obj, shape)
        parsed = tree.parse(obj)
        self._shapes[oid] = parsed.entries
        return parsed

    def put_tree(self, one: Tree) -> None:
        """Keep a tree whose entries are parsed already."""
        self.put((one.object,))
        self._shapes[one.oid] = one.entries

    def discard(self, oids: Iterable[str]) -> None:
        """Let go of these, where they are here."""
        for oid in oids:
            obj = self._objects.pop(oid, None)
            self._shapes.pop(oid, None)
            self.size -= len(obj.data) if obj else 0

    def clear(self) -> None:
        """Forget everything: what the server has must be seen anew."""
        self.discard(tuple(self._objects))

    def trim(self) -> None:
        """Let go of the least recently used until the rest is within bounds."""
        while self.size > self._limit and self._objects:
            self.discard((next(iter(self._objects)),))
