"""Every example parses, has one Dag with our tasks, and says what it shows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow 3.1
    from airflow.models.dagbag import DagBag

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("[0-9]*/*.py"))


def test_they_are_numbered_without_a_gap() -> None:
    numbers = [int(path.parent.name[:2]) for path in EXAMPLES]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_it_parses_and_says_what_it_shows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW__LOOPSEAL__CONFIG", raising=False)
    monkeypatch.delenv("LOOPSEAL_CONFIG", raising=False)
    bag = DagBag(str(path))
    assert not bag.import_errors
    (dag,) = bag.dags.values()
    assert any(hasattr(getattr(task, "operator_class", type(task)), "loopseal_verb") for task in dag.tasks)
    assert ast.get_docstring(ast.parse(path.read_text()))
