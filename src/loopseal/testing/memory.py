"""A repository and an engine in memory, for tests of what stands above the ports.

They implement the ports, nothing of the peers' protocols: for those there are the simulators beside this file.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from loopseal.domain.proposal import ABSENT, Application, DeleteFile, Edit, Proposal, PutFile
from loopseal.domain.revision import Relation, State, Tolerance, Verdict, relation
from loopseal.errors import Code, Conflict, LoopsealError
from loopseal.git.edits import apply
from loopseal.ports import Ancestry, Evidence, FileDiff, Finding, Landed, LoggedChange, Signing, Source, Wait


@dataclass(frozen=True, slots=True)
class MemoryCommit:
    """One commit: its files whole, and the proposal it carries, if it is ours."""

    id: str
    parents: tuple[str, ...]
    files: Mapping[str, bytes]
    proposal: Proposal | None = None


def _blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # noqa: S324 - Git's object id


@dataclass
class MemoryRepository:
    """`ports.Repository` over a list of commits. `failures` are raised by the next commits, first one first.

    `lose_answers` makes as many commits land and then raise, as a connection does that breaks before the answer.
    """

    files: dict[str, bytes]
    url: str = "https://git.test/repo.git"
    branch: str = "main"
    failures: list[LoopsealError] = field(default_factory=list)
    lose_answers: list[LoopsealError] = field(default_factory=list)
    commits: list[MemoryCommit] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._add(dict(self.files), None)

    async def tip(self, *, fresh: bool = True) -> str:  # noqa: ARG002 - the port's signature
        """The newest commit."""
        return self.commits[-1].id

    async def read(self, path: str, revision: str = "") -> bytes | None:
        """One file."""
        return self._at(revision or self.commits[-1].id).files.get(path)

    async def preview(self, proposal: Proposal) -> Sequence[FileDiff]:
        """What would change."""
        before = self.commits[-1].files
        after = _edited(before, proposal.edits)
        return [FileDiff(path, before.get(path), after.get(path)) for path in proposal.paths]

    async def commit(self, proposal: Proposal) -> Landed:
        """Land it, once."""
        if self.failures:
            raise self.failures.pop(0)
        found = await self.find(proposal.id)
        if found is not None:
            return found
        before = self.commits[-1]
        after = _edited(before.files, proposal.edits)
        if after == before.files:
            return Landed(before.id, before.id, changed=False)
        made = self._add(after, proposal)
        if self.lose_answers:
            raise self.lose_answers.pop(0)
        return Landed(made.id, before.id)

    async def find(self, change: str, since: str = "") -> Landed | None:  # noqa: ARG002 - the whole history is here
        """The commit of this change."""
        for commit in self.commits:
            if commit.proposal is not None and commit.proposal.id == change:
                return Landed(commit.id, commit.parents[0], found=True)
        return None

    async def log(self, limit: int = 50, *, change: str = "") -> Sequence[LoggedChange]:
        """Our commits, newest first."""
        ours = [one for one in reversed(self.commits) if one.proposal is not None]
        return [
            LoggedChange(one.proposal.id, one.id, datetime.now(UTC), "memory", one.proposal.reason, (), signed=False)
            for one in ours
            if one.proposal is not None and change in {"", one.proposal.id}
        ][:limit]

    async def inverse(self, change: str) -> Sequence[Edit]:
        """The files it touched, put back whole, if nobody wrote them since but its own revert."""
        landed = await self.find(change)
        if landed is None:
            raise Conflict(Code.REVERT_UNKNOWN_CHANGE, f"no commit carries {change}")
        ours, before = self._at(landed.revision), self._at(landed.parent)
        edits: list[Edit] = []
        for path in ours.proposal.paths if ours.proposal else ():
            written, old = ours.files.get(path), before.files.get(path)
            later = [one for one in self.commits[self.commits.index(ours) + 1 :] if one.files.get(path) != written]
            if later and not (later[0].proposal and later[0].proposal.reverts == change):
                raise Conflict(Code.REVERT_NOT_LAST_WRITER, f"{path} was written by {later[0].id[:12]} since")
            expect = ABSENT if written is None else _blob(written)
            edits.append(DeleteFile(path, expect) if old is None else PutFile(path, old, expect))
        return edits

    async def relation(self, observed: str, wanted: str) -> Relation:
        """From the list of commits."""
        return relation(observed, wanted, {one.id: one.parents for one in self.commits})

    async def signing(self) -> Signing:
        """Not at all."""
        return Signing()

    async def check(self) -> Sequence[Finding]:
        """Nothing to find."""
        return []

    async def aclose(self) -> None:
        """Nothing to close."""

    def foreign(self, path: str, data: bytes) -> str:
        """Somebody else commits."""
        return self._add({**self.commits[-1].files, path: data}, None).id

    def _add(self, files: Mapping[str, bytes], proposal: Proposal | None) -> MemoryCommit:
        parents = (self.commits[-1].id,) if self.commits else ()
        content = repr((len(self.commits), sorted(files.items()), proposal.id if proposal else "")).encode()
        made = MemoryCommit(hashlib.sha1(content).hexdigest(), parents, dict(files), proposal)  # noqa: S324 - looks like Git's
        self.commits.append(made)
        return made

    def _at(self, revision: str) -> MemoryCommit:
        return next(one for one in self.commits if one.id == revision)


def _edited(files: Mapping[str, bytes], edits: Sequence[Edit]) -> dict[str, bytes]:
    out = dict(files)
    for edit in edits:
        before = out.get(edit.path)
        after = apply(edit, before, blob=_blob(before) if before is not None else "")
        if after is None:
            out.pop(edit.path, None)
        else:
            out[edit.path] = after
    return out


Script = Callable[[Wait], Iterable[Verdict]]


@dataclass
class MemoryEngine:
    """`ports.Engine` that answers from a script: wait -> the verdicts to give, in order. What follows is silence."""

    script: Script = field(default=lambda wait: [Verdict(State.SUCCEEDED, "HEALTHY", observed=wait.revision)])
    findings: Sequence[Finding] = ()
    kind: str = "memory"
    acted: list[str] = field(default_factory=list)
    baselines: int = 0

    async def preflight(self, application: Application, source: Source, tolerance: Tolerance) -> Sequence[Finding]:  # noqa: ARG002 - the port's signature
        """As told."""
        return self.findings

    async def baseline(self, application: Application) -> Mapping[str, Any]:  # noqa: ARG002 - the port's signature
        """Nothing of note."""
        self.baselines += 1
        return {}

    async def wait(self, wait: Wait, ancestry: Ancestry) -> AsyncIterator[Verdict]:  # noqa: ARG002 - the port's signature
        """The script's verdicts; without a final one it goes on for ever, as a real wait does."""
        for verdict in self.script(wait):
            await asyncio.sleep(0)
            yield verdict
            if verdict.state.final:
                return
        await asyncio.Event().wait()

    async def status(self, application: Application) -> Mapping[str, Any]:  # noqa: ARG002 - the port's signature
        """Nothing of note."""
        return {"revision": "", "sync": "Synced", "health": "Healthy"}

    async def act(self, application: Application, revision: str = "") -> str:
        """Remember that it was asked."""
        self.acted.append(f"{application}@{revision}")
        return "refresh"

    async def evidence(self, application: Application, verdict: Verdict) -> Evidence:  # noqa: ARG002 - the port's signature
        """The verdict itself."""
        return Evidence((("verdict", f"{verdict.state} {verdict.reason}"),))

    def link(self, application: Application) -> str:
        """A made-up page."""
        return f"https://engine.test/{application.name}"

    async def check(self) -> Sequence[Finding]:
        """As told."""
        return self.findings

    async def aclose(self) -> None:
        """Nothing to close."""
