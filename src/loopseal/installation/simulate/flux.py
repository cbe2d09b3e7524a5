"""One reconciliation of a Flux Kustomization with `wait: true`: no waves, no hooks; all or nothing, then health.

Source: kustomize-controller 1.9 (`kustomization_controller.go`, fluxcd/pkg/ssa), and recorded reconciliations of the
real one. Everything is tried in a dry run first: one object that is refused, and nothing is applied. A reconciliation
always ends: what is not ready within `timeout` has failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from loopseal.installation.manifests import Key, Manifest
from loopseal.installation.simulate.changes import immutable
from loopseal.installation.simulate.fate import Fate, fate
from loopseal.installation.simulate.needs import needs
from loopseal.installation.simulate.outcome import Blocked, Outcome, State
from loopseal.installation.simulate.served import served
from loopseal.installation.simulate.world import Options, World

_FIRST: Final = frozenset({"CustomResourceDefinition", "Namespace", "ClusterRole"})
"""Kinds that are applied, and ready, before all others."""
_NOT_WAITED: Final = frozenset({"Service", "Ingress"})
"""Kinds that count as ready without the address that they wait for."""
_BUILT_IN: Final = frozenset({"", "apps", "batch"})
"""Groups whose objects are not ready until their status says so; others are when they have no status."""


@dataclass(frozen=True, slots=True)
class Kustomization:
    """What its `spec` says, as far as it decides: `force`, whether `decryption` is there and its key too."""

    force: bool = False
    decrypts: bool = False
    key: str = ""
    """`decryption.secretRef.name`."""
    depends_on: tuple[str, ...] = ()


def reconcile(
    files: Mapping[str, Sequence[Mapping[str, Any]]], world: World, kustomization: Kustomization, ready: frozenset[str]
) -> Outcome:
    """One reconciliation of all documents in `files` (by path); `ready` names the Kustomizations that are."""
    waits = tuple(f"Kustomization/{name} ready" for name in kustomization.depends_on if name not in ready)
    if waits:
        return Outcome(State.FAILED, (), (Blocked(Key("Kustomization", ""), waits),), where="dependencies")
    if broken := tuple(_unbuilt(files, world, kustomization)):
        return Outcome(State.FAILED, (), refused=broken, where="build")
    manifests = tuple(Manifest(one) for documents in files.values() for one in documents)
    if refused := tuple(_refused(manifests, world, kustomization)):
        return Outcome(State.FAILED, (), refused=refused, where="dry run")
    first = tuple(one.key for one in manifests if one.kind in _FIRST)
    rest = tuple(one.key for one in manifests if one.kind not in _FIRST)
    return _waited(manifests, world, tuple(filter(None, (first, rest))))


def _unbuilt(
    files: Mapping[str, Sequence[Mapping[str, Any]]], world: World, kustomization: Kustomization
) -> Iterable[Blocked]:
    """Why the manifests cannot even be made: a file that is none, or a cipher that nobody can read."""
    for path, documents in files.items():
        if any(not (Manifest(one).kind and Manifest(one).name) for one in documents):
            yield Blocked(Key("file", path), ("missing Resource metadata",))
    secret = Key("Secret", kustomization.key)
    if kustomization.decrypts and kustomization.key and secret not in world.exists:
        yield Blocked(secret, ("not found",))
        return
    for one in (Manifest(body) for documents in files.values() for body in documents if "sops" in body):
        if kustomization.decrypts and secret not in world.exists:
            yield Blocked(one.key, ("the key that decrypts it",))


def _refused(manifests: Sequence[Manifest], world: World, kustomization: Kustomization) -> Iterable[Blocked]:
    for one in manifests:
        if not served(one, manifests, world):
            yield Blocked(one.key, (f"no matches for kind {one.kind!r}",))
        elif not world.namespace_exists:
            yield Blocked(one.key, ("its namespace",))
        elif why := world.refuses(one) or (not kustomization.force and immutable(world.live.get(one.key), one)):
            yield Blocked(one.key, (why,))


def _waited(manifests: Sequence[Manifest], world: World, applied: tuple[tuple[Key, ...], ...]) -> Outcome:
    made = {key for one in manifests if (key := one.made) and one.key not in world.unready}
    exists = world.exists | {one.key for one in manifests} | made
    done: set[str] = set()

    def end(one: Manifest) -> Fate:
        if one.kind in _NOT_WAITED or (one.group not in _BUILT_IN and one.key not in world.unready):
            return Fate.WELL
        met = all(need.met(exists, done) for need in needs(one, world.waits_for))
        return Fate.STUCK if one.key in world.unready else fate(one, world, Options(), met=met)

    while ended := {one.name for one in manifests if one.kind == "Job" and end(one) is Fate.WELL} - done:
        done |= ended
    bad = [one for one in manifests if end(one) is not Fate.WELL]
    missing = {
        one.key: tuple(sorted(str(need) for need in needs(one, world.waits_for) if not need.met(exists, done)))
        for one in bad
    }
    blocked = tuple(Blocked(key, lacks) for key, lacks in missing.items())
    state = State.FAILED if bad else State.SUCCEEDED
    return Outcome(state, applied, blocked, where="health" if bad else "")
