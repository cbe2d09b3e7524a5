"""OpenPGP signatures in process, with a key that we hold: what Argo CD verifies.

Sequoia (pysequoia) does the work, so keys may be as people have them: with signing subkeys, passphrases, armoured or
binary, primary key taken away. It signs with the time of signing and takes no other: unlike an SSH signature with
Ed25519, the same commit built again gets another signature, and so another id.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any, Final

from loopseal.errors import Code, ConfigError
from loopseal.ports import Secret

if TYPE_CHECKING:
    from types import ModuleType

_HINT: Final = "Export one: gpg --armor --export-secret-keys <key>. It needs a key that may sign and has not expired."


class OpenPgpSigner:
    """Signs with one OpenPGP key. The key is never shown."""

    def __init__(self, sequoia: ModuleType, signer: Any, fingerprint: str, user: str) -> None:
        self._sequoia, self._signer, self._fingerprint, self._user = sequoia, signer, fingerprint, user

    @property
    def name(self) -> str:
        """For people: `OpenPGP <fingerprint> <user>`."""
        return f"OpenPGP {self._fingerprint} {self._user}".strip()

    @property
    def public(self) -> str:
        """The certificate's fingerprint, in capital hexadecimal digits as gpg shows it."""
        return self._fingerprint

    async def sign(self, data: bytes, *, at: int) -> str:
        """The armoured detached signature. Carries the time of signing, not `at`: the library takes none."""
        del at
        try:
            made = self._sequoia.sign(self._signer, data, mode=self._sequoia.SignatureMode.DETACHED)
        except Exception:  # noqa: BLE001 - the library raises whatever Rust had
            raise _refused("the key cannot sign", self.name) from None
        return str(bytes(made).decode("ascii"))


def load(key: Secret, passphrase: Secret | None, where: str) -> OpenPgpSigner:
    """The signer for a secret key, armoured, binary, or binary in base64. Raises ConfigError.

    Takes up to a second where there is a passphrase: its hash is slow by design.
    """
    try:
        import pysequoia  # noqa: PLC0415 - an extra: most sign by SSH
    except ImportError:
        raise ConfigError(
            Code.CONFIG_EXTRA_MISSING,
            "OpenPGP signatures need the package pysequoia",
            where=where,
            hint="pip install 'loopseal[openpgp]'",
        ) from None
    try:
        secrets = pysequoia.Tsk.from_bytes(_bytes(key.reveal()))
        cert = secrets.extract_certificate()
    except Exception:  # noqa: BLE001 - as above; and its text may quote the input
        raise _refused("this is no secret OpenPGP key", where) from None
    if bytes(secrets) == bytes(cert):
        raise _refused("this is no secret OpenPGP key, only its public half", where)
    if cert.is_revoked:
        raise _refused("the key is revoked", where)
    signer = _unlocked(secrets, passphrase, where)
    user = str(cert.user_ids[0]) if cert.user_ids else ""
    return OpenPgpSigner(pysequoia, signer, cert.fingerprint.upper(), user)


def _unlocked(secrets: Any, passphrase: Secret | None, where: str) -> Any:
    try:
        return secrets.signer()
    except Exception as error:  # noqa: BLE001 - as above
        if "encrypted" not in str(error):
            raise _refused("no part of the key may sign now: expired, or made for something else", where) from None
    if not passphrase:
        raise _refused(
            "the key is encrypted and there is no passphrase", where, "Name the passphrase in `sign.passphrase`."
        )
    try:
        return secrets.signer(passphrase.reveal())
    except Exception:  # noqa: BLE001 - as above
        raise _refused("the passphrase does not open the key", where, "Check `sign.passphrase`.") from None


def _bytes(text: str) -> bytes:
    if "-----BEGIN" not in text:
        try:
            return base64.b64decode(re.sub(r"\s", "", text), validate=True)
        except (binascii.Error, ValueError):
            pass
    return text.encode("utf-8", "surrogateescape")


def _refused(message: str, where: str, hint: str = _HINT) -> ConfigError:
    return ConfigError(Code.CONFIG_SIGNING_KEY, message, where=where, hint=hint)
