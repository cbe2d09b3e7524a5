"""What became of a change, as it travels from where it was driven to the task: events, error, evidence; no secrets.

The same value comes out of a worker (`deferrable=False`) and out of a trigger, where it is the payload of the event.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from loopseal import wire
from loopseal.domain.change import Change, Degraded, Denied, Expired, Phase, Refusal, Superseded, replay
from loopseal.errors import LoopsealError, Unreachable
from loopseal.ports import Evidence

MAX_PAYLOAD: Final = 512 * 1024
"""Characters of JSON. Airflow keeps the payload of an event in its database."""

MAX_EVIDENCE: Final = 64 * 1024
"""Characters of evidence that travel along."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error on its way to the task that has to raise it. `again` says that another try may help."""

    code: str
    text: str
    again: bool

    @classmethod
    def of(cls, error: LoopsealError) -> Failure:
        """The failure that this error is."""
        return cls(str(error.code), error.diagnostics(), isinstance(error, Unreachable))

    @classmethod
    def broken(cls, error: Exception) -> Failure:
        """For what nobody expected: a trigger must not raise. The text is not repeated, it may hold anything."""
        if isinstance(error, LoopsealError):
            return cls.of(error)
        return cls("unexpected", f"unexpected {type(error).__name__}; the trigger's log has the rest", again=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`events` are wire documents by change id; `change` names the one asked for, `repository` is where it went."""

    change: str
    events: Mapping[str, Any]
    failure: Failure | None = None
    evidence: Evidence = field(default_factory=Evidence)
    notes: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    repository: str = ""

    def dump(self) -> dict[str, Any]:
        """As JSON data of bounded size; what a revert wrote is left out first, because Git has it."""
        out = self._data(self.events, self.evidence)
        if _size(out) > MAX_PAYLOAD:
            out = self._data({self.change: self.events[self.change]}, Evidence())
        return out

    def _data(self, events: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
        failure = self.failure
        return {
            "change": self.change,
            "events": dict(events),
            "failure": None if failure is None else [failure.code, failure.text, failure.again],
            "evidence": wire.dump(_bounded(evidence)),
            "notes": list(self.notes),
            "links": [list(link) for link in self.links],
            "repository": self.repository,
        }

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Outcome:
        """The outcome that `dump` wrote."""
        return cls(
            data["change"],
            data["events"],
            None if data["failure"] is None else Failure(*data["failure"]),
            wire.load(Evidence, data["evidence"]),
            tuple(data["notes"]),
            tuple((name, url) for name, url in data["links"]),
            data["repository"],
        )

    def of(self, change: str) -> Change | None:
        """A change as its events tell it."""
        document = self.events.get(change)
        return replay(wire.load_events(document)) if document else None

    @property
    def reverting(self) -> Change | None:
        """The change that took the first one back, where there is one."""
        return next((self.of(change) for change in self.events if change != self.change), None)


def references(outcome: Outcome) -> dict[str, Any]:
    """What a task returns: where to look, and what was said. No content of files, no secrets."""
    change, back = outcome.of(outcome.change), outcome.reverting
    out: dict[str, Any] = {"change": outcome.change}
    if change is not None:
        out |= {
            "target": change.proposal.target.name,
            "revision": change.revision,
            "phase": str(change.phase),
            "reason": reason(change)[0],
        }
    if back is not None:
        out["revert"] = {"change": back.id, "revision": back.revision, "phase": str(back.phase)}
    return out | {"links": dict(outcome.links)}


def reason(change: Change) -> tuple[str, str]:
    """The stable reason why a change stands where it does, and the words for people."""
    match change.events[-1]:
        case Degraded(reason=why, message=text) | Superseded(reason=why, message=text):
            return why, text
        case Expired(reason=why, message=text):
            return why, f"not healthy in time: {text}"
        case Refusal(code=why, message=text):
            return why, text
        case Denied(reason=text):
            return "DENIED", text
        case _:
            return str(change.phase).upper(), ""


def story(outcome: Outcome) -> str:
    """One failed change for people: what, why, what was done about it."""
    change, back = outcome.of(outcome.change), outcome.reverting
    lines = []
    if change is not None:
        why, text = reason(change)
        landed = f" (commit {change.revision})" if change.revision else ""
        lines.append(f"change {change.id}{landed} is {change.phase}: {why}{': ' + text if text else ''}")
        last = change.events[-1]
        if isinstance(last, Degraded):
            lines += [f"  {resource}" for resource in last.resources[:10]]
    if outcome.failure is not None:
        lines.append(outcome.failure.text)
    lines += outcome.notes
    if back is not None:
        landed = f" by {back.revision}" if back.revision else ""
        state = "and that is healthy" if back.phase is Phase.HEALTHY else f"and that is {back.phase}"
        lines.append(f"reverted{landed}, {state}" if back.revision else f"the revert {back.id} is {back.phase}")
    return "\n".join(lines)


def _bounded(evidence: Evidence) -> Evidence:
    left, sections = MAX_EVIDENCE, []
    for title, text in evidence.sections:
        if left <= 0:
            break
        sections.append((title[:200], text[:left]))
        left -= len(text)
    return Evidence(tuple(sections), evidence.links[:20])


def _size(data: Any) -> int:
    return len(json.dumps(data))
