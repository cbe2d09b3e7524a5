"""The certificates and keys of one cluster's API server, made afresh for every cluster.

One authority signs the server's certificate; a key pair of its own signs the tokens of service accounts. Static bearer
tokens let the administrator in, and somebody who may nothing.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

VALID: Final = dt.timedelta(days=2)
NAMES: Final = ("localhost", "kubernetes.default.svc")


@dataclass(frozen=True, slots=True)
class Pki:
    """Paths of PEM files, and the administrator's token."""

    authority: Path
    certificate: Path
    key: Path
    accounts_key: Path
    accounts_public: Path
    tokens: Path
    """`--token-auth-file`."""
    admin: str
    nobody: str


def make(folder: Path) -> Pki:
    """Make everything in `folder`; only its owner may read the keys."""
    folder.mkdir(parents=True, exist_ok=True)
    signer, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    accounts = rsa.generate_private_key(65537, 2048)
    root = _certificate("loopseal-peers", signer, "loopseal-peers", signer, authority=True)
    leaf = _certificate("kube-apiserver", server, "loopseal-peers", signer, authority=False)
    admin, nobody = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    public = accounts.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    tokens = f'{admin},admin,admin,"system:masters"\n{nobody},nobody,nobody\n'
    return Pki(
        authority=_write(folder / "ca.crt", root.public_bytes(serialization.Encoding.PEM)),
        certificate=_write(folder / "api.crt", leaf.public_bytes(serialization.Encoding.PEM)),
        key=_write(folder / "api.key", _private(server)),
        accounts_key=_write(folder / "accounts.key", _private(accounts)),
        accounts_public=_write(folder / "accounts.pub", public),
        tokens=_write(folder / "tokens.csv", tokens.encode()),
        admin=admin,
        nobody=nobody,
    )


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        # Python 3.13 verifies strictly (RFC 5280): both identifiers and the usage of an authority's key must be there.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(_usage(authority=authority), critical=True)
    )
    if not authority:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        others = x509.SubjectAlternativeName([address, *map(x509.DNSName, NAMES)])
        builder = builder.add_extension(others, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path
