"""Set, add and remove one key of a JSON file, byte by byte: scan, locate, splice, prove.

The scanner knows where everything is; the standard library's parser, which knows nothing of it, is the proof: both
versions of the file must be the same data but for the one value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from loopseal.domain.proposal import ABSENT, Expect, Scalar
from loopseal.errors import Code, Refused
from loopseal.git.edits import scalars
from loopseal.git.edits.json_scan import Node, scan
from loopseal.git.edits.selector import Index, Key, Match, Step, render
from loopseal.git.edits.source import Source, encrypted


@dataclass(frozen=True, slots=True)
class _Gap:
    """Where the path ends early: before step number `step`, in `node`."""

    step: int
    node: Node
    why: str


_Data: TypeAlias = Any
"""What the standard library reads, with nothing lost: see `_data`."""


class JsonFile:
    """One JSON file and one selector into it."""

    def __init__(self, source: Source, steps: Sequence[Step]) -> None:
        self.source, self.steps = source, tuple(steps)
        self.where = f"{source.path}: {render(self.steps)}"
        self.root = scan(source)
        if any(key == "sops" and "mac" in value.keys for key, _, value in self.root.members):
            raise encrypted(source.path, "SOPS")
        self.trail: list[int] = []
        self.place = self._find()

    @property
    def missing(self) -> str:
        """Why the key is not there, empty when it is."""
        return self.place.why if isinstance(self.place, _Gap) else ""

    @property
    def value(self) -> Scalar | Expect:
        """What stands under the key, or ABSENT."""
        if isinstance(self.place, _Gap):
            return ABSENT
        text = self.source.text[self.place.start : self.place.end]
        if self.place.kind != "literal":
            return str(json.loads(text))
        return scalars.meaning(text)

    def meets(self, expect: Scalar) -> bool:
        """Whether the value is the expected one; a number may also be named by its text."""
        if isinstance(self.place, _Gap):
            return False
        literal = self.place.kind == "literal" and self.source.text[self.place.start : self.place.end] == expect
        return literal or scalars.same(expect, self.value)

    def set(self, value: Scalar) -> bytes:
        """The file with `value` under the key, which must be there."""
        place = self._found()
        if type(self.value) is type(value) and self.value == value:
            return self.source.mark + self.source.body
        after = self._splice(place.start, place.end, scalars.json_text(value))
        self._prove(after, value)
        return after

    def add(self, value: Scalar) -> bytes:
        """The file with the key added as the last one of its object, spaced as the one before it."""
        key, place = self.steps[-1], self.place
        if not isinstance(place, _Gap) or place.step != len(self.steps) - 1 or place.node.kind != "{":
            raise self.refusal(Code.EDIT_KEY_MISSING, self.missing or "the key is there")
        if not isinstance(key, Key):
            raise self.refusal(Code.EDIT_KEY_MISSING, "only a key can be added")
        pair = f"{scalars.json_text(key.name)}: {scalars.json_text(value)}"
        members = place.node.members
        if members:
            before = members[-2][2].end if len(members) > 1 else place.node.start + 1
            space = re.sub(r"[^ \t\r\n]", "", self.source.text[before : members[-1][1]])
            at, pair = members[-1][2].end, f",{space or ('' if len(members) > 1 else ' ')}{pair}"
        else:
            at = place.node.start + 1
        after = self._splice(at, at, pair)
        self.trail.append(len(members))
        self._prove(after, value, added=key.name)
        return after

    def remove(self) -> bytes:
        """The file without the key, which must be there with a scalar value."""
        found = self._found()
        if not isinstance(self.steps[-1], Key):
            raise self.refusal(Code.EDIT_NOT_SCALAR, "only a key of an object can be removed")
        members = self._parent().members
        place = self.trail[-1]
        start, end = members[place][1], found.end
        if place:
            start = members[place - 1][2].end
        elif len(members) > 1:
            end = members[1][1]
        after = self._splice(start, end, "")
        self._prove(after, None, removed=True)
        return after

    def _found(self) -> Node:
        if isinstance(self.place, _Gap):
            raise self.refusal(Code.EDIT_KEY_MISSING, self.place.why)
        if "{{" in self.source.text[self.place.start : self.place.end]:
            raise self.refusal(Code.EDIT_TEMPLATE, "the value is a template: something else will fill it")
        return self.place

    def refusal(self, code: Code, message: str) -> Refused:
        """The refusal to edit this key."""
        return Refused(code, message, where=self.where, hint=_HINTS.get(code, ""))

    def _splice(self, start: int, end: int, piece: str) -> bytes:
        text = self.source.text
        return self.source.mark + (text[:start] + piece + text[end:]).encode()

    def _parent(self) -> Node:
        node = self.root
        for place in self.trail[:-1]:
            node = node.members[place][2] if node.kind == "{" else node.items[place]
        return node

    def _find(self) -> Node | _Gap:
        node = self.root
        for at, step in enumerate(self.steps):
            here = render(self.steps[:at]) or "the document"
            hits: list[int]
            match step, node.kind:
                case Key(name), "{":
                    hits = [place for place, member in enumerate(node.members) if member[0] == name]
                    if len(hits) > 1:
                        raise self.refusal(Code.EDIT_DUPLICATE_KEY, f"{here} has the key {name!r} {len(hits)} times")
                case Index(number), "[":
                    hits = [number] if number < len(node.items) else []
                case Match(), "[":
                    hits = [place for place, item in enumerate(node.items) if self._matches(item, step)]
                    if len(hits) > 1:
                        raise self.refusal(Code.EDIT_AMBIGUOUS, f"{len(hits)} items match {step}")
                case _:
                    return _Gap(at, Node(0, ""), f"{here} is no {'object' if isinstance(step, Key) else 'list'}")
            if not hits:
                return _Gap(at, node, f"{here} has no {render((step,))}")
            self.trail.append(hits[0])
            node = node.members[hits[0]][2] if node.kind == "{" else node.items[hits[0]]
        if node.kind in "{[":
            raise self.refusal(Code.EDIT_NOT_SCALAR, "the value is an object or a list")
        return node

    def _matches(self, item: Node, step: Match) -> bool:
        return all(self._field(item, keys) == text for keys, text in step.conditions)

    def _field(self, node: Node, keys: tuple[str, ...]) -> str | None:
        for key in keys:
            hits = [value for name, _, value in node.members if name == key]
            if len(hits) > 1:
                raise self.refusal(Code.EDIT_DUPLICATE_KEY, f"an item has the field {key!r} {len(hits)} times")
            if not hits:
                return None
            node = hits[0]
        text = self.source.text[node.start : node.end]
        match node.kind:
            case "literal":
                return text
            case '"':
                return str(json.loads(text))
            case _:
                return None

    def _prove(self, after: bytes, value: Scalar, *, added: str | None = None, removed: bool = False) -> None:
        """Raise Refused unless the standard library reads the same data but for this value."""
        try:
            old = _data(self.source.text)
            new = _data(after[len(self.source.mark) :].decode())
        except ValueError as error:
            raise self.refusal(Code.EDIT_UNPROVEN, "the result is no JSON") from error
        inner = old
        for place in self.trail[:-1]:
            inner = inner[1][place][1] if inner[0] == "{" else inner[1][place]
        last, wanted = self.trail[-1], _data(scalars.json_text(value))
        if removed:
            del inner[1][last]
        elif added is not None:
            inner[1].append((added, wanted))
        elif inner[0] == "{":
            inner[1][last] = (inner[1][last][0], wanted)
        else:
            inner[1][last] = wanted
        if old != new:
            raise self.refusal(Code.EDIT_UNPROVEN, "more than this value would change")


_HINTS: Final = {
    Code.EDIT_KEY_MISSING: "Check the path; create=True adds the last key to an object that is there.",
    Code.EDIT_DUPLICATE_KEY: "Readers disagree which one counts: leave one of them.",
    Code.EDIT_AMBIGUOUS: "Match more fields: [name=x,kind=y].",
    Code.EDIT_NOT_SCALAR: "Name one key with one value, or write the whole file with PutFile.",
    Code.EDIT_TEMPLATE: "Edit the values that the template is rendered from.",
    Code.EDIT_UNPROVEN: "Nothing was changed. Edit the file by hand, or write it whole with PutFile.",
}


def _data(text: str) -> _Data:
    """The data of a file, with order, doubled keys and the digits of numbers kept: comparable."""
    return _boxed(json.loads(text, object_pairs_hook=_object, parse_int=_number, parse_float=_number))


def _object(found: list[tuple[str, _Data]]) -> _Data:
    return ("{", [(key, _boxed(value)) for key, value in found])


def _number(digits: str) -> _Data:
    return ("number", digits)


def _boxed(value: _Data) -> _Data:
    if isinstance(value, list):
        return ("[", [_boxed(item) for item in value])
    return (type(value).__name__, value) if isinstance(value, str | bool) else value
