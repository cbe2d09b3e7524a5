"""A recording, judged anew: which verdict at which moment, why, and is it the one that was to be reached?

Pure: objects are fed as they arrived, with a tick each second in between, to the very judges that a wait uses, from
`Want.begins` to `Want.until`; what is expected is the verdict at the end. A wait ends earlier, at its first final
verdict (`Outcome.ended`); the timeline goes on. Recordings of Argo CD are judged twice, from the Kubernetes watch and
from stream and polls, where they hold both. Does not live here: reading files (`recording`), moments (`scene`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from loopseal.domain.revision import State, Tolerance, Verdict
from loopseal.engines import scene
from loopseal.engines.fields import Memory, mapping, text
from loopseal.engines.recording import Recording, Want
from loopseal.engines.scene import Moment, moments
from loopseal.errors import Code, ConfigError

POLICY: Final = Tolerance(settle=0.5, error_grace=6, degraded_grace=4, drift_grace=4, wedge=10, failed_passes=2)
"""The tolerance under which the recordings in `tests/recorded` have their `wants`: nobody waits minutes in a test."""
_ROUNDING: Final = 0.01
"""Recorded times are cut to milliseconds: a wait that just settled must not look as if it had not."""
_OLD_NAMES: Final = {
    "retry_fail_after": "failed_passes",
    "sync_fail_after": "failed_syncs",
    "old_op_s": "old_operation",
    "settle_s": "settle",
    "error_grace_s": "error_grace",
    "degraded_grace_s": "degraded_grace",
    "drift_grace_s": "drift_grace",
    "wedge_s": "wedge",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One wait, replayed. `timeline` holds (seconds, verdict) of every change."""

    expected: Want
    transport: str
    target: str
    timeline: tuple[tuple[float, Verdict], ...]

    @property
    def reached(self) -> Verdict | None:
        """The verdict at the end."""
        return self.timeline[-1][1] if self.timeline else None

    @property
    def ended(self) -> tuple[float, Verdict] | None:
        """When and with what a wait would have ended, or None when it would still be waiting."""
        return next(((at, said) for at, said in self.timeline if said.state.final), None)

    @property
    def ok(self) -> bool:
        """Whether it is what was to be reached; a wait without an expectation is always right."""
        if not self.expected.state:
            return True
        reached = self.reached
        return (
            reached is not None
            and reached.state.value == self.expected.state
            and self.expected.reason in {"", reached.reason}
        )


@dataclass(frozen=True, slots=True)
class Report:
    """All waits of one recording."""

    scenario: str
    outcomes: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        """Whether every expectation is met."""
        return all(one.ok for one in self.outcomes)

    def as_data(self) -> dict[str, Any]:
        """The report as plain JSON data."""
        return {
            "scenario": self.scenario,
            "ok": self.ok,
            "waits": [
                {
                    "sha": one.expected.sha,
                    "transport": one.transport,
                    "target": one.target,
                    "expected": {"state": one.expected.state, "reason": one.expected.reason},
                    "ok": one.ok,
                    "timeline": [
                        {"t": round(at, 3), "state": said.state.value, "reason": said.reason, "message": said.message}
                        for at, said in one.timeline
                    ],
                }
                for one in self.outcomes
            ],
        }


def replay(recording: Recording) -> Report:
    """Judge every wait of `recording`. Raises ConfigError (`recording.invalid`) when it tells of none at all."""
    wants = recording.wants or tuple(_told(recording))
    if not wants:
        raise ConfigError(
            Code.RECORDING_INVALID,
            "it does not tell which commit was waited for",
            where=recording.scenario,
            hint="Add `wants`: [{sha, from, until}] to the file, or record with `loopseal wait --record`.",
        )
    return Report(recording.scenario, tuple(one for want in wants for one in _outcomes(recording, want)))


def _told(recording: Recording) -> Iterator[Want]:
    """The waits that the recorder noted, or else one for each push but the first."""
    end = (recording.events[-1].at if recording.events else 0.0) + _ROUNDING
    noted = [_noted(recording, at, end, body) for at, body in recording.bodies("wait")]
    waits = noted or [Want(text(body, "sha"), at, end) for at, body in recording.bodies("git")][1:]
    yield from waits
    if recording.system == "flux":
        yield from (replace(one, on="source", name=scene.source_name(recording, one.name)) for one in waits)


def _noted(recording: Recording, at: float, end: float, body: Mapping[str, Any]) -> Want:
    kind = text(body, "application", "kind").lower()
    return Want(
        text(body, "sha"),
        at,
        end,
        policy=mapping(body, "tolerance"),
        on=kind if recording.system == "flux" and kind == "helmrelease" else "",
        name=text(body, "application", "name"),
    )


def _outcomes(recording: Recording, want: Want) -> Iterator[Outcome]:
    for transport in scene.transports(recording, want):
        yield Outcome(want, transport, scene.target(recording, want), tuple(timeline(recording, want, transport)))


def timeline(recording: Recording, want: Want, transport: str) -> Iterator[tuple[float, Verdict]]:
    """Every change of the verdict from `begins` to `until`."""
    last: Verdict | None = None
    for at, said in verdicts(recording, want, transport):
        if not said.same_as(last):
            yield at, said
        last = said


def verdicts(recording: Recording, want: Want, transport: str) -> Iterator[tuple[float, Verdict]]:
    """The verdict at every event and at every tick, from `begins` to `until`, whatever was said before."""
    judged = scene.judge_for(recording, want)
    memory: Memory = {}
    policy = tolerance(recording, want)
    for moment in moments(recording, want, transport):
        yield moment.at, _absent(moment) or judged(moment, recording.started + moment.at, memory, policy)


def _absent(moment: Moment) -> Verdict | None:
    if moment.obj is not None:
        return None
    if moment.seen:
        return Verdict(State.FAILED, "APP_MISSING", "it is gone")
    return Verdict(State.PENDING, "NOT_CREATED", "it does not exist yet")


def tolerance(recording: Recording, want: Want) -> Tolerance:
    """The want's own policy on top of the recordings'; of a wait that our recorder noted, its own alone."""
    known = {one.name for one in fields(Tolerance)} - {"nudge"}
    base = POLICY if recording.wants else Tolerance()
    given = {_OLD_NAMES.get(name, name): value for name, value in want.policy.items()}
    usable = {name: value for name, value in given.items() if name in known and isinstance(value, bool | int | float)}
    return Tolerance(**{**{name: getattr(base, name) for name in known}, **usable})
