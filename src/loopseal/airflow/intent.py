"""What a task means to do, kept in its state store before anything is done, and found there by the next try.

A retry goes on with the change of the try before it; a clear begins another one. Airflow before 3.3 has no state store:
then the change id alone, which is the same on every try, finds what has landed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from loopseal import wire
from loopseal.airflow.identity import generation as generation_of
from loopseal.domain.change import Change, Phase, replay
from loopseal.errors import Code, ConfigError

if TYPE_CHECKING:
    from loopseal.airflow.compat import StateStore

KEY: Final = "loopseal"
"""The key in the state store."""

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Intent:
    """One change of one task. `events` are wire documents by change id: this change's, and its revert's.

    `previous` are the changes of earlier generations of the same task instance; `links` are (name, url).
    """

    change: str
    target: str
    generation: str
    deadline: datetime
    events: Mapping[str, Any]
    previous: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()

    def dump(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "format": FORMAT,
            "change": self.change,
            "target": self.target,
            "generation": self.generation,
            "deadline": self.deadline.isoformat(),
            "events": dict(self.events),
            "previous": list(self.previous),
            "links": [list(link) for link in self.links],
        }


def recall(store: StateStore | None) -> Intent | None:
    """What an earlier try has kept, or None. Raises ConfigError (`ledger.invalid`) when it cannot be read."""
    data = store.get(KEY) if store is not None else None
    if data is None:
        return None
    try:
        return _load(data)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            Code.LEDGER_INVALID,
            f"what an earlier try kept under {KEY!r} cannot be read",
            where="task state store",
            hint="It was changed by hand, or written by another version of loopseal. Clear the task to start anew.",
        ) from error


def _load(data: Mapping[str, Any]) -> Intent:
    if data["format"] != FORMAT:
        raise ValueError(data["format"])
    return Intent(
        data["change"],
        data["target"],
        data["generation"],
        datetime.fromisoformat(data["deadline"]),
        data["events"],
        tuple(data["previous"]),
        tuple((name, url) for name, url in data["links"]),
    )


def keep(store: StateStore | None, intent: Intent) -> None:
    """Write it; blocks until Airflow has it."""
    if store is not None:
        store.set(KEY, intent.dump())


@dataclass(frozen=True, slots=True)
class Plan:
    """What one try is about. `standing` is the change that an earlier try of this generation recorded, with its events.

    `deadline` stands where that change has landed already: then its time runs on.
    """

    change: str
    generation: str
    standing: Change | None = None
    events: Mapping[str, Any] = field(default_factory=dict)
    deadline: datetime | None = None
    previous: tuple[str, ...] = ()


def plan(ti: Any, before: Intent | None, name: Callable[[str], str]) -> Plan:
    """Go on with the change of the try before, or begin another (`name` gives the id for a generation).

    Another generation begins when the task was cleared, and when the change was withdrawn: that one is closed for ever.
    """
    generation = generation_of(ti)
    if before is None:
        return Plan(name(generation), generation)
    earlier = tuple(dict.fromkeys((*before.previous, before.change)))
    if before.generation.partition(".")[0] != generation:
        return Plan(name(generation), generation, previous=earlier)
    recorded = before.events.get(before.change)
    standing = replay(wire.load_events(recorded)) if recorded else None
    if standing is not None and standing.phase is Phase.WITHDRAWN:
        generation = f"{generation}.{len(earlier)}"
        return Plan(name(generation), generation, previous=earlier)
    deadline = before.deadline if standing is not None and standing.revision else None
    return Plan(before.change, before.generation, standing, before.events, deadline, before.previous)


def with_events(intent: Intent, events: Mapping[str, Any], links: tuple[tuple[str, str], ...] = ()) -> Intent:
    """The intent after more has happened."""
    return replace(intent, events={**intent.events, **events}, links=links or intent.links)
