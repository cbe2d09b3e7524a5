"""`loopseal status`: where targets stand now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import click

from loopseal.cli import render
from loopseal.cli.exits import Exit
from loopseal.cli.session import json_option, run, world_of
from loopseal.usecases import TargetStatus, status


@click.command()
@click.argument("targets", nargs=-1)
@json_option
@click.pass_context
def command(ctx: click.Context, *, targets: tuple[str, ...], as_json: bool) -> int:
    """Show the branch and the applications of targets; all of them when none is named.

    \b
    loopseal status
    loopseal status payments-staging --json
    """
    return run(_status(ctx, targets, as_json=as_json))


async def _status(ctx: click.Context, targets: Sequence[str], *, as_json: bool) -> int:
    async with world_of(ctx) as world:
        names = targets or sorted(world.routes)
        told = await asyncio.gather(*(status(world, name) for name in names))
    if as_json:
        render.print_json([_document(one) for one in told])
        return Exit.DONE
    rows = [row for one in told for row in _rows(one)]
    columns = ("TARGET", "BRANCH", "TIP", "APPLICATION", "REVISION", "IS TO TIP", "SYNC", "HEALTH")
    render.out().print(render.table(columns, rows))
    return Exit.DONE


def _rows(one: TargetStatus) -> list[tuple[str, ...]]:
    head = (one.name, one.branch, one.tip[:12])
    if not one.applications:
        return [(*head, "-", "-", "-", "-", "-")]
    return [
        (
            *head,
            str(shown.application),
            str(shown.shows.get("revision") or "-")[:12],
            shown.relation,
            str(shown.shows.get("sync") or "-"),
            str(shown.shows.get("health") or "-"),
        )
        for shown in one.applications
    ]


def _document(one: TargetStatus) -> dict[str, Any]:
    return {
        "target": one.name,
        "repository": one.url,
        "branch": one.branch,
        "tip": one.tip,
        "applications": [
            {
                "application": str(shown.application),
                "relation_to_tip": shown.relation,
                "link": shown.link,
                **shown.shows,
            }
            for shown in one.applications
        ],
    }
