"""Every race of the list has a test that names it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.engines.races import RACES

TESTS = Path(__file__).parents[2]
NAMED = re.compile(r"\b([AF]\d{2})\b|(?<=_)([af]\d{1,2})(?=_|\()")


def claimed() -> dict[str, set[str]]:
    """Which files name which race."""
    found: dict[str, set[str]] = {}
    for path in TESTS.rglob("test_*.py"):
        if path.name != "test_races_complete.py":
            for upper, lower in NAMED.findall(path.read_text()):
                name = (upper or lower).upper()
                found.setdefault(f"{name[0]}{int(name[1:]):02}", set()).add(path.name)
    return found


def test_the_list_has_no_gap():
    assert [name for name in RACES if name[0] == "A"] == [f"A{number:02}" for number in range(1, 41)]
    assert [name for name in RACES if name[0] == "F"] == [f"F{number:02}" for number in range(1, 25)]


def test_every_race_is_named_by_a_test():
    found = claimed()
    assert [name for name in RACES if name not in found] == []


def test_every_race_of_one_object_is_named_by_the_judges_tests():
    mine = {name for name, files in claimed().items() if any(one.startswith("test_judge_") for one in files)}
    assert [name for name, (where, _) in RACES.items() if where == "object" and name not in mine] == []
