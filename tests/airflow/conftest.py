"""One real Airflow and one set of peers for all tests of this folder, which therefore run in one worker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from loopseal.testing.airflow_stack import AirflowStack
from tests.airflow.loop import EXAMPLES, HERE, Loop, environment, make_key
from tests.airflow.peers import peers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.airflow)


@pytest.fixture(scope="session")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A healthy Airflow with the test Dags, in front of running peers."""
    home = tmp_path_factory.mktemp("loop")
    dags = home / "dags"
    shutil.copytree(HERE / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    for example in EXAMPLES:
        shutil.copy(example, dags)
    with peers(home / "git") as one:
        one.key = make_key(home, one.secrets["passphrase"])
        with AirflowStack(home / "airflow", dags, environment(one, home)) as stack:
            yield Loop(stack, one)
