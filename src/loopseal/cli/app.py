"""The group that finds commands by their files, and the one way out of the program."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Final, NoReturn

import click

from loopseal.cli.exits import Exit, exit_of
from loopseal.errors import LoopsealError

COMMANDS: Final = (
    "change",
    "wait",
    "status",
    "revert",
    "log",
    "show",
    "targets",
    "replay",
    "installation",
    "demo",
    "version",
)
"""In the order of `--help`: what one needs first comes first."""

EPILOG: Final = """\b
Exit codes:
  0  done: committed, and healthy where that was waited for
  1  the change failed, or a check found an error
  2  the command was put wrongly
  3  configuration: edit a file
  4  refused: scope, permission, or an edit that cannot be done safely
  5  conflict: the world moved; look and propose again
  6  a peer cannot be reached; try again
  7  not in time: neither healthy nor failed at the deadline
  8  superseded: the branch went on without the change
"""


class Commands(click.Group):
    """Loads a command's module when it is needed: `loopseal version` imports no HTTP stack."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The commands, in reading order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command in `cli/<name>.py`."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"loopseal.cli.{cmd_name}").command
        return command if isinstance(command, click.Command) else None


@click.command(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    metavar="FILE",
    envvar="LOOPSEAL_CONFIG",
    help="Settings: repositories, engines, targets. Default: $LOOPSEAL_CONFIG.",
)
@click.pass_context
def loopseal(ctx: click.Context, config: str | None) -> None:
    """Change a GitOps repository and know when exactly that change is live and healthy.

    \b
    loopseal targets check
    loopseal change set apps/payments/values.yaml image.tag=v2 \\
        --target payments-staging --reason "model v2 passed evaluation" --wait --on-failure revert
    loopseal log --target payments-staging
    """
    ctx.obj = config


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run, and leave with a documented exit code. Errors of ours are told with what to do next, never as tracebacks."""
    try:
        code = loopseal.main(args=arguments, prog_name="loopseal", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except LoopsealError as error:
        tell(error, as_json="--json" in (arguments if arguments is not None else sys.argv))
        sys.exit(exit_of(error))
    sys.exit(code if isinstance(code, int) else Exit.DONE)


def tell(error: LoopsealError, *, as_json: bool) -> None:
    """Show an error: for programs as one JSON object on standard output, for people on standard error."""
    if as_json:
        told = {"code": error.code, "message": error.message, "where": error.where, "hint": error.hint}
        click.echo(json.dumps({"error": told}))
        return
    click.echo(f"{click.style('error', fg='red', bold=True)}: {error.diagnostics()}", err=True)
