"""Trees as values: looked up by name, edited in place where the shape stays.

A tree of 2,000 entries costs a millisecond to parse and nothing to edit: replacing an entry moves no byte, so the new
tree shares the offsets of the old one, and the change travels as a delta of some forty bytes. Nothing is fetched here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from loopseal.git.objects import EXECUTABLE, FILE, FOLDER, RAW, Entry, make, sort_key, tree_entries
from loopseal.git.remote import GitObject, ObjectKind

Splice: TypeAlias = tuple[int, int, bytes]
"""At this offset, so many bytes removed, these put there."""


class Child(NamedTuple):
    """What one name of a tree stands for."""

    mode: bytes
    oid: str

    @property
    def is_folder(self) -> bool:
        """Whether it is a tree."""
        return self.mode.lstrip(b"0") == FOLDER

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file: no link, no submodule. 100664 is a file of Git's first years."""
        return self.mode in {FILE, EXECUTABLE, b"100664"}


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree object and where its entries are."""

    object: GitObject
    entries: Mapping[bytes, Entry]

    @property
    def oid(self) -> str:
        """The tree's own object id."""
        return self.object.oid

    def child(self, name: bytes) -> Child | None:
        """What stands under `name`, or None."""
        entry = self.entries.get(name)
        return Child(entry.mode, entry.oid(self.object.data)) if entry else None

    def __len__(self) -> int:
        return len(self.entries)


EMPTY = Tree(make(ObjectKind.TREE, b""), {})
"""The tree without entries."""


def parse(obj: GitObject) -> Tree:
    """The tree in this object. Raises Unreachable (`git.protocol`) for bytes that are no tree."""
    return Tree(obj, tree_entries(obj.data))


def edited(tree: Tree, changes: Mapping[bytes, Child | None]) -> tuple[Tree, tuple[Splice, ...]]:
    """`tree` with these names replaced, added or (None) removed, and the splices that lead there.

    Names that stand as wanted already cost nothing; without any change the very same tree is answered.
    """
    replaced = {name: child for name, child in changes.items() if tree.child(name) != child}
    if not replaced:
        return tree, ()
    same_shape = all(
        child is not None and name in tree.entries and tree.entries[name].mode == child.mode
        for name, child in replaced.items()
    )
    moves = sorted(_splice(tree, name, child) for name, child in replaced.items())
    moves = _merged(moves)
    obj = make(ObjectKind.TREE, _spliced(tree.object.data, moves))
    return (Tree(obj, tree.entries) if same_shape else parse(obj)), tuple(moves)


def _splice(tree: Tree, name: bytes, child: Child | None) -> Splice:
    entry = tree.entries.get(name)
    if entry is None:
        assert child is not None  # noqa: S101 - removing what is not there was left out above
        return _place(tree, sort_key(child.mode, name)), 0, _entry(name, child)
    if child is None:
        return entry.start, entry.end - entry.start, b""
    if child.mode == entry.mode:
        return entry.at, RAW, bytes.fromhex(child.oid)
    if child.is_folder == entry.is_folder:
        return entry.start, entry.end - entry.start, _entry(name, child)
    message = f"a file and a folder cannot trade places in one step: {name!r}"
    raise ValueError(message)


def _place(tree: Tree, key: bytes) -> int:
    """The offset where an entry with this sort key belongs."""
    for entry in tree.entries.values():
        if sort_key(FOLDER if entry.is_folder else entry.mode, entry.name) > key:
            return entry.start
    return len(tree.object.data)


def _merged(moves: Iterable[Splice]) -> list[Splice]:
    """Additions at one place put in Git's order: equal offsets become one splice."""
    out: list[Splice] = []
    for offset, removed, inserted in moves:
        if out and out[-1][0] == offset and not out[-1][1]:
            before = out.pop()[2]
            out.append((offset, removed, before + inserted if removed else _ordered(before + inserted)))
        else:
            out.append((offset, removed, inserted))
    return out


def _ordered(data: bytes) -> bytes:
    entries = sorted(tree_entries(data).values(), key=lambda entry: sort_key(entry.mode, entry.name))
    return b"".join(data[entry.start : entry.end] for entry in entries)


def _entry(name: bytes, child: Child) -> bytes:
    return b"%s %s\0%s" % (child.mode, name, bytes.fromhex(child.oid))


def _spliced(data: bytes, moves: Iterable[Splice]) -> bytes:
    pieces, done = [], 0
    for offset, removed, inserted in moves:
        pieces += [data[done:offset], inserted]
        done = offset + removed
    return b"".join([*pieces, data[done:]])
