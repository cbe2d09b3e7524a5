"""The edits that undo a change: key by key, what its commit replaced, if it is still the last writer.

What a change did is read from its own commit and that commit's parent; the trailers only say which keys to look at.
Every commit since is looked into, so that 1 → 2 → 3 → 2 is seen for what it is: putting back the 1 would silently undo
the third writer's 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from loopseal.domain.proposal import ABSENT, DeleteFile, Edit, Expect, PutFile, RemoveKey, Scalar, SetValue
from loopseal.errors import Code, Conflict, Refused
from loopseal.git import message
from loopseal.git.history import Gap, History
from loopseal.git.objects import Commit
from loopseal.git.reader import Ask, Reader
from loopseal.git.view import View
from loopseal.git.writers import State, Unreadable, Writers, descendants, same, state, told

BACK: Final = (1_000, 10_000)
"""Commits looked through for the change, first and at last."""
SINCE: Final = 2_000
"""Commits since the change that are looked into; with more, nobody can say cheaply who wrote last."""


@dataclass(frozen=True, slots=True)
class _Wrote:
    """One key (or, with an empty key, file) that the change wrote: what was there, and what it put."""

    path: str
    key: str
    old: State
    new: State
    content: bytes | None = None


class Reverter:
    """Makes inverses of the changes on one branch."""

    def __init__(self, reader: Reader, history: History, writers: Writers) -> None:
        self._reader, self._history, self._writers = reader, history, writers

    async def inverse(self, change: str, tip: str) -> Sequence[Edit]:
        """The edits that put back what `change` replaced, last one first. Raises Conflict, Unreachable."""
        revision, commit = await self._commit_of(change, tip)
        wrote = await self._wrote(change, revision, commit)
        since = _until_reverted(await self._since(revision, tip), change)
        for one in wrote:
            await self._require_last_writer(one, change, since)
        return [_inverse(one) for one in reversed(wrote)]

    async def _commit_of(self, change: str, tip: str) -> tuple[str, Commit]:
        for limit in BACK:
            gap = await self._history.gap(tip, limit=limit)
            for oid, commit in gap:
                if message.first(message.trailers(commit.message), message.CHANGE) == change and commit.parents:
                    return oid, commit
            if gap.whole:
                break
        raise Conflict(
            Code.REVERT_UNKNOWN_CHANGE,
            f"the branch carries no change {message.one_line(change, 40)!r}",
            hint="`loopseal log` lists the changes of the branch. A change that changed nothing has no commit.",
        )

    async def _wrote(self, change: str, revision: str, commit: Commit) -> list[_Wrote]:
        parent = commit.parents[0]
        keys = message.edits(message.trailers(commit.message))
        asks = [Ask(one, path) for path in dict.fromkeys(path for path, _ in keys) for one in (revision, parent)]
        if not asks:
            raise _untold(change, revision)
        views = await self._reader.views(asks)
        whole = {path for path, key in keys if not key}
        kept = [(path, key) for path, key in keys if not key or path not in whole]
        out = [_change_of(views[parent], views[revision], path, key) for path, key in kept]
        told_all = [one for one in out if not same(one.old, one.new)]
        if not told_all:
            raise _untold(change, revision)
        return told_all

    async def _since(self, revision: str, tip: str) -> Sequence[tuple[str, Commit]]:
        gap = await self._history.gap(tip, revision, limit=SINCE) if tip != revision else Gap(tip, {}, whole=True)
        if gap.whole:
            return descendants(gap, revision)
        raise Conflict(
            Code.REVERT_NOT_LAST_WRITER,
            f"more than {SINCE} commits came since {revision[:12]}: whether it wrote last cannot be told",
            hint="Propose the old values as a change of their own.",
        )

    async def _require_last_writer(self, one: _Wrote, change: str, since: Sequence[tuple[str, Commit]]) -> None:
        revisions = [oid for oid, _ in since]
        async for view in self._writers.views(revisions, one.path, content=bool(one.key)):
            try:
                untouched = same(state(view, one.path, one.key), one.new)
            except Unreadable:
                untouched = False
            if not untouched:
                what = f"{one.key!r} of {one.path!r}" if one.key else repr(one.path)
                raise Conflict(
                    Code.REVERT_NOT_LAST_WRITER,
                    f"{what} was written since change {change[:26]}: {told(view.revision, view.commit)}",
                    where=one.path,
                    hint="Putting the old value back would undo that too. Propose the value that you want.",
                )


def _until_reverted(since: Sequence[tuple[str, Commit]], change: str) -> Sequence[tuple[str, Commit]]:
    """What came before the change's own revert: whoever asks again after a kill gets the edits that landed."""
    for number, (_, commit) in enumerate(since):
        if message.first(message.trailers(commit.message), message.REVERTS) == change:
            return since[:number]
    return since


def _change_of(before: View, after: View, path: str, key: str) -> _Wrote:
    try:
        old, new = state(before, path, key), state(after, path, key)
    except Unreadable as error:
        raise Refused(
            Code.EDIT_KEY_MISSING,
            f"{key!r} cannot be read in the commit that wrote it",
            where=path,
            hint="Propose the old value as a change of its own.",
        ) from error
    file = before.file(path) if not key and old is not ABSENT else None
    return _Wrote(path, key, old, new, file.data if file else None)


def _inverse(one: _Wrote) -> Edit:
    if not one.key:
        expect = ABSENT if one.new is ABSENT else str(one.new)
        return DeleteFile(one.path, expect) if one.content is None else PutFile(one.path, _text(one.content), expect)
    if one.old is ABSENT:
        return RemoveKey(one.path, one.key, one.new)
    return SetValue(one.path, one.key, _scalar(one.old), one.new, create=one.new is ABSENT)


def _text(content: bytes) -> str | bytes:
    """Text where it is text: proposals are read by people."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _scalar(value: State) -> Scalar:
    assert not isinstance(value, Expect)  # noqa: S101 - ABSENT was dealt with, ANYTHING is in no file
    return value


def _untold(change: str, revision: str) -> Conflict:
    return Conflict(
        Code.REVERT_UNKNOWN_CHANGE,
        f"commit {revision[:12]} does not tell what change {message.one_line(change, 40)!r} edited",
        hint="Its trailers may have been rewritten. Propose the old values as a change of their own.",
    )
