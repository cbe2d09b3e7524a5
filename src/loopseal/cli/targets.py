"""`loopseal targets`: what is declared, and whether it would work."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import click

from loopseal.cli import render
from loopseal.cli.exits import Exit
from loopseal.cli.session import json_option, run, world_of
from loopseal.ports import Level
from loopseal.usecases import check
from loopseal.wire import dump


@click.group()
def command() -> None:
    """List and check the declared targets."""


@command.command("list")
@json_option
@click.pass_context
def list_command(ctx: click.Context, *, as_json: bool) -> int:
    """List the targets of the settings file.

    \b
    loopseal targets list
    """
    return run(_list(ctx, as_json=as_json))


@command.command("check")
@click.argument("names", nargs=-1)
@json_option
@click.pass_context
def check_command(ctx: click.Context, *, names: tuple[str, ...], as_json: bool) -> int:
    """Ask every repository and engine whether a change could land and arrive. Reads only; exit 1 on an error.

    \b
    loopseal targets check
    loopseal targets check payments-staging --json
    """
    return run(_check(ctx, names, as_json=as_json))


async def _list(ctx: click.Context, *, as_json: bool) -> int:
    async with world_of(ctx) as world:
        routes = [world.routes[name] for name in sorted(world.routes)]
        urls = {route.target.name: world.repository(route.target).url for route in routes}
    if as_json:
        render.print_json(
            [{**dump(route.target), "url": urls[route.target.name], "dags": route.dags} for route in routes]
        )
        return Exit.DONE
    rows = [
        (
            route.target.name,
            f"{urls[route.target.name]} {route.target.branch}",
            " ".join(route.target.paths),
            " ".join(map(str, route.target.applications)) or "-",
            " ".join(route.dags) or "no Dag",
        )
        for route in routes
    ]
    render.out().print(render.table(("TARGET", "REPOSITORY", "PATHS", "APPLICATIONS", "DAGS"), rows))
    return Exit.DONE


async def _check(ctx: click.Context, names: Sequence[str], *, as_json: bool) -> int:
    async with world_of(ctx) as world:
        chosen = names or sorted(world.routes)
        answers = await asyncio.gather(*(check(world, name) for name in chosen))
    told = dict(zip(chosen, answers, strict=True))
    bad = any(finding.level is Level.ERROR for findings in told.values() for finding in findings)
    if as_json:
        render.print_json({name: [dump(finding) for finding in findings] for name, findings in told.items()})
        return Exit.FAILED if bad else Exit.DONE
    console = render.out()
    for name, findings in told.items():
        worst = next((level for level in Level if any(finding.level is level for finding in findings)), None)
        console.print(f"{name}: {worst or 'ok'}", markup=False)
        for finding in findings:
            console.print(render.finding_line(finding))
    return Exit.FAILED if bad else Exit.DONE
