"""Selectors: which key of a file is meant.

    image.tag                              keys, joined by dots
    "app.kubernetes.io/name".x             a key that holds dots, brackets, quotes or blanks stands in double quotes
    containers[0].image                    an item of a list, counted from 0
    env[name=LOG_LEVEL].value              the one item whose fields have these values
    [kind=Deployment,metadata.name=web].spec.replicas      the one document of a file with several

A match must hit exactly one item or document. Negative indices are refused: the last item is another one tomorrow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from loopseal.errors import Code, Refused

MAX_LENGTH: Final = 2048
"""Characters of one selector."""
MAX_STEPS: Final = 64
"""Steps of one selector, as deep as any sane file is nested."""


@dataclass(frozen=True, slots=True)
class Key:
    """The value under one key of a mapping."""

    name: str

    def __str__(self) -> str:
        return _quoted(self.name, _BARE)


@dataclass(frozen=True, slots=True)
class Index:
    """One item of a list, counted from 0."""

    number: int

    def __str__(self) -> str:
        return f"[{self.number}]"


@dataclass(frozen=True, slots=True)
class Match:
    """The one item (or, as the first step, document) whose fields hold these texts: ((keys, text), …)."""

    conditions: tuple[tuple[tuple[str, ...], str], ...]

    def __str__(self) -> str:
        told = (
            ".".join(_quoted(key, _BARE) for key in field) + "=" + _quoted(text, _BARE_TEXT)
            for field, text in self.conditions
        )
        return f"[{','.join(told)}]"


Step: TypeAlias = Key | Index | Match

_BARE: Final = re.compile(r"[^\s.,=\[\]\"\\]+")
_BARE_TEXT: Final = re.compile(r"[^\s,\[\]\"\\]+")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_INDEX: Final = re.compile(r"\[(-?\d{1,9})\]")


def parse(text: str) -> tuple[Step, ...]:
    """The steps of a selector. Raises Refused (`edit.selector`) that names the position."""
    if len(text) > MAX_LENGTH:
        raise Refused(Code.EDIT_SELECTOR, f"a selector has at most {MAX_LENGTH} characters", where=text[:60] + "…")
    return _Reader(text).selector()


def render(steps: tuple[Step, ...]) -> str:
    """The canonical text of a selector: `parse(render(steps)) == steps`."""
    out = "".join(f".{step}" if isinstance(step, Key) else str(step) for step in steps)
    return out.removeprefix(".")


def hangs_on_itself(steps: tuple[Step, ...]) -> bool:
    """Whether the key is one of those that its own match looks at: once set, the selector would mean nothing."""
    for at, step in enumerate(steps):
        if isinstance(step, Match):
            rest = tuple(below.name if isinstance(below, Key) else None for below in steps[at + 1 :])
            if any(field == rest for field, _ in step.conditions):
                return True
    return False


def _quoted(text: str, bare: re.Pattern[str]) -> str:
    if bare.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class _Reader:
    """Reads one selector from left to right."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def selector(self) -> tuple[Step, ...]:
        steps: list[Step] = [self.bracket() if self.sees("[") else Key(self.name())]
        while self.at < len(self.text):
            if self.sees("["):
                steps.append(self.bracket())
            elif self.takes("."):
                steps.append(Key(self.name()))
            else:
                self.fail("expected '.', '[' or the end")
            if len(steps) > MAX_STEPS:
                self.fail(f"a selector has at most {MAX_STEPS} steps")
        return tuple(steps)

    def bracket(self) -> Step:
        if found := _INDEX.match(self.text, self.at):
            number = int(found[1])
            if number < 0 or found[1].startswith("-"):
                self.fail("a list is counted from the front", "Use [0], [1], … or match a field: [name=x].")
            self.at = found.end()
            return Index(number)
        self.at += 1
        conditions = [self.condition()]
        while self.takes(","):
            conditions.append(self.condition())
        if not self.takes("]"):
            self.fail("expected ',' or ']'")
        return Match(tuple(conditions))

    def condition(self) -> tuple[tuple[str, ...], str]:
        field = [self.name()]
        while self.takes("."):
            field.append(self.name())
        if not self.takes("="):
            self.fail("expected '=': a match is [field=text], an index is [0]")
        return tuple(field), self.name(_BARE_TEXT)

    def name(self, bare: re.Pattern[str] = _BARE) -> str:
        if found := _QUOTED.match(self.text, self.at):
            self.at = found.end()
            return re.sub(r"\\(.)", r"\1", found[1])
        if found := bare.match(self.text, self.at):
            self.at = found.end()
            return found[0]
        if self.sees('"'):
            self.fail('this quote is not closed, or holds an escape other than \\" and \\\\')
        return self.fail("expected a key" if bare is _BARE else "expected a text")

    def sees(self, char: str) -> bool:
        return self.text.startswith(char, self.at)

    def takes(self, char: str) -> bool:
        seen = self.sees(char)
        self.at += seen
        return seen

    def fail(self, message: str, hint: str = "") -> NoReturn:
        raise Refused(
            Code.EDIT_SELECTOR,
            f"{message}, at character {self.at + 1} of the selector",
            where=self.text[:200],
            hint=hint or 'Selectors look like a.b, a[0].b, a[name=x].b; quote unusual keys: "dotted.key".x.',
        )
