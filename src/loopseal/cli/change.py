"""`loopseal change`: set keys, put or delete files, set images; one signed commit, then wait."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from loopseal.cli import render
from loopseal.cli.exits import Exit, exit_of_change
from loopseal.cli.follow import follow
from loopseal.cli.session import (
    Command,
    caller,
    json_option,
    reason_option,
    run,
    target_option,
    timeout_option,
    world_of,
)
from loopseal.domain.proposal import (
    ABSENT,
    ANYTHING,
    DeleteFile,
    Edit,
    Expect,
    PutFile,
    Scalar,
    SetImage,
    SetValue,
    change_id,
)
from loopseal.usecases import OnFailure, commit, draft, drive, propose


@click.group()
def command() -> None:
    """Propose a change, commit it, and wait for it."""


def options(function: Command) -> Command:
    """The options that all kinds of change share."""
    decorators: Sequence[Callable[[Any], Any]] = (
        target_option,
        reason_option,
        click.option("--wait", is_flag=True, help="Wait until the change is live and healthy, or is not."),
        click.option(
            "--on-failure",
            type=click.Choice([choice.value for choice in OnFailure]),
            default=OnFailure.FAIL.value,
            show_default=True,
            help="With --wait: put the old values back when the change does not become healthy.",
        ),
        timeout_option,
        click.option(
            "--key",
            metavar="TEXT",
            help="Idempotency key, such as a CI job's id: run again with the same key it is the same change.",
        ),
        click.option("--dry-run", is_flag=True, help="Show the exact difference; write nothing."),
        json_option,
        click.pass_context,
    )
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


@command.command("set")
@click.argument("path")
@click.argument("assignments", nargs=-1, required=True, metavar="KEY=VALUE…")
@click.option("--expect", metavar="VALUE", help="The old value that must be there (with one assignment).")
@click.option("--create", is_flag=True, help="Add the key to a mapping that exists.")
@options
def set_command(
    ctx: click.Context, *, path: str, assignments: tuple[str, ...], expect: str | None, create: bool, **more: Any
) -> int:
    """Set keys of one YAML or JSON file; every other byte stays as it is.

    KEY=VALUE writes a string, KEY:=VALUE a number, true, false or null (as JSON writes them).

    \b
    loopseal change set apps/payments/values.yaml image.tag=v2 replicas:=3 -t payments-staging -r "model v2"
    loopseal change set apps/web/deploy.yaml 'spec.template.spec.containers[name=web].image=web:2' -t web -r "…"
    """
    if expect is not None and len(assignments) > 1:
        raise click.UsageError("--expect goes with one assignment")
    edits = [
        SetValue(path, key, value, ANYTHING if expect is None else _like(value, expect), create)
        for key, value in map(assignment, assignments)
    ]
    return run(_change(ctx, edits, **more))


@command.command("image")
@click.argument("path")
@click.argument("image")
@click.option("--tag", help="newTag")
@click.option("--digest", help="digest, such as sha256:…")
@click.option("--new-name", help="newName")
@options
def image_command(
    ctx: click.Context, *, path: str, image: str, tag: str | None, digest: str | None, new_name: str | None, **more: Any
) -> int:
    """Set an entry of `images:` in a kustomization.

    \b
    loopseal change image apps/web/kustomization.yaml web --tag v2 -t web -r "release v2"
    """
    if tag is None and digest is None and new_name is None:
        raise click.UsageError("name what to set: --tag, --digest or --new-name")
    return run(_change(ctx, [SetImage(path, image, tag, digest, new_name)], **more))


@command.command("put")
@click.argument("path")
@click.option(
    "--from",
    "source",
    required=True,
    type=click.Path(dir_okay=False, allow_dash=True),
    help="The file, or - for standard input.",
)
@click.option("--expect-blob", metavar="ID", help="Blob id that must be there; `absent` for a new file.")
@options
def put_command(ctx: click.Context, *, path: str, source: str, expect_blob: str | None, **more: Any) -> int:
    """Write a whole file.

    \b
    loopseal change put apps/web/config.yaml --from config.yaml -t web -r "new limits"
    """
    content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    expect: str | Expect = ABSENT if expect_blob == "absent" else expect_blob or ANYTHING
    return run(_change(ctx, [PutFile(path, content, expect)], **more))


@command.command("delete")
@click.argument("path")
@click.option("--expect-blob", metavar="ID", help="Blob id that must be there.")
@options
def delete_command(ctx: click.Context, *, path: str, expect_blob: str | None, **more: Any) -> int:
    """Delete a file.

    \b
    loopseal change delete apps/web/old-job.yaml -t web -r "replaced by the operator"
    """
    return run(_change(ctx, [DeleteFile(path, expect_blob or ANYTHING)], **more))


async def _change(
    ctx: click.Context,
    edits: Sequence[Edit],
    *,
    target: str,
    reason: str,
    wait: bool,
    on_failure: str,
    timeout: float | None,
    key: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    actor = caller()
    name = change_id("cli", actor.issuer, target, key or secrets.token_hex(16))
    async with world_of(ctx) as world:
        proposal = await draft(
            world, change_id=name, target=target, edits=edits, reason=reason, actor=actor, again=bool(key)
        )
        if dry_run:
            diffs = await world.repository(proposal.target).preview(proposal)
            if as_json:
                render.print_json({"base": proposal.base, "diff": render.diff_text(diffs)})
            else:
                click.echo(render.diff_text(diffs) or "nothing would change\n", nl=False)
            return Exit.DONE
        console = render.err()
        change = await propose(world, proposal, report=lambda finding: console.print(render.finding_line(finding)))
        if not change.closed:
            if wait:
                limit = world.clock.now() + timedelta(seconds=timeout or world.route(target).timeout)
                change = await follow(
                    drive(world, change.id, deadline=limit, on_failure=OnFailure(on_failure)), as_json=as_json
                )
            else:
                change = await commit(world, change.id)
        render.show_change(change, as_json=as_json)
        return exit_of_change(change)


def assignment(text: str) -> tuple[str, Scalar]:
    """`KEY=VALUE` or `KEY:=JSON` as key and value; `=` within brackets or quotes belongs to the key."""
    depth, quoted = 0, False
    for index, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif not quoted and char in "[]":
            depth += 1 if char == "[" else -1
        elif char == "=" and not depth and not quoted:
            key, value = text[:index], text[index + 1 :]
            if key.endswith(":"):
                return key[:-1], _scalar(value)
            return key, value
    raise click.UsageError(f"{text!r} is no assignment; write KEY=VALUE, or KEY:=3 for a number")


def _scalar(text: str) -> Scalar:
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        raise click.UsageError(f"{text!r} is no JSON; for a string write KEY=VALUE") from None
    if isinstance(value, dict | list):
        raise click.UsageError("one key holds one scalar; put the file for more")
    return value  # type: ignore[no-any-return]  # json.loads leaves only scalars here


def _like(value: Scalar, text: str) -> Scalar:
    """The expectation in the type of the new value: a number expects a number."""
    return text if isinstance(value, str) else _scalar(text)
