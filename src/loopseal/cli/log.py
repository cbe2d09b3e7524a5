"""`loopseal log`: the changes on a branch, as their commits tell them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from loopseal.cli import render
from loopseal.cli.exits import Exit
from loopseal.cli.session import json_option, run, target_option, world_of
from loopseal.ports import LoggedChange


@click.command()
@target_option
@click.option("--limit", "-n", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many changes.")
@json_option
@click.pass_context
def command(ctx: click.Context, *, target: str, limit: int, as_json: bool) -> int:
    """List the changes on a target's branch, newest first, from the trailers of its commits.

    \b
    loopseal log -t payments-staging -n 5
    """
    return run(_log(ctx, target, limit, as_json=as_json))


async def _log(ctx: click.Context, target: str, limit: int, *, as_json: bool) -> int:
    async with world_of(ctx) as world:
        changes = await world.repository(world.route(target).target).log(limit)
    if as_json:
        render.print_json([_document(change) for change in changes])
    else:
        render.out().print(render.table(("WHEN", "CHANGE", "COMMIT", "ACTOR", "SUBJECT"), _rows(changes)))
    return Exit.DONE


def _rows(changes: Sequence[LoggedChange]) -> list[tuple[str, ...]]:
    return [
        (
            change.at.strftime("%Y-%m-%d %H:%M"),
            change.change,
            change.revision[:12] + ("" if change.signed else " unsigned"),
            change.trailer("Loopseal-Actor"),
            ("revert: " if change.trailer("Loopseal-Reverts") else "") + change.subject,
        )
        for change in changes
    ]


def _document(change: LoggedChange) -> dict[str, Any]:
    return {
        "change": change.change,
        "revision": change.revision,
        "at": change.at.isoformat(),
        "author": change.author,
        "subject": change.subject,
        "signed": change.signed,
        "trailers": [{"name": name, "value": value} for name, value in change.trailers],
    }
