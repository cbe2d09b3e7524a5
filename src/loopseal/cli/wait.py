"""`loopseal wait`: until a revision is live and healthy in all applications of a target."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from loopseal.cli import render
from loopseal.cli.exits import Exit
from loopseal.cli.session import json_option, run, target_option, timeout_option, world_of
from loopseal.domain.revision import State
from loopseal.usecases import Outlook, watch
from loopseal.wire import dump


@click.command()
@target_option
@click.option("--revision", metavar="SHA", help="The commit to wait for; default: the tip of the branch now.")
@timeout_option
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep all that the engines answered in this file, secrets removed; `loopseal replay` reads it.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context, *, target: str, revision: str | None, timeout: float | None, record: Path | None, as_json: bool
) -> int:
    r"""Wait until a commit, or one that contains it, is live and healthy.

    \b
    loopseal wait -t payments-staging --revision 4f2c1e0…  --timeout 10m
    loopseal wait -t payments-staging --record flight.json     # for a bug report
    """
    return run(_wait(ctx, target, revision, timeout, record, as_json=as_json))


async def _wait(
    ctx: click.Context, target: str, revision: str | None, timeout: float | None, record: Path | None, *, as_json: bool
) -> int:
    from loopseal import wiring

    recorder = wiring.open_recorder(record, target) if record else None
    try:
        async with world_of(ctx, tap=recorder) as world:
            route = world.route(target)
            repository = world.repository(route.target)
            wanted = revision or await repository.tip()
            if recorder is not None:
                recorder.wants(wanted, [str(one) for one in route.target.applications])
            limit = world.clock.now() + timedelta(seconds=timeout or route.timeout)
            last: Outlook | None = None
            async for outlook in watch(world, route, wanted, deadline=limit):
                last = outlook
                if outlook.news is not None and not as_json:
                    render.err().print(render.verdict_line(outlook.verdicts[outlook.news]))
    finally:
        if recorder is not None:
            recorder.close()
    return _end(wanted, last, as_json=as_json)


def _end(wanted: str, last: Outlook | None, *, as_json: bool) -> int:
    verdicts = last.verdicts if last else {}
    state = last.overall.state if last else State.PENDING
    if as_json:
        told: dict[str, Any] = {str(application): dump(verdict) for application, verdict in verdicts.items()}
        render.print_json(
            {"revision": wanted, "state": state, "expired": bool(last and last.expired), "applications": told}
        )
    else:
        render.out().print(f"{state} {wanted[:12]}" + (" (not in time)" if last and last.expired else ""), markup=False)
    match state:
        case State.SUCCEEDED:
            return Exit.DONE
        case State.FAILED:
            return Exit.FAILED
        case State.SUPERSEDED:
            return Exit.SUPERSEDED
        case State.PENDING | State.BLOCKED | State.REGRESSED:
            return Exit.LATE
