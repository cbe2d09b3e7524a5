"""Who wrote a key or a file: one path followed through many commits at once.

Trees are read some fifty commits at a time and level by level, so a thousand commits are a few dozen fetches and never
a clone. Only what a commit's own tree holds counts; messages may say anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, TypeAlias

from loopseal.domain.proposal import ABSENT, Edit, Expect, RemoveKey, Scalar, SetValue
from loopseal.errors import LoopsealError, Refused, Unreachable
from loopseal.git import edits, message
from loopseal.git.history import Gap, History
from loopseal.git.objects import Commit
from loopseal.git.reader import CONTENT_LIMIT, Ask, Reader
from loopseal.git.view import View

CHUNK: Final = 50
"""Commits whose trees are read together: of a folder with 2,000 entries, 3.5 MB."""
LOOK_BACK: Final = 100
"""Commits looked through for whoever changed a key."""

State: TypeAlias = Scalar | Expect
"""What a key holds, or a file's blob id, or ABSENT."""


class Unreadable(Exception):
    """What stands under a key cannot be told in this commit (the file does not parse, the key leads elsewhere)."""


def state(view: View, path: str, key: str) -> State:
    """What `key` holds in the commit; for an empty key the file's blob id. Raises Unreadable."""
    try:
        file = view.file(path)
        if file is None:
            return ABSENT
        if not key:
            return file.oid
        if file.data is None:
            raise Unreadable(path)
        return edits.read_value(path, file.data, key)
    except LoopsealError as error:
        raise Unreadable(path) from error


def same(one: State, other: State) -> bool:
    """Whether two values are one: `1`, `1.0` and `True` are three."""
    return type(one) is type(other) and one == other


class Writers:
    """Reads one path in many commits of one remote."""

    def __init__(self, reader: Reader, history: History) -> None:
        self._reader, self._history = reader, history

    async def views(self, revisions: Sequence[str], path: str, *, content: bool) -> AsyncIterator[View]:
        """The commits in the order given, each with what `path` leads to."""
        for start in range(0, len(revisions), CHUNK):
            chunk = revisions[start : start + CHUNK]
            asks = [Ask(revision, path, content=content, limit=CONTENT_LIMIT) for revision in chunk]
            views = await self._reader.views(asks)
            for revision in chunk:
                yield views[revision]

    async def last(self, tip: str, edit: Edit) -> str:
        """One clause about who last changed what `edit` expects, or an empty string when that is not soon found."""
        key = edit.key if isinstance(edit, SetValue | RemoveKey) else ""
        try:
            gap = await self._history.gap(tip, limit=LOOK_BACK + 1)
            return await self._last(gap, edit.path, key)
        except (Unreachable, Refused, Unreadable):
            return ""

    async def _last(self, gap: Gap, path: str, key: str) -> str:
        line = first_parents(gap)
        below: tuple[str, Commit] | None = None
        wanted: State = ABSENT
        async for view in self.views([oid for oid, _ in line], path, content=bool(key)):
            held = state(view, path, key)
            if below is not None and not same(held, wanted):
                return told(*below)
            below, wanted = (view.revision, view.commit), held
        if below is not None and not below[1].parents and wanted is not ABSENT:
            return told(*below)
        return ""


def first_parents(gap: Gap) -> list[tuple[str, Commit]]:
    """The branch's own line, newest first: what a merge brought counts as the merge's."""
    out: list[tuple[str, Commit]] = []
    oid = gap.tip
    while (commit := gap.commits.get(oid)) is not None:
        out.append((oid, commit))
        oid = next(iter(commit.parents), "")
    return out


def told(revision: str, commit: Commit) -> str:
    """A commit for people: id, author, and the change it carries."""
    change = message.first(message.trailers(commit.message), message.CHANGE)
    actor = message.first(message.trailers(commit.message), message.ACTOR)
    who = message.one_line(actor or commit.author.partition(" <")[0], 120)
    return f"commit {revision[:12]} by {who}" + (f" (change {change[:26]})" if change else "")


def descendants(gap: Gap, revision: str) -> list[tuple[str, Commit]]:
    """The commits of the gap that contain `revision`, oldest first. The others came by merges that are among them."""
    children: dict[str, list[str]] = {}
    for oid, commit in gap.commits.items():
        for parent in commit.parents:
            children.setdefault(parent, []).append(oid)
    above, stack = set[str](), [revision]
    while stack:
        fresh = [child for child in children.get(stack.pop(), ()) if child not in above]
        above.update(fresh)
        stack += fresh
    return [(oid, commit) for oid, commit in reversed(list(gap)) if oid in above]
