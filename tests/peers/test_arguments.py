"""What the peers are told, without starting one: arguments, certificates, the audit policy, the rules of the node."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from loopseal.testing.asgi import Answer, Request, Service
from loopseal.testing.git_server import serve
from tests.peers import control_plane, kwok, pki
from tests.peers.argocd import ArgoCD, tools
from tests.peers.cluster import Cluster
from tests.peers.flux import Flux
from tests.peers.kube import Kube, KubeError, Resource
from tests.peers.ports import HOST, Ports
from tests.peers.processes import Command, PeerError, Processes


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[Ports]:
    with Ports(tmp_path) as one:
        yield one


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> pki.Pki:
    return pki.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def kube(ports: Ports, keys: pki.Pki) -> Iterator[Kube]:
    with Kube(f"https://{ports.address('apiserver')}", keys.admin, keys.authority) as one:
        yield one


@pytest.fixture
def commands(tmp_path: Path, ports: Ports, keys: pki.Pki, kube: Kube) -> Iterator[dict[str, Command]]:
    processes = Processes(tmp_path, tmp_path)
    admin = tmp_path / "kubeconfig"
    plane = control_plane.ControlPlane(tmp_path, ports, keys, kube, admin)
    argocd = ArgoCD(tmp_path, ports, kube, processes, admin)
    every = [
        *plane.commands(),
        kwok.command(tmp_path, ports, admin, kube),
        *argocd.commands(),
        *Flux(tmp_path, ports).commands(),
    ]
    yield {command.name: command for command in every}
    processes.close()


# --- arguments -------------------------------------------------------------------------------------------------------


def test_there_is_a_command_for_every_process(commands: dict[str, Command]) -> None:
    assert list(commands) == [
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
    ]


def test_everything_listens_on_loopback_only(commands: dict[str, Command]) -> None:
    for command in commands.values():
        words = [word for part in command.argv for word in str(part).replace("=", " ").split()]
        assert not {"0.0.0.0", "::"} & set(words)
        assert HOST in " ".join(words), command.name


def test_nothing_is_ready_before_it_is_started(commands: dict[str, Command]) -> None:
    for command in commands.values():
        with pytest.raises(OSError, match="refused"):
            command.ready()


def test_the_api_server_checks_rights_and_records_before_it_answers(commands: dict[str, Command]) -> None:
    argv = commands["kube-apiserver"].argv
    assert "--authorization-mode=RBAC" in argv
    assert "--audit-log-mode=blocking" in argv
    assert not [flag for flag in argv if "disable-admission" in str(flag)]


def test_no_secret_is_among_the_arguments(commands: dict[str, Command], keys: pki.Pki) -> None:
    for command in commands.values():
        said = f"{command.argv} {command.variables}"
        assert keys.admin not in said
        assert keys.nobody not in said


def test_the_programs_of_argocd_are_chosen_by_a_variable(commands: dict[str, Command]) -> None:
    roles = {command.variables["ARGOCD_BINARY_NAME"] for command in commands.values() if command.argv[0] == "argocd"}
    assert roles == {"argocd-repo-server", "argocd-application-controller", "argocd-server"}


def test_argocd_verifies_with_scripts_that_say_no_without_failing(tmp_path: Path) -> None:
    assert set(tools()) == {"gpg-wrapper.sh", "git-verify-wrapper.sh"}
    for text in tools().values():
        assert text.startswith("#!/bin/sh\n")
        assert "{" not in text.replace("&& {", "")


@pytest.mark.parametrize("status", [200, 500])
def test_pages_are_what_a_browser_gets(tmp_path: Path, ports: Ports, kube: Kube, status: int) -> None:
    """A program without pages answers a browser with 500, anybody else with a list of files."""

    async def answer(request: Request) -> Answer:
        browser = "text/html" in request.headers["accept"]
        return Answer(status, b"<title>Argo CD</title>") if browser else Answer(200, b"gitkeep")

    processes = Processes(tmp_path, tmp_path)
    argocd = ArgoCD(tmp_path, ports, kube, processes, tmp_path / "kubeconfig")
    with serve(Service(answer), ports["argocd-server"]):
        assert argocd.has_pages() == (status == 200)
    processes.close()


# --- policy, configuration, rules ------------------------------------------------------------------------------------


def test_the_audit_log_holds_every_read_and_the_bodies_of_writes_to_gitops_objects() -> None:
    policy = control_plane.audit_policy()
    *special, rest = policy["rules"]
    assert rest == {"level": "Metadata"}
    bodies = next(rule for rule in special if rule["level"] == "Request")
    assert {entry["group"] for entry in bodies["resources"]} >= {"argoproj.io", "kustomize.toolkit.fluxcd.io"}
    silent = [rule for rule in special if rule["level"] == "None"]
    assert all(rule.keys() & {"users", "nonResourceURLs", "resources"} for rule in silent), "nothing is silent for all"


def test_a_kubeconfig_is_yaml_that_names_one_bearer() -> None:
    found = yaml.safe_load(control_plane.kubeconfig("https://one", Path("/ca.crt"), "secret", "team-a"))
    assert found["current-context"] == found["contexts"][0]["name"]
    assert found["contexts"][0]["context"]["namespace"] == "team-a"
    assert found["users"][0]["user"] == {"token": "secret"}
    assert found["clusters"][0]["cluster"] == {"server": "https://one", "certificate-authority": "/ca.crt"}


def test_the_rules_of_the_node_are_written_as_documents(commands: dict[str, Command], tmp_path: Path) -> None:
    written = list(yaml.safe_load_all((tmp_path / "kwok.yaml").read_text()))
    assert written == json.loads(json.dumps(kwok.stages()))
    assert len({stage["metadata"]["name"] for stage in written}) == len(written)


@pytest.mark.parametrize("tag", ["slow", "broken", "fail"])
def test_each_tag_has_one_rule_and_is_no_ordinary_image(tag: str) -> None:
    def names(operator: str) -> list[str]:
        return [
            stage["metadata"]["name"]
            for stage in kwok.stages()
            for one in stage["spec"]["selector"]["matchExpressions"]
            if one["operator"] == operator and tag in one.get("values", [])
        ]

    assert len(names("In")) == 1
    assert names("NotIn") == ["pod-ready"]


def test_a_cluster_without_its_programs_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPSEAL_PEERS", str(tmp_path / "empty"))
    with pytest.raises(PeerError, match="make peers-build"), Cluster(tmp_path / "cluster"):
        pass


# --- certificates ----------------------------------------------------------------------------------------------------


def test_keys_are_for_their_owner_only(keys: pki.Pki) -> None:
    for path in (keys.key, keys.accounts_key, keys.tokens):
        assert path.stat().st_mode & 0o077 == 0


def test_tokens_are_unlike_and_named(keys: pki.Pki) -> None:
    lines = keys.tokens.read_text().splitlines()
    assert lines == [f'{keys.admin},admin,admin,"system:masters"', f"{keys.nobody},nobody,nobody"]
    assert keys.admin != keys.nobody
    assert len(keys.admin) >= 32


def test_the_pair_of_the_accounts_belongs_together(keys: pki.Pki) -> None:
    private = load_pem_private_key(keys.accounts_key.read_bytes(), None)
    assert private.public_key() == load_pem_public_key(keys.accounts_public.read_bytes())


def handshake(keys: pki.Pki, trusted: Path, name: str) -> str:
    """Meet a server with our certificate: the subject's common name. Raises ssl.SSLError."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(keys.certificate, keys.key)
    client = ssl.create_default_context(cafile=str(trusted))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    with socket.create_server((HOST, 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                try:
                    server.wrap_socket(connection, server_side=True).close()
                except OSError:  # the client has said no, which is what it reports itself
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with (
                socket.create_connection(listening.getsockname(), 10) as plain,
                client.wrap_socket(plain, server_hostname=name) as secured,
            ):
                shown = secured.getpeercert() or {}
        finally:
            thread.join()
    return shown["subject"][0][0][1]


@pytest.mark.parametrize("name", [HOST, "localhost", "kubernetes.default.svc"])
def test_the_server_is_trusted_by_its_own_authority_strictly(keys: pki.Pki, name: str) -> None:
    assert handshake(keys, keys.authority, name) == "kube-apiserver"


def test_the_server_of_one_cluster_is_nothing_to_another(keys: pki.Pki, tmp_path: Path) -> None:
    other = pki.make(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(keys, other.authority, HOST)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(keys, keys.authority, "example.com")


# --- the client ------------------------------------------------------------------------------------------------------


def test_objects_have_paths() -> None:
    deployments = Resource("/apis/apps/v1", "apps", "Deployment", "deployments", namespaced=True)
    nodes = Resource("/api/v1", "", "Node", "nodes", namespaced=False)
    assert deployments.path("team-a", "web") == "/apis/apps/v1/namespaces/team-a/deployments/web"
    assert deployments.path() == "/apis/apps/v1/deployments"
    assert nodes.path("team-a", "node-0") == "/api/v1/nodes/node-0"


def test_an_api_server_that_is_away_is_an_oserror(kube: Kube) -> None:
    with pytest.raises(OSError, match=r"GET /readyz.*refused"):
        kube.request("GET", "/readyz")


def test_what_it_said_is_in_the_error() -> None:
    error = KubeError(403, "deployments is forbidden", "GET /apis")
    assert str(error) == "GET /apis: 403: deployments is forbidden"
    assert error.status == 403
