"""How single values stand in JSON: strings, numbers, times, enums, file content, sentinels.

Bounds are those of RFC 8785 and RFC 7493 (I-JSON): integers within ±(2**53 - 1), finite floats, no lone surrogates.
"""

# ruff: noqa: D102 - holds, reads, dump, load and schema are the methods of Codec, documented there

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

MAX_INTEGER: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 7493 §2.2)."""

Schema: TypeAlias = dict[str, Any]
Definitions: TypeAlias = dict[str, Schema]


class Malformed(ValueError):
    """This is not that type: `place` is a path such as ``edits[0].value``, `problem` says what is wrong."""

    def __init__(self, problem: str, place: str = "") -> None:
        super().__init__(problem)
        self.problem, self.place = problem, place

    def within(self, outer: str) -> Malformed:
        """The same, seen from one container further out."""
        joint = "." if self.place and not self.place.startswith("[") else ""
        return Malformed(self.problem, f"{outer}{joint}{self.place}")


class Codec(Protocol):
    """How one type stands in JSON."""

    def dump(self, value: Any, /) -> Any:
        """The JSON value. Raises Malformed."""
        ...

    def load(self, data: Any, /) -> Any:
        """The Python value. Raises Malformed."""
        ...

    def schema(self, defs: Definitions, /) -> Schema:
        """JSON Schema of it; what has a name goes into `defs`."""
        ...


@runtime_checkable
class Member(Codec, Protocol):
    """A codec that may stand in a union: its values are known by their shape alone."""

    def holds(self, value: Any, /) -> bool:
        """Whether this Python value is for me."""
        ...

    def reads(self, data: Any, /) -> bool:
        """Whether this JSON value is for me."""
        ...


def refuse(wanted: str, got: Any) -> Malformed:
    """The commonest complaint. Names the type of what is there, never its value: it may be a secret."""
    return Malformed(f"must be {wanted}, not {'null' if got is None else type(got).__name__}")


class Atom:
    """null, booleans, integers, strings: the same value on both sides, checked."""

    def __init__(self, kind: type, name: str, schema: Schema) -> None:
        self._kind, self._name, self._schema = kind, name, schema

    def holds(self, value: Any) -> bool:
        return isinstance(value, self._kind) and (self._kind is bool or not isinstance(value, bool))

    reads = holds

    def dump(self, value: Any) -> Any:
        if not self.holds(value):
            raise refuse(self._name, value)
        return _bounded(value)

    load = dump

    def schema(self, _defs: Definitions) -> Schema:
        return dict(self._schema)


class Measure(Atom):
    """A number of some unit, such as seconds: an integer will do and becomes a float."""

    def holds(self, value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    reads = holds

    def dump(self, value: Any) -> float:
        return float(super().dump(value))

    load = dump


def _bounded(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise Malformed("must be a finite number")
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise Malformed("is an integer beyond ±(2**53 - 1), which JSON does not keep: use a string")
    return value


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Malformed("has a lone surrogate, which is no Unicode text") from None
    return str.__str__(value)  # of an enum or another subclass: only its text


class Spelled:
    """A value that stands as text: bare, or under `key` of an object (with `fixed` beside it) where a tag is needed."""

    def __init__(
        self,
        kind: type,
        name: str,
        spell: Callable[[Any], str],
        parse: Callable[[str], Any],
        schema: Schema,
        *,
        key: str = "",
        fixed: Mapping[str, str] | None = None,
    ) -> None:
        self._kind, self._name, self._spell, self._parse, self._schema = kind, name, spell, parse, schema
        self._key, self._fixed = key, fixed or {}

    def holds(self, value: Any) -> bool:
        return isinstance(value, self._kind)

    def reads(self, data: Any) -> bool:
        if not self._key:
            return isinstance(data, str)
        return isinstance(data, dict) and {**self._fixed, self._key: data.get(self._key)} == data

    def dump(self, value: Any) -> Any:
        if not self.holds(value):
            raise refuse(self._name, value)
        text = _text(self._spell(value))
        return {**self._fixed, self._key: text} if self._key else text

    def load(self, data: Any) -> Any:
        text = data.get(self._key) if self._key and self.reads(data) else data
        if not isinstance(text, str):
            raise refuse(self._name, text)
        try:
            return self._parse(_text(text))
        except (ValueError, OverflowError):
            raise Malformed(f"must be {self._name}") from None

    def schema(self, _defs: Definitions) -> Schema:
        if not self._key:
            return {"type": "string", **self._schema}
        constants = {name: {"const": value} for name, value in self._fixed.items()}
        return {
            "type": "object",
            "properties": {**constants, self._key: {"type": "string", **self._schema}},
            "required": [*self._fixed, self._key],
            "additionalProperties": False,
        }


def _spell_time(value: datetime) -> str:
    if value.utcoffset() is None:
        raise Malformed("must be a time with its zone")
    try:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        raise Malformed("is a time outside the years 1 to 9999") from None


_TIME: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)"


def _parse_time(text: str) -> datetime:
    if not re.fullmatch(_TIME, text, re.ASCII):
        raise ValueError(text)
    return datetime.fromisoformat(text).astimezone(UTC)


def _spell_float(value: float) -> str:
    return repr(float(_bounded(value)))


def _same(spell: Callable[[Any], str], parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """`parse`, but only of the one spelling that `spell` gives: two texts of one value would be two digests."""

    def strict(text: str) -> Any:
        value = parse(text)
        if spell(value) != text:
            raise ValueError(text)
        return value

    return strict


def _spell_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


class Enumeration(Spelled):
    """A StrEnum: its value."""

    def __init__(self, kind: type[StrEnum]) -> None:
        names = [member.value for member in kind]
        super().__init__(kind, f"one of {', '.join(names)}", str, kind, {"enum": names})


class Sentinel(Spelled):
    """A member of an enum that stands beside plain values: an object, so that it equals none of them."""

    def __init__(self, kind: type[Enum]) -> None:
        names = [member.value for member in kind]
        super().__init__(
            kind, f"one of {', '.join(names)}", lambda one: str(one.value), kind, {"enum": names}, key="type"
        )


_BYTES: Final = Spelled(
    bytes,
    "bytes in base64",
    _spell_bytes,
    _same(_spell_bytes, lambda text: base64.b64decode(text, validate=True)),
    {"contentEncoding": "base64"},
    key="base64",
)

BARE: Final[Mapping[Any, Member]] = {
    type(None): Atom(type(None), "null", {"type": "null"}),
    bool: Atom(bool, "true or false", {"type": "boolean"}),
    int: Atom(int, "an integer", {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER}),
    float: Measure(float, "a number", {"type": "number"}),
    str: Atom(str, "a string", {"type": "string"}),
    bytes: _BYTES,
    datetime: Spelled(datetime, "an RFC 3339 time", _spell_time, _parse_time, {"format": "date-time"}),
}
"""Types that stand alone."""

IN_UNION: Final[Mapping[tuple[Any, bool], Member]] = {
    **dict.fromkeys(
        ((float, False), (float, True)),
        Spelled(
            float,
            "a finite float in Python's shortest spelling",
            _spell_float,
            _same(_spell_float, float),
            {},
            key="text",
            fixed={"type": "float"},
        ),
    ),
    (str, True): Spelled(str, "a string", str.__str__, str, {}, key="text"),
}
"""Types that need a tag beside others, by (type, whether bytes stand in the same union)."""
