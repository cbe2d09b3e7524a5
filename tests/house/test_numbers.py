"""The numbers that the house holds itself to (ARCHITECTURE.md, house rules), read from the code itself."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_lines(path: Path) -> int:
    """Lines that are neither blank nor comment nor docstring."""
    text = path.read_text(encoding="utf-8")
    told = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = {line for one in tokens if one.type not in SILENT for line in range(one.start[0], one.end[0] + 1)}
    return len(lines - told)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_is_one_thing_and_its_functions_fit_a_screen(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 50, f"{node.name} is too long"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_says_what_lives_there(path):
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=name_of)
def test_no_room_for_leftovers(path):
    assert path.stem not in {"utils", "helpers", "common", "misc"}
    if path == Path(__file__):
        return
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"unittest\.mock|NotImplementedError|\bTODO\b|\bFIXME\b|assert True\b", text)


def test_ignored_types_are_few_and_each_says_why():
    found = [
        (name_of(path), line)
        for path in SOURCES
        for line in path.read_text(encoding="utf-8").splitlines()
        if "# type: ignore" in line
    ]
    for name, line in found:
        assert re.search(r"# type: ignore\[[a-z-, ]+\]\s+# \S", line), f"{name}: {line.strip()}"
    assert len(found) <= sum(map(code_lines, SOURCES)) / 1000 * 1.5


def test_tests_outweigh_what_they_test():
    """The simulators, and what the fixtures are made of, are test code that users get too."""
    simulators = [path for path in SOURCES if "testing" in path.parts]
    product = sum(code_lines(path) for path in SOURCES if path not in simulators)
    assert sum(map(code_lines, [*TESTS, *simulators])) >= 1.2 * product


def test_time_and_environment_are_read_in_one_place():
    allowed = {"settings", "testing", "wiring.py", "compat.py"}  # compat: Airflow calls us where no clock is
    for path in SOURCES:
        if allowed & {*path.parts}:
            continue
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\bos\.environ\b|\bdatetime\.now\(|\bdatetime\.utcnow\(", text), name_of(path)
