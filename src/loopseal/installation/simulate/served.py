"""Whether the API server knows a kind."""

from __future__ import annotations

from collections.abc import Sequence

from loopseal.installation.manifests import Manifest, table, tables
from loopseal.installation.simulate.world import World


def served(manifest: Manifest, objects: Sequence[Manifest], world: World) -> bool:
    """Whether its kind, in its version, is there before the sync or defined by what is synced with it."""
    if manifest.api in world.versions_gone:
        return False
    if manifest.group in world.groups or manifest.group.endswith(".k8s.io"):
        return True
    return any(_defines(one, manifest) for one in objects if one.kind == "CustomResourceDefinition")


def _defines(definition: Manifest, manifest: Manifest) -> bool:
    names = table(definition.spec.get("names"))
    versions = {one.get("name") for one in tables(definition.spec.get("versions"))}
    of = (names.get("kind"), definition.spec.get("group")) == (manifest.kind, manifest.group)
    return of and (not versions or manifest.api.rpartition("/")[2] in versions)
