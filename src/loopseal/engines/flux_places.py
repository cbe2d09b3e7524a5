"""Where Flux's objects, and those that it applies, are in the Kubernetes API.

Lives here: kinds, and the places that one object names (its source, its chart, what it depends on, what it applied).
Does not: reading them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from loopseal.domain.proposal import Application
from loopseal.engines import flux_object as flux
from loopseal.engines.fields import Object, items, mapping, text
from loopseal.engines.kubernetes import Kind
from loopseal.errors import Code, ConfigError

DEFAULT_NAMESPACE: Final = "flux-system"
_SOURCE: Final = "source.toolkit.fluxcd.io"
KUSTOMIZATION: Final = Kind("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations")
HELM_RELEASE: Final = Kind("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases")
GIT_REPOSITORY: Final = Kind(_SOURCE, "v1", "GitRepository", "gitrepositories")
HELM_CHART: Final = Kind(_SOURCE, "v1", "HelmChart", "helmcharts")
_SOURCES: Final = {
    kind.kind: kind
    for kind in (
        GIT_REPOSITORY,
        HELM_CHART,
        Kind(_SOURCE, "v1", "OCIRepository", "ocirepositories"),
        Kind(_SOURCE, "v1", "Bucket", "buckets"),
        Kind(_SOURCE, "v1", "HelmRepository", "helmrepositories"),
        Kind(_SOURCE, "v1", "ExternalArtifact", "externalartifacts"),
    )
}
_APPLICATIONS: Final = {kind.kind: kind for kind in (KUSTOMIZATION, HELM_RELEASE, GIT_REPOSITORY)}
_PARENT: Final = "kustomize.toolkit.fluxcd.io"


@dataclass(frozen=True, slots=True)
class Place:
    """One object of a cluster, by where it is."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.kind} {self.namespace}/{self.name}"


def of_application(application: Application, default: str) -> Place:
    """The object that a target names. Raises ConfigError for a kind that is none of Flux's."""
    kind = _APPLICATIONS.get(application.kind or "Kustomization")
    if kind is None:
        raise ConfigError(
            Code.CONFIG_INVALID,
            f"{application.kind!r} is no kind of Flux that can be waited for",
            where=str(application),
            hint=f"`kind` is one of {', '.join(_APPLICATIONS)}; default Kustomization.",
        )
    return Place(kind, application.namespace or default, application.name)


def source_of(obj: Object, place: Place) -> Place | None:
    """The source that a Kustomization, or a HelmRelease's chart, is made from."""
    for path in (("spec", "sourceRef"), ("spec", "chart", "spec", "sourceRef"), ("spec", "chartRef")):
        reference = mapping(obj, *path)
        kind = _SOURCES.get(text(reference, "kind") or "GitRepository")
        if kind is not None and text(reference, "name"):
            return Place(kind, text(reference, "namespace") or place.namespace, text(reference, "name"))
    return None


def chart_of(release: Object) -> Place | None:
    """The HelmChart that the controller made for a HelmRelease (`status.helmChart`)."""
    namespace, slash, name = text(release, "status", "helmChart").partition("/")
    return Place(HELM_CHART, namespace, name) if slash else None


def parent_of(obj: Object) -> Place | None:
    """The Kustomization that applied an object, by the labels that Flux puts on it."""
    labels = mapping(obj, "metadata", "labels")
    name, namespace = text(labels, f"{_PARENT}/name"), text(labels, f"{_PARENT}/namespace")
    return Place(KUSTOMIZATION, namespace, name) if name and namespace else None


def dependencies_of(obj: Object, place: Place) -> Iterator[Place]:
    """What it waits for before it is applied."""
    for one in items(obj, "spec", "dependsOn"):
        if text(one, "name"):
            yield Place(place.kind, text(one, "namespace") or place.namespace, text(one, "name"))


def nested_in(kustomization: Object) -> Iterator[Place]:
    """Objects of Flux among what it applied: they go on from there."""
    for one in flux.inventory(kustomization):
        for kind in (KUSTOMIZATION, HELM_RELEASE):
            if (one.kind, one.group) == (kind.kind, kind.group):
                yield Place(kind, one.namespace, one.name)
