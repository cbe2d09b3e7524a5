"""`loopseal demo`: the whole loop on this machine."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from rich.table import Table

from loopseal.cli import render
from loopseal.cli.exits import Exit
from loopseal.errors import Code, ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loopseal.testing.demo import Cast, Row, Stage


@click.command()
@click.option("--engine", type=click.Choice(["argocd", "flux"]), default="argocd", show_default=True)
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C, to look at.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".demo"),
    show_default=True,
    help="Where it all lives; emptied first.",
)
@click.option("--act", "letters", multiple=True, type=click.Choice(["a", "b", "c", "d"]), help="Only these acts.")
def command(*, engine: str, keep: bool, folder: Path, letters: tuple[str, ...]) -> int:
    """Run the loop on this machine: a Git server, a simulator of Argo CD or Flux, and a real Airflow.

    \b
    (a) a change becomes healthy, then the next task runs
    (b) a rollout degrades: evidence, revert, healthy again
    (c) twenty tasks change adjacent keys of one file at once
    (d) a task is killed between push and record, and retried

    \b
    loopseal demo
    loopseal demo --engine flux --keep
    """
    try:
        from loopseal.testing import demo
    except ModuleNotFoundError as error:
        raise ConfigError(
            Code.CONFIG_EXTRA_MISSING,
            f"the demo needs the package {error.name!r}",
            hint="pip install 'loopseal[demo]'",
        ) from error
    return perform(demo.SIMULATED, engine=engine, keep=keep, folder=folder, letters=letters)


def perform(cast: Cast, *, engine: str, keep: bool, folder: Path, letters: Sequence[str] = ()) -> int:
    """Set the stage with this cast, play the acts (all where no letter is given) and show what came of them."""
    from loopseal.testing import demo

    signal.signal(signal.SIGTERM, _interrupt)
    began, rows = time.monotonic(), list["Row"]()
    console = render.out()

    def tell(text: str) -> None:
        console.print(f"{time.monotonic() - began:6.1f} s  {text}", markup=False)

    with demo.open_stage(folder.resolve(), engine, tell, cast) as stage:
        try:
            for act in demo.ACTS:
                if letters and act.letter not in letters:
                    continue
                tell(f"({act.letter}) {act.title}")
                rows += demo.run_act(act, stage, lambda text: tell(f"    {text}"))
        except Exception as error:  # noqa: BLE001 - whatever it was, the logs say more than the traceback
            tell(f"FAILED: {error}")
            console.print(stage.airflow.tail(15), markup=False)
            _offer(stage, keep=keep)
            return Exit.FAILED
        console.print(_table(rows))
        tell("all acts went as they must")
        _offer(stage, keep=keep)
    return Exit.DONE


def _table(rows: list[Row]) -> Table:
    columns = ("ACT", "CHANGE", "COMMIT", "OUTCOME", "SIGNATURE", "PUSH -> END", "TRIES")
    return render.table(
        columns,
        (
            (
                row.act,
                row.change,
                row.revision[:12],
                row.outcome,
                "verified" if row.verified else "BAD",
                f"{row.seconds:.0f} s" if row.seconds is not None else "-",
                str(row.attempts),
            )
            for row in rows
        ),
    )


def _offer(stage: Stage, *, keep: bool) -> None:
    console = render.out()
    for name, url in stage.urls:
        console.print(f"  {name:<18} {url}", markup=False)
    console.print(f"  {'targets file':<18} {stage.folder / 'loopseal.yaml'}", markup=False)
    if keep:
        console.print("running until Ctrl-C", markup=False)
        signal.pause()


def _interrupt(_number: int, _frame: object) -> NoReturn:
    """SIGTERM ends it as Ctrl-C does: every process that was started is ended too."""
    raise KeyboardInterrupt
