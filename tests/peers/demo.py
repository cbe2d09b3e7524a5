"""The demo on the real peers: `python -m tests.peers.demo [--engine flux] [--keep]`, or `make demo PEERS=real`.

The Dags change keys of a `values.yaml`, as everywhere. What makes manifests of it is kustomize, the same way for both
engines: `values.yaml` is a resource that stays at home (`config.kubernetes.io/local-config`), and `replacements` copy
its fields into a Deployment and a ConfigMap. Flux has kustomize in process, Argo CD runs the program.

Argo CD's web interface is no part of its Go module (it is built with yarn, and compiled in): what the program serves by
itself is its API and the description of it, `/swagger-ui`.
"""

from __future__ import annotations

import argparse
import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from loopseal.cli import demo as stage
from loopseal.testing import objects
from loopseal.testing.demo import APPLICATIONS, FILES, Cast, Running, Site, private
from tests.peers import pins
from tests.peers.cluster import Cluster
from tests.peers.kube import Kube, Object
from tests.peers.lanes import HOME, rights

ACCOUNT = "loopseal-demo"
PATIENCE = 90.0


def _copy(source: str, kind: str, *targets: str, **options: Any) -> Object:
    """One of kustomize's replacements: a field of the values into fields of the resource of that kind."""
    places: Object = {
        "select": {"kind": kind},
        "fieldPaths": list(targets),
        **({"options": options} if options else {}),
    }
    return {"source": {"kind": "Values", "fieldPath": source}, "targets": [places]}


def _rendered(name: str, values: bytes) -> dict[str, bytes]:
    """The files that make manifests of one application's values."""
    head = {
        "apiVersion": "example.com/v1",
        "kind": "Values",
        "metadata": {"name": name, "annotations": {"config.kubernetes.io/local-config": "true"}},
    }
    known, image = yaml.safe_load(values), "spec.template.spec.containers.0.image"
    copies = [_copy("replicaCount", "Deployment", "spec.replicas")]
    deployment = objects.deployment(name, f"registry.test/{name}:v1", replicas=1)
    resources = {"values.yaml": None, "deployment.yaml": deployment}
    if "image" in known:
        copies.append(_copy("image.repository", "Deployment", image, delimiter=":", index=0))
        copies.append(_copy("image.tag", "Deployment", image, delimiter=":", index=1))
        copies.append(_copy("progressDeadlineSeconds", "Deployment", "spec.progressDeadlineSeconds"))
    if "thresholds" in known:
        copies.append(_copy("thresholds", "ConfigMap", "data"))
        resources["thresholds.yaml"] = objects.config_map("thresholds", **known["thresholds"])
    plan = {"resources": list(resources), "replacements": copies}
    made = {file: _text(one) for file, one in resources.items() if one is not None}
    return {**made, "kustomization.yaml": _text(plan), "values.yaml": _text(head) + values}


def _text(document: Object) -> bytes:
    return yaml.safe_dump(document, sort_keys=False).encode()


def files() -> dict[str, bytes]:
    """What stands in the repository of the demo beside, or instead of, what the simulators read."""
    return {
        f"{one.path}/{name}": text
        for one in APPLICATIONS
        for name, text in _rendered(one.name, FILES[f"{one.path}/values.yaml"]).items()
    }


@contextmanager
def real(site: Site) -> Iterator[Running]:
    """The real Kubernetes with the real Argo CD or Flux, and the demo's applications on it, healthy."""
    with Cluster(site.folder / "cluster", argocd=site.engine == "argocd", flux=site.engine == "flux") as cluster:
        for one in APPLICATIONS:
            cluster.kube.namespace(one.name)
        yield (_argocd if site.engine == "argocd" else _flux)(site, cluster)


def _argocd(site: Site, cluster: Cluster) -> Running:
    kube, api = cluster.kube, cluster.argocd
    for one in APPLICATIONS:
        kube.apply(objects.application(one.name, url=site.git_url, path=one.path, automated={"prune": True}))
    for one in APPLICATIONS:
        kube.until("Application", "argocd", one.name, _argocd_healthy, PATIENCE)
    token = private(site.folder / "argocd.token", api.token("bot"))
    settings = {"kind": "argocd", "url": api.url, "credential": f"file:{token}", "project": "default"}
    name, who = f"Argo CD {pins.program('argocd').version}", f"(user: admin, password: {_password(kube)})"
    page = api.url if api.has_pages() else f"{api.url}/swagger-ui"
    return Running(name, ((name, f"{page}  {who}"), *_kubernetes(cluster)), settings)


def _password(kube: Kube) -> str:
    secret = kube.get("Secret", "argocd", "argocd-initial-admin-secret") or {"data": {"password": ""}}
    return base64.b64decode(secret["data"]["password"]).decode()


def _flux(site: Site, cluster: Cluster) -> Running:
    kube = cluster.kube
    kube.apply(objects.git_repository("apps", url=site.git_url, interval="1m"))
    for one in APPLICATIONS:
        patience = {"retryInterval": "10s", "timeout": "60s"}
        kube.apply(objects.kustomization(one.name, source="apps", path=f"./{one.path}", **patience))
    for one in APPLICATIONS:
        kube.until("Kustomization", "flux-system", one.name, _flux_ready, PATIENCE)
    token = cluster.token(ACCOUNT, HOME, seconds=24 * 3600)
    for right in rights(ACCOUNT):
        kube.apply(right)
    kubeconfig = private(site.folder / "kubeconfig", cluster.kubeconfig_for(token))
    name = f"Flux {pins.program('kustomize-controller').version}"
    return Running(name, _kubernetes(cluster), {"kind": "flux", "kubeconfig": f"file:{kubeconfig}"})


def _kubernetes(cluster: Cluster) -> tuple[tuple[str, str], ...]:
    version = pins.program("kube-apiserver").version
    return ((f"Kubernetes {version}", f"KUBECONFIG={cluster.kubeconfig}"),)


def _argocd_healthy(found: Object) -> bool:
    status = found.get("status") or {}
    told = status.get("sync", {}).get("status"), status.get("health", {}).get("status")
    return told == ("Synced", "Healthy") and "operation" not in found


def _flux_ready(found: Object) -> bool:
    conditions = (found.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def main(argv: list[str] | None = None) -> int:
    """Play the demo."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=("argocd", "flux"), default="argocd")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C, to look at")
    parser.add_argument("--folder", type=Path, default=Path(".demo"), help="where it all lives; emptied first")
    parser.add_argument("--act", action="append", choices=("a", "b", "c", "d"), default=[], help="only these acts")
    options = parser.parse_args(argv)
    cast = Cast(real, files())
    return stage.perform(
        cast, engine=options.engine, keep=options.keep, folder=options.folder, letters=tuple(options.act)
    )


if __name__ == "__main__":
    raise SystemExit(main())
