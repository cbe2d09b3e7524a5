"""Planted values: in no log, no XCom, no state store, nowhere in the database, whatever went wrong."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

from tests.airflow.loop import Loop


def test_no_planted_value_is_anywhere(loop: Loop) -> None:
    assert loop.run("loop_anew", tag="seen")[1] == "success"
    refuse(loop)
    try:
        run, state = loop.run("loop_worker", tag="refused")
    finally:
        admit(loop)
    assert state == "failed"
    assert loop.rest.task("loop_worker", run, "change")["try_number"] == 1
    found = [
        (name, path)
        for path in files(loop)
        for name, value in forms(loop).items()
        if value.encode() in path.read_bytes()
    ]
    assert found == []


def test_what_is_refused_says_so_without_the_value(loop: Loop) -> None:
    refuse(loop)
    try:
        _, state = loop.run("loop_anew", tag="refused")
    finally:
        admit(loop)
    assert state == "failed"
    assert "git.authentication" in loop.stack.task_logs("loop_anew")


def refuse(loop: Loop) -> None:
    loop.peers.git.users["loopseal"] = "rotated-away"


def admit(loop: Loop) -> None:
    loop.peers.git.users["loopseal"] = loop.peers.secrets["git"]


def forms(loop: Loop) -> dict[str, str]:
    """The values, and as they travel: Basic authentication is base64."""
    pair = f"loopseal:{loop.peers.secrets['git']}"
    key = loop.peers.key.read_text().splitlines()[2]
    return {**loop.peers.secrets, "basic": base64.b64encode(pair.encode()).decode(), "signing key": key}


def files(loop: Loop) -> Iterator[Path]:
    """Everything that Airflow wrote: logs, database with its journal, rendered fields, sockets left out."""
    return (path for path in loop.stack.home.rglob("*") if path.is_file())
