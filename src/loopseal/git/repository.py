"""One branch of one Git repository, as the port `Repository` describes it.

The face of this room: it puts the parts together and turns their answers into the port's words. What a remote is, how
commits are built and when they are pushed stands beside it.
"""

from __future__ import annotations

import random as randomness
from collections.abc import Callable, Sequence
from dataclasses import replace

from loopseal.domain.proposal import Edit, Proposal, is_plain
from loopseal.domain.revision import Relation
from loopseal.errors import Code, ConfigError, Conflict, LoopsealError, Refused, Unreachable
from loopseal.git import message
from loopseal.git.ancestry import Relations
from loopseal.git.budget import Budget
from loopseal.git.draft import Draft, EditFailed, Identity, asks
from loopseal.git.history import History, Landings
from loopseal.git.landing import Branch
from loopseal.git.objects import Commit, is_oid
from loopseal.git.queue import Queue
from loopseal.git.reader import Ask, Reader
from loopseal.git.remote import Remote
from loopseal.git.revert import Reverter
from loopseal.git.signing import Signer, issuer
from loopseal.git.store import Store
from loopseal.git.writers import Writers
from loopseal.ports import Clock, FileDiff, Finding, Landed, Level, LoggedChange, Signing, SigningFormat

_PROBE = b"tree\n"
"""What is signed to see whether, and with what, we can: no commit."""
_LOG_DEPTHS = (200, 2_000, 10_000)
"""Commits looked through for the log, until there are enough changes among them."""


class Repository:
    """One branch of one repository, on one event loop: tasks share it, and with it their pushes.

    `author` and `committer` (default: the author) are `Name <email>`; `change_refs` is the prefix under which a push
    also creates one ref per change, or empty. Repositories of one host share a `budget`.
    """

    def __init__(
        self,
        remote: Remote,
        *,
        branch: str,
        clock: Clock,
        author: str,
        committer: str = "",
        signer: Signer | None = None,
        change_refs: str = "",
        budget: Budget | None = None,
        random: Callable[[], float] = randomness.random,
    ) -> None:
        self._remote, self._name, self._clock, self._signer = remote, branch, clock, signer
        self._signing = Signing()
        made = message.identity(author, where="author")
        identity = Identity(made, message.identity(committer, where="committer") if committer else made, signer)
        self._reader, self._history = Reader(remote, Store()), History(remote)
        self._landings = Landings(self._history)
        self._relations = Relations(self._history, clock)
        self._writers = Writers(self._reader, self._history)
        self._branch = Branch(
            remote,
            f"refs/heads/{_ref_part(branch, 'branch')}",
            reader=self._reader,
            history=self._history,
            landings=self._landings,
            identity=identity,
            budget=budget or Budget(clock),
            clock=clock,
            random=random,
            change_refs=_prefix(change_refs),
        )
        self._queue = Queue(self._branch.ready, self._branch.round)

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return self._remote.url

    @property
    def branch(self) -> str:
        """The branch that changes go to."""
        return self._name

    async def tip(self, *, fresh: bool = True) -> str:
        """The commit the branch points at; with `fresh=False` the last one seen will do."""
        if not fresh and self._branch.tip:
            return self._branch.tip
        return await self._branch.read_tip()

    async def read(self, path: str, revision: str = "") -> bytes | None:
        """One file at a revision (default: the fresh tip), or None. Raises Refused for what is no file."""
        if not is_plain(path):
            raise Refused(Code.PROPOSAL_INVALID, f"{path!r} is no path of a repository", where=self.url)
        if revision and not is_oid(revision):
            raise Refused(Code.PROPOSAL_INVALID, f"{revision[:60]!r} is no commit id", where=self.url)
        at = revision or await self.tip()
        file = (await self._reader.view(Ask(at, path))).file(path)
        return file.data if file else None

    async def preview(self, proposal: Proposal) -> Sequence[FileDiff]:
        """What the proposal would change on the fresh tip. Writes nothing; raises as `commit` would."""
        _require(proposal)
        tip = await self.tip()
        wanted = [replace(ask, content=True) for ask in asks(tip, proposal)]
        view = (await self._reader.views(wanted))[tip]
        try:
            done = await Draft(view).edited(proposal)
        except EditFailed as failed:
            raise await self._explained(failed) from failed
        before = {path: view.file(path) for path in done.files}
        return [FileDiff(path, file.data if file else None, done.files[path]) for path, file in before.items()]

    async def commit(self, proposal: Proposal) -> Landed:
        """Put the proposal on the branch as one signed commit, exactly once. See the port."""
        _require(proposal)
        try:
            return await self._queue.submit(proposal, int(self._clock.now().timestamp()))
        except EditFailed as failed:
            raise await self._explained(failed) from failed

    async def find(self, change: str, since: str = "") -> Landed | None:
        """The commit that carries this change id, looked for from `since` on (or in the last 1,000 commits)."""
        place = await self._landings.find(change, base=since, tip=await self.tip())
        return Landed(place.revision, place.parent, attempts=0, found=True) if place else None

    async def log(self, limit: int = 50, *, change: str = "") -> Sequence[LoggedChange]:
        """The changes on the branch, newest first, read from trailers; foreign commits are left out."""
        tip = await self.tip()
        out: list[LoggedChange] = []
        for depth in _LOG_DEPTHS:
            gap = await self._history.gap(tip, limit=depth)
            told = (_logged(oid, commit) for oid, commit in gap)
            out = [one for one in told if one is not None and change in {"", one.change}][:limit]
            if len(out) >= limit or gap.whole:
                break
        return out

    async def inverse(self, change: str) -> Sequence[Edit]:
        """The edits that put back what this change replaced. See the port for the conflicts."""
        reverter = Reverter(self._reader, self._history, self._writers)
        return await reverter.inverse(change, await self.tip())

    async def relation(self, observed: str, wanted: str) -> Relation:
        """What `observed` is to `wanted`; UNKNOWN only when the repository cannot tell now."""
        return await self._relations.relation(observed, wanted)

    async def signing(self) -> Signing:
        """How our commits are signed: what a signature over nothing of importance tells, made once."""
        if self._signer is not None and self._signing.format is SigningFormat.NONE:
            self._signing = issuer.signing(await self._signer.sign(_PROBE, at=int(self._clock.now().timestamp())))
        return self._signing

    async def check(self) -> Sequence[Finding]:
        """Preflight: reachable, may read, branch there, object format, signing key usable."""
        findings: list[Finding] = []
        try:
            await self._reader.view(Ask(await self.tip(), "", content=False))
        except LoopsealError as error:
            findings.append(_finding(error, self.url))
        if self._signer is None:
            hint = "Set `sign` for the repository: Argo CD and Flux can then be told to take signed commits only."
            findings.append(Finding(Level.WARNING, "git.unsigned", "commits are not signed", self.url, hint))
        else:
            try:
                await self._signer.sign(_PROBE, at=int(self._clock.now().timestamp()))
            except LoopsealError as error:
                findings.append(_finding(error, self.url))
        return findings

    async def aclose(self) -> None:
        """Let go of connections. Proposals still waiting are answered with Unreachable."""
        await self._queue.aclose()
        await self._remote.aclose()

    async def _explained(self, failed: EditFailed) -> LoopsealError:
        """The error of one edit; where an expectation is not met, with who changed it, if that is soon found."""
        error = failed.error
        if error.code is not Code.EDIT_EXPECTATION:
            return error
        try:
            writer = await self._writers.last(await self.tip(), failed.edit)
        except LoopsealError:
            writer = ""
        if not writer:
            return error
        return Conflict(error.code, f"{error.message}; last changed by {writer}", where=error.where, hint=error.hint)


def _require(proposal: Proposal) -> None:
    """Scope and shape, before anything is fetched."""
    if outside := proposal.out_of_scope():
        raise Refused(
            Code.PROPOSAL_OUT_OF_SCOPE,
            f"{', '.join(map(repr, outside))} is outside target {proposal.target.name!r}",
            where=proposal.target.name,
            hint=f"The target covers {', '.join(proposal.target.paths)}. Its owner widens it in the settings file.",
        )
    if problems := proposal.problems():
        raise Refused(Code.PROPOSAL_INVALID, "; ".join(problems), where=proposal.target.name)


def _logged(oid: str, commit: Commit) -> LoggedChange | None:
    trailers = message.trailers(commit.message)
    change = message.first(trailers, message.CHANGE)
    if not change:
        return None
    author = message.one_line(commit.author.rpartition("> ")[0] + ">", message.VALUE)
    return LoggedChange(change, oid, commit.at, author, message.subject(commit.message), trailers, commit.signed)


def _finding(error: LoopsealError, url: str) -> Finding:
    level = Level.WARNING if isinstance(error, Unreachable) and error.code is Code.GIT_RATE_LIMITED else Level.ERROR
    return Finding(level, error.code, error.message, error.where or url, error.hint)


def _ref_part(name: str, field: str) -> str:
    """`name` as it may stand in a ref (git-check-ref-format(1)). Raises ConfigError."""
    parts = name.split("/")
    bad = any(char in " ~^:?*[\\\x7f" or ord(char) < ord(" ") for char in name) or ".." in name or "@{" in name
    if bad or any(not part or part.startswith(".") or part.endswith((".lock", ".")) for part in parts):
        raise ConfigError(
            Code.CONFIG_INVALID,
            f"not the name of a {field}: {message.one_line(name, 80)!r}",
            where=field,
            hint="Write the plain name, such as `main`; see git-check-ref-format(1).",
        )
    return name


def _prefix(change_refs: str) -> str:
    if not change_refs:
        return ""
    if not change_refs.startswith("refs/") or change_refs.startswith("refs/heads/"):
        raise ConfigError(
            Code.CONFIG_INVALID,
            f"not a prefix for refs of changes: {message.one_line(change_refs, 80)!r}",
            where="change_refs",
            hint="It begins with `refs/` and is no branch: `refs/loopseal/change/`.",
        )
    return _ref_part(change_refs.rstrip("/"), "change_refs") + "/"
