"""Plain data -> the tree, by the type hints of its dataclasses.

Each value is checked for its type here and for its meaning in `loopseal.settings.rules`. Messages name the field and
the type that is there, never the value: it may be a secret that somebody put in the wrong place.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from loopseal.errors import Code
from loopseal.settings.document import Place
from loopseal.settings.rules import RULES

SCHEMES: Final = ("env", "file", "connection", "command")
"""Where a secret may be."""

DURATION: Final = r"(?=[0-9])(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,9}(?:\.[0-9]{1,6})?)s)?"
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"

_UNITS: Final = (86400.0, 3600.0, 60.0, 1.0)
_SECRET_NAMES: Final = re.compile(r"(?i)passw|token|secret|private|api_?key")


def near(name: str, known: Iterable[str]) -> str:
    """The hint for a name that is not known: the nearest one, and all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    guess = f"Did you mean {close[0]!r}? " if close else ""
    return guess + (f"There are: {', '.join(names[:40])}." if names else "There are none.")


def file_name(field: dataclasses.Field[Any]) -> str:
    """The field's name in the file; empty when it is not read from there."""
    return str(field.metadata.get("file", field.name))


def value(hint: Any, data: Any, place: Place) -> Any:
    """`data` as `hint` asks. Raises ConfigError with the place."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return value(next(member for member in arguments if member is not NoneType), data, place)
    if origin is Annotated:
        return _marked(arguments[1], data, place)
    if origin is tuple:
        return _list(arguments[0], data, place)
    if origin is Mapping:
        return _named(arguments[1], data, place)
    if dataclasses.is_dataclass(hint):
        return record(hint, data, place)
    if hint is float:
        return _seconds(data, place)
    return _plain(hint, data, place)


def record(kind: Any, data: Any, place: Place) -> Any:
    """One dataclass of the tree from a mapping of its fields."""
    if not isinstance(data, dict):
        raise place.error(f"must be a mapping of fields, {_but(data)}", "Indent its fields beneath it.")
    fields = {file_name(one): one for one in dataclasses.fields(kind) if file_name(one)}
    for name in data:
        if name not in fields:
            raise place.at(str(name)).error("there is no such field", _unknown(str(name), fields))
    hints = get_type_hints(kind, include_extras=True)
    values = {}
    for name, field in fields.items():
        if name in data:
            values[field.name] = value(hints[field.name], data[name], place.at(name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise place.at(name).error("is missing", f"Add `{name}: …`.")
    made = kind(**values)
    for problem in RULES[kind](made):
        raise place.at(*problem.path).error(problem.message, problem.hint, code=problem.code)
    return made


def _unknown(name: str, fields: Iterable[str]) -> str:
    if _SECRET_NAMES.search(name):
        return "Secrets never stand in this file: use `credential: env:NAME` (or file:, connection:, command:)."
    return near(name, fields)


def duration(text: str) -> float | None:
    """Seconds of a text such as `90s`, `20m` or `1h30m`; None when it is no duration."""
    match = re.fullmatch(DURATION, text, re.ASCII)
    if not match:
        return None
    return sum(float(part) * unit for part, unit in zip(match.groups(default="0"), _UNITS, strict=True))


def _seconds(data: Any, place: Place) -> float:
    if isinstance(data, str) and (told := duration(data)) is not None:
        return told
    return _number(data, place, "a number of seconds, or a duration", "For instance `90s`, `20m`, `1h30m`.")


def _number(data: Any, place: Place, what: str, hint: str) -> float:
    if isinstance(data, bool) or not isinstance(data, int | float) or not math.isfinite(data):
        raise place.error(f"must be {what}, {_but(data)}", hint)
    if data < 0:
        raise place.error("must not be negative", hint)
    return float(data)


def _marked(mark: str, data: Any, place: Place) -> Any:
    if mark == "per minute":
        return _number(data, place, "a number per minute", "0 means no budget.")
    text = _plain(str, data, place)
    if mark == "kubeconfig" and text == "in-cluster":
        return text
    scheme, colon, rest = text.partition(":")
    if not colon or scheme not in SCHEMES or not rest.strip():
        raise place.error(
            "must say where the secret is, not be the secret" if text else "is empty",
            "Use `env:NAME`, `file:/path`, `connection:id` or `command:program args`.",
            code=Code.CONFIG_SECRET,
        )
    if scheme == "file" and not rest.startswith("/"):
        raise place.error("`file:` needs an absolute path", "For instance `file:/etc/loopseal/token`.")
    return text


def _list(item: Any, data: Any, place: Place) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise place.error(f"must be a list, {_but(data)}", "Write `[a, b]`, or one `- item` per line.")
    return tuple(value(item, one, place.at(index)) for index, one in enumerate(data))


def _named(item: Any, data: Any, place: Place) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise place.error(f"must be a mapping of names, {_but(data)}", "Write `name: …` beneath it.")
    for name in data:
        if not re.fullmatch(NAME, str(name), re.ASCII):
            raise place.at(str(name)).error("is no name", "Names are letters, digits, `.`, `_` and `-`, 100 at most.")
    return MappingProxyType({name: value(item, one, place.at(name)) for name, one in data.items()})


def _plain(kind: type, data: Any, place: Place) -> Any:
    if type(data) is kind:
        if isinstance(data, str) and not all(char.isprintable() for char in data):
            raise place.error(
                "has characters that cannot be printed", "Keep it on one line, without control characters."
            )
        return data
    wanted = {str: "a string", bool: "true or false", int: "a whole number"}[kind]
    hint = "Put it in quotes." if kind is str and isinstance(data, int | float) else ""
    raise place.error(f"must be {wanted}, {_but(data)}", hint)


def _but(data: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "a string", bool: "true or false", NoneType: "empty"}
    return f"but is {names.get(type(data), 'a number')}"
