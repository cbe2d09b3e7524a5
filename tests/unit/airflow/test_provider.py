"""What Airflow is told about the provider, and what importing it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import airflow
import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager

import loopseal.airflow
from loopseal.airflow.get_provider_info import get_provider_info

HEAVY = ("httpx2", "tree_sitter", "tree_sitter_yaml", "lightkube", "rfc8785", "pysequoia", "loopseal.wiring",
         "loopseal.usecases", "loopseal.git", "loopseal.engines", "loopseal.settings", "loopseal.credentials")  # fmt: skip


def test_the_description_is_as_airflow_wants_it() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_everything_that_is_named_exists() -> None:
    from importlib import import_module

    info = get_provider_info()
    for section in ("operators", "sensors", "triggers", "hooks"):
        for entry in info[section]:
            for module in entry["python-modules"]:
                import_module(module)
    classes = [one["hook-class-name"] for one in info["connection-types"]]
    for path in [*classes, *info["extra-links"], *(one["class-name"] for one in info["task-decorators"])]:
        module, _, name = path.rpartition(".")
        assert getattr(import_module(module), name)


def test_every_public_name_is_there_and_sorted() -> None:
    assert loopseal.airflow.__all__ == sorted(loopseal.airflow.__all__)
    assert set(loopseal.airflow.__all__) == set(loopseal.airflow._HOME)
    for name in loopseal.airflow.__all__:
        assert getattr(loopseal.airflow, name) is not None
        assert name in dir(loopseal.airflow)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        loopseal.airflow.nothing_like_it  # noqa: B018 - asking is what is tested


def test_importing_the_operators_loads_nothing_heavy() -> None:
    program = (
        "import sys, airflow.sdk\n"
        "from loopseal.airflow import *\n"
        "from loopseal.airflow import GitOpsChangeOperator, ArgoCDSyncOperator, ApplicationHealthSensor\n"
        "print('\\n'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "loopseal.airflow.operators.change" in loaded
    assert not loaded & set(HEAVY)


@pytest.fixture(scope="module")
def providers() -> ProvidersManager:
    return ProvidersManager()


@pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")
def test_the_connection_forms_are_declared(providers: ProvidersManager) -> None:
    hooks = providers.hooks
    for kind, name in (("git", "Git repository"), ("argocd", "Argo CD"), ("kubernetes", "Kubernetes")):
        hook = hooks[f"loopseal_{kind}"]
        assert hook is not None
        assert name in hook.hook_name
        assert hook.connection_testable
    if airflow.__version__ < "3.2":
        return  # the form is declared since 3.2; before, the extra fields are JSON
    fields = set(providers.connection_form_widgets)
    assert {"extra__loopseal_git__private_key", "extra__loopseal_kubernetes__kubeconfig"} <= fields
    assert providers.field_behaviours["loopseal_argocd"]["relabeling"]["password"] == "API token"


def test_the_decorator_is_registered(providers: ProvidersManager) -> None:
    from airflow.sdk import task

    providers.initialize_providers_taskflow_decorator()
    assert callable(task.gitops_change)


def test_the_links_are_registered(providers: ProvidersManager) -> None:
    assert {"loopseal.airflow.links.CommitLink", "loopseal.airflow.links.ApplicationLink"} <= set(
        providers.extra_links_class_names
    )


def test_the_configuration_has_its_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    from loopseal.airflow import config

    for name in ("CONFIG", "INSTANCE", "CHECK_TARGETS", "REQUIRE_TARGET_FOR", "RESTRICT_LABELS"):
        monkeypatch.delenv(f"AIRFLOW__LOOPSEAL__{name}", raising=False)
    assert config.settings_path() is None
    assert config.check_targets()
    assert config.require_target_for() == frozenset()
    assert config.restrict_labels() == frozenset()
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example")
    assert config.instance() == "https://airflow.example"
    monkeypatch.setenv("AIRFLOW__LOOPSEAL__INSTANCE", "one")
    assert config.instance() == "one"


def test_the_macro_reads_an_outcome() -> None:
    from loopseal.airflow.plugin import LoopsealPlugin, revision

    assert LoopsealPlugin.macros == [revision]
    assert revision({"revision": "abc"}) == "abc"
    assert revision({}) == revision(None) == ""


def test_a_trigger_holds_longer_than_the_executor_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    from loopseal.airflow import compat

    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "3")
    assert compat.hold() == 8.0
