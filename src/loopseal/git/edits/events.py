"""A YAML file as libyaml sees it: a stream of events. The second opinion of every edit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import yaml

from loopseal.git.edits.memory import Memory

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Event: TypeAlias = tuple[Any, ...]
"""(kind, anchor, tag, style, value) of one of libyaml's events."""

Trail: TypeAlias = tuple[tuple[int, str | None], ...]
"""Where a value is, in numbers: (document, None), then (place among its siblings, key or None) for every step."""

_STARTS: Final = frozenset({"MappingStartEvent", "SequenceStartEvent"})
_ENDS: Final = frozenset({"MappingEndEvent", "SequenceEndEvent"})
_NODES: Final = _STARTS | {"ScalarEvent", "AliasEvent"}


def events(body: bytes) -> list[Event] | None:
    """What libyaml reads, or None where it refuses to."""
    return _remembered(body)


def _events(body: bytes) -> list[Event] | None:
    out: list[Event] = []
    loader = _Loader(body)
    try:
        while (event := loader.get_event()) is not None:
            out.append(_event(event))
    except (yaml.YAMLError, ValueError):
        return None
    finally:
        loader.dispose()
    return out


_remembered: Final = Memory(_events, len)


def _event(event: Any) -> Event:
    kind = type(event).__name__
    if kind == "ScalarEvent":
        return (kind, event.anchor, event.tag, event.style or "", event.value)
    if kind in _STARTS:
        return _shared(kind, event.anchor, event.tag, event.flow_style)
    return _shared(kind, event.anchor if kind == "AliasEvent" else None, None, "")


def _shared(kind: str, anchor: str | None, tag: str | None, style: Any) -> Event:
    event = (kind, anchor, tag, style, "")
    return event if anchor or tag else _PLAIN.setdefault(event, event)


_PLAIN: Final[dict[Event, Event]] = {}
"""One event for all of its kind without properties: a dozen, of which files have thousands."""


def place_of(stream: Sequence[Event], trail: Trail) -> int | None:
    """The number of the event that begins the value at `trail`, keys and places compared; None without one."""
    wanted = list(trail)
    for at, address in _addresses(stream, len(wanted)):
        if address == wanted:
            return at
    return None


def _addresses(stream: Sequence[Event], depth: int) -> Iterator[tuple[int, list[tuple[int, str | None]]]]:
    """Every value that is `depth` collections deep, with its address as a trail has it."""
    document = -1
    open_: list[_Open] = []
    for at, (kind, _anchor, _tag, _style, text) in enumerate(stream):
        if kind == "DocumentStartEvent":
            document += 1
        if kind in _NODES:
            inner = open_[-1] if open_ else None
            if inner and inner.takes(text if kind == "ScalarEvent" else None) and len(open_) == depth - 1:
                yield at, [(document, None), *(one.place for one in open_)]
            if kind in _STARTS:
                open_.append(_Open(mapping=kind == "MappingStartEvent"))
        elif kind in _ENDS:
            open_.pop()


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come yet."""

    mapping: bool
    seen: int = 0
    key: str | None = None

    def takes(self, scalar: str | None) -> bool:
        """Count one more node within; whether it is a value."""
        self.seen += 1
        if self.mapping and self.seen % 2:
            self.key = scalar
            return False
        return True

    @property
    def place(self) -> tuple[int, str | None]:
        """The last value's place, as a trail has it."""
        return ((self.seen - 1) // 2 if self.mapping else self.seen - 1), self.key
