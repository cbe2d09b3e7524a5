"""The world in which the recorded syncs were made (`tests/recorded/syncwaves/README.md`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from loopseal.installation.manifests import Key, Manifest, table
from loopseal.installation.simulate import Options, Outcome, World, sync
from loopseal.installation.simulate.needs import Need, needs
from loopseal.installation.simulate.world import BUILT_IN, Run, storage_class

RECORDED = Path(__file__).parents[2] / "recorded"
_TAGS = {"broken": Run.NEVER_READY, "fail": Run.FAILS}
_UNANSWERED = frozenset({"Ingress", "ExternalSecret", "SecretStore"})


def cases() -> Iterator[dict[str, Any]]:
    """All recorded syncs."""
    for path in sorted((RECORDED / "syncwaves").glob("*.json")):
        yield json.loads(path.read_text())


def chart(name: str) -> list[Manifest]:
    """What the official Airflow chart renders."""
    return [Manifest(one) for one in json.loads((RECORDED / f"charts/{name}.json").read_text())["objects"]]


def world(case: dict[str, Any]) -> World:
    """What the sync of this case found."""
    return World(
        groups=BUILT_IN | {"external-secrets.io"},
        answered=_answered,
        runs=lambda image: _TAGS.get(image.rpartition(":")[2], Run.WELL),
        waits_for=_waits_for,
        namespace_exists=case["options"]["namespace_exists"],
    )


def options(case: dict[str, Any]) -> Options:
    """As the sync of this case was asked for."""
    asked = case["options"]
    return Options(frozenset(asked["syncOptions"]), asked.get("syncStrategy") != "apply", patience=asked["timeout"])


def _answered(manifest: Manifest) -> bool:
    if manifest.kind == "Service":
        return manifest.spec.get("type") != "LoadBalancer"
    return manifest.kind not in _UNANSWERED and storage_class(manifest) != "none"


def _waits_for(manifest: Manifest) -> Iterator[Need]:
    labels = table(table(manifest.template.get("metadata")).get("labels"))
    if "lab-waits-for" in labels:
        yield Need("Job", labels["lab-waits-for"], done=True)


def secrets_of(manifests: list[Manifest]) -> frozenset[Key]:
    """Every Secret that their pods read and nobody here makes: somebody else provides it."""
    wanted = {Key(one.kind, one.name) for manifest in manifests for one in needs(manifest, lambda _: ())}
    return frozenset({key for key in wanted if key.kind == "Secret"} | {Key("ServiceAccount", "default")})


def second(case: dict[str, Any], step: dict[str, Any], first: Outcome) -> Outcome:
    """The sync of a second commit, onto what the first one left."""
    live = {manifest.key: manifest for manifest in map(Manifest, case["objects"])}
    found = replace(world(case), live=live, degraded=frozenset(first.unwell) & frozenset(live))
    return sync(list(map(Manifest, step["objs"])), found, replace(options(case), prune=bool(step.get("prune"))))
