"""Everything that our identities must not be able to do, and the little that they may: what, how, which answer.

May live here: the tables. May not: who tries, and against what.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
APPLY: Final = "application/apply-patch+yaml"
JSON: Final = "application/json"
CHANGE: Final = "abcdefghijklmnopqrstuvwx23"

OK, FORBIDDEN, INVALID, GONE = 200, 403, 422, 404


@dataclass(frozen=True, slots=True)
class Deed:
    """One request, and the status that it must be answered with."""

    what: str
    method: str
    path: str
    body: Any
    expected: int
    media: str = MERGE

    def __str__(self) -> str:
        return f"{self.what}: {self.expected}"


@dataclass(frozen=True, slots=True)
class Object:
    """One object of Argo CD or Flux: where it is, and the annotation that asks for it to be looked at."""

    version: str
    kind: str
    plural: str
    namespace: str
    name: str
    asks: str
    value: str = "normal"

    @property
    def collection(self) -> str:
        """Where its like are."""
        return f"/apis/{self.version}/namespaces/{self.namespace}/{self.plural}"

    @property
    def path(self) -> str:
        """Where it is."""
        return f"{self.collection}/{self.name}"


def application(namespace: str, name: str) -> Object:
    """An Application of Argo CD."""
    return Object("argoproj.io/v1alpha1", "Application", "applications", namespace, name, "argocd.argoproj.io/refresh")


def kustomization(namespace: str, name: str) -> Object:
    """A Kustomization of Flux."""
    version, asks = "kustomize.toolkit.fluxcd.io/v1", "reconcile.fluxcd.io/requestedAt"
    return Object(version, "Kustomization", "kustomizations", namespace, name, asks, "2026-01-02T03:04:05Z/test")


def source(namespace: str, name: str) -> Object:
    """A GitRepository of Flux."""
    version, asks = "source.toolkit.fluxcd.io/v1", "reconcile.fluxcd.io/requestedAt"
    return Object(version, "GitRepository", "gitrepositories", namespace, name, asks, "2026-01-02T03:04:05Z/test")


def annotated(**annotations: str | None) -> dict[str, Any]:
    """A merge patch."""
    return {"metadata": {"annotations": annotations}}


def permitted(one: Object) -> Iterator[Deed]:
    """All that we may do to an object of ours."""
    ask = {one.asks: one.value}
    yield Deed("read", "GET", one.path, None, OK)
    yield Deed("watch", "GET", f"{one.collection}?watch=true&timeoutSeconds=1", None, OK)
    yield Deed("ask", "PATCH", one.path, annotated(**ask), OK)
    yield Deed("ask, for a change", "PATCH", one.path, annotated(**ask, **{"loopseal.dev/change": CHANGE}), OK)
    yield Deed("ask, for no change", "PATCH", one.path, annotated(**ask, **{"loopseal.dev/change": None}), OK)
    pointer = "/metadata/annotations/" + one.asks.replace("~", "~0").replace("/", "~1")
    add = [{"op": "add", "path": pointer, "value": one.value}]
    yield Deed("ask by JSON patch", "PATCH", one.path, add, OK, JSON_PATCH)
    meta = {"name": one.name, "namespace": one.namespace, "annotations": ask}
    whole = {"apiVersion": one.version, "kind": one.kind, "metadata": meta}
    yield Deed("ask by apply", "PATCH", f"{one.path}?fieldManager=loopseal", whole, OK, APPLY)


def beyond(one: Object) -> Iterator[Deed]:
    """What `patch` would allow, and the admission policy takes back."""
    ask = {one.asks: one.value}
    yield from (
        Deed(what, "PATCH", one.path, body, FORBIDDEN)
        for what, body in {
            **_specs(one.kind),
            "an annotation of others": annotated(**{"example.org/mine": "no more"}),
            "an annotation of others away": annotated(**{"example.org/mine": None}),
            "a new annotation": annotated(**{"argocd.argoproj.io/skip-reconcile": "true"}),
            "reconciliation off": annotated(**{"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}),
            "a forced reconciliation": annotated(**{"reconcile.fluxcd.io/forceAt": "now"}),
            "hydration": annotated(**{"argocd.argoproj.io/hydrate": "normal"}),
            "labels": {"metadata": {"labels": {"a": "b"}}},
            "finalizers": {"metadata": {"finalizers": ["example.org/stay"]}},
            "owners": {"metadata": {"ownerReferences": [_OWNER]}},
            "a request with something else": {**annotated(**ask), "spec": {"suspend": True, "project": "default"}},
        }.items()
    )
    field, value = ("project", "default") if one.kind == "Application" else ("suspend", True)
    replace = [{"op": "add", "path": f"/spec/{field}", "value": value}]
    yield Deed("spec by JSON patch", "PATCH", one.path, replace, FORBIDDEN, JSON_PATCH)
    whole = {"apiVersion": one.version, "kind": one.kind, "metadata": {"name": one.name, "labels": {"a": "b"}}}
    yield Deed("labels by apply", "PATCH", f"{one.path}?fieldManager=us&force=true", whole, FORBIDDEN, APPLY)
    change = {"loopseal.dev/change": "DROP TABLE changes; --"}
    yield Deed("a change that is none", "PATCH", one.path, annotated(**ask, **change), INVALID)
    if one.kind == "Application":
        yield Deed("a hard refresh", "PATCH", one.path, annotated(**{one.asks: "hard"}), INVALID)
    else:
        yield Deed("an endless request", "PATCH", one.path, annotated(**{one.asks: "x" * 200}), INVALID)
        yield Deed("a request away", "PATCH", one.path, annotated(**{one.asks: None}), FORBIDDEN)


_OWNER: Final[Mapping[str, str]] = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"}


def _specs(kind: str) -> dict[str, dict[str, Any]]:
    if kind == "Application":
        return {
            "the revision": {"spec": {"source": {"targetRevision": "evil"}}},
            "the project": {"spec": {"project": "default"}},
            "the status": {"status": {"sync": {"status": "Forged"}}},
            "a sync": {"operation": {"sync": {"revision": "evil"}}},
            "an override": {"operation": {"sync": {"manifests": ["{}"]}}},
        }
    if kind == "GitRepository":
        return {"the repository": {"spec": {"url": "https://evil.example"}}, "suspension": {"spec": {"suspend": True}}}
    return {
        "suspension": {"spec": {"suspend": True}},
        "whose rights": {"spec": {"serviceAccountName": "root"}},
        "the path": {"spec": {"path": "./elsewhere"}},
    }


def unasked(one: Object, spec: Mapping[str, Any]) -> Iterator[Deed]:
    """What RBAC does not give at all; `spec` is one that such an object may have."""
    meta = {"name": "made", "namespace": one.namespace}
    made = {"apiVersion": one.version, "kind": one.kind, "metadata": meta, "spec": spec}
    yield Deed("create", "POST", one.collection, made, FORBIDDEN, JSON)
    yield Deed("replace", "PUT", one.path, made, FORBIDDEN, JSON)
    yield Deed("delete", "DELETE", one.path, None, FORBIDDEN)
    yield Deed("delete all", "DELETE", one.collection, None, FORBIDDEN)
    yield Deed("list", "GET", one.collection, None, FORBIDDEN)
    yield Deed("the status itself", "PATCH", f"{one.path}/status", {"status": {}}, FORBIDDEN)


def cluster(namespace: str, other: str) -> Iterator[Deed]:
    """What has nothing to do with applications; `other` is somebody else's namespace."""
    reads = {
        "secrets": f"/api/v1/namespaces/{namespace}/secrets",
        "a secret": f"/api/v1/namespaces/{namespace}/secrets/any",
        "configuration": f"/api/v1/namespaces/{namespace}/configmaps",
        "service accounts": f"/api/v1/namespaces/{namespace}/serviceaccounts",
        "all secrets": "/api/v1/secrets",
        "all applications": "/apis/argoproj.io/v1alpha1/applications",
        "all Kustomizations": "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations",
        "namespaces": "/api/v1/namespaces",
        "nodes": "/api/v1/nodes",
        "roles": f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
        "policies": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
        "another's pods": f"/api/v1/namespaces/{other}/pods",
        "another's logs": f"/api/v1/namespaces/{other}/pods/any/log",
        "another's events": f"/api/v1/namespaces/{other}/events",
        "another's Deployments": f"/apis/apps/v1/namespaces/{other}/deployments/web",
    }
    yield from (Deed(what, "GET", path, None, FORBIDDEN) for what, path in reads.items())
    run = "?command=sh&stdin=true&stdout=true"
    yield Deed("exec", "POST", f"/api/v1/namespaces/{namespace}/pods/any/exec{run}", None, FORBIDDEN, JSON)
    yield Deed("attach", "POST", f"/api/v1/namespaces/{namespace}/pods/any/attach", None, FORBIDDEN, JSON)
    yield Deed("port-forward", "POST", f"/api/v1/namespaces/{namespace}/pods/any/portforward", None, FORBIDDEN, JSON)
    token = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    yield Deed("a token of another", "POST", f"{accounts}/default/token", token, FORBIDDEN, JSON)
    deployment = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    yield Deed("scale a workload", "PATCH", f"{deployment}/scale", {"spec": {"replicas": 0}}, FORBIDDEN)
    yield Deed("patch a workload", "PATCH", deployment, {"spec": {"replicas": 0}}, FORBIDDEN)
    yield Deed("delete a pod", "DELETE", f"/api/v1/namespaces/{namespace}/pods/any", None, FORBIDDEN)
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "more", "namespace": namespace},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
    }
    roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles"
    yield Deed("more rights", "POST", roles, role, FORBIDDEN, JSON)
    policy = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/loopseal-refresh-only"
    yield Deed("the policy away", "DELETE", policy, None, FORBIDDEN)


def foreign(one: Object) -> Iterator[Deed]:
    """An object of another team: not even to be seen."""
    yield Deed("read another's", "GET", one.path, None, FORBIDDEN)
    yield Deed("watch another's", "GET", f"{one.collection}?watch=true&timeoutSeconds=1", None, FORBIDDEN)
    yield Deed("ask another's", "PATCH", one.path, annotated(**{one.asks: one.value}), FORBIDDEN)


def argocd_permitted(name: str, project: str) -> Iterator[Deed]:
    """By the API server of Argo CD."""
    path, query = f"/api/v1/applications/{name}", f"?project={project}&appNamespace=argocd"
    yield Deed("read", "GET", f"{path}{query}", None, OK)
    yield Deed("refresh", "GET", f"{path}{query}&refresh=normal", None, OK)
    yield Deed("list", "GET", f"/api/v1/applications?projects={project}", None, OK)
    yield Deed("its own project, which no right is needed for", "GET", f"/api/v1/projects/{project}", None, OK)
    for what in ("resource-tree", "managed-resources", "events", "syncwindows", "links"):
        yield Deed(what, "GET", f"{path}/{what}{query}", None, OK)


def argocd_refused(name: str, other: str, project: str, others: str) -> Iterator[Deed]:
    """By the API server of Argo CD: `other` is an application of the project `others`."""
    path, its = f"/api/v1/applications/{name}", f"/api/v1/applications/{other}"
    mine, query = f"?project={project}", f"?project={others}"
    patch = {"name": name, "patch": '{"spec":{"project":"default"}}', "patchType": "merge", "project": project}
    resource = f"{mine}&namespace={project}&resourceName=web&version=v1&group=apps&kind=Deployment"
    rows: dict[str, tuple[str, str, Any]] = {
        "another's": ("GET", f"{its}{query}", None),
        "another's, of no project": ("GET", its, None),
        "another's tree": ("GET", f"{its}/resource-tree{query}", None),
        "refresh another's": ("GET", f"{its}{query}&refresh=normal", None),
        "sync": ("POST", f"{path}/sync", {"name": name, "project": project}),
        "sync another's": ("POST", f"{its}/sync", {"name": other, "project": others}),
        "override": ("POST", f"{path}/sync", {"name": name, "project": project, "manifests": ["{}"]}),
        "roll back": ("POST", f"{path}/rollback", {"name": name, "id": 0, "project": project}),
        "end an operation": ("DELETE", f"{path}/operation{mine}", None),
        "patch": ("PATCH", path, patch),
        "spec": ("PUT", f"{path}/spec{mine}", {"project": project}),
        "delete": ("DELETE", f"{path}{mine}", None),
        "delete a resource": ("DELETE", f"{path}/resource{resource}", None),
        "patch a resource": ("POST", f"{path}/resource{resource}&patchType=application/merge-patch%2Bjson", "{}"),
        "an action": ("POST", f"{path}/resource/actions{resource}", "restart"),
        "create": ("POST", "/api/v1/applications", {"metadata": {"name": "made"}, "spec": {"project": project}}),
        "change the project": ("PUT", f"/api/v1/projects/{project}", {"project": {"metadata": {"name": project}}}),
        "a token of its own": ("POST", f"/api/v1/projects/{project}/roles/loopseal/token", {"expiresIn": 0}),
        "another's project": ("GET", f"/api/v1/projects/{others}", None),
        "a repository": ("POST", "/api/v1/repositories", {"repo": "https://evil.example"}),
        "a cluster": ("POST", "/api/v1/clusters", {"server": "https://evil.example", "name": "evil"}),
        "an account": ("GET", "/api/v1/account/admin", None),
        "a certificate": ("POST", "/api/v1/certificates", {"items": []}),
        "a GPG key": ("POST", "/api/v1/gpgkeys", {"keyData": "x"}),
    }
    yield from (Deed(what, method, at, body, FORBIDDEN, JSON) for what, (method, at, body) in rows.items())
    yield Deed("another's, as if it were ours", "GET", f"{its}{mine}", None, GONE)
