"""The real worlds of the conformance suite, for tests of this folder that need one more: by the way to the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.conformance.real import Real
from tests.conformance.real_argocd import RealArgoCD
from tests.conformance.real_flux import RealFlux
from tests.conformance.world import Kind
from tests.peers.cluster import Cluster

REAL: Final[Mapping[Kind, Callable[[Kind, str, Cluster, int], Real]]] = {
    Kind.ARGOCD: RealArgoCD,
    Kind.OBJECTS: RealArgoCD,
    Kind.FLUX: RealFlux,
}
