"""Sync windows of an AppProject: whether one is active, and whether a sync may start. Pure.

Schedules are cron with five fields of `*`, numbers, lists, ranges and steps, in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from loopseal.testing.clock import seconds


def assigned(windows: Iterable[Mapping[str, Any]], app: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The windows that name this application, by name or by the namespace it deploys to."""
    name, namespace = app["metadata"]["name"], app["spec"]["destination"].get("namespace", "")
    return [
        window
        for window in windows
        if any(fnmatchcase(name, pattern) for pattern in window.get("applications") or ())
        or any(fnmatchcase(namespace, pattern) for pattern in window.get("namespaces") or ())
    ]


def active(windows: Iterable[Mapping[str, Any]], now: datetime) -> list[Mapping[str, Any]]:
    """Those that are open at `now`."""
    return [window for window in windows if _open(window, now)]


def may_sync(windows: Sequence[Mapping[str, Any]], now: datetime, *, manual: bool) -> bool:
    """Whether a sync may start: no deny is active, and with allow windows at least one of them is."""
    open_now = active(windows, now)
    denied = [window for window in open_now if window["kind"] == "deny"]
    if denied:
        return manual and all(window.get("manualSync") for window in denied)
    allowing = [window for window in windows if window["kind"] == "allow"]
    if not allowing or any(window["kind"] == "allow" for window in open_now):
        return True
    return manual and all(window.get("manualSync") for window in allowing)


def _open(window: Mapping[str, Any], now: datetime) -> bool:
    minute = now.replace(second=0, microsecond=0)
    length = int(seconds(window["duration"]) // 60)
    return any(_starts(window["schedule"], minute - timedelta(minutes=back)) for back in range(max(length, 1)))


def _starts(schedule: str, at: datetime) -> bool:
    minute, hour, day, month, weekday = schedule.split()
    parts = ((minute, at.minute), (hour, at.hour), (day, at.day), (month, at.month), (weekday, at.isoweekday() % 7))
    return all(_fits(field, value) for field, value in parts)


def _fits(field: str, value: int) -> bool:
    for term in field.split(","):
        span, _, step = term.partition("/")
        low, _, high = span.partition("-")
        if span == "*":
            first, last = 0, 59
        else:
            first, last = int(low), int(high or (low if not step else 59))
        if first <= value <= last and (value - first) % int(step or 1) == 0:
            return True
    return False
