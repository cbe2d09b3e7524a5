"""What addresses mean to Kubernetes and Argo CD: a table, and that no address breaks it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.engines.meanings import of_argocd, of_kubernetes
from loopseal.net.calls import Meaning

KS = "kustomizations.kustomize.toolkit.fluxcd.io"
KS_PATH = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/team/kustomizations"
ASKED = "selfsubjectaccessreviews.authorization.k8s.io"


@pytest.mark.parametrize(
    ("method", "target", "means"),
    [
        ("GET", f"{KS_PATH}/web", Meaning("get", KS, "team", "web")),
        ("GET", f"{KS_PATH}?limit=50", Meaning("list", KS, "team")),
        ("GET", f"{KS_PATH}?watch=true&resourceVersion=7", Meaning("watch", KS, "team")),
        ("GET", f"{KS_PATH}?watch=false", Meaning("list", KS, "team")),
        ("PATCH", f"{KS_PATH}/web?fieldManager=loopseal", Meaning("patch", KS, "team", "web", writes=True)),
        ("PATCH", f"{KS_PATH}/web/status", Meaning("patch", f"{KS}/status", "team", "web", writes=True)),
        ("POST", KS_PATH, Meaning("create", KS, "team", writes=True)),
        ("PUT", f"{KS_PATH}/web", Meaning("update", KS, "team", "web", writes=True)),
        ("DELETE", f"{KS_PATH}/web", Meaning("delete", KS, "team", "web", writes=True)),
        ("DELETE", KS_PATH, Meaning("deletecollection", KS, "team", writes=True)),
        ("GET", "/api/v1/namespaces/team/pods/web-1/log?tailLines=9", Meaning("get", "pods/log", "team", "web-1")),
        ("POST", "/api/v1/namespaces/team/pods/w/exec", Meaning("create", "pods/exec", "team", "w", writes=True)),
        ("GET", "/api/v1/namespaces/team", Meaning("get", "namespaces", "team", "team")),
        ("GET", "/api/v1/namespaces", Meaning("list", "namespaces")),
        ("GET", "/api/v1/nodes/n1", Meaning("get", "nodes", "", "n1")),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", Meaning("create", ASKED)),
        ("GET", "/version", Meaning("get")),
        ("GET", "/apis/batch/v1", Meaning("get")),
        ("GET", "/", Meaning("get")),
        ("BREW", "/coffee", Meaning("get", writes=True)),
    ],
)
def test_kubernetes(method: str, target: str, means: Meaning):
    assert of_kubernetes(method, target) == means
    assert of_kubernetes(method, f"/k8s/clusters/c-1{target}", prefix="/k8s/clusters/c-1") == means


@pytest.mark.parametrize(
    ("method", "target", "means"),
    [
        ("GET", "/api/v1/applications/web?appNamespace=a&project=p", Meaning("get", "applications", "a", "web")),
        ("GET", "/api/v1/applications/web?refresh=normal", Meaning("refresh", "applications", "", "web", writes=True)),
        ("GET", "/api/v1/applications/we%2Fb", Meaning("get", "applications", "", "we/b")),
        ("GET", "/api/v1/applications?projects=p", Meaning("list", "applications")),
        ("POST", "/api/v1/applications", Meaning("create", "applications", writes=True)),
        ("POST", "/api/v1/applications/web/sync", Meaning("sync", "applications", "", "web", writes=True)),
        ("POST", "/api/v1/applications/web/rollback", Meaning("create", "applications/rollback", "", "web", True)),
        ("DELETE", "/api/v1/applications/web", Meaning("delete", "applications", "", "web", writes=True)),
        ("GET", "/api/v1/applications/web/resource-tree", Meaning("get", "applications/resource-tree", "", "web")),
        ("GET", "/api/v1/applications/w/pods/p/logs", Meaning("get", "applications/pods/p/logs", "", "w")),
        ("GET", "/api/v1/stream/applications?appNamespace=argocd", Meaning("watch", "applications", "argocd")),
        ("GET", "/api/v1/account/can-i/logs/get/p/w", Meaning("get", "account/can-i/logs/get/p/w")),
        ("GET", "/api/version", Meaning("get", "version")),
        ("POST", "/elsewhere", Meaning("create", writes=True)),
    ],
)
def test_argocd(method: str, target: str, means: Meaning):
    assert of_argocd(method, target) == means
    assert of_argocd(method, f"/tools/argo{target}", prefix="/tools/argo/") == means


METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
TARGETS = st.one_of(
    st.text("abc/%?=&.1 v", max_size=60),
    st.lists(
        st.sampled_from(["api", "apis", "v1", "namespaces", "a", "stream", "applications", "sync", "%2F", ""])
    ).map(lambda parts: "/" + "/".join(parts) + "?watch=true"),
)


@given(METHODS, TARGETS)
def test_whatever_comes_only_a_reading_method_reads(method: str, target: str):
    for read in (of_kubernetes, of_argocd):
        found = read(method, target)
        assert found.verb
        if method not in {"GET", "HEAD"} and "authentication" not in target and "authorization" not in target:
            assert found.writes
        if method in {"GET", "HEAD"} and "refresh" not in target:
            assert not found.writes
