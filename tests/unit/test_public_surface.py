"""The flat public surface is complete, sorted, importable, and light."""

from __future__ import annotations

import subprocess
import sys

import loopseal


def test_all_is_sorted_and_whole():
    assert loopseal.__all__ == sorted(loopseal.__all__)
    assert set(loopseal.__all__) - {"__version__"} == set(loopseal._HOME_OF)


def test_every_name_can_be_had():
    for name in loopseal.__all__:
        assert getattr(loopseal, name) is not None
    assert set(dir(loopseal)) == set(loopseal.__all__)


def test_other_names_are_no_attributes():
    assert not hasattr(loopseal, "nothing_of_the_kind")


def test_importing_it_imports_nothing_heavy():
    heavy = ("httpx2", "yaml", "tree_sitter", "cryptography", "lightkube", "rich", "click", "airflow", "opentelemetry")
    code = f"import sys, loopseal, loopseal.domain.proposal; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
