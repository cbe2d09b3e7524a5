"""What is taken out of a recording, and what stays so that it can be judged."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loopseal.engines import argocd_verdict
from loopseal.engines.scrub import Scrubber
from tests.unit.engines.built_objects import QUICK, X, app, ask, kustomization, merged

scrub = Scrubber(b"key")


def test_equal_values_stay_equal_and_others_differ():
    out = scrub({"a": {"token": "one"}, "b": {"token": "one"}, "c": {"token": "two"}, "d": {"token": ""}})
    assert out["a"] == out["b"]
    assert out["a"] != out["c"]
    assert out["a"]["token"].startswith("***")
    assert out["d"] == {"token": ""}
    assert Scrubber(b"other")({"a": {"token": "one"}})["a"] != out["a"]


def test_what_only_looks_like_a_secret_stays():
    kept = {
        "secretRef": {"name": "git-credentials"},
        "secretName": "tls",
        "lastHandledReconcileAt": "2026-11-21T12:00:00Z/x",
        "env": [{"name": "LOG_LEVEL", "value": "debug"}],
        "kind": "ConfigMap",
        "data": {"value": "1"},
        "number": 7,
        "none": None,
    }
    assert scrub(kept) == kept


def test_helm_values_are_masked_wherever_they_stand():
    out = scrub({"helm": {"valuesObject": {"replicas": 3, "on": True, "x": None, "list": ["a"]}, "values": "a: b"}})
    assert out["helm"]["valuesObject"]["on"] is True
    assert out["helm"]["valuesObject"]["x"] is None
    assert str(out["helm"]["valuesObject"]["replicas"]).startswith("***")
    assert out["helm"]["valuesObject"]["list"][0].startswith("***")
    assert out["helm"]["values"].startswith("***")


def test_the_verdict_on_what_is_left_is_the_same():
    with_values = {"source": {"helm": {"values": "password: x", "valuesObject": {"a": 1}}}}
    obj = app(over={"spec": with_values, "status": {"sync": {"comparedTo": with_values}}})
    edited = merged(obj, {"spec": {"source": {"helm": {"values": "password: y"}}}})
    for one in (obj, edited):
        before = argocd_verdict.judge(one, X, (0,), ask, 0.0, {}, QUICK)
        after = argocd_verdict.judge(scrub(one), X, (0,), ask, 0.0, {}, QUICK)
        assert before == after


def test_deep_nesting_is_cut():
    deep: dict = {}
    for _ in range(5_000):
        deep = {"x": [deep]}
    assert len(repr(scrub(deep))) < 1_000
    values: dict = {}
    for _ in range(5_000):
        values = {"x": [values]}
    assert len(repr(scrub({"values": values}))) < 1_000


def test_recorded_objects_keep_their_shape():
    assert scrub(kustomization()) == kustomization()
    assert scrub(app()) == app()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=4))
def test_scrubbing_twice_is_scrubbing_once_but_for_masks(body):
    once = scrub(body)
    assert scrub(once) == once or "***" in repr(once)
