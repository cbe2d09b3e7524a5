"""A settings file as plain data with the line of everything in it.

Strict where YAML is loose: one document, no anchors, aliases or tags, no duplicate keys, at most 32 levels and 1 MiB,
and scalars by the YAML 1.2 core schema, so that `on`, `010` and `1:30` are strings and not surprises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import yaml

from loopseal.errors import Code, ConfigError

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32

Path: TypeAlias = tuple[str | int, ...]
Lines: TypeAlias = Mapping[Path, int]

_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which file: prints as ``loopseal.yaml:12: targets.payments.paths[0]``."""

    source: str = ""
    lines: Lines = field(default_factory=lambda: MappingProxyType({}))
    path: Path = ()

    def at(self, *steps: str | int) -> Place:
        """A place further in."""
        return Place(self.source, self.lines, (*self.path, *steps))

    @property
    def line(self) -> int:
        """Line of this, or of the nearest thing around it; 0 when unknown."""
        paths = (self.path[:length] for length in range(len(self.path), -1, -1))
        return next((self.lines[path] for path in paths if path in self.lines), 0)

    def __str__(self) -> str:
        file = f"{self.source}:{self.line}" if self.line else self.source
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path).lstrip(".")
        return ": ".join(part for part in (file, steps) if part)

    def error(self, message: str, hint: str = "", *, code: Code = Code.CONFIG_INVALID) -> ConfigError:
        """The error for what stands here."""
        return ConfigError(code, message, where=str(self), hint=hint)


def read(content: bytes, source: str) -> tuple[Any, Lines]:
    """Plain data and the line of each path in it. Raises ConfigError."""
    place = Place(source)
    if len(content) > MAX_BYTES:
        raise place.error(f"has more than {MAX_BYTES} bytes", "A settings file is a few hundred lines; is it this one?")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Place(source, {(): line}).error("is not UTF-8", "Save the file as UTF-8.") from None
    lines: dict[Path, int] = {}
    try:
        data = _Reader(iter(yaml.parse(text, Loader=_Loader)), source, lines).document()
    except yaml.YAMLError as error:
        raise _no_yaml(error, source) from None
    if data is None:
        raise place.error(
            "is empty", "Declare `repositories`, `engines` and `targets` in it.", code=Code.CONFIG_MISSING
        )
    return data, lines


def _no_yaml(error: yaml.YAMLError, source: str) -> ConfigError:
    lines: dict[Path, int] = {}
    problem = None
    if isinstance(error, yaml.MarkedYAMLError):
        problem = error.problem
        if error.problem_mark is not None:
            lines[()] = error.problem_mark.line + 1
    message = f"is not YAML: {problem or 'a character that YAML does not allow'}"
    return Place(source, lines).error(message, "Look at this line and the one above.")


class _Reader:
    """Builds data from YAML events by recursive descent."""

    def __init__(self, events: Iterator[Any], source: str, lines: dict[Path, int]) -> None:
        self._events, self._source, self._lines = events, source, lines

    def document(self) -> Any:
        data = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if () in self._lines:
                    raise self._error(event, "a second document begins here", "Keep one document in the file.")
                data = self._value(next(self._events), ())
        return data

    def _value(self, event: Any, path: Path) -> Any:
        self._lines.setdefault(path, event.start_mark.line + 1)
        self._check(event)
        if len(path) > MAX_DEPTH:
            raise self._error(event, f"more than {MAX_DEPTH} levels", "Settings are flat; is this the right file?")
        if isinstance(event, yaml.ScalarEvent):
            return scalar(event.value) if event.implicit[0] else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return self._mapping(path)

    def _check(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self._error(event, "anchors and aliases are not read here", "Write the value out.")
        if event.tag not in {None, "!"}:
            raise self._error(event, "tags are not read here", "Write the plain value.")

    def _sequence(self, path: Path) -> list[Any]:
        out: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            out.append(self._value(event, (*path, len(out))))
        return out

    def _mapping(self, path: Path) -> dict[str, Any]:
        out: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            self._check(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise self._error(event, "a key must be a plain word", "Write `name: value`.")
            key, mark = event.value, event.start_mark
            line = mark.line + 1 if mark else 0
            if key in out:
                first = self._lines[*path, key]
                raise self._error(event, f"{key!r} stands here a second time", f"It is set in line {first} already.")
            self._lines[*path, key] = line
            out[key] = self._value(next(self._events), (*path, key))
        return out

    def _error(self, event: Any, message: str, hint: str) -> ConfigError:
        return Place(self._source, {(): event.start_mark.line + 1}).error(message, hint)


def scalar(text: str) -> str | int | float | bool | None:
    """What a plain scalar means in the YAML 1.2 core schema (§10.3.2), decimal numbers only."""
    if text in {"", "~", "null", "Null", "NULL"}:
        return None
    if text in {"true", "True", "TRUE"}:
        return True
    if text in {"false", "False", "FALSE"}:
        return False
    if re.fullmatch(r"[-+]?(0|[1-9][0-9]{0,15})", text):
        return int(text)
    if re.fullmatch(r"[-+]?[0-9]{1,32}\.[0-9]{0,32}([eE][-+]?[0-9]{1,3})?", text):
        return float(text)
    return text
