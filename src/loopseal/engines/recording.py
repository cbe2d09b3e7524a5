"""Recordings: what an engine answered, event by event, in one JSON file that diffs well.

    { "scenario", "description", "started": RFC 3339 time of t = 0, "system": "argocd" | "flux", "versions", "targets",
      "wants": what a waiter must answer by when, "graph": {commit: [parents]}, …facts of the scenario,
      "events": [ {"t": seconds, "channel", "body"}, … ] }            one event per line, in order of arrival

Channels: `argo-rest-get` (path, status, body), `argo-sse` (one message of the stream), `k8s-watch-<kind>` (type,
object), `git` (a push), `action` (what was done to the peer), `http` (one call), and of our own recorder `wait` (what
is waited for), `ancestry` (observed, wanted, relation) and `end`. Unknown channels and keys are kept and ignored.

Lives here: the form, its reader and its writer. Does not: recording (`recorder`) and judging (`replay`). A file that
broke off, because its recorder was killed, is read up to its last whole line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from loopseal.engines.fields import get, mapping, seconds, text
from loopseal.errors import Code, ConfigError

MAX_BYTES: Final = 256 * 1024 * 1024
"""Bytes of one file that are ever read."""
MAX_EVENTS: Final = 1_000_000
_LONGEST: Final = 366 * 86400.0
SYSTEMS: Final = ("argocd", "flux")
_OWN: Final = frozenset(
    {"scenario", "description", "started", "system", "versions", "targets", "wants", "graph", "events"}
)
_STATES: Final = frozenset({"", "SUCCEEDED", "FAILED", "BLOCKED", "SUPERSEDED", "REGRESSED", "PENDING"})
_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_EVENTS_KEY: Final = '"events": ['


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that arrived, `at` seconds after the start."""

    at: float
    channel: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Want:
    """What a waiter for `sha` that starts at `begins` must answer by `until`; an empty state or reason is any.

    `on` is `source` for a wait on Flux's source alone, or the kind of the object where it is not the usual one; `name`
    picks one of several objects of that kind.
    """

    sha: str
    begins: float
    until: float
    state: str = ""
    reason: str = ""
    policy: Mapping[str, Any] = field(default_factory=dict)
    on: str = ""
    name: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording. `started` is in seconds since 1970; `broken_off` says that its end is missing."""

    system: str
    started: float
    events: tuple[Event, ...]
    scenario: str = ""
    description: str = ""
    targets: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    wants: tuple[Want, ...] = ()
    graph: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    broken_off: bool = False

    def bodies(self, channel: str) -> Iterator[tuple[float, Mapping[str, Any]]]:
        """Time and body of every event of one channel."""
        return ((event.at, event.body) for event in self.events if event.channel == channel)


def read(path: Path) -> Recording:
    """The recording in this file. Raises ConfigError (`recording.invalid`, `config.unreadable`) with the place."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            Code.CONFIG_UNREADABLE, f"cannot read it: {error.strerror}", where=str(path), hint="Is it the right file?"
        ) from error
    if len(data) > MAX_BYTES:
        raise _invalid(str(path), f"larger than {MAX_BYTES} bytes")
    try:
        return loads(data.decode(), where=str(path))
    except UnicodeDecodeError as error:
        raise _invalid(str(path), "not UTF-8") from error


def loads(written: str, *, where: str = "recording") -> Recording:
    """The recording that this text is. Raises ConfigError (`recording.invalid`)."""
    try:
        return parse(json.loads(written), where=where)
    except (json.JSONDecodeError, RecursionError) as error:
        begun = _begun(written)
        if begun is None:
            line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
            raise _invalid(f"{where}{line}", "not JSON") from error
        return parse(begun, where=where, broken_off=True)


def _begun(written: str) -> Any:
    """The whole events of a file that broke off, or None when it is not one."""
    head, found, rest = written.partition(_EVENTS_KEY)
    if not found:
        return None
    try:
        document = json.loads(f"{head}{_EVENTS_KEY}]}}")
    except (json.JSONDecodeError, RecursionError):
        return None
    for line in rest.splitlines()[1:]:
        try:
            document["events"].append(json.loads(line.rstrip().removesuffix(",")))
        except (json.JSONDecodeError, RecursionError):
            break
    return document


def parse(document: Any, *, where: str = "recording", broken_off: bool = False) -> Recording:
    """The recording that this JSON document is. Raises ConfigError (`recording.invalid`) with the place."""
    if not isinstance(document, dict):
        raise _invalid(where, "not an object")
    if document.get("system") not in SYSTEMS:
        raise _invalid(f"{where}: system", f"must be one of {', '.join(SYSTEMS)}")
    started = seconds(document, "started")
    if started is None:
        raise _invalid(f"{where}: started", "must be an RFC 3339 time")
    return Recording(
        system=document["system"],
        started=started,
        events=tuple(_events(document.get("events"), where)),
        scenario=text(document, "scenario"),
        description=text(document, "description"),
        targets=dict(_targets(document.get("targets", {}), where)),
        wants=tuple(_wants(document.get("wants", []), where)),
        graph=dict(_graph(document.get("graph", {}), where)),
        versions={key: str(value) for key, value in mapping(document, "versions").items()},
        facts={key: value for key, value in document.items() if key not in _OWN},
        broken_off=broken_off,
    )


def _events(value: Any, where: str) -> Iterator[Event]:
    if not isinstance(value, list) or len(value) > MAX_EVENTS:
        raise _invalid(f"{where}: events", f"must be a list of at most {MAX_EVENTS} events")
    last = 0.0
    for index, one in enumerate(value):
        place = f"{where}: events[{index}]"
        at = _time(get(one, "t"), f"{place}.t")
        if at < last:
            raise _invalid(f"{place}.t", f"{at} comes after {last}: events stand in order of arrival")
        if not text(one, "channel") or not isinstance(get(one, "body"), dict):
            raise _invalid(place, "needs `channel` (text) and `body` (object)")
        last = at
        yield Event(at, one["channel"], one["body"])


def _wants(value: Any, where: str) -> Iterator[Want]:
    if not isinstance(value, list):
        raise _invalid(f"{where}: wants", "must be a list")
    for index, one in enumerate(value):
        place = f"{where}: wants[{index}]"
        if not _COMMIT.fullmatch(text(one, "sha")):
            raise _invalid(f"{place}.sha", "must be a full commit id")
        if text(one, "state") not in _STATES:
            raise _invalid(f"{place}.state", f"must be one of {', '.join(sorted(_STATES - {''}))}")
        begins, until = _time(get(one, "from"), f"{place}.from"), _time(get(one, "until"), f"{place}.until")
        if until < begins:
            raise _invalid(f"{place}.until", "comes before `from`")
        yield Want(
            sha=text(one, "sha"),
            begins=begins,
            until=until,
            state=text(one, "state"),
            reason=text(one, "reason"),
            policy=mapping(one, "policy"),
            on=text(one, "on"),
            name=text(one, "name"),
            note=text(one, "note"),
        )


def _targets(value: Any, where: str) -> Iterator[tuple[str, tuple[str, str]]]:
    for kind, one in _entries(value, f"{where}: targets"):
        if not isinstance(one, list) or [type(part) for part in one] != [str, str]:
            raise _invalid(f"{where}: targets.{kind}", "must be [namespace, name]")
        yield kind, (one[0], one[1])


def _graph(value: Any, where: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for commit, parents in _entries(value, f"{where}: graph"):
        if not isinstance(parents, list) or not all(isinstance(parent, str) for parent in parents):
            raise _invalid(f"{where}: graph.{commit}", "must be a list of commit ids")
        yield commit, tuple(parents)


def _entries(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise _invalid(where, "must be an object")
    yield from value.items()


def _time(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LONGEST:
        raise _invalid(where, "must be seconds since the start")
    return float(value)


def _invalid(where: str, message: str) -> ConfigError:
    hint = "A recording is made by `loopseal wait --record FILE`; its form stands in tests/recorded/README.md."
    return ConfigError(Code.RECORDING_INVALID, f"not a recording: {message}", where=where, hint=hint)


def dumps(recording: Recording) -> str:
    """The text of a recording: the head indented, then one event per line."""
    head: dict[str, Any] = {
        "scenario": recording.scenario,
        "description": recording.description,
        "started": datetime.fromtimestamp(recording.started, UTC).isoformat(timespec="milliseconds"),
        "system": recording.system,
        "wants": [_want_data(want) for want in recording.wants],
        "targets": {kind: list(target) for kind, target in recording.targets.items()},
        "versions": dict(recording.versions),
        "graph": {commit: list(parents) for commit, parents in recording.graph.items()},
        **recording.facts,
    }
    return begin(head) + ",\n".join(map(line, recording.events)) + END


END: Final = "\n ]\n}\n"
"""What closes the text that `begin` opened."""


def begin(head: Mapping[str, Any]) -> str:
    """The text up to the first event."""
    return json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}") + f",\n {_EVENTS_KEY}\n"


def line(event: Event) -> str:
    """One event on one line."""
    data = {"t": round(event.at, 3), "channel": event.channel, "body": event.body}
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _want_data(want: Want) -> dict[str, Any]:
    data = {"sha": want.sha, "from": want.begins, "until": want.until, "state": want.state, "reason": want.reason}
    more = {"policy": dict(want.policy), "on": want.on, "name": want.name, "note": want.note}
    return {**data, **{key: value for key, value in more.items() if value}}
