"""How things look on a terminal. Everything that comes from a peer is shown as text, never as markup."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loopseal.domain.change import Change, Committed
from loopseal.domain.revision import State, Verdict
from loopseal.ports import FileDiff, Finding, Level
from loopseal.wire import dump

_COLOURS: Final = {
    State.SUCCEEDED: "green",
    State.FAILED: "bold red",
    State.BLOCKED: "yellow",
    State.SUPERSEDED: "magenta",
    State.REGRESSED: "red",
    State.PENDING: "cyan",
}
_STEERING: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)")
_WIDE: Final = 400
"""Columns where nobody looks at a screen: what is piped is never cut."""
_LEVELS: Final = {Level.ERROR: "bold red", Level.WARNING: "yellow", Level.NOTE: "dim"}


def out() -> Console:
    """Standard output, for people."""
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=_WIDE)


def err() -> Console:
    """Standard error: progress goes here, so that output can be piped."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A plain table; cells are text."""
    made = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def print_json(document: Any) -> None:
    """One document on standard output, for programs."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def verdict_line(verdict: Verdict) -> Text:
    """One verdict on one line, resources beneath it."""
    line = Text.assemble(
        (f"{verdict.state:<10}", _COLOURS[verdict.state]),
        f" {verdict.application}  {verdict.reason}",
        (f"  {_short(verdict.observed)}" if verdict.observed else "", "dim"),
    )
    if verdict.message:
        line.append(f"  {verdict.message.splitlines()[0]}", style="dim")
    for resource in verdict.resources[:5]:
        line.append(f"\n             {resource}", style="dim")
    return line


def finding_line(finding: Finding) -> Text:
    """One finding, with what to do about it."""
    line = Text.assemble(
        (f"{finding.level:<8}", _LEVELS[finding.level]), f" {finding.where}: " if finding.where else " "
    )
    line.append(f"{finding.message} [{finding.code}]")
    if finding.hint:
        line.append(f"\n         {finding.hint}", style="dim")
    return line


def diff_text(diffs: Iterable[FileDiff]) -> str:
    """A unified diff of what would change. Bytes that are no UTF-8, and what would steer a terminal, are escaped."""
    parts: list[str] = []
    for diff in diffs:
        before, after = (_lines(side) for side in (diff.before, diff.after))
        names = (
            f"a/{diff.path}" if before is not None else "/dev/null",
            f"b/{diff.path}" if after is not None else "/dev/null",
        )
        parts.extend(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in difflib.unified_diff(before or [], after or [], *names)
        )
    return "".join(parts)


def _lines(side: bytes | None) -> list[str] | None:
    if side is None:
        return None
    text = _STEERING.sub(lambda found: f"\\x{ord(found[0]):02x}", side.decode("utf-8", "backslashreplace"))
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def change_document(change: Change) -> dict[str, Any]:
    """A change for programs: where it stands, and all its events."""
    committed = next((event for event in change.events if isinstance(event, Committed)), None)
    return {
        "change": change.id,
        "target": change.proposal.target.name,
        "phase": change.phase,
        "revision": change.revision,
        "changed": committed.changed if committed else None,
        "reverts": change.proposal.reverts,
        "events": [dump(event) for event in change.events],
    }


def _short(revision: str) -> str:
    name, _, commit = revision.rpartition(":")
    return f"{name.partition('@')[0]}@{commit[:12]}" if name else commit[:12]


def show_change(change: Change, *, as_json: bool, events: bool = False) -> None:
    """How a change stands, for people or programs."""
    if as_json:
        print_json(change_document(change))
        return
    console = out()
    console.print(f"change    {change.id}", markup=False)
    console.print(f"phase     {change.phase}", markup=False)
    if change.revision:
        console.print(f"revision  {change.revision}", markup=False)
    for event in change.events if events else change.events[-1:]:
        detail = ", ".join(f"{key}={value}" for key, value in dump(event).items() if key in _TOLD and value)
        console.print(f"{event.at:%H:%M:%S}  {type(event).__name__}  {detail}", markup=False)


_TOLD: Final = ("revision", "attempts", "reason", "message", "code", "application", "policies")
