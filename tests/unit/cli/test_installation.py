"""`loopseal installation simulate`: what is said, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loopseal.cli import main
from tests.unit.installation import lab

GOOD = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "v"}}


def ended(*arguments: object) -> object:
    with pytest.raises(SystemExit) as end:
        main(["installation", "simulate", *map(str, arguments)])
    return end.value.code


def written(path: Path, *documents: object) -> Path:
    path.write_text("\n---\n".join(map(json.dumps, documents)))
    return path


def test_what_converges_ends_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(written(tmp_path / "a.yaml", GOOD)) == 0
    assert capsys.readouterr().out.startswith("the sync ends, and everything is healthy then")


@pytest.mark.parametrize("engine", ["argocd", "flux"])
def test_the_chart_as_it_comes_never_starts_with_argo_cd(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: str
) -> None:
    chart = lab.chart("1.22.0-defaults")
    file = written(tmp_path / "all.json", {"kind": "List", "items": [dict(one.body) for one in chart]})
    given = [word for key in lab.secrets_of(chart) if key.kind == "Secret" for word in ("--given", key)]
    assert ended(file, "--json", "--engine", engine, *given) == (1 if engine == "argocd" else 0)
    told = json.loads(capsys.readouterr().out)
    assert told["converges"] is (engine == "flux")
    if engine == "argocd":
        assert {"object": "StatefulSet/airflow-worker", "needs": ["Job/run-airflow-migrations done"]} in told["blocked"]


def test_a_folder_is_all_of_its_files_and_an_external_secret_makes_its_secret(tmp_path: Path) -> None:
    pod = {"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "made"}}]}]}
    written(tmp_path / "deployment.yaml", {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": {"spec": pod}},
    })  # fmt: skip
    assert ended(tmp_path) == 1
    external = {"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": "es"}}
    written(tmp_path / "secret.yml", {**external, "spec": {"target": {"name": "made"}}}, crd())
    assert ended(tmp_path) == 0


def crd() -> dict[str, object]:
    names = {"kind": "ExternalSecret", "plural": "externalsecrets"}
    spec = {"group": "external-secrets.io", "names": names, "versions": [{"name": "v1"}]}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "e"}, "spec": spec}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1\nb: 2", "is no YAML"),
        ("- a\n- b", "no mapping"),
        ("a: &a [x]\nb: [" + ", ".join(["*a"] * 101) + "]", "more than 100 aliases"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str) -> None:
    (tmp_path / "broken.yaml").write_text(text)
    assert ended(tmp_path) == 3
    said = capsys.readouterr().err
    assert told in said
    assert "broken.yaml" in said


def test_what_is_given_has_a_kind_and_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(written(tmp_path / "a.yaml", GOOD), "--given", "airflow-metadata") == 2
    assert "KIND/NAME" in capsys.readouterr().err


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    written(tmp_path / "in/a.yaml", GOOD)
    (tmp_path / "outside.yaml").write_text("- not a manifest")
    (tmp_path / "in/link.yaml").symlink_to(tmp_path / "outside.yaml")
    assert ended(tmp_path / "in") == 0
