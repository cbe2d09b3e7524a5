"""Reading fields of objects that a peer sent: whatever their shape, nothing here raises and nothing grows.

Lives here: access by path, cut texts, bounded lists, timestamps, and the clocks of a judge's memory.
Does not: any knowledge of an engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

from loopseal.domain.revision import Action, Resource, State, Tolerance, Verdict
from loopseal.net import clean

Object: TypeAlias = Mapping[str, Any]
"""One JSON object as a peer sent it."""
Memory: TypeAlias = dict[str, Any]
"""What a judge remembers between two looks at one object: plain JSON, kept by the caller."""

MAX_TEXT: Final = 16_384
"""Characters of one field that are ever looked at."""
MAX_MESSAGE: Final = 2_000
"""Characters of a verdict's message."""
MAX_ITEMS: Final = 5_000
"""Entries of one list that are ever looked at: Argo CD applications with thousands of resources exist."""
MAX_RESOURCES: Final = 50
"""Resources that one verdict names."""
_MAX_NAME: Final = 253
_MAX_NOTE: Final = 500


def get(value: object, *path: str) -> Any:
    """What stands at `path`, or None where the way there does not exist."""
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def mapping(value: object, *path: str) -> Object:
    """The object at `path`, or an empty one."""
    found = get(value, *path)
    return found if isinstance(found, Mapping) else {}


def text(value: object, *path: str) -> str:
    """The string at `path`, cut, or an empty one."""
    found = get(value, *path)
    return found[:MAX_TEXT] if isinstance(found, str) else ""


def flag(value: object, *path: str) -> bool:
    """Whether `true` stands at `path`; nothing else counts."""
    return get(value, *path) is True


def number(value: object, *path: str) -> float:
    """The finite number at `path`, or 0."""
    found = get(value, *path)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return 0.0
    try:
        finite = float(found)
    except OverflowError:
        return 0.0
    return finite if math.isfinite(finite) else 0.0


def items(value: object, *path: str) -> tuple[Object, ...]:
    """The objects in the list at `path`; other entries are left out."""
    return tuple(item for item in _list(value, *path) if isinstance(item, Mapping))


def texts(value: object, *path: str) -> tuple[str, ...]:
    """The strings in the list at `path`; anything else becomes an empty string, so that positions stay."""
    return tuple(item[:MAX_TEXT] if isinstance(item, str) else "" for item in _list(value, *path))


def _list(value: object, *path: str) -> Iterator[Any]:
    found = get(value, *path)
    return islice(found, MAX_ITEMS) if isinstance(found, list | tuple) else iter(())


def seconds(value: object, *path: str) -> float | None:
    """The RFC 3339 time at `path` in seconds since 1970, or None. A time without a zone is taken as UTC."""
    written = text(value, *path)
    if not written:
        return None
    try:
        at = datetime.fromisoformat(written)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def since(memory: Memory, name: str, now: float) -> float:
    """For how many seconds the condition `name` has held without a break: until `stop_others` stops it."""
    began = memory.get(name)
    if isinstance(began, bool) or not isinstance(began, int | float) or not began <= now:
        memory[name] = began = now
    return float(now - began)


class Timer(NamedTuple):
    """A clock of the memory: the reasons under which it runs (under any other it is stopped), and until when."""

    reasons: frozenset[str]
    limit: Callable[[Tolerance], float]
    """For how many seconds it runs until it means something else."""


def stop_others(memory: Memory, timers: Mapping[str, Timer], reason: str) -> None:
    """Stop every clock that does not run under `reason`."""
    for name, timer in timers.items():
        if reason not in timer.reasons:
            memory.pop(name, None)


def ripens(memory: Memory, timers: Mapping[str, Timer], tolerance: Tolerance, now: float) -> float:
    """In how many seconds a running clock will be at its limit; infinity when none is on its way there."""
    ends = (timer.limit(tolerance) - since(memory, name, now) for name, timer in timers.items() if name in memory)
    return min((left for left in ends if left > 0), default=math.inf)


def pin(memory: Memory, value: object) -> None:
    """Start anew when another object has taken this one's name: what was remembered is about the old one."""
    uid = text(value, "metadata", "uid")
    if uid and memory.get("uid", uid) != uid:
        memory.clear()
    if uid:
        memory["uid"] = uid


def resource(entry: object, status: str, message: str = "") -> Resource:
    """The object that `entry` names (`group`, `kind`, `namespace`, `name`), with every part cut."""
    return Resource(
        kind=text(entry, "kind")[:_MAX_NAME],
        name=text(entry, "name")[:_MAX_NAME],
        namespace=text(entry, "namespace")[:_MAX_NAME],
        group=text(entry, "group")[:_MAX_NAME],
        status=status[:_MAX_NAME],
        message=clean(message[:MAX_TEXT], _MAX_NOTE),
    )


def verdict(
    state: State,
    reason: str,
    message: str = "",
    *,
    observed: str = "",
    resources: tuple[Resource, ...] = (),
    action: Action = Action.NONE,
) -> Verdict:
    """A verdict whose texts are cut and free of what looks like a credential."""
    return Verdict(
        state,
        reason[:100],
        clean(message[:MAX_TEXT], MAX_MESSAGE),
        observed[:MAX_MESSAGE],
        resources[:MAX_RESOURCES],
        action,
    )
