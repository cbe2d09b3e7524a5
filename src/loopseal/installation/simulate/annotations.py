"""How Argo CD reads what manifests say of their own sync: hooks, waves and options.

Source: Argo CD 3.2 (`gitops-engine/pkg/sync/hook`, `syncwaves`, `common`), and recorded syncs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from loopseal.installation.manifests import Manifest

HOOK: Final = "argocd.argoproj.io/hook"
WAVE: Final = "argocd.argoproj.io/sync-wave"
OPTIONS: Final = "argocd.argoproj.io/sync-options"
HELM_HOOK: Final = "helm.sh/hook"
HELM_WEIGHT: Final = "helm.sh/hook-weight"


class Phase(StrEnum):
    """When a hook runs. The first three follow one another; all that is no hook belongs to the second."""

    PRE_SYNC = "PreSync"
    SYNC = "Sync"
    POST_SYNC = "PostSync"
    SYNC_FAIL = "SyncFail"
    POST_DELETE = "PostDelete"
    SKIP = "Skip"


ORDERED: Final = (Phase.PRE_SYNC, Phase.SYNC, Phase.POST_SYNC)
_WORDS: Final = {phase.value: phase for phase in Phase}
_HELM: Final = {
    "pre-install": Phase.PRE_SYNC,
    "pre-upgrade": Phase.PRE_SYNC,
    "post-install": Phase.POST_SYNC,
    "post-upgrade": Phase.POST_SYNC,
    "post-delete": Phase.POST_DELETE,
}
_NORMAL: Final = "crd-install"
"""The Helm hook that Argo CD takes for no hook at all."""


def hooks(manifest: Manifest) -> tuple[Phase, ...] | None:
    """The phases in which a hook runs, None for what is no hook. Words that are not known count for nothing.

    A hook without a known word is never applied, and nobody is told. Argo CD's annotation beats Helm's.
    """
    if words := manifest.words(HOOK):
        return tuple(dict.fromkeys(_WORDS[word] for word in words if word in _WORDS))
    helm = manifest.words(HELM_HOOK)
    if not helm or _NORMAL in helm:
        return None
    return tuple(dict.fromkeys(_HELM[word] for word in helm if word in _HELM))


def wave(manifest: Manifest) -> int:
    """Its wave: Argo CD's annotation, else Helm's weight, else 0. What is not a number counts as not there."""
    for annotation in (WAVE, HELM_WEIGHT):
        try:
            return int(manifest.annotations[annotation])
        except (KeyError, ValueError):
            continue
    return 0
