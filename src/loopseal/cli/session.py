"""What every command shares: the world behind `--config`, who is calling, common options."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import click

from loopseal.domain.identity import Actor
from loopseal.ports import Behalf, Tap, on_behalf_of
from loopseal.usecases import World

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
target_option = click.option("--target", "-t", required=True, metavar="NAME", help="A target of the settings file.")
reason_option = click.option("--reason", "-r", required=True, metavar="TEXT", help="Why; stands in the commit.")


class Duration(click.ParamType[float]):
    """`90s`, `20m`, `1h30m`, or a number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", str(value).strip())
        if not match or not any(match.groups()):
            self.fail(f"{value!r} is no duration; write 90s, 20m or 1h30m", param, ctx)
        hours, minutes, seconds = match.groups()
        return int(hours or 0) * 3600.0 + int(minutes or 0) * 60.0 + float(seconds or 0)


timeout_option = click.option(
    "--timeout", type=Duration(), metavar="DURATION", help="How long to wait; default: the target's own timeout."
)


@asynccontextmanager
async def world_of(ctx: click.Context, *, tap: Tap | None = None) -> AsyncIterator[World]:
    """The world that `--config` describes, closed at the end."""
    from loopseal import settings, wiring
    from loopseal.credentials.reference import References

    tree = settings.load(ctx.find_root().obj)
    ledger = wiring.build_ledger(tree.ledger)
    async with wiring.open_world(tree, secrets=References(), ledger=ledger, tap=tap) as world:
        yield world


def caller() -> Actor:
    """Who runs this program, as the operating system or the CI service says."""
    from loopseal.settings import caller as from_environment

    return from_environment()


def run(work: Coroutine[Any, Any, int]) -> int:
    """Run a command's work to its exit code, in the name of whoever runs this program."""
    with on_behalf_of(Behalf(str(caller()))):
        return asyncio.run(work)
