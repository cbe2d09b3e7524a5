"""Bringing the two sides of a verdict together: judges ask for relations at once, repositories answer later.

A judge runs with what is known; whatever it had to ask in vain is looked up, and it runs again on the same memory. So
no list of questions has to be kept in step with the judges. Does not live here: any judgement.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Final

from loopseal.domain.revision import Relation, Verdict
from loopseal.engines.argocd_application import is_commit
from loopseal.engines.fields import Memory
from loopseal.engines.relations import Oracle
from loopseal.errors import Unreachable
from loopseal.ports import Ancestry

_ROUNDS: Final = 4
"""A judge may ask about a commit that an answer led it to; deeper than this none does."""
_QUESTIONS: Final = 32
"""Pairs looked up for one verdict: an object that names hundreds of commits is not one we wait for."""
_KNOWN: Final = 4096
"""Answers kept: the relation of two commits never changes."""


class Ancestors:
    """What is known about the relations of commits, for one wait."""

    def __init__(self, ancestry: Ancestry) -> None:
        self._ancestry = ancestry
        self._known: dict[tuple[str, str], Relation] = {}

    async def judged(self, judge: Callable[[Oracle, Memory], Verdict], memory: Memory) -> Verdict:
        """What `judge` says once the relations it asks for are known, as far as the repository can tell now."""
        unknown: set[tuple[str, str]] = set()
        for _ in range(_ROUNDS):
            asked: set[tuple[str, str]] = set()
            draft = copy.deepcopy(memory)
            verdict = judge(self._oracle(asked), draft)
            asked -= unknown
            if not asked:
                break
            for observed, wanted in sorted(asked)[:_QUESTIONS]:
                if await self._look_up(observed, wanted) is Relation.UNKNOWN:
                    unknown.add((observed, wanted))
        memory.clear()
        memory.update(draft)
        return verdict

    def _oracle(self, asked: set[tuple[str, str]]) -> Oracle:
        def relation(observed: str, wanted: str) -> Relation:
            if observed == wanted:
                return Relation.EQUAL
            known = self._known.get((observed, wanted))
            if known is None and is_commit(observed) and is_commit(wanted):
                asked.add((observed, wanted))
            return known or Relation.UNKNOWN

        return relation

    async def _look_up(self, observed: str, wanted: str) -> Relation:
        try:
            found = await self._ancestry.relation(observed, wanted)
        except Unreachable:
            return Relation.UNKNOWN
        if found is not Relation.UNKNOWN:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[observed, wanted] = found
        return found
