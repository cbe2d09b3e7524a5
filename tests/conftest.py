"""What every test runs under: no network below `unit/`, one hypothesis profile, and no real peers without `--peers`.

A unit test that opens a socket fails at once; only Unix sockets pass, because an asyncio event loop owns a pair of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_socket
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.peers.fixtures"]

UNIT = Path(__file__).parent / "unit"

settings.register_profile("loopseal", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("loopseal")


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest) -> Iterator[None]:
    inside = UNIT in request.path.parents
    if inside:
        pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    if inside:
        pytest_socket.enable_socket()


@pytest.hookimpl(optionalhook=True)  # the provider is also tested without xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One worker runs all tests that start an Airflow, from the beginning; whoever is free takes the others one by one.

    Two Airflows on two cores would only slow each other down, and the fixtures that start one are made once.
    """
    from xdist.scheduler import LoadScopeScheduling

    class OneAirflow(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "airflow" if nodeid.startswith(("tests/airflow/", "tests/e2e/test_demo")) else nodeid

    return OneAirflow(config, log)
