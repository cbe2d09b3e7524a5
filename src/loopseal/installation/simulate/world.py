"""What a sync finds: the destination before it, who answers for which kinds, and what images do when they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from loopseal.installation.manifests import Key, Manifest, table, tables
from loopseal.installation.simulate.needs import WaitsFor, migrations

BUILT_IN: Final = frozenset({
    "", "apps", "batch", "policy", "autoscaling", "networking.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io",
    "apiextensions.k8s.io", "admissionregistration.k8s.io", "scheduling.k8s.io", "coordination.k8s.io",
    "discovery.k8s.io", "node.k8s.io", "certificates.k8s.io", "events.k8s.io", "apiregistration.k8s.io",
})  # fmt: skip
"""API groups that every cluster has."""


class Run(Enum):
    """What a container does once everything it needs is there."""

    WELL = "becomes ready, or ends well"
    NEVER_READY = "never becomes ready"
    FAILS = "ends badly"


def _well(_image: str) -> Run:
    return Run.WELL


def ports_are_ports(manifest: Manifest) -> str:
    """Why the API server refuses the object, as far as can be told without it; empty when it does not."""
    ports = [one.get("port", 1) for one in tables(manifest.spec.get("ports"))] if manifest.kind == "Service" else []
    bad = [port for port in ports if not (isinstance(port, int) and 0 < port < 2**16)]
    return f"spec.ports: {bad[0]!r} is no port" if bad else ""


@dataclass(frozen=True, slots=True)
class World:
    """The destination, and what can be expected of it. The default expects the best: what is asked for comes."""

    exists: frozenset[Key] = frozenset({Key("ServiceAccount", "default")})
    """Objects that are there before: Secrets that somebody else provides, above all."""
    groups: frozenset[str] = BUILT_IN
    """API groups that are served."""
    versions_gone: frozenset[str] = frozenset()
    """Of those groups, versions that are not served any more (`external-secrets.io/v1beta1`)."""
    unready: frozenset[Key] = frozenset()
    """Custom resources whose status says that they are not ready."""
    answered: Callable[[Manifest], bool] = lambda _: True
    """Whether somebody gives this object what it waits for: an address, a volume, a status."""
    runs: Callable[[str], Run] = _well
    """What an image does."""
    refuses: Callable[[Manifest], str] = ports_are_ports
    """Why the API server refuses an object, empty when it takes it."""
    waits_for: WaitsFor = migrations
    namespace_exists: bool = True
    live: Mapping[Key, Manifest] = field(default_factory=dict)
    """What an earlier sync applied, as it stood in Git then."""
    degraded: frozenset[Key] = frozenset()
    """What of it is Degraded when this sync begins: what repairs it comes too late for the first attempt."""


@dataclass(frozen=True, slots=True)
class Options:
    """Of the sync: its `syncOptions`, whether hooks run (with `syncStrategy: apply` they do not), and pruning."""

    words: frozenset[str] = frozenset()
    hooks: bool = True
    prune: bool = False
    patience: float = float("inf")
    """Seconds for which one looks: a deadline beyond them is none."""


def storage_class(manifest: Manifest) -> Any:
    """The class that a claim asks for, or that a StatefulSet's claims do; None where they ask for none."""
    if manifest.kind == "PersistentVolumeClaim":
        return manifest.spec.get("storageClassName")
    claims = tables(manifest.spec.get("volumeClaimTemplates"))
    return next((one for claim in claims if (one := table(claim.get("spec")).get("storageClassName"))), None)
