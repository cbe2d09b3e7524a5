"""SSH signatures against OpenSSH itself: whatever the key and the bytes, `ssh-keygen -Y verify` must say yes."""

import asyncio
import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopseal.errors import Code, ConfigError
from loopseal.git.signing import sshsig
from loopseal.git.signing.ssh import SshSigner, load
from loopseal.ports import Secret

KEYS = {
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "rsa": rsa.generate_private_key(65537, 2048),
}
needs_openssh = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="OpenSSH is not installed")


def text(key, form=PrivateFormat.OpenSSH, passphrase=b""):
    how = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, how).decode()


def sign(signer: SshSigner, data: bytes) -> str:
    return asyncio.run(signer.sign(data, at=0))


def verify(folder: Path, public: str, data: bytes, signature: str) -> bool:
    (folder / "allowed").write_text(f"me {public}\n")
    (folder / "sig").write_text(signature)
    command = ["ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "me", "-n", "git", "-s", "sig"]
    return subprocess.run(command, input=data, cwd=folder, capture_output=True, check=False).returncode == 0


@needs_openssh
@pytest.mark.parametrize("kind", KEYS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=2000))
def test_openssh_verifies_a_signature_of_any_bytes(tmp_path, kind, data):
    signer = SshSigner(KEYS[kind])
    signature = sign(signer, data)
    assert verify(tmp_path, signer.public, data, signature)
    assert not verify(tmp_path, signer.public, data + b"x", signature)


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_the_same_bytes_get_the_same_signature(kind):
    assert sign(SshSigner(KEYS[kind]), b"commit") == sign(SshSigner(KEYS[kind]), b"commit")


@needs_openssh
@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_openssh_makes_the_same_bytes(tmp_path, kind):
    (tmp_path / "key").write_text(text(KEYS[kind]))
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "data").write_bytes(b"commit")
    subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-f", "key", "-n", "git", "data"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "data.sig").read_text() == sign(SshSigner(KEYS[kind]), b"commit")


FORMS = [PrivateFormat.OpenSSH, PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL]


@pytest.mark.parametrize(
    ("kind", "form"),
    [(kind, form) for kind in KEYS for form in FORMS if (kind, form) != ("ed25519", PrivateFormat.TraditionalOpenSSL)],
)
def test_keys_are_taken_in_every_usual_form(kind, form):
    signer = load(Secret(text(KEYS[kind], form)), None, "sign.ssh")
    assert signer.public == SshSigner(KEYS[kind]).public


def test_line_ends_and_blanks_around_a_key_do_no_harm():
    told = "\n" + text(KEYS["ed25519"]).replace("\n", "\r\n").strip()
    assert load(Secret(told), None, "").public == SshSigner(KEYS["ed25519"]).public


@pytest.mark.parametrize("form", [PrivateFormat.OpenSSH, PrivateFormat.PKCS8])
def test_passphrases(form):
    locked = Secret(text(KEYS["ed25519"], form, b"open sesame"))
    assert load(locked, Secret("open sesame"), "").public == SshSigner(KEYS["ed25519"]).public
    for wrong, message in ((None, "no passphrase"), (Secret(""), "no passphrase"), (Secret("open"), "does not open")):
        with pytest.raises(ConfigError, match=message) as caught:
            load(locked, wrong, "sign.ssh")
        assert caught.value.code is Code.CONFIG_SIGNING_KEY
        assert caught.value.hint


def test_a_needless_passphrase_does_no_harm():
    assert load(Secret(text(KEYS["p256"])), Secret("needless"), "").public.startswith("ecdsa-sha2-nistp256 ")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "junk",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        SshSigner(KEYS["ed25519"]).public,
        text(rsa.generate_private_key(65537, 1024)),
        text(dsa.generate_private_key(2048), PrivateFormat.PKCS8),
        text(ec.generate_private_key(ec.SECP256K1()), PrivateFormat.PKCS8),
        "\udcff\udc00",
    ],
    ids=["empty", "junk", "broken", "broken pem", "public", "small rsa", "dsa", "odd curve", "binary"],
)
def test_what_cannot_sign_is_refused_with_a_hint(key):
    with pytest.raises(ConfigError) as caught:
        load(Secret(key), None, "sign.ssh")
    assert caught.value.code is Code.CONFIG_SIGNING_KEY
    assert "ssh-keygen" in caught.value.hint


@given(st.binary(max_size=300), st.booleans())
@settings(max_examples=100, deadline=None)
def test_no_bytes_break_the_loader(data, framed):
    body = base64.b64encode(data).decode()
    told = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----" if framed else body
    with pytest.raises(ConfigError):
        load(Secret(told), None, "")


def test_nothing_of_the_key_shows():
    key = text(KEYS["ed25519"])
    signer = load(Secret(key), None, "")
    secret = key.splitlines()[2]
    broken = key.replace(secret, secret[:-10])
    with pytest.raises(ConfigError) as caught:
        load(Secret(broken), None, "")
    told = f"{signer!r} {signer.name} {signer.public} {caught.value!r} {caught.value.diagnostics()}"
    assert secret not in told
    assert caught.value.__cause__ is None


def test_names_are_for_people():
    signer = SshSigner(KEYS["ed25519"])
    assert signer.name.startswith("SSH ssh-ed25519 SHA256:")
    assert signer.public.startswith("ssh-ed25519 AAAA")


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_strings_come_back(one, rest):
    assert sshsig.take_string(sshsig.string(one) + rest) == (one, rest)


@given(st.binary(min_size=1, max_size=80), st.data())
def test_a_string_cut_short_is_no_string(one, data):
    whole = sshsig.string(one)
    with pytest.raises(ValueError, match="cut short"):
        sshsig.take_string(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.integers(min_value=0, max_value=2**600))
def test_numbers_are_positive_and_short(number):
    body, _ = sshsig.take_string(sshsig.mpint(number))
    assert int.from_bytes(body, "big", signed=True) == number
    assert len(body) == 1 or body[0] or body[1] & 0x80


def test_armour_is_as_openssh_writes_it():
    lines = sshsig.armoured(sshsig.string(b"ssh-ed25519"), b"s" * 100).splitlines()
    assert (lines[0], lines[-1]) == ("-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----")
    assert {len(line) for line in lines[1:-2]} == {70}


def test_the_package_that_opens_locked_keys_is_named_when_it_is_missing(monkeypatch):
    locked = Secret(text(KEYS["ed25519"], passphrase=b"open sesame"))

    def missing(*_, **__):
        raise UnsupportedAlgorithm("Need bcrypt module")

    monkeypatch.setattr("cryptography.hazmat.primitives.serialization.ssh._bcrypt_kdf", missing)
    with pytest.raises(ConfigError) as caught:
        load(locked, Secret("open sesame"), "sign.ssh")
    assert caught.value.code is Code.CONFIG_EXTRA_MISSING
    assert caught.value.hint == "pip install 'cryptography[ssh]'"
