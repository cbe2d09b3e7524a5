"""Which workload stands in the way, and why: in the verdict and in the evidence, however the engine is reached.

Argo CD >= 3.0 keeps the health of resources out of the Application object, so by Kubernetes it must be read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.domain.revision import Resource, State, Tolerance, Verdict
from loopseal.engines import argocd_health, kstatus
from loopseal.engines.argocd_application import resources
from loopseal.engines.argocd_health import Healths, explained, filled, here, wanted, without
from loopseal.engines.workloads import MAX_WORKLOADS, Seen, see
from loopseal.ports import Level
from loopseal.testing import objects
from loopseal.testing.clock import run
from loopseal.testing.cluster import User
from tests.unit.engines.worlds import QUICK, SOURCE, World, argo, deployment, fluxcd, last, settings_map

BY_OBJECT = ("rest", "objects", "flux")
ONLY_APPLICATIONS = User("narrow", ("* argoproj.io/* *", "* /events argocd"))
BROKEN = {"apps/a/web.yaml": deployment("web:broken", deadline=4)}


def engine_of(kind: str) -> Any:
    return fluxcd() if kind == "flux" else argo(objects_only=kind == "objects")


async def failed(world: World, tolerance: Tolerance = QUICK) -> tuple[Verdict, Mapping[str, str]]:
    """The verdict on a Deployment that never starts, and the evidence."""
    verdict = (await world.verdicts(world.git.commit(BROKEN), tolerance))[-1]
    sections: dict[str, str] = {}
    for title, content in (await world.engine.evidence(world.app, verdict)).sections:
        sections[title] = sections.get(title, "") + content
    return verdict, sections


@pytest.mark.parametrize("kind", BY_OBJECT)
def test_a_failed_rollout_names_the_deployment_and_why(kind: str) -> None:
    async def main() -> None:
        async with engine_of(kind) as world:
            verdict, sections = await failed(world)
            assert verdict.state is State.FAILED
            (named,) = verdict.resources
            assert (named.kind, named.namespace, named.name) == ("Deployment", "a", "web")
            told = json.dumps(sections)
            assert "progress" in told
            assert "Failed to pull image" in told
            assert "Deployment" in sections["verdict"]

    run(main)


@pytest.mark.parametrize("objects_only", [False, True], ids=["rest", "objects"])
def test_argo_says_the_same_by_both_ways(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only) as world:
            verdict, _ = await failed(world)
            (named,) = verdict.resources
            assert (verdict.reason, named.status) == ("DEGRADED", "Degraded")
            assert "progress" in named.message

    run(main)


def test_a_health_that_the_object_does_tell_is_not_read_again() -> None:
    async def main() -> None:
        async with argo(objects_only=True) as world:
            await world.verdicts(world.git.tip)
            assert not [path for _, path, _ in world.wire.calls if "/deployments" in path]

    run(main)


def test_without_the_right_it_says_which_is_missing() -> None:
    async def main() -> None:
        async with argo(objects_only=True) as world:
            world.peer.cluster.users["admin-token"] = ONLY_APPLICATIONS
            verdict, sections = await failed(world)
            assert last([verdict]) == (State.FAILED, "DEGRADED")
            assert not verdict.resources
            assert verdict.message == "no right to `get deployments.apps` in namespace 'a'"
            assert "get deployments.apps" in sections["resources that could not be read"]

    run(main)


def test_workloads_of_another_cluster_are_not_looked_for_in_this_one() -> None:
    async def main() -> None:
        async with argo(objects_only=True) as world:
            elsewhere = {"server": "https://other.example.com", "namespace": "a"}
            app = {**world.peer.application("a"), "spec": {"destination": elsewhere}}
            told = await world.engine._applications.with_health(app)
            assert told.app is app
            assert "another cluster (https://other.example.com)" in told.unread
            assert await world.engine._applications.cluster_of(app) is None
            assert not [path for _, path, _ in world.wire.calls if "/deployments" in path]

    run(main)


def test_strict_health_by_kubernetes_looks_at_every_workload() -> None:
    """Argo CD's aggregate leaves a missing workload out; strict means that we do not."""
    strict = replace(QUICK, strict_health=True)

    async def main() -> None:
        async with argo(objects_only=True) as world:
            assert last(await world.verdicts(world.git.tip, strict)) == (State.SUCCEEDED, "HEALTHY")
            world.peer.cluster.users["admin-token"] = ONLY_APPLICATIONS
            await asyncio.sleep(5)
            told = await world.until(world.git.tip, "HEALTH_NOT_CHECKED", tolerance=strict)
            assert told[-1].state is State.PENDING
            assert "get deployments.apps" in told[-1].message
            (error,) = [
                one for one in await world.engine.preflight(world.app, SOURCE, strict) if one.level is Level.ERROR
            ]
            assert error.code == "argocd.health_unread"
            lenient = await world.engine.preflight(world.app, SOURCE, QUICK)
            assert Level.ERROR not in {one.level for one in lenient}

    run(main)


def test_one_burst_of_events_costs_one_reading() -> None:
    async def main() -> None:
        async with argo(objects_only=True) as world:
            world.peer.store.patch(
                "Deployment",
                "a",
                "web",
                {
                    "status": {
                        "conditions": [
                            {
                                "type": "Progressing",
                                "status": "False",
                                "reason": "ProgressDeadlineExceeded",
                                "message": "late",
                            }
                        ]
                    }
                },
            )
            app = world.peer.application("a")
            for _ in range(5):
                told = await world.engine._applications.with_health(app)
            assert [one.status for one in resources(told.app)] == ["Degraded"]
            assert world.wire.count("GET", "/deployments/web") == 1
            await asyncio.sleep(4)
            await world.engine._applications.with_health(app)
            assert world.wire.count("GET", "/deployments/web") == 2

    run(main)


def test_a_large_application_is_read_in_part() -> None:
    async def main() -> None:
        async with argo(objects_only=True) as world:
            many = [Resource("Deployment", f"w{number}", "a", "apps") for number in range(MAX_WORKLOADS + 7)]
            many += [Resource("ConfigMap", "settings", "a")]
            cluster = await world.engine._clusters.connect()
            seen = await see(cluster, many)
            assert len(seen.statuses) == MAX_WORKLOADS
            assert {status.status for _, status in seen.statuses} == {"NotFound"}
            assert seen.unread == ("7 more workloads were not looked at",)
            assert not await _nothing(cluster)

    async def _nothing(cluster: Any) -> tuple[Any, ...]:
        return (await see(cluster, ())).statuses

    run(main)


def test_a_failed_job_is_told_with_what_its_pods_say() -> None:
    async def main() -> None:
        async with argo(objects_only=True) as world:
            hook = objects.job("migrate", "registry.test/job:fail", hook="PostSync")
            files = {"apps/a/hook.yaml": json.dumps(hook), "apps/a/settings.yaml": settings_map("2")}
            verdict = (await world.verdicts(world.git.commit(files), replace(QUICK, failed_syncs=1)))[-1]
            assert verdict.state is State.FAILED
            assert "migrate" in {one.name for one in verdict.resources}
            sections = dict((await world.engine.evidence(world.app, verdict)).sections)
            assert "backoff limit" in sections["Job/migrate"]

    run(main)


def test_evidence_under_a_narrow_role_names_what_it_lacks() -> None:
    async def main() -> None:
        narrow = User("narrow", ("get */gitrepositories *", "* */kustomizations *", "get apps/deployments *"))
        async with fluxcd() as world:
            verdict = (await world.verdicts(world.git.commit(BROKEN)))[-1]
            world.peer.cluster.users["admin-token"] = narrow
            told = json.dumps((await world.engine.evidence(world.app, verdict)).sections)
            assert "cannot list" in told
            assert "ProgressDeadlineExceeded" in told

    run(main)


@pytest.mark.parametrize(
    ("destination", "found"),
    [
        ({"server": "https://kubernetes.default.svc"}, True),
        ({"server": "https://api.example.com:6443"}, True),
        ({"name": "in-cluster"}, True),
        ({"name": "eu1", "server": "https://kubernetes.default.svc"}, False),
        ({"server": "https://other"}, False),
        ({}, False),
    ],
)
def test_which_cluster_an_application_deploys_to(destination: Mapping[str, str], found: bool) -> None:
    assert here({"spec": {"destination": destination}}, "https://api.example.com:6443") is found


def test_hooks_and_what_is_to_be_pruned_have_no_health() -> None:
    row = {"group": "apps", "kind": "Deployment", "namespace": "a", "status": "Synced"}
    rows = [
        {**row, "name": "plain"},
        {**row, "name": "told", "health": {"status": "Healthy"}},
        {**row, "name": "old", "requiresPruning": True},
        {"group": "batch", "kind": "Job", "namespace": "a", "name": "hook", "hook": True},
        {"kind": "ConfigMap", "namespace": "a", "name": "settings", "status": "Synced"},
    ]
    assert [one.name for one in without({"status": {"resources": rows}})] == ["plain"]


def test_a_verdict_that_names_nothing_says_why() -> None:
    rows = [{"kind": "Deployment", "group": "apps", "name": "web"}, {"kind": "Certificate", "name": "tls"}]
    app = {"status": {"resources": rows}}
    degraded = Verdict(State.FAILED, "DEGRADED")
    assert explained(degraded, Healths(app), QUICK).message == (
        "no workload of it is; it has other resources as well: Certificate"
    )
    assert explained(degraded, Healths(app, "no right"), QUICK).message == "no right"
    named = replace(degraded, resources=(Resource("Deployment", "web"),))
    assert explained(named, Healths(app, "no right"), QUICK) is named
    fine = Verdict(State.SUCCEEDED, "HEALTHY")
    assert explained(fine, Healths(app, "no right"), QUICK) is fine


def test_when_the_workloads_are_looked_at() -> None:
    strict = replace(QUICK, strict_health=True)
    assert wanted(Verdict(State.FAILED, "DEGRADED"), QUICK)
    assert wanted(Verdict(State.PENDING, "HEALTH_MISSING"), QUICK)
    assert not wanted(Verdict(State.SUCCEEDED, "HEALTHY"), QUICK)
    assert wanted(Verdict(State.SUCCEEDED, "HEALTHY"), strict)
    assert not wanted(Verdict(State.PENDING, "HEALTH_PROGRESSING"), strict)


_NAMES = st.sampled_from(["web", "db", "x"])
_ROWS = st.fixed_dictionaries(
    {"group": st.sampled_from(["apps", "batch", ""]), "kind": st.sampled_from(["Deployment", "Job", "Pod", "Secret"])},
    optional={"name": _NAMES, "namespace": _NAMES, "health": st.just({"status": "Healthy"}), "status": _NAMES},
)


@given(st.lists(_ROWS, max_size=8), st.sampled_from([kstatus.CURRENT, kstatus.FAILED, kstatus.IN_PROGRESS, "?"]))
def test_filling_in_touches_nothing_but_the_health_of_what_was_read(rows: list[dict[str, Any]], status: str) -> None:
    app = {"metadata": {"uid": "1"}, "status": {"sync": {"status": "Synced"}, "resources": rows}}
    missing = without(app)
    seen = Seen(tuple((one, kstatus.ObjectStatus(status, "why")) for one in missing))
    out = filled(app, seen).app
    assert out["metadata"] == app["metadata"]
    assert out["status"]["sync"] == app["status"]["sync"]
    for before, after in zip(rows, out["status"]["resources"], strict=True):
        assert {key: value for key, value in after.items() if key != "health"} == {
            key: value for key, value in before.items() if key != "health"
        }
    assert not without(out)
    assert filled(app, Seen()).app["status"]["resources"] == rows


def test_hostile_applications_are_survived() -> None:
    for app in ({}, {"status": None}, {"status": {"resources": [1, None, {"kind": 3}]}}, {"spec": {"destination": 1}}):
        assert without(app) == ()
        assert not here(app, "https://x")
        assert argocd_health.elsewhere(app).app is app
        assert filled(app, Seen()).unread == ""
