"""Commits built on a tip and not pushed yet: a chain, each one proposal, and the pack that carries them.

Everything happens in memory on a view of the tip; a proposal whose edits fail leaves no trace in the chain.
Intermediate versions of a tree are kept only as deltas in the pack.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from loopseal.domain.proposal import ABSENT, DeleteFile, Edit, Proposal, PutFile
from loopseal.errors import Code, LoopsealError, Refused
from loopseal.git import delta, edits, message, tree
from loopseal.git.edits import Difference
from loopseal.git.edits.memory import LARGEST
from loopseal.git.objects import EXECUTABLE, FILE, FOLDER, Commit, make, oid_of
from loopseal.git.pack import PackBuilder
from loopseal.git.reader import CONTENT_LIMIT, Ask
from loopseal.git.remote import GitObject, ObjectKind
from loopseal.git.signing import Signer
from loopseal.git.tree import Child, Tree
from loopseal.git.view import File, View
from loopseal.wire import digest


class EditFailed(Exception):
    """One edit of a proposal could not be done. `error` says why; does not leave this room."""

    def __init__(self, edit: Edit, error: LoopsealError) -> None:
        super().__init__(error)
        self.edit, self.error = edit, error


class Edited(NamedTuple):
    """What a proposal makes of the files it touches (None: no file), and what changed, key by key.

    New files whose paths are among `executables` are executable.
    """

    files: Mapping[str, bytes | None]
    differences: Sequence[Difference]
    executables: frozenset[str] = frozenset()


class Kept(NamedTuple):
    """What a push leaves: objects and trees to keep, and ids that are history by now."""

    objects: Sequence[GitObject]
    trees: Sequence[Tree]
    gone: Sequence[str]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who commits, and with which key."""

    author: str
    committer: str
    signer: Signer | None = None


def asks(revision: str, proposal: Proposal) -> list[Ask]:
    """What must be read before the proposal's edits can be done. Whole files are judged by their id alone."""
    return [
        Ask(revision, edit.path, content=not _is_whole(edit), attributes=True, limit=CONTENT_LIMIT)
        for edit in proposal.edits
    ]


def _is_whole(edit: Edit) -> bool:
    return isinstance(edit, PutFile | DeleteFile)


class Draft:
    """A chain of commits on `view`, growing by one proposal at a time."""

    def __init__(self, view: View) -> None:
        self.tip, self.head = view.revision, view.revision
        self.pack = PackBuilder()
        self.commits: list[tuple[str, GitObject]] = []
        self._given = frozenset(view.trees)
        self._trees, self._blobs = dict(view.trees), dict(view.blobs)
        self._view = replace(view, trees=self._trees, blobs=self._blobs)
        self._folders: dict[str, str] = {}
        self._replaced: set[str] = set()

    @property
    def parent(self) -> str:
        """The first parent of the chain's head, or an empty string."""
        return next(iter(self._view.commit.parents), "")

    def file(self, path: str) -> File | None:
        """The file at `path` as the chain has it by now. Raises Refused (`edit.not_a_file`)."""
        return self._view.file(path)

    async def edited(self, proposal: Proposal) -> Edited:
        """What the proposal's edits make of the files, one after the other. Raises EditFailed; changes nothing here.

        Large files are read and proven in a thread: they take seconds for which other tasks need not stand still.
        """
        files: dict[str, File | None] = {}
        differences: list[Difference] = []
        for edit in proposal.edits:
            try:
                before = files[edit.path] if edit.path in files else self.file(edit.path)
                if before is not None and len(before.data or b"") > LARGEST:
                    after, told = await asyncio.to_thread(self._done, edit, before)
                else:
                    after, told = self._done(edit, before)
                _check_beneath(edit.path, files)
            except LoopsealError as error:
                raise EditFailed(edit, error) from error
            differences += told
            files[edit.path] = after
        changed = {path: file for path, file in files.items() if not _same(self.file(path), file)}
        return Edited({path: file.data if file else None for path, file in changed.items()}, differences)

    def _done(self, edit: Edit, before: File | None) -> tuple[File | None, Sequence[Difference]]:
        """What one edit makes of one file, and what is different then."""
        after = self._applied(edit, before)
        return after, () if _same(before, after) else _differences(edit, before, after)

    def _applied(self, edit: Edit, before: File | None) -> File | None:
        if filtered := self._view.filtered(edit.path):
            raise Refused(
                Code.EDIT_FILTERED,
                f".gitattributes puts this file under {filtered}: what Git stores is not what a checkout shows",
                where=edit.path,
                hint="Change it in a checkout, where its filter runs (LFS, git-crypt), or take it out of the filter.",
            )
        if before is not None and before.data is None and not _is_whole(edit):
            raise _too_large(edit)
        known = None if before is None else before.data or b""
        data = edits.apply(edit, known, blob=before.oid if before else "")
        if data is None:
            return None
        return File(before.mode if before else FILE, oid_of(ObjectKind.BLOB, data), data)

    async def commit(self, proposal: Proposal, done: Edited, identity: Identity, at: int) -> str:
        """Put one commit with `done` on the chain and answer its id. The same parent, content and time: the same id."""
        root = self._written(done.files, done.executables)
        commit = Commit(
            tree=root,
            parents=(self.head,),
            author=f"{identity.author} {at} +0000",
            committer=f"{identity.committer} {at} +0000",
            message=message.compose(proposal, digest(proposal), done.differences),
        )
        if identity.signer is not None:
            signature = await identity.signer.sign(commit.serialise(), at=at)
            commit = replace(commit, headers=(("gpgsig", signature.rstrip("\n")),))
        obj = commit.object()
        self.pack.add(obj)
        self.commits.append((proposal.id, obj))
        self.head, self._view = obj.oid, replace(self._view, revision=obj.oid, commit=commit)
        return obj.oid

    def landed(self) -> Kept:
        """After the push: what the server has now and is worth keeping, and what has become history."""
        now = {*self._folders.values()} - {tree.EMPTY.oid}
        objects = [blob for blob in self._blobs.values() if blob.oid not in self._replaced]
        return Kept(
            objects=[*objects, *(obj for _, obj in self.commits[-1:])],
            trees=[self._trees[oid] for oid in now],
            gone=[oid for oid in self._replaced if oid not in now],
        )

    def _written(self, files: Mapping[str, bytes | None], executables: frozenset[str]) -> str:
        """Write blobs and trees for these files, and answer the new root."""
        folders: dict[str, dict[bytes, Child | None]] = {}
        for path, data in files.items():
            folder, _, name = path.rpartition("/")
            folders.setdefault(folder, {})[name.encode()] = self._blob(
                path, data, EXECUTABLE if path in executables else FILE
            )
        while folders:
            folder = max(folders, key=lambda name: name.count("/") + bool(name))
            oid = self._folder(folder, folders.pop(folder))
            if not folder:
                return oid
            above, _, name = folder.rpartition("/")
            child = Child(FOLDER, oid) if oid != tree.EMPTY.oid else None
            folders.setdefault(above, {})[name.encode()] = child
        return self._view.commit.tree

    def _blob(self, path: str, data: bytes | None, mode: bytes) -> Child | None:
        old = self.file(path)
        if old:
            self._replaced.add(old.oid)
        if data is None:
            return None
        blob = make(ObjectKind.BLOB, data)
        base = self._blobs.get(old.oid) if old else None
        if base is None:
            self.pack.add(blob)
        else:
            self.pack.add_delta(blob, base)
        self._blobs[blob.oid] = blob
        self._replaced.discard(blob.oid)
        return Child(old.mode if old else mode, blob.oid)

    def _folder(self, folder: str, changes: Mapping[bytes, Child | None]) -> str:
        """Write one folder with these changes and answer its id; that of the empty tree when nothing is left."""
        before = self._tree(folder)
        after, moves = tree.edited(before, changes)
        if len(after) and len(before):
            self.pack.add_delta(after.object, before.object, delta.splices(len(before.object.data), moves))
        elif len(after) or not folder:
            self.pack.add(after.object)
        self._trees[after.oid] = after
        self._folders[folder] = after.oid
        self._replaced.add(before.oid)
        if before.oid not in self._given and before.oid not in self._folders.values():
            self._trees.pop(before.oid, None)
        return after.oid

    def _tree(self, folder: str) -> Tree:
        if not folder:
            return self._trees[self._view.commit.tree]
        child = self._view.child(folder)
        return self._trees[child.oid] if child else tree.EMPTY


def _same(one: File | None, other: File | None) -> bool:
    return (one and (one.mode, one.oid)) == (other and (other.mode, other.oid))


def _check_beneath(path: str, files: Mapping[str, File | None]) -> None:
    """One proposal cannot make a file and something beneath it."""
    for other, file in files.items():
        if file is not None and (other.startswith(f"{path}/") or path.startswith(f"{other}/")):
            raise Refused(
                Code.EDIT_NOT_A_FILE,
                f"the proposal makes both {other!r} and {path!r}: one would have to be a folder",
                where=path,
                hint="Give one of them another name.",
            )


def _too_large(edit: Edit) -> Refused:
    return Refused(
        Code.EDIT_TOO_LARGE,
        f"the file has more than {CONTENT_LIMIT // 1024 // 1024} MiB",
        where=edit.path,
        hint="Keep what is edited by key in a file of its own; large files do not belong under GitOps.",
    )


def _differences(edit: Edit, before: File | None, after: File | None) -> Sequence[Difference]:
    if _is_whole(edit):
        return [Difference(edit.path, "", before.oid if before else ABSENT, after.oid if after else ABSENT)]
    return edits.describe(edit, before.data if before else None, after.data if after else None)
