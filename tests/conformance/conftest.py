"""Runs every scenario of this folder in every world that it has a meaning for, and writes down what came of it.

A scenario is a coroutine function that takes a `world`. `@pytest.mark.without(kind, why)` says for which kind it has no
meaning, and why: that is what the table then shows. What is real is marked `peers`. With `--results` the outcomes of
this run go into `results.json`, of which the table in the docs is made.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from loopseal.testing.clock import run
from tests.conformance import results, rights
from tests.conformance.real_argocd import RealArgoCD
from tests.conformance.real_flux import RealFlux
from tests.conformance.simulated_argocd import SimulatedArgoCD
from tests.conformance.simulated_flux import SimulatedFlux
from tests.conformance.stage import Stage
from tests.conformance.world import Kind, World
from tests.peers.cluster import Cluster

Scenario = Callable[[World], Coroutine[Any, Any, None]]
Play = Callable[[Scenario], None]

SIMULATED: Final = {Kind.ARGOCD: SimulatedArgoCD, Kind.OBJECTS: SimulatedArgoCD, Kind.FLUX: SimulatedFlux}
REAL: Final = {Kind.ARGOCD: RealArgoCD, Kind.OBJECTS: RealArgoCD, Kind.FLUX: RealFlux}
NOTED: Final = "conformance"
"""The property of a test's report that holds its outcome."""
_LIMIT: Final = 500.0
_CANCELLED: Final = r"ignore:Exception ignored in. <(function _SelectorTransport|socket\.socket):pytest.PytestUnraisableExceptionWarning"
"""A wait that is let go of in the middle of a TLS handshake: httpcore then leaves the socket to the garbage collector."""
_TOGETHER: Final = 8
"""Scenarios that are played at once."""
_BATCHES: Final[pytest.StashKey[dict[Cluster, Batches]]] = pytest.StashKey()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per world."""
    if "world" in metafunc.fixturenames:
        reasons = results.without(metafunc.definition)
        kinds = [kind for kind in Kind if kind not in reasons]
        simulated = [pytest.param(f"{results.SIMULATED}-{kind}") for kind in kinds]
        marks = (
            pytest.mark.peers,
            pytest.mark.timeout(_LIMIT + 100),  # the first of a batch plays them all
            pytest.mark.filterwarnings(_CANCELLED),
        )
        real = [pytest.param(f"{results.REAL}-{kind}", marks=marks) for kind in kinds]
        metafunc.parametrize("world", [*simulated, *real], indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A scenario is run by its world."""
    play: Any = pyfuncitem.funcargs.get("world")
    if play is None:
        return None
    play(pyfuncitem.obj)
    return True


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Play:
    """What runs a scenario."""
    one = _Scenario(request.node)
    request.node.user_properties.append((NOTED, one.noted))
    if one.tier == results.REAL:
        request.node.fixturenames.append("cluster")  # so that a failure shows the logs of the programs
        cluster = request.getfixturevalue("cluster")
        batches = request.config.stash.setdefault(_BATCHES, {})
        if cluster not in batches:
            rights.guard(cluster)
            record = request.config.getoption("--record", default=False)
            batches[cluster] = Batches(cluster, request.session.items, record=record)
        return lambda _: batches[cluster].play(one)

    def simulated(scenario: Scenario) -> None:
        random.seed(one.name)
        run(lambda: one.play(SIMULATED[one.kind](one.kind, one.name, tmp_path)))

    return simulated


class _Scenario:
    """One scenario in one world."""

    def __init__(self, item: pytest.Item) -> None:
        assert isinstance(item, pytest.Function)
        parameter = str(item.callspec.params["world"])
        self.id, self.name, self.run = item.nodeid, item.function.__name__, item.function
        self.tier, _, kind = parameter.partition("-")
        self.kind, self.alone = Kind(kind), item.get_closest_marker("alone") is not None
        self.noted: dict[str, Any] = {"scenario": results.scenario(item), "world": parameter, "seconds": None}

    async def play(self, stage: Stage) -> None:
        """Play it. Raises whatever the scenario raises."""
        async with asyncio.timeout(_LIMIT), stage:
            await self.run(stage)
            ended = [one for one in stage.waits if one.seconds]
            self.noted["seconds"] = round(ended[-1].seconds, 1) if ended else None


class Batches:
    """Plays what is real: scenarios of one kind together on one event loop, but for those that kill what others need.

    Most of a scenario is waiting for the engine, so that many cost little more time than one.
    """

    def __init__(self, cluster: Cluster, items: Sequence[pytest.Item], *, record: bool) -> None:
        self._cluster, self._record = cluster, record
        real = [_Scenario(one) for one in items if str(getattr(one, "callspec", "")).find(f"{results.REAL}-") >= 0]
        self._together = [one for one in real if not one.alone]
        self._ended: dict[str, tuple[dict[str, Any], BaseException | None]] = {}
        self._numbers = count(1)

    def play(self, one: _Scenario) -> None:
        """Raises what the scenario raised, whenever it was played."""
        if one.id not in self._ended:
            self._cluster.processes.revive()
            batch = [one] if one.alone else [other for other in self._together if other.kind is one.kind]
            asyncio.run(self._play(batch))
        noted, error = self._ended.pop(one.id)
        one.noted.update(noted)
        if error is not None:
            raise error

    async def _play(self, batch: Sequence[_Scenario]) -> None:
        room = asyncio.Semaphore(_TOGETHER)

        async def play(one: _Scenario) -> None:
            async with room:
                stage = REAL[one.kind](one.kind, one.name, self._cluster, next(self._numbers))
                if self._record:
                    await stage.recorded(one.play)
                else:
                    await one.play(stage)

        errors = await asyncio.gather(*map(play, batch), return_exceptions=True)
        self._ended |= {one.id: (one.noted, error) for one, error in zip(batch, errors, strict=True)}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Only heard when this folder is named on the command line."""
    parser.addoption(
        "--results",
        action="store_true",
        help="write the outcomes down: tests/conformance/results.json, docs/reference/random-waits.md",
    )
    parser.addoption("--record", action="store_true", help="re-record tests/recorded/conformance from the real peers")


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
            self.run.note(**noted, passed=report.passed)

    def pytest_sessionfinish(self) -> None:
        self.run.write()
