"""One round of a branch: find what has landed, build the rest on the tip, push once, and say what became of each.

The push carries the tip it was built on, so the server itself compares and swaps. All judgements (an edit failed,
nothing to change) hold only for the tip they were made on: they are told after that tip was proven to be the branch's,
by the push or by reading the ref. After a rejection nothing is replayed: all edits are done anew on what is there now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from loopseal.domain.revision import Relation
from loopseal.errors import Code, Conflict, Refused, Unreachable
from loopseal.git.ancestry import proven
from loopseal.git.budget import Budget
from loopseal.git.draft import Draft, EditFailed, Identity, asks
from loopseal.git.history import History, Landings
from loopseal.git.modes import executables
from loopseal.git.queue import Ticket
from loopseal.git.reader import Reader
from loopseal.git.remote import ZERO, AmbiguousPush, PushReport, RefUpdate, Remote
from loopseal.git.view import View
from loopseal.ports import Clock, Landed

FRESH: Final = 60.0
"""Seconds for which the last tip seen is good enough to build on; a wrong guess costs one rejected push."""
ATTEMPTS: Final = 40
"""Pushes of one change until it is given up: the branch is contended beyond reason."""
_UNMOVED: Final = 2
"""Rejections in a row, with the branch where we took it to be, until they count as a refusal. One may be a lock."""
_BROKEN: Final = 3
"""Pushes in a row whose connection broke, until the host counts as unreachable."""
_READS: Final = 6
"""Tries to read the ref after a broken push, over some 15 seconds."""
_LIMITED: Final = 10
"""Answers of 429 in a row until the waiters are told."""
LONGEST_PAUSE: Final = 900.0
"""Seconds that a host may make us wait; who asks for more is told to the waiters."""

Outcome: TypeAlias = Landed | Exception


class Branch:
    """What is known of one branch, and the way to change it. Used by one task at a time."""

    def __init__(
        self,
        remote: Remote,
        ref: str,
        *,
        reader: Reader,
        history: History,
        landings: Landings,
        identity: Identity,
        budget: Budget,
        clock: Clock,
        random: Callable[[], float],
        change_refs: str = "",
    ) -> None:
        self.remote, self.ref, self.tip = remote, ref, ""
        self._reader, self._history, self._landings, self._identity = reader, history, landings, identity
        self._budget, self._clock, self._random, self._change_refs = budget, clock, random, change_refs
        self._seen = float("-inf")
        self._rejected = self._unmoved = self._broken = self._limited = 0

    async def read_tip(self) -> str:
        """What the host says the branch points at. Raises Refused (`git.branch_missing`)."""
        oid = (await self.remote.refs(self.ref)).get(self.ref)
        if oid is None:
            raise Refused(
                Code.GIT_BRANCH_MISSING,
                f"there is no branch {self.ref.removeprefix('refs/heads/')!r}",
                where=self.remote.url,
                hint="Create it with a first commit; loopseal changes branches and does not make them.",
            )
        self._seen = self._clock.monotonic()
        self._reader.tip = oid
        return oid

    async def ready(self) -> None:
        """Wait for our turn: the back-off after a rejection, and the host's push budget."""
        if trouble := self._rejected + self._broken:
            await self._clock.sleep(self._random() * min(1.0, 0.02 * 2**trouble))
        await self._budget.take()

    async def round(self, batch: Sequence[Ticket]) -> None:
        """Answer the tickets of this batch as far as one push can. What is open afterwards is for another round."""
        pushed = False
        try:
            if not batch:
                return
            tip, certain = await self._base(batch)
            waiting = await self._unlanded(batch, tip)
            if not waiting:
                return
            draft, outcomes = await self._drafted(waiting, tip)
            if draft.commits and all(ticket.open for ticket, _ in outcomes):
                pushed = True
                await self._push(draft, outcomes)
            elif not draft.commits and (certain or await self._moved_to() == tip):
                _settle(outcomes)
        except Unreachable as error:
            self._seen = float("-inf")
            self._pause_or_raise(error)
        finally:
            if not pushed:
                self._budget.give_back()

    async def _base(self, batch: Sequence[Ticket]) -> tuple[str, bool]:
        """The tip to build on, and whether the host has just named it.

        Somebody who looked at a commit that we never saw may know a newer tip than we do.
        """
        fresh = self._clock.monotonic() - self._seen < FRESH
        if self.tip and fresh and all(self._landings.covers(ticket.proposal.base, self.tip) for ticket in batch):
            return self.tip, False
        return await self._moved_to(), True

    async def _moved_to(self) -> str:
        """Read the tip and build on it from now on; a replica that lags behind what we know is not believed."""
        now, trusted = await self.read_tip(), not self._rejected
        lags = trusted and self.tip and proven(now, self.tip, self._history.parents) is Relation.ANCESTOR
        if not lags:
            self.tip = now
        return self.tip

    async def _unlanded(self, batch: Sequence[Ticket], tip: str) -> list[Ticket]:
        """The tickets to be built now: those that have landed are answered, and of several for one change one goes."""
        first: dict[str, Ticket] = {}
        for ticket in batch:
            proposal = ticket.proposal
            try:
                place = await self._landings.find(proposal.id, base=proposal.base, tip=tip)
            except Conflict as error:
                ticket.fail(error)
                continue
            if place is not None:
                ticket.land(Landed(place.revision, place.parent, attempts=ticket.attempts, found=True))
            elif ticket.open:
                first.setdefault(proposal.id, ticket)
        return list(first.values())

    async def _drafted(self, tickets: Sequence[Ticket], tip: str) -> tuple[Draft, list[tuple[Ticket, Outcome]]]:
        wanted = dict.fromkeys(ask for ticket in tickets for ask in asks(tip, ticket.proposal))
        view = (await self._reader.views(list(wanted)))[tip]
        draft = Draft(view)
        return draft, [(ticket, await self._put(draft, ticket, view)) for ticket in tickets]

    async def _put(self, draft: Draft, ticket: Ticket, view: View) -> Outcome:
        """Put one proposal on the draft. Its own trouble is its own outcome."""
        await asyncio.sleep(0)  # a batch of hundreds must not hold up the event loop
        parent = draft.head
        try:
            done = await draft.edited(ticket.proposal)
            modes = await executables(ticket.proposal, view, self._reader, self._landings)
        except (EditFailed, Conflict) as failed:
            return failed
        if not done.files:
            return Landed(parent, draft.parent, attempts=ticket.attempts, changed=False)
        revision = await draft.commit(ticket.proposal, done._replace(executables=modes), self._identity, ticket.at)
        return Landed(revision, parent)

    async def _push(self, draft: Draft, outcomes: Sequence[tuple[Ticket, Outcome]]) -> None:
        for ticket, _ in outcomes:
            ticket.attempts += 1
        updates = [RefUpdate(self.ref, draft.tip, draft.head)]
        if self._change_refs:
            updates += [RefUpdate(self._change_refs + change, ZERO, obj.oid) for change, obj in draft.commits]
        try:
            report = await self.remote.push(updates, draft.pack.build())
        except AmbiguousPush as broken:
            await self._after_break(draft, outcomes, broken)
            return
        if report.ok:
            self._landed(draft, outcomes)
        else:
            await self._after_rejection(draft, outcomes, report)

    def _landed(self, draft: Draft, outcomes: Sequence[tuple[Ticket, Outcome]]) -> None:
        self.tip = self._reader.tip = draft.head
        self._seen = self._clock.monotonic()
        self._rejected = self._unmoved = self._broken = self._limited = 0
        kept = draft.landed()
        self._reader.adopt(kept.objects, kept.trees, gone=kept.gone, revision=draft.head)
        self._landings.pushed(draft.tip, draft.commits)
        _settle(outcomes)

    async def _after_break(
        self, draft: Draft, outcomes: Sequence[tuple[Ticket, Outcome]], broken: AmbiguousPush
    ) -> None:
        """The push may have landed: read the ref. If it moved elsewhere, the next round looks for each id."""
        self._broken += 1
        now = await self._read_patiently()
        if now == draft.head:
            self._landed(draft, outcomes)
            return
        self.tip = now
        if self._broken >= _BROKEN:
            self._broken = 0
            raise Unreachable(
                Code.GIT_UNREACHABLE,
                f"the connection broke during {_BROKEN} pushes in a row: {broken}",
                where=self.remote.url,
                hint="Run it again when the host is well: it looks for the change before it acts.",
            )

    async def _read_patiently(self) -> str:
        for patience in range(_READS - 1):
            try:
                return await self.read_tip()
            except Unreachable:
                await self._clock.sleep(0.5 * 2**patience)
        return await self.read_tip()

    async def _after_rejection(
        self, draft: Draft, outcomes: Sequence[tuple[Ticket, Outcome]], report: PushReport
    ) -> None:
        self._rejected, self._broken = self._rejected + 1, 0
        self.tip = await self.read_tip()
        if self.tip != draft.tip:
            self._unmoved = 0
            _give_up(outcomes, self.remote.url)
            return
        if self._change_refs and await self._taken(draft, outcomes):
            return
        self._unmoved += 1
        self._reader.forget()
        if self._unmoved >= _UNMOVED:
            self._rejected = self._unmoved = 0
            _, words = report.refs.get(self.ref, (None, ""))
            raise Refused(
                Code.GIT_BRANCH_PROTECTED,
                f"the host does not take the push: {words or 'no reason given'}",
                where=self.remote.url,
                hint="The branch may be protected, or a hook refuses it: ask for a bypass, or sign the commits.",
            )

    async def _taken(self, draft: Draft, outcomes: Sequence[tuple[Ticket, Outcome]]) -> bool:
        """Answer the tickets whose own ref exists already: the server says that they have landed before."""
        names = {self._change_refs + change for change, _ in draft.commits}
        taken = {ref: oid for ref, oid in (await self.remote.refs(*sorted(names))).items() if ref in names}
        for ticket, _ in outcomes:
            ref = self._change_refs + ticket.proposal.id
            if ref not in taken:
                continue
            place = await self._landings.find(ticket.proposal.id, base="", tip=self.tip)
            if place is not None:
                ticket.land(Landed(place.revision, place.parent, attempts=ticket.attempts, found=True))
            else:
                ticket.fail(_rewritten(ref, taken[ref], self.remote.url))
        return bool(taken)

    def _pause_or_raise(self, error: Unreachable) -> None:
        """After 429 the host gets its silence, and the tickets wait; anything else goes to the waiters."""
        self._limited += 1
        pause = error.retry_after if error.retry_after is not None else 30.0
        if error.code is not Code.GIT_RATE_LIMITED or pause > LONGEST_PAUSE or self._limited > _LIMITED:
            self._limited = 0
            raise error
        self._budget.pause(pause)


def _settle(outcomes: Sequence[tuple[Ticket, Outcome]]) -> None:
    for ticket, outcome in outcomes:
        if isinstance(outcome, Exception):
            ticket.fail(outcome)
        elif outcome.changed:
            ticket.land(Landed(outcome.revision, outcome.parent, attempts=ticket.attempts))
        else:
            ticket.land(outcome)


def _give_up(outcomes: Sequence[tuple[Ticket, Outcome]], url: str) -> None:
    for ticket, _ in outcomes:
        if ticket.attempts >= ATTEMPTS:
            ticket.fail(
                Conflict(
                    Code.GIT_CONTENDED,
                    f"the branch moved during each of {ticket.attempts} pushes",
                    where=url,
                    hint="Too many write to it by themselves. Let them go through one loopseal, or try again later.",
                )
            )


def _rewritten(ref: str, oid: str, url: str) -> Conflict:
    return Conflict(
        Code.GIT_CONTENDED,
        f"{ref} says that the change landed as {oid[:12]}, but the branch does not carry it",
        where=url,
        hint="The branch was rewritten. Propose it anew under another id, or delete that ref.",
    )
