"""Runs every scenario of this folder in every world that it has a meaning for, and writes down what came of it.

A scenario is a coroutine function that takes a `world`. `@pytest.mark.without(kind, why)` says for which kind it has no
meaning, and why: that is what the table then shows. What is real is marked `peers`. With `--results` the outcomes of
this run go into `results.json`, of which the table in the docs is made.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from loopseal.testing.clock import run
from tests.conformance import results, rights
from tests.conformance.real import REAL
from tests.conformance.simulated import SIMULATED
from tests.conformance.stage import Stage
from tests.conformance.world import Kind, World

Scenario = Callable[[World], Coroutine[Any, Any, None]]
Play = Callable[[Scenario], None]

NOTED: Final = "conformance"
"""The property of a test's report that holds its outcome."""
_LIMIT: Final = 280.0
_guarded: set[int] = set()
_numbers = count(1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per world."""
    if "world" in metafunc.fixturenames:
        reasons = results.without(metafunc.definition)
        kinds = [kind for kind in Kind if kind not in reasons]
        simulated = [pytest.param(f"{results.SIMULATED}-{kind}") for kind in kinds]
        real = [pytest.param(f"{results.REAL}-{kind}", marks=pytest.mark.peers) for kind in kinds]
        metafunc.parametrize("world", [*simulated, *real], indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A scenario is run by its world."""
    play: Play | None = pyfuncitem.funcargs.get("world")
    if play is None:
        return None
    play(pyfuncitem.obj)
    return True


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Play:
    """What runs a scenario."""
    tier, _, named = str(request.param).partition("-")
    kind, name = Kind(named), request.function.__name__
    noted: dict[str, Any] = {"scenario": results.scenario(request.node), "world": request.param}
    request.node.user_properties.append((NOTED, noted))
    if tier == results.REAL:
        request.node.fixturenames.append("cluster")  # so that a failure shows the logs of the programs
        cluster = request.getfixturevalue("cluster")
        cluster.processes.revive()
        if id(cluster) not in _guarded:
            rights.guard(cluster)
            _guarded.add(id(cluster))
        return lambda scenario: asyncio.run(_play(scenario, REAL[kind](kind, name, cluster, next(_numbers)), noted))

    def simulated(scenario: Scenario) -> None:
        random.seed(name)
        run(lambda: _play(scenario, SIMULATED[kind](kind, name, tmp_path), noted))

    return simulated


async def _play(scenario: Scenario, stage: Stage, noted: dict[str, Any]) -> None:
    async with asyncio.timeout(_LIMIT), stage:
        await scenario(stage)
        ended = [one for one in stage.waits if one.seconds]
        noted["seconds"] = round(ended[-1].seconds, 1) if ended else None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Only heard when this folder is named on the command line."""
    parser.addoption("--results", action="store_true", help="write the outcomes into tests/conformance/results.json")


def pytest_configure(config: pytest.Config) -> None:
    """Listen, where somebody wants it written down; with several workers in the one process that hears them all."""
    if config.getoption("--results", default=False) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder(), "conformance-results")


class _Recorder:
    """Collects the outcomes of one run."""

    def __init__(self) -> None:
        self.run = results.Run()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        noted: Any = dict(report.user_properties).get(NOTED)
        if noted is not None and (report.when == "call" or report.failed):
            self.run.note(**{"seconds": None, **noted}, passed=report.passed)

    def pytest_sessionfinish(self) -> None:
        self.run.write()
