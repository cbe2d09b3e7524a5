"""Write the reference pages that are generated from the code: `make docs`. A test fails when they are out of date."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from loopseal import errors
from loopseal.cli.app import COMMANDS, loopseal
from loopseal.domain import change
from loopseal.engines import reasons
from loopseal.net import calls
from loopseal.settings import reference
from tests.conformance import results as conformance
from tests.recorded import usual_predicates

REFERENCE: Final = Path(__file__).parent / "reference"


def cli_page() -> str:
    """Every command's help, as the program prints it."""
    parts = ["# Command line\n", "Generated from the program.\n", _help(loopseal, "loopseal")]
    for name in COMMANDS:
        command = import_module(f"loopseal.cli.{name}").command
        parts.append(_help(command, f"loopseal {name}"))
        if isinstance(command, click.Group):
            parts.extend(_help(one, f"loopseal {name} {sub}") for sub, one in command.commands.items())
    return "\n".join(parts)


def _help(command: click.Command, name: str) -> str:
    context = click.Context(
        command, info_name=name, max_content_width=100, terminal_width=100, help_option_names=["-h", "--help"]
    )
    return f"## `{name}`\n\n```\n{command.get_help(context)}\n```\n"


def errors_page() -> str:
    """Every code, the kind of error it comes with, and what it means."""
    lines = [
        "# Errors\n",
        "Generated from the code. Every error says what is wrong and where, has a code that never changes its meaning,",
        "and ends with a hint. The kind says what to do: *ConfigError* edit a file, *Refused* ask somebody or put the",
        "edit differently, *Conflict* look and propose again, *Unreachable* try again.\n",
        "| code | meaning |",
        "|---|---|",
    ]
    meanings = _documented(errors.Code)
    lines += [f"| `{code.value}` | {meanings[code.name]} |" for code in errors.Code]
    return "\n".join(lines) + "\n"


def _documented(kind: type) -> Mapping[str, str]:
    """The string that stands under each member of a class."""
    body = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for member, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            target = member.targets[0]
            assert isinstance(target, ast.Name)
            found[target.id] = inspect.cleandoc(str(text.value.value)).replace("\n", " ")
    return found


def change_page() -> str:
    """The phases of a change as a diagram, and its events."""
    lines = [
        "# One change and its phases\n",
        "Generated from the one transition table (`loopseal.domain.change.TRANSITIONS`).\n",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> proposed: Proposed",
        *(f"    {before} --> {after}: {event.__name__}" for (before, event), after in change.TRANSITIONS.items()),
        *(f"    {phase} --> [*]" for phase in change.Phase if phase.closed),
        "```\n",
        "| event | meaning |",
        "|---|---|",
        *(f"| `{event.__name__}` | {_first_line(event)} |" for event in change.Event.__args__),
    ]
    return "\n".join(lines) + "\n"


def _first_line(kind: type) -> str:
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split())


def calls_page() -> str:
    """The fields of the record of calls."""
    lines = [
        "# The record of calls\n",
        "Generated from the code. One JSON object per line: one `call` before an HTTP request is sent to Argo CD or",
        "Kubernetes, one `answer` when it is over; both carry its `id`. See [operating](../guide/operating.md).\n",
        "| field | in | meaning |",
        "|---|---|---|",
        *(f"| `{name}` | {events} | {meaning} |" for name, events, meaning in calls.FIELDS),
    ]
    return "\n".join(lines) + "\n"


def schema_page() -> str:
    """The JSON Schema of the settings file, for editors."""
    return json.dumps(reference.schema(), indent=2, ensure_ascii=False) + "\n"


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "cli.md": cli_page,
    "errors.md": errors_page,
    "change.md": change_page,
    "calls.md": calls_page,
    "settings.md": reference.page,
    "loopseal.schema.json": schema_page,
    "verdicts.md": reasons.page,
    "predicates.md": usual_predicates.page,
    "conformance.md": conformance.page,
}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")
        sys.stdout.write(f"docs/reference/{name}\n")


if __name__ == "__main__":
    main()
