"""Hypothesis strategies for every domain value, made from the same type hints as the code.

`values(kind)` gives any value that the types allow; `proposals()`, `logs()` and `changes()` give those that the rules
of the domain allow as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from loopseal.domain import change as events
from loopseal.domain.change import TRANSITIONS, Change, Event, Phase, advance, begin
from loopseal.domain.decision import Hold
from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import Application, Proposal, SetValue, Target, change_id

MAX = 2**53 - 1
texts = st.text(max_size=12)
words = st.text("abcdefghijklmnop-_0123456789", min_size=1, max_size=12)
zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])
times = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=zones)  # noqa: DTZ001 - hypothesis adds the zone
json_data = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX, MAX) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
PLAIN: Mapping[Any, st.SearchStrategy[Any]] = {
    NoneType: st.none(),
    bool: st.booleans(),
    int: st.integers(-MAX, MAX),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: texts,
    bytes: st.binary(max_size=20),
    datetime: times,
    Any: json_data,
}


def actors(depth: int = 1) -> st.SearchStrategy[Actor]:
    behalf = st.none() | actors(depth - 1) if depth else st.none()
    return st.builds(Actor, words, words, st.sampled_from(ActorKind), behalf)


def of_hint(hint: Any) -> st.SearchStrategy[Any]:
    """Anything that the type hint allows."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return st.one_of([of_hint(one) for one in arguments])
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(of_hint(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(of_hint, arguments))
    if origin is Mapping:
        return st.dictionaries(texts, of_hint(arguments[1]), max_size=3)
    if hint in PLAIN:
        return PLAIN[hint]
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    return values(hint)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a dataclass, or of a union of them."""
    if get_origin(kind) in (Union, UnionType):
        return st.one_of([values(one) for one in get_args(kind)])
    if kind is Actor:
        return actors()
    if kind is Change:
        return changes()
    hints = get_type_hints(kind)
    fields = {field.name: of_hint(hints[field.name]) for field in dataclasses.fields(kind)}
    if kind is Hold:
        fields["needs"] = st.lists(st.tuples(words, st.integers(1, 3)), min_size=1, max_size=3).map(tuple)
    return st.builds(kind, **fields)


@st.composite
def proposals(draw: st.DrawFn) -> Proposal:
    """A proposal without problems."""
    paths = draw(st.lists(words.map(lambda word: f"apps/{word}.yaml"), min_size=1, max_size=3))
    edits = tuple(SetValue(path, "image.tag", draw(of_hint(str | int | bool | None))) for path in paths)
    target = Target("payments", "platform", "main", ("apps/**",), (Application("argo", "payments"),))
    return Proposal(change_id(draw(texts)), target, draw(words), edits, draw(words), draw(actors()))


@st.composite
def fitting(draw: st.DrawFn, change: Change, kind: type[Event]) -> Event:
    """An event of that kind whose content belongs to the change, though the table may forbid it."""
    event = draw(values(kind))
    if isinstance(event, events.Approved | events.Rejected):
        event = dataclasses.replace(event, digest=change.digest)
    if isinstance(event, events.Reconciled | events.Healthy):
        event = dataclasses.replace(event, revision=change.revision)
    if isinstance(event, events.Committed):
        event = dataclasses.replace(event, revision=draw(words))
    if isinstance(event, events.Approved | events.Cleared) and change.expires is not None:
        event = dataclasses.replace(event, at=change.expires - timedelta(seconds=draw(st.integers(1, 1000))))
    return event


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """A change after a random walk through the table."""
    change = begin(events.Proposed(draw(times), draw(proposals()), draw(words)))
    for _ in range(draw(st.integers(0, 8))):
        ways = [kind for phase, kind in TRANSITIONS if phase is change.phase]
        if not ways:
            break
        change = advance(change, draw(fitting(change, draw(st.sampled_from(ways)))))
    return change


PHASES = tuple(Phase)
