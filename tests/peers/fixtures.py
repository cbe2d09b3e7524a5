"""pytest fixtures for tests on the real peers, and the option `--peers` without which those tests are not collected.

A test that needs the real world is marked `peers`; so is a parameter: `pytest.param("flux", marks=pytest.mark.peers)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.peers.argocd import ArgoCD
from tests.peers.cluster import Cluster
from tests.peers.flux import Flux

_CLUSTER: pytest.StashKey[Cluster] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--peers", action="store_true", help="run the tests on the real peers too (make peers-build)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "peers: needs the real peers (--peers)")
    config.addinivalue_line("markers", "smoke: the part of the real tier that CI runs")


@pytest.hookimpl(trylast=True)  # after those that mark
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--peers"):
        return
    real = [item for item in items if item.get_closest_marker("peers")]
    if real:
        config.hook.pytest_deselected(items=real)
        items[:] = [item for item in items if item not in set(real)]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Kubernetes with Argo CD, Flux and a Git host, for all tests of this session."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as one:
        request.config.stash[_CLUSTER] = one
        yield one


@pytest.fixture
def argocd(cluster: Cluster) -> Iterator[ArgoCD]:
    """The Argo CD of `cluster`, every process of the cluster running, before and after."""
    cluster.processes.revive()
    yield cluster.argocd
    cluster.processes.revive()


@pytest.fixture
def flux(cluster: Cluster) -> Iterator[Flux]:
    """The Flux of `cluster`, every process of the cluster running, before and after."""
    cluster.processes.revive()
    yield cluster.flux
    cluster.processes.revive()


@pytest.fixture
def repository(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a repository of `cluster.git` that no other test has; empty, and made by the first commit."""
    name = f"{request.node.name.partition('[')[0].replace('_', '-')}-{len(list(cluster.git.root.iterdir()))}.git"
    yield name
    cluster.git.slow.pop(name, None)
    cluster.git.down.discard(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    """The end of every log beside a failure."""
    report = yield
    cluster = item.config.stash.get(_CLUSTER, None)
    if report.failed and cluster is not None and "cluster" in getattr(item, "fixturenames", ()):
        report.sections += [(f"log of {name}", tail) for name, tail in cluster.processes.tails().items() if tail]
    return report
