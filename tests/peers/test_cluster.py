"""The real cluster itself: what it can do, that its processes can be killed and started again, that it leaves nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from loopseal.testing import objects
from tests.peers import pages, pins
from tests.peers.__main__ import as_text, describe
from tests.peers.argocd import ArgoCD
from tests.peers.cluster import Cluster
from tests.peers.flux import Flux
from tests.peers.kube import KubeError
from tests.peers.ports import HOST
from tests.peers.processes import descendants

NAMES = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
    "redis",
    "argocd-repo-server",
    "argocd-application-controller",
    "argocd-server",
    "source-controller",
    "kustomize-controller",
)


def deployment(name: str, tag: str, deadline: int = 600) -> dict[str, Any]:
    labels = {"app": name}
    container = {"name": "main", "image": f"registry.test/main:{tag}"}
    spec = {
        "progressDeadlineSeconds": deadline,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def in_namespace(obj: dict[str, Any], namespace: str) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}


def config_map(name: str, value: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}}


def condition(obj: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((one for one in obj.get("status", {}).get("conditions", []) if one["type"] == kind), {})


def available(obj: dict[str, Any]) -> bool:
    return condition(obj, "Available").get("status") == "True"


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """One that no other test has."""
    name = request.node.name.partition("[")[0].replace("_", "-")[:50]
    cluster.kube.namespace(name)
    return name


# --- Kubernetes ------------------------------------------------------------------------------------------------------


def test_the_fake_node_runs_what_its_image_says(cluster: Cluster, namespace: str) -> None:
    kube = cluster.kube
    for tag in ("v1", "slow", "broken"):
        kube.apply(in_namespace(deployment(tag, tag, deadline=1), namespace))
    kube.until("Deployment", namespace, "v1", available)
    kube.until("Deployment", namespace, "slow", available)
    stuck = kube.until(
        "Deployment", namespace, "broken", lambda one: condition(one, "Progressing")["status"] == "False"
    )
    assert condition(stuck, "Progressing")["reason"] == "ProgressDeadlineExceeded"
    pods = [pod for pod in kube.list("Pod", namespace) if pod["metadata"]["labels"]["app"] == "broken"]
    assert pods[0]["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ImagePullBackOff"


def test_jobs_end_well_or_badly(cluster: Cluster, namespace: str) -> None:
    for tag in ("v1", "fail"):
        pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": f"registry.test/main:{tag}"}]}
        spec = {"backoffLimit": 0, "template": {"spec": pod}}
        meta = {"name": tag, "namespace": namespace}
        cluster.kube.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec})
    cluster.kube.until("Job", namespace, "v1", lambda job: condition(job, "Complete").get("status") == "True")
    cluster.kube.until("Job", namespace, "fail", lambda job: condition(job, "Failed").get("status") == "True")


def test_namespaces_are_really_deleted(cluster: Cluster) -> None:
    cluster.kube.namespace("short-lived")
    cluster.kube.apply(in_namespace(deployment("web", "v1"), "short-lived"))
    cluster.kube.until("Deployment", "short-lived", "web", available)
    cluster.kube.delete("Namespace", "", "short-lived")
    cluster.kube.until_gone("Namespace", "", "short-lived", 60)


def test_a_token_may_what_it_was_given_and_nothing_else(cluster: Cluster, namespace: str) -> None:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    group = "rbac.authorization.k8s.io"
    meta = {"name": "reader", "namespace": namespace}
    cluster.kube.apply({"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": rules})
    role = {"apiGroup": group, "kind": "Role", "name": "reader"}
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": namespace}
    binding = {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": meta}
    cluster.kube.apply({**binding, "roleRef": role, "subjects": [subject]})
    cluster.kube.apply(in_namespace(config_map("one", "1"), namespace))
    path = f"/api/v1/namespaces/{namespace}"
    with cluster.kube.as_token(cluster.token("reader", namespace)) as reader:
        assert reader.call("GET", f"{path}/configmaps/one")["data"] == {"value": "1"}
        with pytest.raises(KubeError, match="secrets is forbidden") as refused:
            reader.call("GET", f"{path}/secrets")
    assert refused.value.status == 403
    with cluster.kube.as_token("nobody-has-this") as nobody:
        assert nobody.request("GET", path).status_code == 401


def test_a_token_ends_with_the_secret_that_it_is_bound_to(cluster: Cluster, namespace: str) -> None:
    token = cluster.token("short", namespace, secret="bound")
    cluster.kube.delete("Secret", namespace, "bound")
    with cluster.kube.as_token(token) as late:
        # Nobody has used it, so nothing is remembered of it: it is refused at once.
        assert late.request("GET", "/api/v1/namespaces").status_code == 401


def test_admission_policies_refuse_in_their_own_words(cluster: Cluster, namespace: str) -> None:
    group = "admissionregistration.k8s.io/v1"
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]
    spec = {
        "matchConstraints": {"resourceRules": rules},
        "matchConditions": [{"name": "here", "expression": f"request.namespace == '{namespace}'"}],
        "validations": [{"expression": "object.data.value != 'forbidden'", "message": "this value is forbidden"}],
    }
    policy = {"apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": namespace}, "spec": spec}
    binding = {"policyName": namespace, "validationActions": ["Deny"]}
    cluster.kube.apply(policy)
    cluster.kube.apply(
        {
            "apiVersion": group,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": namespace},
            "spec": binding,
        }
    )
    path = f"/api/v1/namespaces/{namespace}/configmaps?dryRun=All"

    def refused() -> bool:
        answer = cluster.kube.request("POST", path, config_map("one", "forbidden"))
        return answer.status_code == 422 and "this value is forbidden" in answer.text

    cluster.processes.until(refused, 30, "the policy is not effective")
    assert cluster.kube.request("POST", path, config_map("one", "fine")).is_success


def test_every_call_is_in_the_audit_log_before_it_is_answered(cluster: Cluster) -> None:
    identity = f"test-{time.monotonic_ns()}"
    answer = cluster.kube.request("GET", "/api/v1/nodes", headers={"Audit-ID": identity})
    assert answer.headers["Audit-Id"] == identity
    entries = [json.loads(line) for line in cluster.audit_log.read_text().splitlines() if identity in line]
    assert [(one["verb"], one["user"]["username"], one["responseStatus"]["code"]) for one in entries] == [
        ("list", "admin", 200)
    ]


# --- the engines -----------------------------------------------------------------------------------------------------


def argocd_application(cluster: Cluster, namespace: str, repository: str) -> dict[str, Any]:
    url = cluster.git.url(repository)
    return objects.application(namespace, url=url, path="apps/web", destination=namespace)


def is_at(revision: str) -> Any:
    """Whether an Application is synced to this commit, and healthy."""

    def fits(app: dict[str, Any]) -> bool:
        status = app.get("status", {})
        sync, health = status.get("sync", {}), status.get("health", {})
        return (sync.get("revision"), sync.get("status"), health.get("status")) == (revision, "Synced", "Healthy")

    return fits


def test_argocd_applies_a_commit(cluster: Cluster, argocd: ArgoCD, repository: str, namespace: str) -> None:
    revision = cluster.git.commit(repository, {"apps/web/web.yaml": json.dumps(deployment("web", "v1"))})
    cluster.kube.apply(argocd_application(cluster, namespace, repository))
    cluster.kube.until("Application", argocd.namespace, namespace, is_at(revision), 60)
    answer = argocd.request("GET", f"/api/v1/applications/{namespace}", account="bot")
    assert answer.json()["status"]["sync"]["revision"] == revision
    assert available(cluster.kube.get("Deployment", namespace, "web") or {})


def test_argocd_has_its_pages_where_they_were_made(argocd: ArgoCD) -> None:
    assert argocd.has_pages() == (pages.found(pins.cache()) is not None)


def test_accounts_of_argocd_may_what_they_were_given(cluster: Cluster, argocd: ArgoCD) -> None:
    def may(account: str, action: str) -> str:
        path = f"/api/v1/account/can-i/applications/{action}/default%2Fweb"
        return argocd.request("GET", path, account=account).json()["value"]

    rights = {account: (may(account, "get"), may(account, "sync")) for account in ("bot", "ops", "blind")}
    assert rights == {"bot": ("yes", "no"), "ops": ("yes", "yes"), "blind": ("no", "no")}


def test_tokens_of_argocd_can_be_taken_back(cluster: Cluster, argocd: ArgoCD) -> None:
    token = argocd.token("bot", 600, "to-be-revoked")
    assert argocd.request("GET", "/api/v1/applications", token=token).is_success
    argocd.revoke("bot", "to-be-revoked")
    path = "/api/v1/applications"
    cluster.processes.until(
        lambda: argocd.request("GET", path, token=token).status_code == 401, 30, "the token is still good"
    )


def test_roles_of_a_project_have_tokens(cluster: Cluster, argocd: ArgoCD) -> None:
    policy = "p, proj:team:reader, applications, get, team/*, allow"
    argocd.project("team", roles=[{"name": "reader", "policies": [policy]}])
    cluster.processes.until(
        lambda: argocd.request("GET", "/api/v1/projects/team").is_success, 30, "the project is not known"
    )
    token = argocd.project_token("team", "reader")
    assert argocd.request("GET", "/api/v1/applications?project=team", token=token).json()["items"] is None


def test_flux_applies_a_commit(cluster: Cluster, flux: Flux, repository: str, namespace: str) -> None:
    revision = cluster.git.commit(repository, {"apps/web/web.yaml": json.dumps(deployment("web", "v1"))})
    kube, url = cluster.kube, cluster.git.url(repository)
    kube.apply(objects.git_repository(namespace, url=url))
    kube.apply(objects.kustomization(namespace, source=namespace, path="apps/web", target=namespace))

    def applied(one: dict[str, Any]) -> bool:
        ready = condition(one, "Ready").get("status") == "True"
        return ready and one["status"].get("lastAppliedRevision") == f"main@sha1:{revision}"

    kube.until("Kustomization", flux.namespace, namespace, applied, 60)
    assert available(kube.get("Deployment", namespace, "web") or {})


# --- processes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_process_starts_again(cluster: Cluster, name: str) -> None:
    before = cluster.processes.pid(name)
    cluster.processes.kill(name)
    assert not cluster.processes.running(name)
    cluster.processes.start(name)
    assert cluster.processes.pid(name) != before


def test_the_names_are_what_others_rely_on(cluster: Cluster) -> None:
    assert cluster.processes.names == list(NAMES)


def test_after_all_that_both_engines_still_apply(cluster: Cluster, argocd: ArgoCD, flux: Flux) -> None:
    repository = "after-all.git"
    cluster.git.commit(repository, {"apps/web/one.yaml": json.dumps(config_map("one", "1"))})
    kube, url = cluster.kube, cluster.git.url(repository)
    for namespace in ("after-argocd", "after-flux"):
        kube.namespace(namespace)
    kube.apply(argocd_application(cluster, "after-argocd", repository))
    kube.apply(objects.git_repository("after", url=url))
    kube.apply(objects.kustomization("after", source="after", path="apps/web", target="after-flux"))
    for namespace in ("after-argocd", "after-flux"):
        kube.until("ConfigMap", namespace, "one", lambda one: one["data"] == {"value": "1"}, 90)


def test_people_are_told_where_everything_is(cluster: Cluster, argocd: ArgoCD) -> None:
    about = describe(cluster)
    text = as_text(about)
    assert f"export KUBECONFIG={cluster.kubeconfig}" in text
    assert argocd.url in text
    assert ("python -m tests.peers.pages" in text) == (not argocd.has_pages())
    assert about["seconds"]["all"] > 0
    assert set(about["MiB"]) == set(NAMES)


def listening() -> set[tuple[str, int]]:
    """(address, port) of every TCP socket of this machine that listens (proc(5), IPv4 and IPv6)."""
    found = set()
    for line in [
        *Path("/proc/net/tcp").read_text().splitlines()[1:],
        *Path("/proc/net/tcp6").read_text().splitlines()[1:],
    ]:
        fields = line.split()
        address, port = fields[1].split(":")
        if fields[3] == "0A":
            found.add((HOST if address == "0100007F" else address, int(port, 16)))
    return found


def test_they_listen_on_loopback_on_ports_of_their_block(cluster: Cluster) -> None:
    ports = cluster.ports
    own = {(address, port) for address, port in listening() if port in ports}
    assert {address for address, port in own if port != ports["controller-metrics"]} == {HOST}
    assert len(own) >= len(NAMES)


@pytest.mark.slow
def test_a_second_cluster_lives_beside_the_first_and_leaves_nothing(cluster: Cluster, tmp_path: Path) -> None:
    with Cluster(tmp_path / "second", argocd=False, flux=False) as second:
        assert second.processes.names == list(NAMES[:5])
        second.kube.namespace("only-here")
        assert cluster.kube.get("Namespace", "", "only-here") is None
        assert len(descendants(second.folder)) >= 5
    assert descendants(tmp_path / "second") == []
    assert all(cluster.processes.running(name) for name in cluster.processes.names)
