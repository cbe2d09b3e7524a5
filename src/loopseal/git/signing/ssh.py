"""SSH signatures in process, with a key that we hold: Ed25519, ECDSA on the NIST curves, RSA with SHA-512.

Ed25519 and RSA signatures are deterministic: the same commit gets the same id when it is built again.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from loopseal.errors import Code, ConfigError
from loopseal.git.signing import sshsig
from loopseal.ports import Secret

_Key: TypeAlias = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_MIN_RSA: Final = 2048
_HASHES: Final = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}


class SshSigner:
    """Signs with one SSH key. The key is never shown."""

    def __init__(self, key: _Key) -> None:
        self._sign = _signature(key)
        line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        self._public = base64.b64decode(line.split()[1])
        self._algorithm = sshsig.ALGORITHMS[sshsig.key_type(self._public)]

    @property
    def name(self) -> str:
        """For people: `SSH ssh-ed25519 SHA256:…`."""
        return f"SSH {sshsig.key_type(self._public).decode()} {sshsig.fingerprint(self._public)}"

    @property
    def public(self) -> str:
        """`ssh-ed25519 AAAA…`."""
        return sshsig.public_text(self._public)

    async def sign(self, data: bytes, *, at: int) -> str:
        """The armoured signature. SSH signatures carry no time, so `at` says nothing here."""
        del at
        made = self._sign(sshsig.signed_data(data))
        return sshsig.armoured(self._public, sshsig.string(self._algorithm) + sshsig.string(made))


def load(key: Secret, passphrase: Secret | None, where: str) -> SshSigner:
    """The signer for a private key in OpenSSH's format or PEM. Raises ConfigError.

    Takes up to a second where there is a passphrase: its hash is slow by design.
    """
    data = key.reveal().strip().encode("utf-8", "replace") + b"\n"
    return SshSigner(_checked(_load(data, passphrase, where), where))


def _load(data: bytes, passphrase: Secret | None, where: str) -> object:
    loader = load_ssh_private_key if b"-----BEGIN OPENSSH PRIVATE KEY-----" in data else load_pem_private_key
    try:
        return loader(data, None)
    except TypeError:  # it is encrypted
        pass
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unusable(error, where) from None
    if not passphrase:
        raise _refused(
            "the key is encrypted and there is no passphrase", where, "Name the passphrase in `sign.passphrase`."
        )
    try:
        return loader(data, passphrase.reveal().encode())
    except (ValueError, TypeError):
        raise _refused("the passphrase does not open the key", where, "Check `sign.passphrase`.") from None
    except UnsupportedAlgorithm as error:
        raise _unusable(error, where) from None


def _unusable(error: Exception, where: str) -> ConfigError:
    if "bcrypt" in str(error):
        return ConfigError(
            Code.CONFIG_EXTRA_MISSING,
            "encrypted OpenSSH keys need the package bcrypt",
            where=where,
            hint="pip install 'cryptography[ssh]'",
        )
    return _refused("this is no private SSH key that can sign here", where)


def _checked(key: object, where: str) -> _Key:
    match key:
        case ed25519.Ed25519PrivateKey():
            return key
        case ec.EllipticCurvePrivateKey() if key.curve.name in _HASHES:
            return key
        case rsa.RSAPrivateKey() if key.key_size >= _MIN_RSA:
            return key
        case rsa.RSAPrivateKey():
            raise _refused(f"an RSA key needs at least {_MIN_RSA} bits, this one has {key.key_size}", where)
        case _:
            raise _refused("keys of this kind cannot sign commits", where)


def _refused(message: str, where: str, hint: str = "") -> ConfigError:
    return ConfigError(
        Code.CONFIG_SIGNING_KEY,
        message,
        where=where,
        hint=hint
        or "Make one: ssh-keygen -t ed25519. Keys in hardware (sk-…) sign through the ssh-agent: `sign.agent`.",
    )


def _signature(key: _Key) -> Callable[[bytes], bytes]:
    match key:
        case ed25519.Ed25519PrivateKey():
            return key.sign
        case rsa.RSAPrivateKey():
            return lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA512())
        case ec.EllipticCurvePrivateKey():
            return lambda data: _ecdsa(key, data)


def _ecdsa(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """Two numbers, as RFC 5656 §3.1.2 wants them."""
    one, other = utils.decode_dss_signature(key.sign(data, ec.ECDSA(_HASHES[key.curve.name])))
    return sshsig.mpint(one) + sshsig.mpint(other)
