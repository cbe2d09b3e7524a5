"""Codecs from type hints: one object per type that dumps, loads and describes it.

Lives here: how each Python type stands in JSON, strictly both ways. Not here: which types there are, texts, errors for
people (`loopseal.wire`), how scalars are spelled (`loopseal.wire.scalars`). A codec raises only `Malformed`;
containers add the place on the way up.
"""

# ruff: noqa: D102 - holds, reads, dump, load and schema are the methods of Codec, documented there

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from loopseal.wire.scalars import (
    BARE,
    IN_UNION,
    Codec,
    Definitions,
    Enumeration,
    Malformed,
    Member,
    Schema,
    Sentinel,
    refuse,
)

_LISTS: Final = (tuple, list)
_LEAVES: Final = [BARE[kind] for kind in (type(None), bool, int, float, str)]


class _at:  # noqa: N801 - used as a `with` statement, a dozen times per change: a class costs a third of a generator
    """Adds `place` to what goes wrong within."""

    __slots__ = ("_place",)

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Malformed):
            raise error.within(self._place) from None


class Listing:
    """A tuple of any length, all items of one kind: a JSON array."""

    def __init__(self, item: Codec) -> None:
        self._item = item

    def dump(self, value: Any) -> list[Any]:
        return [*self._each(value, self._item.dump)]

    def load(self, data: Any) -> tuple[Any, ...]:
        return (*self._each(data, self._item.load),)

    def _each(self, items: Any, convert: Callable[[Any], Any]) -> Iterator[Any]:
        if not isinstance(items, _LISTS):
            raise refuse("a list", items)
        for index, item in enumerate(items):
            with _at(f"[{index}]"):
                yield convert(item)

    def schema(self, defs: Definitions) -> Schema:
        return {"type": "array", "items": self._item.schema(defs)}


class Row:
    """A tuple of fixed length, such as (name, count): a JSON array."""

    def __init__(self, items: Sequence[Codec]) -> None:
        self._items = items

    def dump(self, value: Any) -> list[Any]:
        return [*self._each(value, lambda codec, item: codec.dump(item))]

    def load(self, data: Any) -> tuple[Any, ...]:
        return (*self._each(data, lambda codec, item: codec.load(item)),)

    def _each(self, items: Any, convert: Callable[[Codec, Any], Any]) -> Iterator[Any]:
        if not isinstance(items, _LISTS) or len(items) != len(self._items):
            raise Malformed(f"must be a list of {len(self._items)} items")
        for index, (codec, item) in enumerate(zip(self._items, items, strict=True)):
            with _at(f"[{index}]"):
                yield convert(codec, item)

    def schema(self, defs: Definitions) -> Schema:
        items = [item.schema(defs) for item in self._items]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


class Anything:
    """Plain JSON data of any shape (`Any`): checked down to its leaves, otherwise left as it is."""

    def dump(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return Table(self).dump(value)
        if isinstance(value, _LISTS):
            return Listing(self).dump(value)
        for codec in _LEAVES:
            if codec.holds(value):
                return codec.dump(value)
        raise refuse("plain JSON data", value)

    load = dump

    def schema(self, _defs: Definitions) -> Schema:
        return {}


class Table:
    """A mapping with string keys: a JSON object whose field names are data."""

    def __init__(self, item: Codec) -> None:
        self._item = item

    def dump(self, value: Any) -> dict[str, Any]:
        return dict(self._each(value, self._item.dump))

    def load(self, data: Any) -> dict[str, Any]:
        return dict(self._each(data, self._item.load))

    def _each(self, items: Any, convert: Callable[[Any], Any]) -> Iterator[tuple[str, Any]]:
        if not isinstance(items, Mapping):
            raise refuse("an object", items)
        for key, item in items.items():
            with _at(f"[{key!r}]"):
                yield BARE[str].dump(key), convert(item)

    def schema(self, defs: Definitions) -> Schema:
        return {"type": "object", "additionalProperties": self._item.schema(defs)}


class Record:
    """A dataclass: a JSON object. Fields at their default are left out; a tagged one carries its name as `type`."""

    def __init__(self, kind: type, codecs: Codecs, *, tagged: bool) -> None:
        self._kind, self._codecs, self._tagged = kind, codecs, tagged

    @cached_property
    def _fields(self) -> Mapping[str, tuple[Codec, Any]]:
        """Codec and default (MISSING where there is none) by name; late, because an Actor holds an Actor."""
        hints = get_type_hints(self._kind)
        return {
            field.name: (self._codecs.of(hints[field.name]), _default(field))
            for field in dataclasses.fields(self._kind)
        }

    def holds(self, value: Any) -> bool:
        return isinstance(value, self._kind)

    def reads(self, data: Any) -> bool:
        return isinstance(data, dict) and (not self._tagged or data.get("type") == self._kind.__name__)

    def dump(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, self._kind):
            raise refuse(self._kind.__name__, value)
        return self.part(value, tuple(self._fields))

    def part(self, value: Any, names: Sequence[str]) -> dict[str, Any]:
        """`dump` of some of the fields."""
        out: dict[str, Any] = {"type": self._kind.__name__} if self._tagged else {}
        for name in names:
            codec, default = self._fields[name]
            one = getattr(value, name)
            with _at(name):
                data = codec.dump(one)
            if type(one) is not type(default) or one != default:
                out[name] = data
        return out

    def load(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise refuse(f"an object ({self._kind.__name__})", data)
        if not self.reads(data):
            raise Malformed(f"must be {self._kind.__name__!r}", "type")
        given = {name: one for name, one in data.items() if name != "type"} if self._tagged else data
        for name in given:
            if name not in self._fields:
                raise Malformed(f"{self._kind.__name__} has no such field", str(name))
        values = {}
        for name, (codec, default) in self._fields.items():
            if name in given:
                with _at(name):
                    values[name] = codec.load(given[name])
            elif default is dataclasses.MISSING:
                raise Malformed("is missing", name)
        try:
            return self._kind(**values)
        except ValueError as error:  # a rule of the type itself, such as an actor without a subject
            raise Malformed(str(error)) from None

    def schema(self, defs: Definitions) -> Schema:
        name = self._kind.__name__
        if name not in defs:
            defs[name] = {}  # so that a type may hold itself
            properties: Schema = {"type": {"const": name}} if self._tagged else {}
            required = ["type"] if self._tagged else []
            for field, (codec, default) in self._fields.items():
                properties[field] = codec.schema(defs)
                if default is dataclasses.MISSING:
                    required.append(field)
                else:
                    properties[field] |= {"default": codec.dump(default)}
            defs[name] = {
                "description": inspect.getdoc(self._kind) or "",
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": False,
            }
        return {"$ref": f"#/$defs/{name}"}


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


class Choice:
    """A union: the first member whose shape fits. Members are told apart by JSON type or by their tag."""

    def __init__(self, members: Sequence[Member], names: str) -> None:
        self._members, self._names = members, names

    def dump(self, value: Any) -> Any:
        for member in self._members:
            if member.holds(value):
                return member.dump(value)
        raise refuse(f"one of {self._names}", value)

    def load(self, data: Any) -> Any:
        for member in self._members:
            if member.reads(data):
                return member.load(data)
        if isinstance(data, dict) and isinstance(data.get("type"), str):
            raise Malformed(f"must be one of {self._names}, not {data['type'][:40]!r}", "type")
        raise refuse(f"one of {self._names}", data)

    def schema(self, defs: Definitions) -> Schema:
        return {"anyOf": [member.schema(defs) for member in self._members]}


class Codecs:
    """Makes the codec of every type hint, once. `tagged` are the dataclasses that carry their name."""

    def __init__(self, tagged: frozenset[type]) -> None:
        self._tagged = tagged
        self._made: dict[Any, Codec] = {}

    def of(self, hint: Any) -> Codec:
        """The codec of `hint`. Raises TypeError for a type that has no place in JSON."""
        if hint not in self._made:
            self._made[hint] = self._make(hint)
        return self._made[hint]

    def _make(self, hint: Any) -> Codec:
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in (Union, UnionType):
            return self._union(arguments)
        if origin is tuple:
            if arguments[-1] is Ellipsis:
                return Listing(self.of(arguments[0]))
            return Row([self.of(argument) for argument in arguments])
        if origin is Mapping:
            return Table(self.of(arguments[1]))
        if hint is Any:
            return Anything()
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return Record(hint, self, tagged=hint in self._tagged)
        if isinstance(hint, type) and issubclass(hint, StrEnum):
            return Enumeration(hint)
        if hint in BARE:
            return BARE[hint]
        raise TypeError(f"{hint} has no form in JSON")

    def _union(self, members: Sequence[Any]) -> Codec:
        """In a union a float, bytes and the string beside bytes, and sentinels need a tag of their own."""
        codecs: list[Member] = []
        for member in members:
            key = (member, bytes in members)
            if key in IN_UNION:
                codecs.append(IN_UNION[key])
            elif hasattr(member, "__members__") and not issubclass(member, str):
                codecs.append(Sentinel(member))
            else:
                codec = self.of(member)
                if not isinstance(codec, Member):
                    raise TypeError(f"{member} has no shape of its own in a union")
                codecs.append(codec)
        return Choice(codecs, ", ".join(getattr(member, "__name__", str(member)) for member in members))
