from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.testing.clock import LoopClock, run
from loopseal.testing.objects import application, config_map, deployment
from loopseal.testing.store import Change, Rejected, Store, merge

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)


def within(work: Callable[[Store], Any]) -> Any:
    async def main() -> Any:
        return work(Store(LoopClock()))

    return run(main)


def named(manifest: dict[str, Any], namespace: str = "team") -> dict[str, Any]:
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}


def test_versions_rise_with_every_change() -> None:
    def work(store: Store) -> None:
        first = store.create(named(config_map("a", x="1")))
        second = store.patch("ConfigMap", "team", "a", {"data": {"x": "2"}})
        assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
        assert second["metadata"]["uid"] == first["metadata"]["uid"]
        assert first["data"] == {"x": "1"}, "whoever holds a version holds it for ever"

    within(work)


def test_nothing_happens_when_nothing_changes() -> None:
    def work(store: Store) -> None:
        store.create(named(config_map("a", x="1")))
        seen: list[Change] = []
        store.listen(seen.append)
        assert store.patch("ConfigMap", "team", "a", {"data": {"x": "1"}}) is store.need("ConfigMap", "team", "a")
        assert store.apply(named(config_map("a", x="1")))[1] == "unchanged"
        assert seen == []

    within(work)


def test_a_status_write_raises_the_generation_only_without_a_status_subresource() -> None:
    def work(store: Store) -> None:
        store.create(named(deployment("web", "x:v1")))
        store.create(application("web", url="u", path="p"))
        status = {"status": {"observedGeneration": 1}}
        assert store.patch("Deployment", "team", "web", status)["metadata"]["generation"] == 1
        assert store.patch("Application", "argocd", "web", status)["metadata"]["generation"] == 2
        scaled = store.patch("Deployment", "team", "web", {"spec": {"replicas": 2}})
        assert scaled["metadata"]["generation"] == 2
        noted = store.patch("Deployment", "team", "web", {"metadata": {"annotations": {"a": "b"}}})
        assert noted["metadata"]["generation"] == 2

    within(work)


def test_a_stale_version_is_a_conflict() -> None:
    def work(store: Store) -> None:
        old = store.create(named(config_map("a", x="1")))
        store.patch("ConfigMap", "team", "a", {"data": {"x": "2"}})
        with pytest.raises(Rejected, match="the object has been modified") as caught:
            store.update({**old, "data": {"x": "3"}})
        assert (caught.value.code, caught.value.reason) == (409, "Conflict")

    within(work)


def test_creating_twice_and_missing_objects_are_refused() -> None:
    def work(store: Store) -> None:
        store.create(named(config_map("a")))
        with pytest.raises(Rejected, match='configmaps "a" already exists'):
            store.create(named(config_map("a")))
        with pytest.raises(Rejected, match=r'deployments\.apps "b" not found'):
            store.need("Deployment", "team", "b")
        with pytest.raises(Rejected):
            store.delete("ConfigMap", "team", "b")

    within(work)


def test_finalizers_hold_an_object_until_they_are_gone() -> None:
    def work(store: Store) -> None:
        item = application("web", url="u", path="p")
        item["metadata"]["finalizers"] = ["f"]
        store.create(item)
        marked = store.delete("Application", "argocd", "web")
        assert "deletionTimestamp" in marked["metadata"]
        assert store.delete("Application", "argocd", "web") == marked
        seen: list[str] = []
        store.listen(lambda change: seen.append(change.type))
        store.patch("Application", "argocd", "web", {"metadata": {"finalizers": None}})
        assert store.get("Application", "argocd", "web") is None
        assert seen == ["DELETED"]

    within(work)


def test_apply_takes_out_what_is_not_wanted_any_more_and_keeps_the_status() -> None:
    def work(store: Store) -> None:
        store.apply(named(deployment("web", "x:v1")))
        store.patch("Deployment", "team", "web", {"status": {"replicas": 1}, "metadata": {"labels": {"theirs": "1"}}})
        wanted = named(deployment("web", "x:v2"))
        del wanted["spec"]["progressDeadlineSeconds"]
        item, how = store.apply(wanted)
        assert how == "configured"
        assert "progressDeadlineSeconds" not in item["spec"]
        assert item["status"] == {"replicas": 1}
        assert item["metadata"]["labels"] == {"theirs": "1"}

    within(work)


def test_negative_replicas_are_invalid() -> None:
    def work(store: Store) -> None:
        with pytest.raises(Rejected, match=r"spec\.replicas: Invalid value: -3: must be greater"):
            store.create(named(deployment("web", "x:v1", replicas=-3)))

    within(work)


def test_a_watch_brings_what_happened_since_and_then_what_happens() -> None:
    async def main() -> list[tuple[str, str]]:
        store = Store(LoopClock())
        store.create(named(config_map("a")))
        since = store.version
        store.create(named(config_map("b")))
        seen: list[tuple[str, str]] = []

        changes = store.watch("ConfigMap", "team", since)
        for _ in range(2):
            change = await anext(changes)
            seen.append((change.type, change.object["metadata"]["name"]))
            if len(seen) == 1:
                store.create(named(config_map("elsewhere"), "other"))
                store.delete("ConfigMap", "team", "a")
        return seen

    assert run(main) == [("ADDED", "b"), ("DELETED", "a")]


def test_a_watch_from_before_the_history_is_gone() -> None:
    async def main() -> None:
        store = Store(LoopClock())
        since = store.version
        store.create(named(config_map("a")))
        store.forget()
        with pytest.raises(Rejected, match="too old resource version") as caught:
            await anext(store.watch("ConfigMap", "", since))
        assert caught.value.code == 410

    run(main)


@given(JSON, JSON)
def test_merging_a_patch_twice_is_merging_it_once(target: Any, patch: Any) -> None:
    once = merge(target, patch)
    assert merge(once, patch) == once


@given(JSON)
def test_merging_what_is_there_changes_nothing(target: Any) -> None:
    assert merge(target, _without_nulls(target)) == target


@pytest.mark.parametrize(
    ("target", "patch", "wanted"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_of_the_rfc(target: Any, patch: Any, wanted: Any) -> None:
    assert merge(target, patch) == wanted


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return value
