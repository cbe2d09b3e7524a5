from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from loopseal.testing import objects
from loopseal.testing.manifests import Unreadable, render

WEB = yaml.safe_dump(objects.deployment("web", "registry.test/web:v1"))
SETTINGS = yaml.safe_dump(objects.config_map("settings", a="1"))


def kinds(items: list[dict[str, object]]) -> list[str]:
    return [str(item["kind"]) for item in items]


def test_plain_files_in_their_order_and_several_documents_each() -> None:
    files = {"b.yaml": WEB, "a.yml": f"{SETTINGS}---\n{SETTINGS}", "README.md": "no"}
    assert kinds(render(files, "x")) == ["ConfigMap", "ConfigMap", "Deployment"]


def test_subfolders_only_when_recursing() -> None:
    assert kinds(render({"sub/a.yaml": WEB}, "x")) == []
    assert kinds(render({"sub/a.yaml": WEB}, "x", recurse=True)) == ["Deployment"]


def test_what_does_not_look_like_a_manifest_is_skipped_without_a_word_or_refused_by_flux() -> None:
    broken = "kind: ConfigMap\n  : {{{ not yaml\n"
    assert render({"bad.yaml": broken, "web.yaml": WEB}, "x") != []
    with pytest.raises(Unreadable, match="yaml: line"):
        render({"bad.yaml": broken}, "x", recurse=True)
    with pytest.raises(Unreadable, match="missing"):
        render({"bad.yaml": "just: data\n"}, "x", recurse=True)


def test_what_looks_like_a_manifest_must_be_yaml() -> None:
    with pytest.raises(Unreadable) as caught:
        render({"bad.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  : {{{ n"}, "x")
    assert caught.value.file == "bad.yaml"


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ({"newTag": "v2"}, "registry.test/web:v2"),
        ({"newName": "other/web"}, "other/web:v1"),
        ({"digest": "sha256:ab"}, "registry.test/web@sha256:ab"),
        ({"newName": "other/web", "newTag": "v3"}, "other/web:v3"),
    ],
)
def test_a_kustomization_replaces_images(entry: dict[str, str], wanted: str) -> None:
    plan = {
        "resources": ["web.yaml"],
        "namespace": "team",
        "images": [{"name": "registry.test/web", **entry}, {"name": "elsewhere", "newTag": "x"}],
    }
    [item] = render({"kustomization.yaml": yaml.safe_dump(plan), "web.yaml": WEB, "other.yaml": SETTINGS}, "x")
    assert item["spec"]["template"]["spec"]["containers"][0]["image"] == wanted
    assert item["metadata"]["namespace"] == "team"


def test_a_kustomization_names_files_that_are_there() -> None:
    with pytest.raises(Unreadable, match="no such file"):
        render({"kustomization.yaml": "resources: [gone.yaml]"}, "x")


def test_a_registry_with_a_port_is_no_tag() -> None:
    web = yaml.safe_dump(objects.deployment("web", "localhost:5000/web"))
    plan = "resources: [web.yaml]\nimages: [{name: 'localhost:5000/web', newTag: v2}]"
    [item] = render({"kustomization.yaml": plan, "web.yaml": web}, "x")
    assert item["spec"]["template"]["spec"]["containers"][0]["image"] == "localhost:5000/web:v2"


def test_a_chart_fills_in_values_and_knows_nothing_else() -> None:
    template = SETTINGS.replace("settings", "{{ .Release.Name }}").replace(
        "'1'", '"{{ .Values.a.b }}{{ .Values.gone }}"'
    )
    files = {"Chart.yaml": "name: x", "values.yaml": "a: {b: 7}", "templates/settings.yaml": template}
    [item] = render(files, "payments")
    assert item["metadata"]["name"] == "payments"
    assert item["data"] == {"a": "7"}
    with pytest.raises(Unreadable, match="no template function"):
        render({**files, "templates/settings.yaml": SETTINGS.replace("settings", "{{ include x }}")}, "payments")


@given(st.text("abc123", min_size=1, max_size=8), st.integers(0, 9))
def test_values_alone_become_a_deployment_and_a_config_map(tag: str, replicas: int) -> None:
    text = yaml.safe_dump(
        {"image": {"tag": tag}, "replicaCount": replicas, "model": {"threshold": 0.5, "names": ["a"]}}
    )
    settings, web = render({"values.yaml": text}, "payments")
    assert web["spec"]["template"]["spec"]["containers"][0]["image"] == f"registry.test/payments:{tag}"
    assert web["spec"]["replicas"] == replicas
    assert settings["data"] == {"model.threshold": "0.5", "model.names.0": "a"}
