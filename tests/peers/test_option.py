"""`--peers`: without it the tests on the real world are not run, with it they are; the others run either way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def collected(*options: str) -> list[str]:
    """The tests of this folder's cluster and build that would run."""
    files = ["tests/peers/test_cluster.py", "tests/peers/test_build.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only", *options, *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.parametrize(("options", "real"), [((), False), (("--peers",), True)])
def test_the_real_world_is_entered_only_when_asked(options: tuple[str, ...], real: bool) -> None:
    names = collected(*options)
    assert any("test_cluster.py" in name for name in names) == real
    assert any("test_build.py" in name for name in names)
