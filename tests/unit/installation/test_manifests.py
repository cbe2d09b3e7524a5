"""Reading manifests: whatever JSON one is, everything about it answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.installation.manifests import Key, Manifest
from loopseal.installation.simulate import Options, World, sync
from loopseal.installation.simulate.annotations import HELM_HOOK, HELM_WEIGHT, HOOK, WAVE, Phase, hooks, wave
from loopseal.installation.simulate.fields import unknown
from loopseal.installation.simulate.needs import Need, migrations, needs

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
NAMES = st.sampled_from(
    [
        "kind",
        "apiVersion",
        "metadata",
        "name",
        "annotations",
        "spec",
        "template",
        "containers",
        "initContainers",
        "env",
        "valueFrom",
        "secretKeyRef",
        "volumes",
        "secret",
        "configMap",
        "secretName",
        "args",
        "image",
        "replicas",
        "ports",
        "port",
        "names",
        "group",
        "volumeClaimTemplates",
        "envFrom",
    ]
) | st.sampled_from([HOOK, WAVE, HELM_HOOK, HELM_WEIGHT])
KINDS = st.sampled_from(
    ["Deployment", "Job", "Service", "Namespace", "CustomResourceDefinition", "ConfigMap", "Pod", ""]
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6), max_leaves=30
)


@given(st.lists(st.tuples(KINDS, st.dictionaries(NAMES, JSON, max_size=6)), max_size=5))
def test_any_json_is_read_and_synced(bodies: list[tuple[str, dict[str, Any]]]) -> None:
    manifests = [Manifest({**body, "kind": kind}) for kind, body in bodies]
    for one in manifests:
        assert isinstance(one.key, Key)
        assert isinstance(wave(one), int)
        assert list(unknown(one)) == list(unknown(one))
        assert all(isinstance(need, Need) for need in needs(one, migrations))
    outcome = sync(manifests, World(), Options())
    assert outcome == sync(manifests, World(), Options()), "the same manifests, the same outcome"
    assert {key for group in outcome.applied for key in group} <= {one.key for one in manifests}


def annotated(**annotations: str) -> Manifest:
    return Manifest({"kind": "Job", "metadata": {"name": "j", "annotations": annotations}})


@pytest.mark.parametrize(
    ("annotations", "wanted"),
    [
        ({}, None),
        ({HOOK: "Sync"}, (Phase.SYNC,)),
        ({HOOK: "PreSync, PostSync,PreSync"}, (Phase.PRE_SYNC, Phase.POST_SYNC)),
        ({HOOK: "Presync"}, ()),
        ({HOOK: "Presync,Sync"}, (Phase.SYNC,)),
        ({HELM_HOOK: "post-install,post-upgrade"}, (Phase.POST_SYNC,)),
        ({HELM_HOOK: "pre-install"}, (Phase.PRE_SYNC,)),
        ({HELM_HOOK: "test"}, ()),
        ({HELM_HOOK: "crd-install"}, None),
        ({HELM_HOOK: "pre-install", HOOK: "Sync"}, (Phase.SYNC,)),
    ],
)
def test_when_a_hook_runs(annotations: dict[str, str], wanted: tuple[Phase, ...] | None) -> None:
    assert hooks(annotated(**annotations)) == wanted


@pytest.mark.parametrize(
    ("annotations", "wanted"),
    [({}, 0), ({WAVE: "-5"}, -5), ({WAVE: "first"}, 0), ({HELM_WEIGHT: "3"}, 3), ({WAVE: "1", HELM_WEIGHT: "3"}, 1)],
)
def test_its_wave(annotations: dict[str, str], wanted: int) -> None:
    assert wave(annotated(**annotations)) == wanted


def job(**container: Any) -> Manifest:
    return Manifest(
        {"kind": "Job", "metadata": {"name": "j"}, "spec": {"template": {"spec": {"containers": [container]}}}}
    )


def test_what_pods_need() -> None:
    env = [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "perhaps", "key": "k", "optional": True}}},
    ]
    found = needs(job(env=env, envFrom=[{"configMapRef": {"name": "c"}}]), lambda _: ())
    assert set(map(str, found)) == {"Secret/s", "ConfigMap/c"}


def test_a_variable_that_the_create_user_job_spells_and_nobody_sets_is_a_need() -> None:
    script = 'airflow users create "$@" --username "${AIRFLOW_DEFAULT_USERNAME}" --email "${AIRFLOW_DEFAULT_EMAIL}"'
    set_ = [{"name": "AIRFLOW_DEFAULT_USERNAME", "value": "admin"}]
    assert "Env/AIRFLOW_DEFAULT_EMAIL" in set(map(str, needs(job(args=["bash", "-c", script], env=set_), migrations)))
    whole = needs(job(args=["bash", "-c", script], envFrom=[{"secretRef": {"name": "admin"}}]), migrations)
    assert set(map(str, whole)) == {"Secret/admin", "Job/run-airflow-migrations done"}


def test_a_field_that_the_api_server_drops_is_told_with_its_path() -> None:
    spec = {"replicass": 1, "template": {"spec": {"containers": [{"name": "c", "imag": "x"}], "nodeselector": {}}}}
    manifest = Manifest({"kind": "Deployment", "metadata": {"name": "d"}, "spec": spec})
    assert list(unknown(manifest)) == [
        "spec.replicass",
        "spec.template.spec.nodeselector",
        "spec.template.spec.containers.imag",
    ]
