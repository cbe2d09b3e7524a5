"""`loopseal show`: one change and all its events, from the local ledger."""

from __future__ import annotations

import click

from loopseal.cli import render
from loopseal.cli.exits import Exit
from loopseal.cli.session import json_option, run, world_of
from loopseal.usecases.history import known


@click.command()
@click.argument("change")
@json_option
@click.pass_context
def command(ctx: click.Context, *, change: str, as_json: bool) -> int:
    """Show one change that was made from here, event by event.

    \b
    loopseal show ab3f…
    """
    return run(_show(ctx, change, as_json=as_json))


async def _show(ctx: click.Context, change_id: str, *, as_json: bool) -> int:
    async with world_of(ctx) as world:
        change = await known(world, change_id)
    render.show_change(change, as_json=as_json, events=True)
    return Exit.DONE
