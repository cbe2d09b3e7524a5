"""The parts of the command line that decide something: assignments, durations, exit codes, differences."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from loopseal.cli import render
from loopseal.cli.app import COMMANDS, loopseal, tell
from loopseal.cli.change import assignment
from loopseal.cli.exits import Exit, exit_of, exit_of_change
from loopseal.cli.session import Duration
from loopseal.domain.change import Change, Expired, Phase, Proposed
from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import Proposal, SetValue, Target, change_id
from loopseal.domain.revision import Action, Resource, State, Verdict
from loopseal.errors import Code, ConfigError, Conflict, LoopsealError, Refused, Unreachable
from loopseal.ports import FileDiff, Finding, Level

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def a_change(phase: Phase, *more) -> Change:
    target = Target("t", "r", "main", ("**",))
    proposal = Proposal(
        change_id("x"), target, "0" * 40, (SetValue("a.yaml", "b", 1),), "why", Actor("a", "b", ActorKind.PERSON)
    )
    return Change(proposal, "sha256:0", phase, (Proposed(NOW, proposal, "sha256:0"), *more))


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("image.tag=v2", "image.tag", "v2"),
        ("replicas:=3", "replicas", 3),
        ("debug:=true", "debug", True),
        ("ratio:=0.5", "ratio", 0.5),
        ("gone:=null", "gone", None),
        ('name:="3"', "name", "3"),
        ("env[name=LOG_LEVEL].value=debug", "env[name=LOG_LEVEL].value", "debug"),
        ('"a=b".c=d=e', '"a=b".c', "d=e"),
        ("empty=", "empty", ""),
        ("url=https://x/?a=b", "url", "https://x/?a=b"),
    ],
)
def test_an_assignment_is_a_key_and_a_scalar(text, key, value):
    found = assignment(text)
    assert found == (key, value)
    assert type(found[1]) is type(value)


@pytest.mark.parametrize("text", ["image.tag", "", "replicas:=three", "list:=[1]", "map:={}", "env[name=x"])
def test_what_is_no_assignment_is_a_usage_error(text):
    with pytest.raises(click.UsageError):
        assignment(text)


@given(st.from_regex(r"[a-z]{1,5}(\.[a-z]{1,5}){0,2}", fullmatch=True), st.text(max_size=20))
def test_any_text_can_be_assigned(key, value):
    assert assignment(f"{key}={value}") == (key, value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("20m", 1200), ("1h30m", 5400), ("45", 45), ("1.5s", 1.5), ("2h", 7200)]
)
def test_durations(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5s", "5 parsecs", "m"])
def test_what_is_no_duration(text):
    with pytest.raises(click.BadParameter):
        Duration().convert(text, None, None)


@pytest.mark.parametrize(
    ("error", "code"), [(ConfigError, 3), (Refused, 4), (Conflict, 5), (Unreachable, 6), (LoopsealError, 1)]
)
def test_each_kind_of_error_has_its_exit_code(error, code):
    assert exit_of(error(Code.CONFIG_INVALID, "x")) == code


@pytest.mark.parametrize("phase", Phase)
def test_each_phase_has_its_exit_code(phase):
    expected = {
        Phase.HEALTHY: Exit.DONE,
        Phase.COMMITTED: Exit.DONE,
        Phase.RECONCILED: Exit.DONE,
        Phase.FAILED: Exit.FAILED,
        Phase.WITHDRAWN: Exit.FAILED,
        Phase.SUPERSEDED: Exit.SUPERSEDED,
        Phase.DENIED: Exit.REFUSED,
        Phase.REFUSED: Exit.REFUSED,
    }
    assert exit_of_change(a_change(phase)) == expected.get(phase, Exit.LATE)


def test_a_change_that_ran_out_of_time_says_so():
    assert exit_of_change(a_change(Phase.FAILED, Expired(NOW, "HEALTH_PROGRESSING", "x"))) == Exit.LATE


def test_the_difference_shows_every_byte_and_steers_no_terminal():
    shown = render.diff_text(
        [
            FileDiff("a.yaml", b"x: 1\r\ny: 2", b"x: 3\r\ny: 2"),
            FileDiff("new", None, b"\x1b[31mred\xff\n"),
            FileDiff("gone", b"old\n", None),
        ]
    )
    assert "-x: 1\r\n+x: 3\r\n" in shown
    assert "\\ No newline at end of file" in shown
    assert "\x1b" not in shown
    assert "\\x1b[31mred\\xff" in shown
    assert "--- /dev/null" in shown
    assert "+++ /dev/null" in shown


def test_markup_of_a_peer_is_shown_as_text():
    verdict = Verdict(
        State.FAILED,
        "DEGRADED",
        "[bold]x[/bold]",
        "main@sha1:" + "a" * 40,
        (Resource("Pod", "p", "n"),),
        Action.NONE,
        "a/b",
    )
    line = render.verdict_line(verdict)
    assert "[bold]x[/bold]" in line.plain
    assert "main@aaaaaaaaaaaa" in line.plain
    finding = render.finding_line(Finding(Level.ERROR, "x.y", "[red]bad[/red]", "here", "do this"))
    assert "[red]bad[/red] [x.y]" in finding.plain
    assert "do this" in finding.plain


def test_errors_are_told_to_people_and_programs(capsys):
    error = Refused(Code.EDIT_ALIAS, "the value is an alias", where="a.yaml: b", hint="edit the anchor")
    tell(error, as_json=True)
    assert json.loads(capsys.readouterr().out)["error"] == {
        "code": "edit.alias",
        "message": "the value is an alias",
        "where": "a.yaml: b",
        "hint": "edit the anchor",
    }
    tell(error, as_json=False)
    assert "hint: edit the anchor" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name):
    runner = CliRunner()
    shown = runner.invoke(loopseal, [name, "--help"])
    assert shown.exit_code == 0, shown.output
    command = loopseal.get_command(click.Context(loopseal), name)
    leaves = list(command.commands.values()) if isinstance(command, click.Group) else [command]
    for leaf in leaves:
        assert name == "version" or f"loopseal {name}" in (leaf.help or ""), leaf.name


def test_an_unknown_command_is_a_usage_error():
    assert CliRunner().invoke(loopseal, ["deploy"]).exit_code == 2
