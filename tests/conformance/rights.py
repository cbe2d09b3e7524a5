"""Our identities at the real peers, with the rights of the files in `deploy/`, applied as they are but for names."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.conformance import content
from tests.conformance.world import Kind
from tests.peers.cluster import Cluster
from tests.peers.kube import KubeError

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
HOME, NAME = "airflow", "loopseal"
"""The service account that the files name."""
LEEWAY: Final = 60
"""Seconds after its end that Kubernetes still accepts a token (go-jose, `jwt.DefaultLeeway`)."""
_PATIENCE: Final = 30.0


def documents(file: str, *names: tuple[str, str]) -> list[dict[str, Any]]:
    """The objects of one file of `deploy/`, with these words replaced by others."""
    text = (DEPLOY / file).read_text()
    for old, new in names:
        text = text.replace(old, new)
    return [one for one in yaml.safe_load_all(text) if one]


def roles(kind: Kind, team: str) -> list[dict[str, Any]]:
    """The documented roles and bindings with which we come to Kubernetes, for one team."""
    engine = documents("flux-role.yaml", ("flux-system", team)) if kind is Kind.FLUX else documents("argocd-role.yaml")
    return [*engine, *documents("workloads-role.yaml", ("payments", team))]


def rules(kind: Kind, team: str) -> tuple[str, ...]:
    """The same as the simulated Kubernetes has them: `verb group/plural namespace`."""
    return tuple(
        f"{verb} {group}/{resource} {role['metadata']['namespace']}"
        for role in roles(kind, team)
        for rule in role.get("rules", ())
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


def policies(team: str) -> tuple[str, ...]:
    """What the documented project role may, as the simulated Argo CD has it: `resource, action, object`."""
    [role] = project(team, "")["spec"]["roles"]
    lines = [[part.strip() for part in policy.split(",")] for policy in role["policies"]]
    assert all(line[0] == "p" and line[-1] == "allow" for line in lines)
    return tuple(", ".join(line[2:5]) for line in lines)


def project(team: str, url: str) -> dict[str, Any]:
    """The documented project with its role, for a team."""
    [made] = documents("argocd-project.yaml", ("payments", team))
    made["spec"]["sourceRepos"] = [url]
    made["spec"]["destinations"] = [{"server": "https://kubernetes.default.svc", "namespace": team}]
    return made


def guard(cluster: Cluster) -> None:
    """Once per cluster: the documented admission policy, and the one that refuses what a scenario wants refused."""
    for one in (*documents("refresh-only-policy.yaml"), *_refusing()):
        cluster.kube.apply(one)
    probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe", "namespace": "default"}}
    probe["metadata"]["labels"] = {content.REFUSED: "true"}  # type: ignore[index]  # it is a dict, just above
    end = time.monotonic() + _PATIENCE
    while _admitted(cluster, probe):
        if time.monotonic() > end:
            raise AssertionError("the admission policy does not come into force")
        time.sleep(0.2)


def _admitted(cluster: Cluster, probe: Mapping[str, Any]) -> bool:
    try:
        cluster.kube.call("POST", "/api/v1/namespaces/default/configmaps?dryRun=All", probe)
    except KubeError as error:
        if content.REFUSAL not in error.message:
            raise
        return False
    return True


def _refusing() -> list[dict[str, Any]]:
    api, name = "admissionregistration.k8s.io/v1", {"name": "conformance"}
    rule = {"apiGroups": ["", "apps"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"]}
    rules = [{**rule, "resources": ["deployments", "configmaps"]}]
    check = f"!('{content.REFUSED}' in object.metadata.?labels.orValue({{}}))"
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": rules},
        "validations": [{"expression": check, "message": content.REFUSAL}],
    }
    binding = {"policyName": "conformance", "validationActions": ["Deny"]}
    return [
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": name, "spec": spec},
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": name, "spec": binding},
    ]


@dataclass(frozen=True, slots=True)
class Account:
    """The documented service account, and its tokens for one team: bound to a Secret, so that they can be taken back."""

    cluster: Cluster
    team: str

    def admit(self, kind: Kind) -> None:
        """Give it the documented roles."""
        for one in roles(kind, self.team):
            self.cluster.kube.apply(one)

    def token(self, seconds: int = 0) -> str:
        """A new token; with `seconds` one that the API server refuses after them."""
        made = self.cluster.token(NAME, HOME, secret=self.team)
        return _ending(made, self.cluster.folder / "pki", seconds - LEEWAY) if seconds else made

    def revoke(self) -> None:
        """Take back all tokens of this team."""
        self.cluster.kube.delete("Secret", HOME, self.team)

    def accepted(self, token: str) -> bool:
        """Whether the API server knows whose token it is."""
        with self.cluster.kube.as_token(token) as kube:
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
            path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
            return kube.request("POST", path, review).status_code != 401

    def kubeconfig(self, server: str) -> str:
        """A kubeconfig of it that goes through `server`; its token comes by a reference of its own."""
        text = self.cluster.kubeconfig_for("none")
        return text.replace(self.cluster.kube.url, server)


def claims(token: str) -> dict[str, Any]:
    """What a JWT says (RFC 7519); its signature is not looked at."""
    body = token.split(".")[1]
    told: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return told


def _ending(token: str, pki: Path, seconds: int) -> str:
    """The same token with another end, `seconds` from now, signed anew: TokenRequest gives none below ten minutes."""
    key = serialization.load_pem_private_key((pki / "accounts.key").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    now = int(time.time())
    told = {**claims(token), "exp": now + seconds, "iat": now - 600, "nbf": now - 600}
    body = base64.urlsafe_b64encode(json.dumps(told).encode()).rstrip(b"=").decode()
    signed = f"{token.split('.', maxsplit=1)[0]}.{body}"
    signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
