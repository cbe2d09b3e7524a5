"""Kubeconfigs, service accounts and exec plugins: the way in, and what is refused on it."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from loopseal.engines.bearer import Bearer
from loopseal.engines.kubernetes_access import Access, access
from loopseal.errors import Code, ConfigError
from loopseal.settings import EngineSettings
from loopseal.testing.clock import LoopClock, run
from tests.unit.engines.worlds import Vault

PLANTED = "s3cr3t-planted-value"


def config(user: str, *, server: str = "https://kubernetes.test:6443", cluster: str = "") -> str:
    return (
        "apiVersion: v1\nkind: Config\ncurrent-context: one\n"
        "contexts: [{name: one, context: {cluster: c, user: u, namespace: team}}]\n"
        f'clusters: [{{name: c, cluster: {{server: "{server}"{cluster}}}}}]\n'
        f"users: [{{name: u, user: {user}}}]\n"
    )


def reach(content: str, clock: Any = None, **facts: Any) -> Access:
    async def main() -> Access:
        settings = EngineSettings("flux", kubeconfig="env:CONFIG", **facts)
        return await access(
            settings, Vault({"env:CONFIG": content, "env:TOKEN": "from-reference"}), clock or LoopClock(), name="eu1"
        )

    return asyncio.run(main())


def header(way: Access, *, refused: int = 0, clock: Any = None) -> list[str]:
    """The tokens of one call and of one more after each refusal."""

    async def main() -> list[str]:
        bearer, out = Bearer(way.fetch, clock or LoopClock()), []
        for _ in range(refused + 1):
            sent = await bearer.headers()
            out.append(sent.get("authorization", ""))
            bearer.refused(sent)
        return out

    return asyncio.run(main())


def refusal(content: str, **facts: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        header(reach(content, **facts))
    assert PLANTED not in caught.value.diagnostics()
    assert caught.value.hint
    return caught.value


def test_a_token() -> None:
    way = reach(config(f"{{token: {PLANTED}}}"))
    assert (way.server, way.namespace) == ("https://kubernetes.test:6443", "team")
    assert header(way) == [f"Bearer {PLANTED}"]
    assert PLANTED not in repr(way)


def test_a_credential_of_the_settings_goes_before_the_kubeconfig_s() -> None:
    assert header(reach(config("{token: other}"), credential="env:TOKEN")) == ["Bearer from-reference"]


def test_a_token_file_is_read_anew(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    way = reach(config(f'{{tokenFile: "{token}"}}'))

    async def main() -> list[str]:
        bearer = Bearer(way.fetch, clock := LoopClock())
        out = [(await bearer.headers())["authorization"]]
        token.write_text("second\n")
        out.append((await bearer.headers())["authorization"])
        await clock.sleep(61)
        out.append((await bearer.headers())["authorization"])
        return out

    assert run(main) == ["Bearer first", "Bearer first", "Bearer second"]


def test_a_token_file_that_is_refused_is_read_at_once(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    way = reach(config(f'{{tokenFile: "{token}"}}'))

    async def main() -> str:
        bearer = Bearer(way.fetch, LoopClock())
        sent = await bearer.headers()
        token.write_text("second")
        bearer.refused(sent)
        return (await bearer.headers())["authorization"]

    assert run(main) == "Bearer second"
    token.unlink()
    with pytest.raises(ConfigError) as caught:
        header(way)
    assert caught.value.code is Code.CONFIG_SECRET


def plugin(tmp_path: Path, body: str) -> Path:
    script = tmp_path / "plugin"
    script.write_text(f"#!{sys.executable}\nimport json, os, sys\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def exec_user(command: object, version: str = "v1") -> str:
    return json.dumps(
        {
            "exec": {
                "apiVersion": f"client.authentication.k8s.io/{version}",
                "command": str(command),
                "args": ["get-token"],
                "env": [{"name": "CLUSTER", "value": "eu1"}],
                "interactiveMode": "Never",
            }
        }
    )


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_an_exec_plugin_is_told_the_version_and_asked_again_when_refused(tmp_path: Path, version: str) -> None:
    count = tmp_path / "count"
    body = f"""
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
assert info["apiVersion"].endswith("/{version}") and not info["spec"]["interactive"]
assert os.environ["CLUSTER"] == "eu1" and sys.argv[1:] == ["get-token"] and not sys.stdin.read()
with open({str(count)!r}, "a") as file: file.write("x")
print(json.dumps({{"status": {{"token": "t" + str(os.path.getsize({str(count)!r}))}}}}))
"""
    way = reach(config(exec_user(plugin(tmp_path, body), version)))
    assert header(way, refused=1) == ["Bearer t1", "Bearer t2"]


def test_an_exec_plugin_s_token_is_kept_until_it_ends(tmp_path: Path) -> None:
    until = (datetime(2026, 11, 21, 12, 10, tzinfo=UTC)).isoformat().replace("+00:00", "Z")
    body = f'print(json.dumps({{"status": {{"token": str(os.getpid()), "expirationTimestamp": "{until}"}}}}))'
    now = _Settable()
    way = reach(config(exec_user(plugin(tmp_path, body))), now)

    async def main() -> list[str]:
        bearer = Bearer(way.fetch, now)
        out = []
        for at in (0.0, 500.0, 600.0):
            now.at = at
            out.append((await bearer.headers())["authorization"])
        return out

    first, second, third = asyncio.run(main())
    assert first == second != third


class _Settable:
    at = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 21, 12, 0, tzinfo=UTC) + timedelta(seconds=self.at)

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


@pytest.mark.parametrize(
    "body",
    [
        "sys.exit(3)",
        "print('no json')",
        "print('{}')",
        "print('[]')",
        'print(json.dumps({"status": {"clientCertificateData": "x"}}))',
        'print(json.dumps({"status": {"token": "x", "expirationTimestamp": "soon"}}))',
        f'sys.stderr.write("token={PLANTED}"); sys.exit(1)',
    ],
)
def test_a_plugin_that_gives_no_token_is_named(tmp_path: Path, body: str) -> None:
    assert refusal(config(exec_user(plugin(tmp_path, body)))).code is Code.CONFIG_SECRET


def test_a_plugin_that_is_not_there_and_one_of_another_time() -> None:
    assert refusal(config(exec_user("/nowhere/plugin"))).code is Code.CONFIG_SECRET
    assert refusal(config(exec_user("x", "v1alpha1"))).code is Code.CONFIG_INVALID


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "not: [a: kubeconfig",
        "apiVersion: v1\nkind: Config\n",
        config(f"{{username: me, password: {PLANTED}}}"),
        config("{auth-provider: {name: gcp}}"),
        config("{token: x}", server="http://kubernetes.example.com"),
        config("{token: x}", server=f"https://me:{PLANTED}@kubernetes.test"),
        config("{token: x}", cluster=", insecure-skip-tls-verify: true"),
        config("{token: x}", cluster=", certificate-authority-data: bm90IGEgY2VydA=="),
        config("{token: x}", cluster=', certificate-authority: "/nowhere/ca.crt"'),
        config("{client-certificate-data: bm90, client-key-data: bm90}"),
        config(f"{{token: {PLANTED}}}").replace("user: u,", "user: other,"),
        config(f"{{token: [{PLANTED}]}}"),
    ],
)
def test_what_is_not_usable_is_refused_with_a_hint(content: str) -> None:
    assert refusal(content).where.startswith("engines.eu1")


def test_another_context_must_exist() -> None:
    assert "'two'" in refusal(config("{token: x}"), context="two").message


def test_without_any_address() -> None:
    with pytest.raises(ConfigError) as caught:
        asyncio.run(access(EngineSettings("flux"), Vault(), LoopClock(), name="eu1"))
    assert caught.value.code is Code.CONFIG_MISSING


def test_a_plain_url_with_a_reference() -> None:
    settings = EngineSettings("flux", url="https://kubernetes.test", credential="env:TOKEN")
    way = asyncio.run(access(settings, Vault({"env:TOKEN": "t"}), LoopClock(), name="eu1"))
    assert header(way) == ["Bearer t"]


def certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopseal")])
    at = datetime(2026, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(at)
        .not_valid_after(at + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_a_client_certificate_goes_into_the_tls_context() -> None:
    cert, key = (base64.b64encode(part).decode() for part in certificate())
    user = f"{{client-certificate-data: {cert}, client-key-data: {key}}}"
    way = reach(config(user, cluster=f", certificate-authority-data: {cert}"))
    assert isinstance(way.tls, ssl.SSLContext)
    assert way.tls.verify_mode is ssl.CERT_REQUIRED
    assert [one["subject"] for one in way.tls.get_ca_certs()] == [((("commonName", "loopseal"),),)]
    assert header(way) == [""]


def test_certificates_beside_the_kubeconfig(tmp_path: Path) -> None:
    cert, key = certificate()
    (tmp_path / "tls.crt").write_bytes(cert)
    (tmp_path / "tls.key").write_bytes(key)
    content = config("{client-certificate: tls.crt, client-key: tls.key}", cluster=", certificate-authority: tls.crt")
    (tmp_path / "config").write_text(content)
    reference = f"file:{tmp_path / 'config'}"
    settings = EngineSettings("flux", kubeconfig=reference)
    way = asyncio.run(access(settings, Vault({reference: content}), LoopClock(), name="eu1"))
    assert way.tls is not None
    assert len(way.tls.get_ca_certs()) == 1


def test_in_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, _ = certificate()
    for name, content in (("token", b"mounted\n"), ("namespace", b"airflow"), ("ca.crt", cert)):
        (tmp_path / name).write_bytes(content)
    settings = EngineSettings("flux", kubeconfig="in-cluster")

    def enter() -> Access:
        return asyncio.run(access(settings, Vault(), LoopClock(), name="eu1", service_account=str(tmp_path)))

    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError) as caught:
        enter()
    assert caught.value.code is Code.CONFIG_UNREADABLE
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    way = enter()
    assert (way.server, way.namespace) == ("https://[fd00::1]:443", "airflow")
    assert header(way) == ["Bearer mounted"]
    (tmp_path / "token").write_text("rotated")
    assert header(way) == ["Bearer rotated"]
