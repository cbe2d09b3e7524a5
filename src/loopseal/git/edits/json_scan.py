"""Where everything is in a JSON text: each value's first and last character.

The standard library's parser says what a text means but not where; this says where and leaves the meaning to that one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from json.decoder import scanstring  # type: ignore[attr-defined]  # there, and in C, though typeshed leaves it out
from typing import Final, NoReturn

from loopseal.errors import Code, Refused
from loopseal.git.edits.source import MAX_DEPTH, Source, too_deep


@dataclass(slots=True)
class Node:
    """One value: its characters from `start` to `end`; `members` of an object are (key, key's start, value)."""

    start: int
    kind: str
    end: int = 0
    members: list[tuple[str, int, Node]] = field(default_factory=list)
    items: list[Node] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        """The keys of an object."""
        return [key for key, _, _ in self.members]


_SPACE: Final = re.compile(r"[ \t\r\n]*")
_LITERAL: Final = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


def scan(source: Source) -> Node:
    """The root of a JSON file. Raises Refused."""
    return _Scanner(source).document()


class _Scanner:
    """Finds where every value of a document begins and ends; iterative, so that no file is nested too deeply for it."""

    def __init__(self, source: Source) -> None:
        self.source, self.text, self.at = source, source.text, 0

    def document(self) -> Node:
        self.space()
        root = self.value()
        open_ = [root] if root.kind in "{[" else []
        while open_:
            inner = self.inside(open_[-1])
            if inner is None:
                open_.pop()
            elif inner.kind in "{[":
                open_.append(inner)
                if len(open_) > MAX_DEPTH:
                    raise too_deep(self.source.path)
        self.space()
        if self.at != len(self.text):
            self.fail("the end")
        return root

    def inside(self, node: Node) -> Node | None:
        """The next value within an open object or list; None at its end."""
        first = not (node.members or node.items)
        self.space()
        if self.takes("}" if node.kind == "{" else "]"):
            node.end = self.at
            return None
        if not first and not self.takes(","):
            self.fail("',' or the end of the object or list")
        self.space()
        if node.kind == "[":
            value = self.value()
            node.items.append(value)
            return value
        start = self.at
        key = self.string()
        self.space()
        if not self.takes(":"):
            self.fail("':'")
        self.space()
        value = self.value()
        node.members.append((key, start, value))
        return value

    def value(self) -> Node:
        """A whole scalar, or an object or list just opened."""
        start, char = self.at, self.text[self.at : self.at + 1]
        if char and char in "{[":
            self.at += 1
            return Node(start, char)
        if char == '"':
            self.string()
            return Node(start, '"', self.at)
        found = _LITERAL.match(self.text, start)
        if not found:
            return self.fail("a value")
        self.at = found.end()
        return Node(start, "literal", self.at)

    def string(self) -> str:
        if not self.takes('"'):
            self.fail("a string")
        try:
            text, self.at = scanstring(self.text, self.at, True)
            text.encode()  # half a surrogate pair is no text
        except ValueError:
            self.fail("a whole string")
        return str(text)

    def space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def takes(self, char: str) -> bool:
        seen = self.text.startswith(char, self.at)
        self.at += seen
        return seen

    def fail(self, expected: str) -> NoReturn:
        line = self.text.count("\n", 0, self.at) + 1
        raise Refused(
            Code.EDIT_SYNTAX,
            f"the file is not valid JSON: expected {expected} in line {line}",
            where=self.source.path,
            hint="Files with comments or trailing commas are written whole, with PutFile.",
        )
