"""`loopseal revert`: put back what a change replaced, key by key."""

from __future__ import annotations

from datetime import timedelta

import click

from loopseal.cli import render
from loopseal.cli.exits import exit_of_change
from loopseal.cli.follow import follow
from loopseal.cli.session import caller, json_option, reason_option, run, target_option, timeout_option, world_of
from loopseal.usecases import commit, drive, revert


@click.command()
@click.argument("change")
@target_option
@reason_option
@click.option("--wait", is_flag=True, help="Wait until the revert is live and healthy.")
@timeout_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, *, change: str, target: str, reason: str, wait: bool, timeout: float | None, as_json: bool
) -> int:
    """Undo a change by proposing its inverse.

    Refused when somebody else wrote one of its keys since: then nothing could be put back without undoing that too.

    \b
    loopseal log -t payments-staging
    loopseal revert ab3f…  -t payments-staging -r "latency doubled" --wait
    """
    return run(_revert(ctx, change, target, reason, timeout, wait=wait, as_json=as_json))


async def _revert(
    ctx: click.Context, change: str, target: str, reason: str, timeout: float | None, *, wait: bool, as_json: bool
) -> int:
    async with world_of(ctx) as world:
        console = render.err()
        reverting = await revert(
            world,
            change,
            target=target,
            actor=caller(),
            reason=reason,
            report=lambda finding: console.print(render.finding_line(finding)),
        )
        if not reverting.closed:
            if wait:
                limit = world.clock.now() + timedelta(seconds=timeout or world.route(target).timeout)
                reverting = await follow(drive(world, reverting.id, deadline=limit), as_json=as_json)
            else:
                reverting = await commit(world, reverting.id)
        render.show_change(reverting, as_json=as_json)
        return exit_of_change(reverting)
