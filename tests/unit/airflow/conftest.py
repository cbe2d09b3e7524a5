"""Operators and triggers without Airflow's processes: a repository in a folder, engines that answer from a script."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

if "AIRFLOW_HOME" not in os.environ:  # before anything imports Airflow: it writes its configuration there
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="loopseal-airflow-")
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

from tests.unit.airflow import scripted
from tests.unit.airflow.stage import Stage, settings_of


def pytest_configure(config: pytest.Config) -> None:
    """Airflow 3.1 warns about imports of its own standard provider."""
    config.addinivalue_line("filterwarnings", "ignore:The `airflow")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """One repository, four applications, a settings file that Airflow's configuration names."""
    from airflow.sdk.bases.operator import ExecutorSafeguard

    bare = tmp_path / "apps.git"
    work = tmp_path / "work"
    run(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    run(tmp_path, "init", "--quiet", "--initial-branch=main", str(work))
    (work / "apps").mkdir()
    (work / "apps" / "values.yaml").write_text("image:\n  tag: v1\nreplicas: 1\n")
    run(work, "add", ".")
    run(work, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "begin")
    run(work, "push", "--quiet", str(bare), "main")
    config = tmp_path / "loopseal.yaml"
    config.write_text(json.dumps(settings_of(bare)))
    monkeypatch.setenv("AIRFLOW__LOOPSEAL__CONFIG", str(config))
    monkeypatch.setenv("AIRFLOW__LOOPSEAL__INSTANCE", "airflow.test")
    monkeypatch.setattr(ExecutorSafeguard, "test_mode", True)
    scripted.reset()
    yield Stage(bare, config)
    scripted.reset()


def run(folder: Path, *arguments: str) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(["git", *arguments], cwd=folder, check=True, env=clean)
