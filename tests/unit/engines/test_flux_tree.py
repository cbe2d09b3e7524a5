"""The walk from a source to the last release, over objects in a dict: which object decides, and who is asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from loopseal.domain.proposal import Application
from loopseal.domain.revision import Relation, State, Tolerance
from loopseal.engines.ancestors import Ancestors
from loopseal.engines.flux_object import REQUESTED_AT
from loopseal.engines.flux_places import GIT_REPOSITORY, HELM_CHART, HELM_RELEASE, KUSTOMIZATION, Place
from loopseal.engines.flux_tree import MAX_OBJECTS, Request, Seen, Tree
from loopseal.ports import Source, Wait
from loopseal.testing.clock import LoopClock

NS = "flux-system"
X, OLD = "b" * 40, "a" * 40
SRC = Place(GIT_REPOSITORY, NS, "src")
ROOT = Place(KUSTOMIZATION, NS, "root")
SHOP = Place(HELM_RELEASE, NS, "shop")
CHART = Place(HELM_CHART, NS, "shop-chart")
NOW = Tolerance(settle=0.0)


class Known:
    async def relation(self, observed: str, wanted: str) -> Relation:
        return {(OLD, X): Relation.ANCESTOR, (X, OLD): Relation.DESCENDANT}.get((observed, wanted), Relation.UNKNOWN)


def git(revision: str = X, **status: Any) -> dict[str, Any]:
    artifact = {"revision": f"main@sha1:{revision}"}
    return {
        "kind": "GitRepository",
        "metadata": {"generation": 1},
        "spec": {},
        "status": {"artifact": artifact, **status},
    }


def entry(kind: str, name: str, group: str) -> dict[str, str]:
    return {"id": f"{NS}_{name}_{group}_{kind}", "v": "v1"}


def nested(name: str) -> dict[str, str]:
    return entry("Kustomization", name, KUSTOMIZATION.group)


RELEASE_ENTRY = entry("HelmRelease", "shop", HELM_RELEASE.group)


def ready(generation: int = 1, **facts: str) -> dict[str, Any]:
    return {"type": "Ready", "status": "True", "observedGeneration": generation, "reason": "Succeeded", **facts}


def kustomization(
    revision: str = X, *, entries: tuple[dict[str, str], ...] = (), source: str = "src", **spec: Any
) -> dict[str, Any]:
    at = f"main@sha1:{revision}"
    return {
        "kind": "Kustomization",
        "metadata": {"generation": 1, "uid": f"{revision}{source}"},
        "spec": {"sourceRef": {"kind": "GitRepository", "name": source}, "wait": True, **spec},
        "status": {
            "observedGeneration": 1,
            "lastAppliedRevision": at,
            "lastAttemptedRevision": at,
            "conditions": [ready()],
            "inventory": {"entries": list(entries)},
        },
    }


def waiting_for(*names: str) -> dict[str, Any]:
    found = kustomization(dependsOn=[{"name": name} for name in names])
    failed = ready(status="False", reason="DependencyNotReady", message=f"dependency '{NS}/{names[0]}' is not ready")
    found["status"] |= {"conditions": [failed], "lastAppliedRevision": f"main@sha1:{OLD}"}
    return found


def release(**facts: Any) -> dict[str, Any]:
    spec = {"chart": {"spec": {"chart": "shop", "sourceRef": {"kind": "HelmRepository", "name": "charts"}}}}
    status = {"observedGeneration": 1, "lastAttemptedGeneration": 1, "lastAttemptedRevision": "1.0.0"}
    return {
        "kind": "HelmRelease",
        "metadata": {"generation": 1, "labels": facts.pop("labels", {}), "annotations": facts.pop("annotations", {})},
        "spec": {**spec, **facts.pop("spec", {})},
        "status": {**status, "conditions": [ready()], **facts},
    }


FROM_GIT = {"chart": {"spec": {"chart": "./chart", "sourceRef": {"kind": "GitRepository", "name": "src"}}}}
PARENT = {f"{KUSTOMIZATION.group}/name": "root", f"{KUSTOMIZATION.group}/namespace": NS}


def chart(packed: str = X) -> dict[str, Any]:
    status = {"observedSourceArtifactRevision": f"main@sha1:{packed}", "artifact": {"revision": "1.0.0"}}
    return {"kind": "HelmChart", "metadata": {"generation": 1}, "spec": {}, "status": status}


def walk(root: Place, objects: dict[Place, Any], tolerance: Tolerance = NOW, **facts: Any) -> Seen | None:
    async def read(place: Place) -> Any:
        return objects.get(place)

    async def live(found: Any) -> None:
        return None

    async def main() -> Seen | None:
        wait = Wait(Application("eu1", root.name), X, Source("https://git.test/r.git", "main"), tolerance)
        requests = facts.pop("requests", {})
        tree = Tree(wait, root, read, live, Ancestors(Known()), LoopClock(), {}, requests, **facts)
        return await tree.seen()

    return asyncio.run(main())


def said(seen: Seen | None) -> tuple[str, str, Place]:
    assert seen is not None
    return seen.verdict.state, seen.verdict.reason, seen.place


def test_all_is_well() -> None:
    assert said(walk(ROOT, {ROOT: kustomization(), SRC: git()})) == (State.SUCCEEDED, "APPLIED", ROOT)
    assert walk(ROOT, {SRC: git()}) is None
    assert walk(SHOP, {}) is None
    assert walk(SRC, {}) is None


def test_the_source_comes_first_even_when_the_old_state_looks_well() -> None:
    assert said(walk(ROOT, {ROOT: kustomization(), SRC: git(OLD)})) == (State.PENDING, "NOT_FETCHED", SRC)
    assert said(walk(ROOT, {ROOT: kustomization(OLD, suspend=True), SRC: git(OLD)}))[1:] == ("SUSPENDED", ROOT)


def test_without_a_source_the_kustomization_speaks() -> None:
    assert said(walk(ROOT, {ROOT: kustomization()}))[2] == ROOT
    lost = kustomization()
    lost["spec"]["sourceRef"] = {"kind": "Somebody's", "name": "x"}
    assert said(walk(ROOT, {ROOT: lost}))[2] == ROOT


def test_a_dependency_speaks_for_itself_and_is_asked() -> None:
    infra = Place(KUSTOMIZATION, NS, "infra")
    objects = {ROOT: waiting_for("infra"), SRC: git(), infra: kustomization(OLD)}
    assert said(walk(ROOT, objects)) == (State.PENDING, "DependencyNotReady", infra)
    objects[infra] = kustomization(OLD, suspend=True)
    assert said(walk(ROOT, objects)) == (State.BLOCKED, "DEPENDENCY_BLOCKED", infra)
    del objects[infra]
    assert said(walk(ROOT, objects)) == (State.PENDING, "DependencyNotReady", infra)
    objects[infra] = kustomization()
    assert said(walk(ROOT, objects)) == (State.PENDING, "DependencyNotReady", ROOT)


def test_dependencies_in_a_circle_end() -> None:
    infra = Place(KUSTOMIZATION, NS, "infra")
    objects = {ROOT: waiting_for("infra"), SRC: git(), infra: waiting_for("root")}
    assert said(walk(ROOT, objects))[:2] == (State.PENDING, "DependencyNotReady")


def test_what_it_applied_decides_when_it_stands_worse() -> None:
    inner = Place(KUSTOMIZATION, NS, "inner")
    objects = {ROOT: kustomization(entries=(nested("inner"),)), SRC: git(), inner: kustomization(OLD)}
    seen = walk(ROOT, objects)
    assert said(seen) == (State.PENDING, "NOT_ATTEMPTED", inner)
    assert seen is not None
    assert "inner" in seen.verdict.message
    del objects[inner]
    assert said(walk(ROOT, objects)) == (State.PENDING, "NOT_CREATED", inner)
    objects[inner] = kustomization()
    assert said(walk(ROOT, objects)) == (State.SUCCEEDED, "APPLIED", ROOT)


def test_what_comes_from_another_source_must_be_well_and_knows_no_commit_of_ours() -> None:
    inner = Place(KUSTOMIZATION, NS, "inner")
    objects = {ROOT: kustomization(entries=(nested("inner"),)), SRC: git(), inner: kustomization(OLD, source="other")}
    assert said(walk(ROOT, objects)) == (State.SUCCEEDED, "APPLIED", ROOT)
    objects[inner]["status"]["conditions"] = [ready(status="False"), ready(type="Stalled")]
    assert said(walk(ROOT, objects)) == (State.PENDING, "OBJECTS_NOT_READY", inner)
    objects[inner] = kustomization(OLD, source="other", suspend=True)
    assert said(walk(ROOT, objects)) == (State.BLOCKED, "SUSPENDED", inner)


def test_the_walk_is_bounded_in_depth_and_in_number() -> None:
    chain = {Place(KUSTOMIZATION, NS, f"k{n}"): kustomization(entries=(nested(f"k{n + 1}"),)) for n in range(20)}
    assert said(walk(Place(KUSTOMIZATION, NS, "k0"), {**chain, SRC: git()}))[0] == State.SUCCEEDED
    many = tuple(nested(f"n{number}") for number in range(5 * MAX_OBJECTS))
    looked: list[Place] = []

    class Counting(dict[Place, Any]):
        def get(self, place: Place, default: Any = None) -> Any:
            looked.append(place)
            return super().get(place, kustomization())

    assert said(walk(ROOT, Counting({ROOT: kustomization(entries=many), SRC: git()})))[0] == State.SUCCEEDED
    assert len(looked) < 3 * MAX_OBJECTS


def test_a_release_waits_for_the_kustomization_that_applies_it() -> None:
    objects = {SHOP: release(labels=PARENT), ROOT: kustomization(), SRC: git()}
    assert said(walk(SHOP, objects)) == (State.SUCCEEDED, "APPLIED", SHOP)
    assert said(walk(SHOP, {**objects, SRC: git(OLD)})) == (State.PENDING, "NOT_FETCHED", SRC)
    assert said(walk(SHOP, {**objects, ROOT: None})) == (State.PENDING, "NOT_CREATED", ROOT)
    behind = release(labels=PARENT, observedGeneration=0)
    assert said(walk(SHOP, {**objects, SHOP: behind})) == (State.PENDING, "Succeeded", SHOP)


def test_a_release_that_cannot_tell_its_commit_never_succeeds() -> None:
    assert said(walk(SHOP, {SHOP: release()})) == (State.PENDING, "ORIGIN_UNKNOWN", SHOP)


def test_a_chart_from_git_tells_the_commit() -> None:
    objects = {SHOP: release(spec=FROM_GIT, helmChart=f"{NS}/shop-chart"), CHART: chart(), SRC: git()}
    assert said(walk(SHOP, objects)) == (State.SUCCEEDED, "Succeeded", SHOP)
    assert said(walk(SHOP, {**objects, CHART: chart(OLD)})) == (State.PENDING, "NOT_FETCHED", CHART)
    assert said(walk(SHOP, {**objects, CHART: None})) == (State.PENDING, "NO_STATUS", SHOP)
    older = release(spec=FROM_GIT, helmChart=f"{NS}/shop-chart", lastAttemptedRevision="0.9.0")
    assert said(walk(SHOP, {**objects, SHOP: older}))[0] == State.PENDING


VALUES = {"valuesFrom": [{"kind": "ConfigMap", "name": "values"}]}


@pytest.mark.parametrize(
    ("handled", "asked", "requests", "may_ask", "state"),
    [
        ("", "", {}, True, State.PENDING),
        ("t1", "t1", {SHOP: Request("t1")}, True, State.SUCCEEDED),
        ("", "t1", {SHOP: Request("t1")}, True, State.PENDING),
        ("theirs", "theirs", {SHOP: Request("t1", "before")}, True, State.SUCCEEDED),
        ("", "", {}, False, State.SUCCEEDED),
    ],
    ids=["not asked", "answered", "not answered yet", "overwritten and answered", "may not ask"],
)
def test_values_from_elsewhere_want_a_pass_after_our_request(
    handled: str, asked: str, requests: dict[Place, Request], may_ask: bool, state: State
) -> None:
    shop = release(spec=VALUES, lastHandledReconcileAt=handled, annotations={REQUESTED_AT: asked} if asked else {})
    objects = {ROOT: kustomization(entries=(RELEASE_ENTRY,)), SRC: git(), SHOP: shop}
    seen = walk(ROOT, objects, requests=requests, may_ask=may_ask)
    assert seen is not None
    assert seen.verdict.state is state
    assert seen.place == (ROOT if state is State.SUCCEEDED else SHOP)


def test_a_missing_release_and_one_that_is_suspended() -> None:
    objects: dict[Place, Any] = {ROOT: kustomization(entries=(RELEASE_ENTRY,)), SRC: git()}
    assert said(walk(ROOT, objects)) == (State.PENDING, "NOT_CREATED", SHOP)
    objects[SHOP] = release(spec={"suspend": True})
    assert said(walk(ROOT, objects)) == (State.BLOCKED, "SUSPENDED", SHOP)


def test_a_refused_signature_is_news_only_once_our_request_was_handled() -> None:
    refused = {"type": "SourceVerified", "status": "False", "reason": "InvalidCommitSignature", "message": "no"}
    source = git(OLD, conditions=[refused], lastHandledReconcileAt="t1")
    objects = {ROOT: kustomization(OLD), SRC: source}
    assert said(walk(ROOT, objects))[:2] == (State.PENDING, "NOT_FETCHED")
    assert said(walk(ROOT, objects, requests={SRC: Request("t1")})) == (State.FAILED, "SIGNATURE_REJECTED", SRC)


def test_settling_of_the_root_is_told_when_all_below_is_well() -> None:
    objects = {ROOT: kustomization(entries=(RELEASE_ENTRY,)), SRC: git(), SHOP: release()}
    assert said(walk(ROOT, objects, replace(NOW, settle=5.0))) == (State.PENDING, "SETTLING", ROOT)
