"""What is known of one commit's tree: the objects on the paths that were asked for, and where a path leads.

A view holds its objects itself, so whatever the store lets go of meanwhile, a view stays whole. Nothing is fetched
here; `missing` says what would have to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from loopseal.errors import Code, Refused
from loopseal.git import attributes
from loopseal.git.objects import Commit
from loopseal.git.remote import GitObject
from loopseal.git.tree import Child, Tree

ATTRIBUTES: Final = b".gitattributes"


class Missing(NamedTuple):
    """An object that is needed and not here. `levels`: how many names of the path it still has to resolve; 0: a blob.

    `parent` is the tree that a blob stands in.
    """

    oid: str
    levels: int
    parent: str = ""


class Steps(NamedTuple):
    """One step down a path: the names that lead to `tree`, the tree (None: not here), and its id."""

    folder: tuple[bytes, ...]
    oid: str
    tree: Tree | None


@dataclass(frozen=True, slots=True)
class File:
    """A regular file. `data` is None where only the id was asked for, or where it is larger than was asked for."""

    mode: bytes
    oid: str
    data: bytes | None


@dataclass(frozen=True, slots=True)
class View:
    """One commit and the objects under it, as far as they are here."""

    revision: str
    commit: Commit
    trees: Mapping[str, Tree]
    blobs: Mapping[str, GitObject]

    def walk(self, path: str) -> Iterator[Steps]:
        """The trees on `path` from the root down, until the file, a gap, or the end of what exists.

        Raises Refused (`edit.not_a_file`) where the path leads through something that is no folder.
        """
        parts = path.encode().split(b"/")
        oid = self.commit.tree
        for depth in range(len(parts)):
            tree = self.trees.get(oid)
            yield Steps(tuple(parts[:depth]), oid, tree)
            child = tree.child(parts[depth]) if tree else None
            if child is None or depth == len(parts) - 1:
                return
            if not child.is_folder:
                raise not_a_file(path, b"/".join(parts[: depth + 1]).decode(), child)
            oid = child.oid

    def child(self, path: str) -> Child | None:
        """What stands at `path`, whatever it is, or None. Raises Refused as `walk` does, LookupError for a gap."""
        *folders, name = path.encode().split(b"/")
        tree = self._tree(path, self.commit.tree)
        for depth, folder in enumerate(folders, 1):
            child = tree.child(folder)
            if child is None:
                return None
            if not child.is_folder:
                raise not_a_file(path, b"/".join(folders[:depth]).decode(), child)
            tree = self._tree(path, child.oid)
        return tree.child(name)

    def _tree(self, path: str, oid: str) -> Tree:
        tree = self.trees.get(oid)
        if tree is None:
            raise LookupError(f"{path!r} was not asked for")
        return tree

    def file(self, path: str) -> File | None:
        """The regular file at `path`, or None. Raises Refused (`edit.not_a_file`) for anything else there."""
        child = self.child(path)
        if child is None:
            return None
        if not child.is_file:
            raise not_a_file(path, path, child)
        blob = self.blobs.get(child.oid)
        return File(child.mode, child.oid, blob.data if blob else None)

    def filtered(self, path: str) -> str:
        """The attribute that makes Git rewrite this file on checkout (`filter=lfs`), or an empty string."""
        found = {}
        for step in self.walk(path):
            child = step.tree.child(ATTRIBUTES) if step.tree else None
            blob = self.blobs.get(child.oid) if child and child.is_file else None
            if blob is not None:
                found[b"/".join(step.folder).decode()] = blob.data
        return attributes.rewriting(path, found)

    def missing(self, path: str, *, content: bool, attributes: bool) -> list[Missing]:
        """What must be fetched next to follow `path`: trees, the file itself (`content`), `.gitattributes` above it."""
        out: list[Missing] = []
        folders, _, name = path.rpartition("/")
        try:
            for step in self.walk(path):
                if step.tree is None:
                    return [*out, Missing(step.oid, path.count("/") + 1 - len(step.folder))]
                if attributes:
                    out += self._absent(step.tree, ATTRIBUTES)
                if content and b"/".join(step.folder) == folders.encode():
                    out += self._absent(step.tree, name.encode(), parent=step.oid)
        except Refused:
            pass  # whoever reads the path is told
        return out

    def _absent(self, tree: Tree, name: bytes, *, parent: str = "") -> list[Missing]:
        child = tree.child(name)
        if child is None or not child.is_file or child.oid in self.blobs:
            return []
        return [Missing(child.oid, 0, parent)]


def not_a_file(path: str, where: str, child: Child) -> Refused:
    """The refusal for a path that leads to, or through, something that is no regular file."""
    kinds = {b"120000": "a symbolic link", b"160000": "a submodule", b"40000": "a folder"}
    what = kinds.get(child.mode.lstrip(b"0"), "a file")
    return Refused(
        Code.EDIT_NOT_A_FILE,
        f"{where!r} is {what}" + ("" if where == path else ", so there can be nothing beneath it"),
        where=path,
        hint="Name the file itself. Links and submodules are never followed: their target has its own path.",
    )
