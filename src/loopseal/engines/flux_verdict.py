"""What Flux's objects mean for one wanted commit: the judges of all kinds, under one name.

Proven against recordings of source- and kustomize-controller 1.9 (`tests/recorded/flux`). Revision fields are read,
never messages, which are written earlier. An acknowledged request means that a pass ended, not that it did anything.
`memory` is plain JSON, is changed in place and may be serialised between any two calls. `now` is seconds since 1970.
"""

from __future__ import annotations

from loopseal.engines import flux_object as flux
from loopseal.engines.fields import Memory, Object, texts
from loopseal.engines.flux_helm import judge_helm_release
from loopseal.engines.flux_inventory import judge_objects, reads_objects
from loopseal.engines.flux_kustomization import judge_kustomization, with_dependency
from loopseal.engines.flux_look import Live
from loopseal.engines.flux_message import bad_resources
from loopseal.engines.flux_object import acknowledged, inventory, sha_of
from loopseal.engines.flux_preflight import preflight
from loopseal.engines.flux_source import judge_source

__all__ = [
    "Live",
    "acknowledged",
    "bad_resources",
    "inventory",
    "judge_helm_release",
    "judge_kustomization",
    "judge_objects",
    "judge_source",
    "preflight",
    "questions",
    "reads_objects",
    "revisions",
    "sha_of",
    "with_dependency",
]


def revisions(obj: Object) -> frozenset[str]:
    """Every commit in `obj` whose relation to the wanted commit a judge may ask for."""
    named = {flux.source_commit, flux.applied_commit, flux.attempted_commit, flux.refused_commit}
    found = {commit(obj) for commit in named}
    return frozenset(found - {""})


def questions(obj: Object, wanted: str, memory: Memory) -> frozenset[tuple[str, str]]:
    """Every pair (observed, other) whose relation a judge may ask for: for those who must look it up before."""
    against = {wanted, *texts(memory, "reached")}
    return frozenset((one, other) for one in revisions(obj) for other in against if other and one != other)
