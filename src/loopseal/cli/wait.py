"""`loopseal wait`: until a revision is live and healthy in the applications of a target."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loopseal import settings, wiring
from loopseal.cli import render
from loopseal.cli.exits import Exit
from loopseal.cli.session import json_option, run, target_option, timeout_option, world_of
from loopseal.domain.revision import State
from loopseal.ports import Ancestry, Wait
from loopseal.usecases import Outlook, Route, World, watch
from loopseal.wire import dump

if TYPE_CHECKING:
    from loopseal.engines.recorder import Recorder


@click.command()
@target_option
@click.option("--revision", metavar="SHA", help="The commit to wait for; default: the tip of the branch now.")
@click.option(
    "--application", "-a", "names", multiple=True, metavar="NAME", help="Only this application of the target."
)
@timeout_option
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep all that the engine answered in this file, secrets removed; `loopseal replay` reads it.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    target: str,
    revision: str | None,
    names: tuple[str, ...],
    timeout: float | None,
    record: Path | None,
    as_json: bool,
) -> int:
    """Wait until a commit, or one that contains it, is live and healthy.

    \b
    loopseal wait -t payments-staging --revision 4f2c1e0… --timeout 10m
    loopseal wait -t payments-staging --record flight.json     # for a bug report
    """
    return run(_wait(ctx, target, revision, names=names, timeout=timeout, record=record, as_json=as_json))


async def _wait(
    ctx: click.Context,
    target: str,
    revision: str | None,
    *,
    names: Sequence[str],
    timeout: float | None,
    record: Path | None,
    as_json: bool,
) -> int:
    with ExitStack() as stack:
        recorder = stack.enter_context(_recorder(ctx, target, names, record)) if record else None
        async with world_of(ctx, tap=recorder) as world:
            route = _only(world.route(target), names)
            wanted = revision or await world.repository(route.target).tip()
            limit = timeout or route.timeout
            last = await _watch(world, route, wanted, limit, recorder, as_json=as_json)
    return _end(wanted, last, as_json=as_json)


async def _watch(
    world: World, route: Route, wanted: str, limit: float, recorder: Recorder | None, *, as_json: bool
) -> Outlook | None:
    def listen(wait: Wait, ancestry: Ancestry) -> Ancestry:
        if recorder is None:
            return ancestry
        recorder.waits(wait)
        return recorder.listening(ancestry)

    last: Outlook | None = None
    deadline = world.clock.now() + timedelta(seconds=limit)
    async for last in watch(world, route, wanted, deadline=deadline, listen=listen):
        if last.news is not None and not as_json:
            render.err().print(render.verdict_line(last.verdicts[last.news]))
    return last


def _only(route: Route, names: Sequence[str]) -> Route:
    chosen = tuple(one for one in route.target.applications if not names or one.name in names)
    if not chosen:
        known = ", ".join(one.name for one in route.target.applications) or "none"
        raise click.UsageError(f"target {route.target.name!r} has no such application; it has {known}")
    return replace(route, target=replace(route.target, applications=chosen))


def _recorder(ctx: click.Context, target: str, names: Sequence[str], path: Path) -> Recorder:
    """One recording is of one kind of engine: its schema is that of what this engine answers."""
    tree = settings.load(ctx.find_root().obj)
    applications = settings.resolve_target(tree, target).applications
    kinds = {tree.engines[one.engine].kind for one in applications if not names or one.name in names}
    if len(kinds) != 1:
        raise click.UsageError("--record keeps one kind of engine; choose applications with -a")
    return wiring.open_recorder(path, system=kinds.pop(), scenario=path.stem)


def _end(wanted: str, last: Outlook | None, *, as_json: bool) -> int:
    verdicts = last.verdicts if last else {}
    state = last.overall.state if last else State.PENDING
    late = bool(last and last.expired)
    if as_json:
        told: dict[str, Any] = {str(application): dump(verdict) for application, verdict in verdicts.items()}
        render.print_json({"revision": wanted, "state": state, "expired": late, "applications": told})
    else:
        render.out().print(f"{state} {wanted[:12]}" + (" (not in time)" if late else ""), markup=False)
    match state:
        case State.SUCCEEDED:
            return Exit.DONE
        case State.FAILED:
            return Exit.FAILED
        case State.SUPERSEDED:
            return Exit.SUPERSEDED
        case State.PENDING | State.BLOCKED | State.REGRESSED:
            return Exit.LATE
