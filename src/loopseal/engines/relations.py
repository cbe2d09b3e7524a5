"""The relation of commits, as judges ask for it.

Lives here: the type of the question and what answer counts as arrived. Does not: finding the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from loopseal.domain.revision import Relation, Tolerance

Oracle: TypeAlias = Callable[[str, str], Relation]
"""What is (observed) to (wanted)? Answers at once from what is known already, UNKNOWN otherwise."""


def arrived(relation: Relation, tolerance: Tolerance) -> bool:
    """Whether a commit with this relation to the wanted one holds it: it is it, or, unless `exact`, contains it."""
    return relation is Relation.EQUAL or (relation is Relation.DESCENDANT and not tolerance.exact)
