"""Preflight names the right that is missing, and what is lost by it; nothing is said of rights that are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from loopseal.domain.revision import Tolerance
from loopseal.ports import Finding, Level
from loopseal.testing.clock import run
from loopseal.testing.cluster import User
from tests.unit.engines.worlds import QUICK, SOURCE, argo, fluxcd

DOCUMENTED = (
    "get */kustomizations *", "watch */kustomizations *", "patch */kustomizations *",
    "get */gitrepositories *", "watch */gitrepositories *", "patch */gitrepositories *",
)  # fmt: skip
WORKLOADS = ("get */deployments *",)


def found_by_flux(*rules: str, tolerance: Tolerance = QUICK) -> Mapping[str, Finding]:
    async def main() -> Mapping[str, Finding]:
        users = {"bot-token": User("bot", rules)}
        async with fluxcd(users=users, token="bot-token") as world:
            if tolerance.strict_health:
                world.peer.store.patch("Kustomization", "flux-system", "a", {"spec": {"wait": False}})
            return {one.code: one for one in await world.engine.preflight(world.app, SOURCE, tolerance)}

    return run(main)


def rights_of(found: Mapping[str, Finding]) -> set[str]:
    return {code for code in found if ".no_" in code and code not in {"flux.no_prune", "argocd.no_prune"}}


def test_the_documented_rights_are_enough():
    assert not rights_of(found_by_flux(*DOCUMENTED))


@pytest.mark.parametrize(
    ("dropped", "code", "level"),
    [
        ("get */kustomizations *", "flux.no_get", Level.ERROR),
        ("get */gitrepositories *", "flux.no_get", Level.ERROR),
        ("watch */kustomizations *", "flux.no_watch", Level.NOTE),
        ("watch */gitrepositories *", "flux.no_watch", Level.NOTE),
        ("patch */kustomizations *", "flux.no_patch", Level.NOTE),
        ("patch */gitrepositories *", "flux.no_patch", Level.NOTE),
    ],
)
def test_each_right_that_is_missing_is_named(dropped: str, code: str, level: Level):
    found = found_by_flux(*(one for one in DOCUMENTED if one != dropped))
    assert rights_of(found) == {code}
    assert found[code].level is level
    assert dropped.split()[1].removeprefix("*/") in found[code].message + found[code].where.lower()
    assert "flux.no_source" not in found, "it is there; we may not read it"


def test_health_that_only_the_objects_tell_needs_the_right_to_read_them():
    strict = replace(QUICK, strict_health=True)
    assert not rights_of(found_by_flux(*DOCUMENTED, *WORKLOADS, tolerance=strict))
    found = found_by_flux(*DOCUMENTED, tolerance=strict)
    assert rights_of(found) == {"flux.no_health"}
    assert found["flux.no_health"].level is Level.WARNING
    assert "get deployments.apps" in found["flux.no_health"].message
    assert not any("configmaps" in one.message for one in found.values()), "they are never read"


@pytest.mark.parametrize(
    ("rules", "codes"),
    [
        (("get * *", "watch * *", "patch * *"), set()),
        (("get * *", "patch * *"), {"argocd.no_watch"}),
        (("get * *", "watch * *"), {"argocd.no_patch"}),
        (("watch * *", "patch * *"), {"argocd.no_get"}),
    ],
)
def test_argocd_by_its_objects(rules: tuple[str, ...], codes: set[str]):
    async def main() -> set[str]:
        async with argo(objects_only=True, kubernetes_url_token="bot-token") as world:
            world.peer.cluster.users["bot-token"] = User("bot", rules)
            found = {one.code: one for one in await world.engine.preflight(world.app, SOURCE, QUICK)}
            return rights_of(found) - {"argocd.no_logs"}

    assert run(main) == codes


def test_argocd_by_its_api_server_needs_one_right():
    async def main() -> set[str]:
        async with argo() as world:
            return rights_of({one.code: one for one in await world.engine.preflight(world.app, SOURCE, QUICK)})

    assert not run(main) - {"argocd.no_logs"}
