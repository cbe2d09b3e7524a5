"""Manifests as people write them: the objects that the simulators watch and the workloads that they roll out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def application(
    name: str,
    *,
    url: str,
    path: str,
    branch: str = "main",
    project: str = "default",
    namespace: str = "argocd",
    destination: str = "",
    automated: Mapping[str, Any] | None = None,
    retry: Mapping[str, Any] | None = None,
    manual: bool = False,
) -> dict[str, Any]:
    """An Argo CD Application; automated sync is on unless `manual`, and may hold prune, selfHeal and allowEmpty."""
    policy: dict[str, Any] = {} if manual else {"automated": dict(automated or {})}
    if retry is not None:
        policy["retry"] = dict(retry)
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "destination": {"namespace": destination or name, "server": "https://kubernetes.default.svc"},
            "project": project,
            "source": {"path": path, "repoURL": url, "targetRevision": branch},
            "syncPolicy": policy,
        },
    }


def project(name: str, *, namespace: str = "argocd", **spec: Any) -> dict[str, Any]:
    """An AppProject; `syncWindows` and `signatureKeys` are honoured."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def git_repository(
    name: str, *, url: str, branch: str = "main", namespace: str = "flux-system", interval: str = "10m", **spec: Any
) -> dict[str, Any]:
    """A Flux GitRepository."""
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"interval": interval, "ref": {"branch": branch}, "timeout": "60s", "url": url, **spec},
    }


def kustomization(
    name: str,
    *,
    source: str,
    path: str,
    namespace: str = "flux-system",
    target: str = "",
    interval: str = "10m",
    wait: bool = True,
    **spec: Any,
) -> dict[str, Any]:
    """A Flux Kustomization of the GitRepository `source`."""
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "interval": interval,
            "path": path,
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": source},
            "targetNamespace": target or name,
            "wait": wait,
            **spec,
        },
    }


def deployment(name: str, image: str, *, replicas: int = 1, deadline: int = 600) -> dict[str, Any]:
    """A Deployment with one container."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": deadline,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": name, "image": image}]},
            },
        },
    }


def job(name: str, image: str, *, hook: str = "") -> dict[str, Any]:
    """A Job; `hook` makes it an Argo CD hook (`PreSync`, `PostSync`)."""
    annotations = {"argocd.argoproj.io/hook": hook, "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, **({"annotations": annotations} if hook else {})},
        "spec": {
            "backoffLimit": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": name, "image": image}]}},
        },
    }


def config_map(name: str, **data: str) -> dict[str, Any]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
