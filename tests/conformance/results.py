"""The outcomes of the scenarios (`results.json`, checked in) and the table that is made of them.

    python -m pytest --peers --results tests/conformance      writes the outcomes of that run over those of the last
    make docs                                                 renders docs/reference/conformance.md

What a run did not play keeps its old outcome, with its old date. Pure but for `Run.write` and `known`.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conformance.world import Kind
from tests.peers import pins

SIMULATED, REAL = "simulated", "real"
HERE: Final = Path(__file__).parent
FILE: Final = HERE / "results.json"

COLUMNS: Final = tuple(f"{tier}-{kind}" for kind in Kind for tier in (SIMULATED, REAL))
"""`simulated-argocd`, `real-argocd`, …"""


def without(item: Any) -> Mapping[Kind, str]:
    """For which kinds a scenario has no meaning, and why."""
    return {Kind(mark.args[0]): mark.args[1] for mark in item.iter_markers("without")}


def scenario(item: pytest.Item) -> str:
    """Its name, for people: `created late`."""
    name: str = item.function.__name__  # type: ignore[attr-defined]  # every scenario is a function
    return name.removeprefix("test_").replace("_", " ")


def versions() -> Mapping[str, str]:
    """What each column ran against."""
    argo, flux = pins.program("argocd").version, pins.program("kustomize-controller").version
    kubernetes = pins.program("kube-apiserver").version
    real = {
        Kind.ARGOCD: f"Argo CD {argo}",
        Kind.OBJECTS: f"Argo CD {argo}, Kubernetes {kubernetes}",
        Kind.FLUX: f"Flux controllers {flux}, Kubernetes {kubernetes}",
    }
    return {
        f"{tier}-{kind}": real[kind] if tier == REAL else "this commit" for kind in Kind for tier in (SIMULATED, REAL)
    }


@dataclass(slots=True)
class Run:
    """The outcomes of one run, in the order in which they came."""

    cells: dict[str, dict[str, Any]] = field(default_factory=dict)

    def note(self, *, scenario: str, world: str, seconds: float | None, passed: bool) -> None:
        """One outcome; `seconds` is from the beginning of the last wait to its final verdict."""
        told = {"passed": passed, "version": versions()[world]}
        if world.startswith(REAL):  # of the simulators the version is this commit
            told["date"] = datetime.now(UTC).date().isoformat()
        self.cells.setdefault(scenario, {})[world] = {**told, "seconds": seconds}

    def write(self) -> None:
        """Put them over those that are known."""
        found = known()
        for name, cells in self.cells.items():
            found.setdefault(name, {}).update(cells)
        ordered = {name: dict(sorted(found[name].items())) for name in sorted(found)}
        FILE.write_text(json.dumps(ordered, indent=1) + "\n")


def known() -> dict[str, dict[str, Any]]:
    """Scenario -> world -> outcome, as last written."""
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return found


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario as its file declares it; `reasons` by kind, for those it has no meaning for."""

    name: str
    file: str
    reasons: Mapping[Kind, str]


def rows() -> Iterator[Row]:
    """All scenarios, in the order in which they stand in their files. Read, not imported: the docs need no pytest run."""
    for file in sorted(HERE.glob("test_*.py")):
        tree = ast.parse(file.read_text())
        texts = {
            target.id: ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in tree.body:
            if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_"):
                reasons = dict(_reason(mark, texts) for mark in node.decorator_list if _is_reason(mark))
                yield Row(node.name.removeprefix("test_").replace("_", " "), file.stem, reasons)


def _is_reason(mark: ast.expr) -> bool:
    return isinstance(mark, ast.Call) and isinstance(mark.func, ast.Attribute) and mark.func.attr == "without"


def _reason(mark: ast.expr, texts: Mapping[str, str]) -> tuple[Kind, str]:
    assert isinstance(mark, ast.Call)
    kind, why = mark.args
    assert isinstance(kind, ast.Attribute)
    return Kind[kind.attr], texts[why.id] if isinstance(why, ast.Name) else str(ast.literal_eval(why))


_TITLES: Final = {
    Kind.ARGOCD: "Argo CD by its API",
    Kind.OBJECTS: "Argo CD by its objects",
    Kind.FLUX: "Flux",
}
_FILES: Final = {
    "test_applications": "Applications come, go, are held, depend on each other, are many",
    "test_changes": "What becomes of a commit",
    "test_trouble": "What goes wrong around a wait",
}


def page() -> str:
    """The reference page."""
    outcomes = known()
    reasons: list[str] = []
    lines = [_HEAD, *_sources(outcomes), ""]
    titles = [f"{_TITLES[kind]}, {tier}" for kind in Kind for tier in (SIMULATED, REAL)]
    lines += [f"| scenario | {' | '.join(titles)} |", f"|---|{'---|' * len(titles)}"]
    heading = ""
    for row in rows():
        if row.file != heading:
            heading = row.file
            lines.append(f"| **{_FILES[heading]}** |{' |' * len(titles)}")
        cells = [_cell(row, column, outcomes.get(row.name, {}), reasons) for column in COLUMNS]
        lines.append(f"| {row.name} | {' | '.join(cells)} |")
    lines += ["", "No meaning there:", "", *(f"{number}. {why}." for number, why in enumerate(reasons, 1)), ""]
    return "\n".join(lines)


def _cell(row: Row, column: str, outcomes: Mapping[str, Mapping[str, Any]], reasons: list[str]) -> str:
    """Outcome and time, or the number of the reason why there is none; it is added to `reasons` when it is new."""
    why = row.reasons.get(Kind(column.partition("-")[2]))
    if why is not None:
        if why not in reasons:
            reasons.append(why)
        return f"— ({reasons.index(why) + 1})"
    outcome = outcomes.get(column)
    if outcome is None:
        return "not played"
    took = "" if outcome["seconds"] is None else f" {outcome['seconds']:.1f} s"
    return f"✓{took}" if outcome["passed"] else "✗"


def _sources(outcomes: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[str]:
    """What the real columns ran against, and when."""
    for kind in Kind:
        played = [cells[column] for cells in outcomes.values() if (column := f"{REAL}-{kind}") in cells]
        told = sorted({f"{one['version']} on {one['date']}" for one in played})
        if told:
            yield f"* {_TITLES[kind]}, real: {'; '.join(told)}"


_HEAD: Final = """\
# Conformance

Generated from the outcomes in `tests/conformance/results.json`, which `pytest --peers --results tests/conformance` writes;
a test compares. Every scenario is written once and played in two worlds: before the simulators of `loopseal.testing`, in
virtual time (in every `make test`), and before the real programs on one machine, in real time (`make peers`). There we
come with exactly the rights that stand in `deploy/`. A scenario passes when the verdict and its reason are the expected
ones, when the Deployment in the cluster is what the verdict says at the moment it is said, and when the evidence of a
failure names what failed. Seconds are from the beginning of the scenario's last wait to its final verdict; several
scenarios are played at once on two cores, so real ones are upper bounds. Thirty Airflow tasks at once on one branch, and a
hundred waits under random trouble, are tests of their own in `tests/peers`.
"""
