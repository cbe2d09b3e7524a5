"""Domain values <-> JSON: the one format of ledgers, XComs, APIs and exports.

* The type hints of the dataclasses are the format; golden files pin it, and the JSON Schema comes from the same codecs.
* A value is an object with its fields. Fields at their default are left out, so that a field added later (with a
  default) changes neither old records nor old digests. A member of a union carries its class name as ``"type"``.
* Reading is strict: an unknown field, another type, a missing field or tag is an error that names the place.
* Times are RFC 3339 in UTC. File content is ``{"text": …}`` or ``{"base64": …}``. A float that stands for a scalar of
  YAML or JSON is ``{"type": "float", "text": "1.0"}``, because JSON does not tell 1.0 from 1. A sentinel such as
  ABSENT is ``{"type": "absent"}`` and so equals no value.

Standard library only at import: Airflow may read this while it parses Dags.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType, UnionType
from typing import Any, Final, TypeVar, cast, get_args, overload

from loopseal import ports
from loopseal.domain.change import Change, Event, IllegalMove, replay
from loopseal.domain.decision import Approval, Decision
from loopseal.domain.identity import Actor
from loopseal.domain.proposal import Application, Edit, Proposal, Target
from loopseal.domain.revision import Resource, Tolerance, Verdict
from loopseal.errors import Code, ConfigError
from loopseal.wire.codec import Codecs, Record
from loopseal.wire.scalars import Malformed

__all__ = [
    "FORMAT", "KINDS", "MAX_TEXT", "digest", "dump", "dump_edits", "dump_events", "dumps", "dumps_events", "load",
    "load_edits", "load_events", "loads", "loads_events", "parse_json", "schema",
]  # fmt: skip

T = TypeVar("T")

FORMAT: Final = 1
"""Number of the format of whole documents. Added fields with defaults keep it; anything else raises it."""

MAX_TEXT: Final = 64 * 1024 * 1024
"""Characters of one JSON text that are read at all."""

_UNIONS: Final[Mapping[str, Any]] = {"Edit": Edit, "Event": Event, "Decision": Decision}
_RECORDS: Final = (
    Actor, Application, Approval, Change, Proposal, Resource, Target, Tolerance, Verdict, ports.Evidence,
    ports.FileDiff, ports.Finding, ports.Landed, ports.LoggedChange, ports.Source, ports.Wait,
)  # fmt: skip
_TAGGED: Final = frozenset(member for union in _UNIONS.values() for member in get_args(union))
_CODECS: Final = Codecs(_TAGGED)

KINDS: Final[Mapping[str, Any]] = MappingProxyType({**_UNIONS, **{kind.__name__: kind for kind in _RECORDS}})
"""Everything that has a form on the wire: unions and classes by name."""


def dump(value: object) -> Any:
    """`value` as JSON data. Raises ConfigError (`proposal.invalid`) where it holds what JSON cannot keep."""
    with _told(type(value).__name__, Code.PROPOSAL_INVALID):
        return _CODECS.of(type(value)).dump(value)


@overload
def load(kind: type[T], data: Any, *, code: Code = ...) -> T: ...
@overload
def load(kind: UnionType, data: Any, *, code: Code = ...) -> Any: ...
def load(kind: Any, data: Any, *, code: Code = Code.PROPOSAL_INVALID) -> Any:
    """The value of `kind` (a class, or one of the unions in `KINDS`). Raises ConfigError with `code` and the place."""
    name = getattr(kind, "__name__", None) or next((name for name in KINDS if KINDS[name] == kind), str(kind))
    with _told(name, code):
        value = _CODECS.of(kind).load(data)
        if isinstance(value, Change):
            _replayed(value)
        return value


def _replayed(change: Change) -> None:
    try:
        same = replay(change.events) == change
    except IllegalMove as illegal:
        raise Malformed(str(illegal), "events") from None
    if not same:
        raise Malformed("is not what its events tell")


def dumps(value: object) -> str:
    """`dump` as compact JSON text."""
    return _text(dump(value))


@overload
def loads(kind: type[T], text: str | bytes, *, code: Code = ...) -> T: ...
@overload
def loads(kind: UnionType, text: str | bytes, *, code: Code = ...) -> Any: ...
def loads(kind: Any, text: str | bytes, *, code: Code = Code.PROPOSAL_INVALID) -> Any:
    """`load` from JSON text."""
    return load(kind, parse_json(text, code=code), code=code)


def dump_edits(edits: Iterable[Edit]) -> list[Any]:
    """Edits as a JSON list."""
    return [dump(edit) for edit in edits]


def load_edits(data: Any, *, code: Code = Code.PROPOSAL_INVALID) -> tuple[Edit, ...]:
    """Edits from a JSON list."""
    return cast("tuple[Edit, ...]", _load_list(Edit, data, "edits", code))


def dump_events(events: Iterable[Event]) -> dict[str, Any]:
    """The events of one change as one document: ``{"format": 1, "events": […]}``."""
    return {"format": FORMAT, "events": [dump(event) for event in events]}


def load_events(data: Any, *, code: Code = Code.LEDGER_INVALID) -> tuple[Event, ...]:
    """The events of such a document."""
    if not isinstance(data, dict) or set(data) != {"format", "events"}:
        raise _error(Malformed('must be {"format": …, "events": […]}', "events"), code)
    if data["format"] != FORMAT or isinstance(data["format"], bool):
        raise ConfigError(
            code, f"format {data['format']!r:.20} is not {FORMAT}", where="format",
            hint="It was written by another version of loopseal: use that one, or a newer one.",
        )  # fmt: skip
    return cast("tuple[Event, ...]", _load_list(Event, data["events"], "events", code))


def dumps_events(events: Iterable[Event]) -> str:
    """`dump_events` as compact JSON text."""
    return _text(dump_events(events))


def loads_events(text: str | bytes, *, code: Code = Code.LEDGER_INVALID) -> tuple[Event, ...]:
    """`load_events` from JSON text."""
    return load_events(parse_json(text, code=code), code=code)


def digest(proposal: Proposal) -> str:
    """``sha256:<hex>`` of what is asked: SHA-256 over the RFC 8785 canonical JSON of `target`, `base` and `edits`.

    The id, reason, actor and labels are not content: the same content asked for again has the same digest. Text and
    bytes are different content even where they spell the same file, and so are 1, 1.0 and "1".
    """
    import rfc8785  # noqa: PLC0415 - keeps this module free of third parties at import

    with _told("Proposal", Code.PROPOSAL_INVALID):
        content = cast("Record", _CODECS.of(Proposal)).part(proposal, ("base", "edits", "target"))
    return f"sha256:{hashlib.sha256(rfc8785.dumps(content)).hexdigest()}"


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one of `KINDS`."""
    definitions: dict[str, Any] = {}
    top = _CODECS.of(KINDS[name]).schema(definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        **top,
        "$defs": dict(sorted(definitions.items())),
    }


def parse_json(text: str | bytes, *, code: Code) -> Any:
    """JSON data of a text, strictly: no duplicate field, no NaN, no second value behind it."""
    with _told("JSON", code):
        try:
            return json.loads(_whole(text), object_pairs_hook=_unique, parse_constant=_no_constant)
        except Malformed:
            raise
        except json.JSONDecodeError as error:
            raise Malformed(f"is no JSON ({error.msg})", f"[line {error.lineno} column {error.colno}]") from None
        except ValueError as error:  # bytes that are no UTF-8, a number of thousands of digits
            raise Malformed(f"is no JSON ({type(error).__name__})") from None


def _whole(text: str | bytes) -> str | bytes:
    if len(text) > MAX_TEXT:
        raise Malformed(f"has more than {MAX_TEXT} characters")
    return text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise Malformed("has the same field twice in one object")
    return out


def _no_constant(name: str) -> Any:
    raise Malformed(f"has {name}, which is no JSON")


def _text(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _load_list(kind: UnionType, data: Any, name: str, code: Code) -> tuple[Any, ...]:
    with _told(name, code):
        return cast("tuple[Any, ...]", _CODECS.of(tuple[kind, ...]).load(data))  # type: ignore[valid-type]  # a union at run time


@contextmanager
def _told(name: str, code: Code) -> Iterator[None]:
    """Turn what a codec raises into the error for people, with the place inside `name`."""
    try:
        yield
    except Malformed as malformed:
        raise _error(malformed.within(name), code) from None
    except RecursionError:
        raise _error(Malformed("is nested too deep", name), code) from None


def _error(malformed: Malformed, code: Code) -> ConfigError:
    hint = (
        "Correct what is asked for; the reference lists every field and type."
        if code is Code.PROPOSAL_INVALID
        else "It was changed by hand, or written by another version of loopseal."
    )
    return ConfigError(code, malformed.problem, where=malformed.place, hint=hint)
