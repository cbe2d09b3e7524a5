"""`loopseal replay`: what a recording means, event by event."""

from __future__ import annotations

from pathlib import Path

import click

from loopseal.cli import render
from loopseal.cli.exits import Exit
from loopseal.cli.session import json_option
from loopseal.engines.recording import read
from loopseal.engines.replay import Outcome, Report, replay


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@json_option
def command(*, files: tuple[Path, ...], as_json: bool) -> int:
    """Judge recordings anew and tell the verdict at each event, and why.

    Where a file says what it wants, the verdicts are compared with that: exit 1 when one is missed. No network is used.

    \b
    loopseal wait -t payments-staging --record flight.json
    loopseal replay flight.json
    """
    reports = {str(file): replay(read(file)) for file in files}
    if as_json:
        render.print_json({name: report.as_data() for name, report in reports.items()})
    else:
        for name, report in reports.items():
            _show(name, report)
    return Exit.DONE if all(report.ok for report in reports.values()) else Exit.FAILED


def _show(name: str, report: Report) -> None:
    console = render.out()
    console.print(f"{name}: {report.scenario}", markup=False)
    for outcome in report.outcomes:
        console.print(
            f"  {outcome.target} for {outcome.expected.sha[:12]} ({outcome.transport}){_judged(outcome)}", markup=False
        )
        for at, verdict in outcome.timeline:
            line = render.verdict_line(verdict)
            line.plain = line.plain.rstrip()
            console.print(f"    {at:8.3f} s ", line)


def _judged(outcome: Outcome) -> str:
    if not outcome.expected.state:
        return ""
    wanted = f"{outcome.expected.state} {outcome.expected.reason}".strip()
    return f": {wanted}, met" if outcome.ok else f": MISSED, wanted {wanted}"
