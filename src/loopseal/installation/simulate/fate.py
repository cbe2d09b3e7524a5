"""What becomes of an object once it is applied, as Argo CD's health says it."""

from __future__ import annotations

from enum import Enum
from typing import Final

from loopseal.installation.manifests import Manifest
from loopseal.installation.simulate.world import Options, Run, World

_FOR_EVER: Final = 10.0**9
"""Seconds."""
_DEFAULT_DEADLINE: Final = 600.0
"""`progressDeadlineSeconds` of a Deployment that says none."""


class Fate(Enum):
    """How it ends."""

    WELL = "Healthy"
    STUCK = "Progressing or Suspended, for ever"
    FAILED = "Degraded"


def fate(manifest: Manifest, world: World, options: Options, *, met: bool) -> Fate:
    """The fate of an object; `met` says whether everything that its pods need is there."""
    if not world.answered(manifest):
        return Fate.STUCK
    if not manifest.pod:
        return Fate.WELL
    if manifest.kind == "Deployment" and manifest.spec.get("replicas") == 0:
        return Fate.WELL
    if manifest.spec.get("paused") or manifest.spec.get("suspend"):
        return Fate.STUCK
    run = world.runs(_image(manifest))
    if run is Run.FAILS and manifest.kind in {"Job", "Pod"}:
        return Fate.FAILED
    if run is Run.NEVER_READY or not met:
        return Fate.FAILED if _deadline(manifest) <= min(options.patience, _FOR_EVER) else Fate.STUCK
    return Fate.WELL


def _image(manifest: Manifest) -> str:
    for container in manifest.containers:
        image = container.get("image")
        if container in (manifest.pod.get("containers") or ()):
            return image if isinstance(image, str) else ""
    return ""


def _deadline(manifest: Manifest) -> float:
    """Seconds after which it counts as failed; infinity for what may wait for ever, as StatefulSets do."""
    match manifest.kind:
        case "Deployment":
            return _number(manifest.spec.get("progressDeadlineSeconds"), _DEFAULT_DEADLINE)
        case "Job" | "Pod":
            return _number(manifest.spec.get("activeDeadlineSeconds"), float("inf"))
        case _:
            return float("inf")


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
