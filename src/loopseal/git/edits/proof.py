"""Two proofs that an edit changed what it should and nothing else, by two parsers that know nothing of each other.

tree-sitter reads the result anew: all its leaves, brackets and comments must be those of the original but for one
scalar (or one pair). libyaml, when it accepts the original, reads both: the event streams must differ in as little, at
the same place. And the value must be the wanted one, by YAML 1.1 (PyYAML) as by the core schema of 1.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

from loopseal.domain.proposal import Scalar
from loopseal.errors import Code, LoopsealError, Refused
from loopseal.git.edits import scalars, yaml_path, yaml_tree
from loopseal.git.edits.events import Event, Trail, events, place_of
from loopseal.git.edits.scalars import Style
from loopseal.git.edits.selector import Step, render
from loopseal.git.edits.yaml_path import Absent, Found
from loopseal.git.edits.yaml_tokens import Token
from loopseal.git.edits.yaml_tree import STYLES, Tree

_T = TypeVar("_T")
_PAIR: Final = 2  # a pair is two scalars to libyaml: the key and the value


class Change(Enum):
    """What an edit may do to a file."""

    SET = "another scalar"
    FILL = "a scalar where there was none"
    ADD = "one more pair"
    REMOVE = "one pair less"


@dataclass(frozen=True, slots=True)
class Claim:
    """What an edit says it did: this change, at this place, and the value is this one now."""

    change: Change
    steps: tuple[Step, ...]
    trail: Trail
    value: Scalar


class _Unproven(Exception):
    """Why a claim does not hold; leaves this module as Refused."""


def prove(claim: Claim, before: Tree, after: bytes) -> None:
    """Raise Refused (`edit.unproven`) unless `after` is `before` but for what is claimed."""
    path = before.source.path
    try:
        tree = yaml_tree.parse(path, after)
        _same_but(claim.change, before, tree)
        _reads(claim, yaml_path.find(tree, claim.steps))
        _same_events(claim, events(before.source.body), events(tree.source.body))
    except (_Unproven, LoopsealError) as error:
        raise Refused(
            Code.EDIT_UNPROVEN,
            f"the edit cannot be proved safe: {getattr(error, 'message', error)}",
            where=f"{path}: {render(claim.steps)}",
            hint="Nothing was changed. Edit the file by hand, or write it whole with PutFile.",
        ) from error


def _same_but(change: Change, before: Tree, after: Tree) -> None:
    old, new = middle(before.tokens, after.tokens)
    match change:
        case Change.SET:
            good = len(old) <= 1 and len(new) <= 1 and all(kind in STYLES for kind, _ in (*old, *new))
        case Change.FILL:
            good = not old and len(new) == 1 and new[0][0] in STYLES
        case Change.ADD:
            good = not old and _is_pair(new)
        case Change.REMOVE:
            good = not new and _is_pair(old, empty=True)
    if not good:
        raise _Unproven(f"more than {change.value} would change")
    gone, come = middle(before.comments, after.comments)
    if come or len(gone) > (change is Change.REMOVE):
        raise _Unproven("a comment would change")


def _is_pair(tokens: Sequence[Token], *, empty: bool = False) -> bool:
    """Whether these are the tokens of one pair of scalars."""
    kinds = sorted("scalar" if kind in STYLES else kind for kind, _ in tokens)
    pair = ["<", ">", "scalar", "scalar"]
    return kinds == pair or (empty and kinds == pair[:-1])


def _reads(claim: Claim, place: Found | Absent) -> None:
    if claim.change is Change.REMOVE:
        if isinstance(place, Found):
            raise _Unproven("the key is still there")
        return
    if not isinstance(place, Found) or place.trail != claim.trail:
        raise _Unproven("the value would stand elsewhere")
    if not _means(place.text, quoted=place.style in {Style.DOUBLE, Style.SINGLE}, value=claim.value):
        raise _Unproven("the value would be read as another one")


def _means(text: str, *, quoted: bool, value: Scalar) -> bool:
    if quoted:
        return isinstance(value, str) and text == value
    return scalars.same(scalars.meaning(text), value) and scalars.same(scalars.meaning_1_1(text), value)


def _same_events(claim: Claim, old: list[Event] | None, new: list[Event] | None) -> None:
    if old is None:
        return
    if new is None:
        raise _Unproven("libyaml rejects the result")
    gone, come = middle(old, new)
    match claim.change:
        case Change.SET | Change.FILL:
            good = len(gone) <= 1 and len(come) <= 1
        case Change.ADD:
            good = not gone and len(come) == _PAIR
        case Change.REMOVE:
            good = not come and len(gone) == _PAIR
    if not good or any(event[0] != "ScalarEvent" for event in (*gone, *come)):
        raise _Unproven(f"more than {claim.change.value} would change (libyaml)")
    at = place_of(old if claim.change is Change.REMOVE else new, claim.trail)
    if at is None:
        raise _Unproven("libyaml finds the value elsewhere")
    if claim.change is not Change.REMOVE:
        kind, _anchor, _tag, style, text = new[at]
        if kind != "ScalarEvent" or not _means(text, quoted=style in {"'", '"'}, value=claim.value):
            raise _Unproven("libyaml reads another value")
        if come and new[at] not in come:
            raise _Unproven("libyaml sees another scalar change")


def middle(old: Sequence[_T], new: Sequence[_T]) -> tuple[Sequence[_T], Sequence[_T]]:
    """What is left of both when what they begin and end with alike is taken away."""
    start = _alike(zip(old, new, strict=False))
    end = min(_alike(zip(reversed(old), reversed(new), strict=False)), len(old) - start, len(new) - start)
    return old[start : len(old) - end], new[start : len(new) - end]


def _alike(both: Iterable[tuple[_T, _T]]) -> int:
    """How many pairs are equal until the first that is not."""
    count = 0
    for one, other in both:
        if one != other:
            break
        count += 1
    return count
