"""What a sync makes of objects that are there already: what may not change, and what has left Git.

Source: the API reference of Kubernetes 1.36 for what is immutable; Argo CD 3.2 (`sync_context.go`) for pruning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from loopseal.installation.manifests import Key, Manifest
from loopseal.installation.simulate.annotations import OPTIONS, hooks

FORCE: Final = "Force=true"
KEEP: Final = "Prune=false"
CONFIRM: Final = "Prune=confirm"

_MUTABLE_OF_STATEFUL_SETS: Final = frozenset({
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "minReadySeconds",
    "persistentVolumeClaimRetentionPolicy",
})  # fmt: skip
_FIXED: Final[Mapping[str, frozenset[str]]] = {
    "Job": frozenset({"template", "selector", "completions", "completionMode"}),
    "Deployment": frozenset({"selector"}),
    "DaemonSet": frozenset({"selector"}),
    "PersistentVolumeClaim": frozenset({"storageClassName", "accessModes", "volumeName"}),
}


def immutable(before: Manifest | None, after: Manifest) -> str:
    """Why the API server refuses to make one of the other; empty when it does not, or when it is made anew instead.

    A hook is deleted and made anew, and so is what carries `Force=true` itself: as an option of the whole application
    it is ignored, and `Replace=true` alone fails as well (seen with Argo CD 3.2).
    """
    if before is None or hooks(after) is not None or FORCE in after.words(OPTIONS):
        return ""
    changed = sorted(name for name in fixed(after) if before.spec.get(name) != after.spec.get(name))
    return f"spec.{changed[0]}: field is immutable" if changed else ""


def fixed(manifest: Manifest) -> Iterable[str]:
    """The fields of its specification that may not change."""
    if manifest.kind == "StatefulSet":
        return (name for name in manifest.spec if name not in _MUTABLE_OF_STATEFUL_SETS)
    return _FIXED.get(manifest.kind, ())


def gone(live: Mapping[Key, Manifest], manifests: Iterable[Manifest]) -> list[Manifest]:
    """What is live and no longer in Git. Hooks are not missed: nobody prunes them."""
    wanted = {one.key for one in manifests}
    return [one for key, one in live.items() if key not in wanted and hooks(one) is None]
