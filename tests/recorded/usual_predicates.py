"""The predicates that people use, beside ours, over the recordings: each asked right after the push.

`python -m tests.recorded.usual_predicates > docs/reference/predicates.md` writes the page that a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from loopseal.domain.revision import State
from loopseal.engines.fields import get, seconds, text
from loopseal.engines.flux_object import condition, generation
from loopseal.engines.recording import Recording, Want, read
from loopseal.engines.replay import verdicts
from loopseal.engines.scene import KUBERNETES, moments
from tests.recorded.live_state import LiveState

HERE = Path(__file__).parent
UNCHECKED = "no-wait"
"""Flux checks no health in this recording, and says Ready: documented, and refused or read with `strict_health`."""


def recordings(system: str) -> list[Recording]:
    return [read(path) for path in sorted((HERE / system).glob("*.json"))]


def argocd_app_wait(app: Mapping[str, Any]) -> bool:
    """`argocd app wait` without flags: sync, health, operation (v3.2, `cmd/argocd/commands/app.go`)."""
    operation = get(app, "status", "operationState")
    finished, reconciled = seconds(operation, "finishedAt"), seconds(app, "status", "reconciledAt")
    in_progress = get(app, "operation") is not None
    if operation is not None and not in_progress:
        stale = finished is not None and (reconciled is None or reconciled < finished)
        dry = get(operation, "operation", "sync", "dryRun") is True
        in_progress = finished is None or (stale and not dry)
    synced = text(app, "status", "sync", "status") == "Synced"
    return synced and text(app, "status", "health", "status") == "Healthy" and not in_progress


def flux_ready(obj: Mapping[str, Any]) -> bool:
    """Ready=True about the current generation: `kubectl wait --for=condition=Ready`, and what most scripts do."""
    ready = condition(obj, "Ready")
    return ready.true and ready.generation == generation(obj)


@dataclass(frozen=True)
class Row:
    scenario: str
    asked: float
    first: float | None
    early: bool
    ours: float | None
    ours_early: bool


def waits(recording: Recording) -> Iterator[Want]:
    """Each commit once per object, from its push on, for as long as any want of it goes."""
    pushed = {body["sha"]: at for at, body in recording.bodies("git")}
    found: dict[tuple[str, str], Want] = {}
    for want in recording.wants:
        if want.on or want.policy.get("exact"):
            continue
        begins = max(want.begins, pushed.get(want.sha, want.begins))
        known = found.get((want.sha, want.name))
        policy = {**(known.policy if known else {}), **want.policy}
        begins = min(begins, known.begins) if known else begins
        found[want.sha, want.name] = replace(
            want, begins=begins, until=max(want.until, known.until if known else 0.0), policy=policy
        )
    yield from found.values()


def rows(system: str) -> Iterator[Row]:
    usual = argocd_app_wait if system == "argocd" else flux_ready
    for recording in recordings(system):
        for want in waits(recording):
            first = _first(recording, want, usual)
            ours = next(
                (at for at, said in verdicts(recording, want, KUBERNETES) if said.state is State.SUCCEEDED), None
            )
            yield Row(
                recording.scenario,
                want.begins,
                first,
                first is not None and not _live(recording, want, first),
                ours,
                ours is not None and not _live(recording, want, ours),
            )


def _first(recording: Recording, want: Want, usual: Callable[[Mapping[str, Any]], bool]) -> float | None:
    seen = (moment for moment in moments(recording, want, KUBERNETES) if moment.obj is not None)
    return next((moment.at for moment in seen if moment.obj is not None and usual(moment.obj)), None)


def _live(recording: Recording, want: Want, at: float) -> bool:
    state = LiveState(recording, want)
    state.until(at)
    return state.holds(want.sha)


HEAD = """\
# The usual predicates beside ours

Generated from the recordings in `tests/recorded`; a test compares.

Every wait of every recording is asked right after the push, as a script would. *Early* means: it says success while the
engine has not taken up the commit or a descendant, or while the recorded Deployment is not that of one, available.
Seconds are from the push; `-` means that success is never said within the recording.

| predicate | waits | success said | early |
|---|---|---|---|
"""


def page() -> str:
    out, tables = HEAD, ""
    for system, usual in (("argocd", "`argocd app wait` (sync, health, operation)"), ("flux", "Flux `Ready=True`")):
        found = list(rows(system))
        early = sum(row.early for row in found)
        ours = [row for row in found if row.scenario != UNCHECKED]
        out += f"| {usual} | {len(found)} | {sum(row.first is not None for row in found)} | {early} |\n"
        out += f"| loopseal, same waits | {len(found)} | {sum(row.ours is not None for row in found)} "
        out += f"| {sum(row.ours_early for row in ours)} |\n"
        name = "Argo CD" if system == "argocd" else "Flux"
        tables += f"\n## {name}\n\n| recording | {usual} | | loopseal | |\n|---|---|---|---|---|\n"
        tables += "".join(_line(row) for row in found)
    return out + NOTE + tables


NOTE = """
The recording `no-wait` is left out of our count: its Kustomization has neither `wait` nor `healthChecks`, so Flux does
not look at health and says so nowhere. Preflight warns; with `strict_health` the objects are read instead.

Ours says success later than the first true moment for two reasons: health must stay good for a while (half a second
here), and Argo CD must have compared after the sync ended. In the recordings the refresh that makes it compare comes
about three seconds after the push; a real wait asks for it at once, which costs 50 ms.
"""


def _line(row: Row) -> str:
    cells = [(row.first, row.early), (row.ours, row.ours_early)]
    shown = [f"{_after(row, at)} | {'**early**' if early else ''}" for at, early in cells]
    return f"| `{row.scenario}` | {shown[0]} | {shown[1]} |\n"


def _after(row: Row, at: float | None) -> str:
    return "-" if at is None else f"{at - row.asked:.1f} s"


if __name__ == "__main__":
    sys.stdout.write(page())
