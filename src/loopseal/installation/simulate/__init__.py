"""What one sync makes of manifests: in which order they are applied, and whether it ever ends.

May live here: the rules of the engines, held to a corpus of what real ones did. May not: where manifests come from.

    sync(manifests, world, options)                    one sync by Argo CD
    reconcile(files, world, kustomization, ready)      one reconciliation by Flux
"""

from __future__ import annotations

from loopseal.installation.simulate.argocd import sync
from loopseal.installation.simulate.flux import Kustomization, reconcile
from loopseal.installation.simulate.outcome import Blocked, Outcome, State
from loopseal.installation.simulate.world import Options, World

__all__ = ["Blocked", "Kustomization", "Options", "Outcome", "State", "World", "reconcile", "sync"]
