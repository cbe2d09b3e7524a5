"""What one commit is to another, without a clone.

A walk over the known commits either proves an answer or says that more must be seen; then commits alone are fetched,
first those between the two, and at last the recent history of both. Nothing is guessed: what is not proven is UNKNOWN.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from loopseal.domain.revision import Relation
from loopseal.errors import Unreachable
from loopseal.git.history import RECENT, History
from loopseal.git.objects import is_oid
from loopseal.git.remote import NOT_HANDED_OUT
from loopseal.ports import Clock

LIMIT: Final = 10_000
"""Commits walked and fetched at most for one question."""
AGAIN: Final = 5.0
"""Seconds until a host that could not tell is asked again."""
_REMEMBERED: Final = 10_000
"""Answers kept: they hold for ever, because commits never change."""


def proven(observed: str, wanted: str, parents: Mapping[str, Sequence[str]], *, limit: int = LIMIT) -> Relation:
    """What `observed` is to `wanted`, as far as the known part of the graph proves it; else UNKNOWN.

    That two commits diverged is proven when every way out of the known ancestors of the one leads to an ancestor of
    the other: beyond it, the other cannot be (it would be its own ancestor).
    """
    if observed == wanted:
        return Relation.EQUAL
    above, out_above = _known_ancestors(observed, wanted, parents, limit)
    if wanted in above:
        return Relation.DESCENDANT
    below, out_below = _known_ancestors(wanted, observed, parents, limit)
    if observed in below:
        return Relation.ANCESTOR
    return Relation.DIVERGED if out_above <= below and out_below <= above else Relation.UNKNOWN


def _known_ancestors(
    commit: str, sought: str, parents: Mapping[str, Sequence[str]], limit: int
) -> tuple[set[str], set[str]]:
    """`commit` and its ancestors as far as they are known, and those whose parents are not. Ends early at `sought`."""
    seen, out, queue = {commit}, set(), [commit]
    for one in queue:
        told = parents.get(one) if len(seen) < limit else None
        if told is None:
            out.add(one)
            continue
        fresh = [parent for parent in dict.fromkeys(told) if parent not in seen]
        seen.update(fresh)
        queue += fresh
        if sought in seen:
            break
    return seen, out


class Relations:
    """Answers `relation` for one repository: proven ones are kept, equal questions share one walk."""

    def __init__(self, history: History, clock: Clock) -> None:
        self._history, self._clock = history, clock
        self._answers: OrderedDict[tuple[str, str], Relation] = OrderedDict()
        self._open: dict[tuple[str, str], float] = {}
        self._turn = asyncio.Lock()

    async def relation(self, observed: str, wanted: str) -> Relation:
        """What `observed` is to `wanted`. UNKNOWN when the host does not know or does not answer now."""
        if observed == wanted:
            return Relation.EQUAL
        if not is_oid(observed) or not is_oid(wanted):
            return Relation.UNKNOWN
        known = self._known(observed, wanted)
        if known is not Relation.UNKNOWN:
            return known
        async with self._turn:  # whoever waited finds what the one before has fetched
            pair, now = (observed, wanted), self._clock.monotonic()
            self._open = {one: until for one, until in self._open.items() if until > now}
            if pair in self._open:
                return self._known(observed, wanted)
            answer = await self._asked(observed, wanted)
            if answer is Relation.UNKNOWN:
                self._open[pair] = self._clock.monotonic() + AGAIN
            return answer

    def _known(self, observed: str, wanted: str) -> Relation:
        pair = (observed, wanted)
        answer = self._answers.get(pair) or proven(observed, wanted, self._history.parents)
        if answer is not Relation.UNKNOWN:
            self._answers[pair] = answer
            self._answers.move_to_end(pair)
            if len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        return answer

    async def _asked(self, observed: str, wanted: str) -> Relation:
        steps = [(observed, wanted, LIMIT), (wanted, observed, LIMIT)]
        if self._history.cheap:
            steps += [(one, "", limit) for limit in (RECENT, LIMIT) for one in (observed, wanted)]
        for tip, base, limit in steps:
            answer = self._known(observed, wanted)
            if answer is not Relation.UNKNOWN:
                return answer
            try:
                await self._history.gap(tip, base, limit=limit)
            except Unreachable as error:
                if error.code not in NOT_HANDED_OUT:
                    return Relation.UNKNOWN
        return self._known(observed, wanted)
