"""Who we are at the host: the credential behind a reference, and the three shapes a host wants it in.

Nothing here is written to a log or put into an argument. Values seen are remembered only to remove them from whatever
a host says.
"""

from __future__ import annotations

import base64
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_ssh_private_key

from loopseal.errors import Code, ConfigError
from loopseal.ports import Credential, Secrets

DEFAULT_USERNAME: Final = "loopseal"
"""Sent with a bare token: hosts look at the token only, but want some name."""

_SHORT: Final = 6
"""Characters from which on a value, or one line of it, is blanked out of what a host says; less are ordinary words."""


class Access:
    """The credential of one repository; `reference` may be empty for none."""

    def __init__(self, secrets: Secrets | None, reference: str = "", username: str = "") -> None:
        if reference and secrets is None:
            raise ConfigError(Code.CONFIG_SECRET, "a credential is named, but nothing is there that resolves it")
        self._secrets, self._reference, self._username = secrets, reference, username
        self._seen: set[str] = set()

    @property
    def reference(self) -> str:
        """Where the credential comes from; it is no secret."""
        return self._reference

    async def credential(self) -> Credential | None:
        """The credential now; whether it is cached is for `Secrets` to know."""
        if self._secrets is None or not self._reference:
            return None
        found = await self._secrets.resolve(self._reference)
        for value in (found.secret, *found.extra.values()):
            self._seen.update(line for line in (value.reveal(), *value.reveal().splitlines()) if len(line) >= _SHORT)
        return found

    def forget(self) -> None:
        """The host refused it: read it anew next time."""
        if self._secrets is not None and self._reference:
            self._secrets.forget(self._reference)

    async def authorization(self) -> str:
        """The value of HTTP's Authorization header, or an empty string.

        Basic with the token as password; Bearer when the credential has no user name and `scheme: bearer` beside it.
        """
        found = await self.credential()
        if found is None or not found.secret:
            return ""
        token = found.secret.reveal()
        if any(not char.isprintable() for char in token):
            raise ConfigError(
                Code.CONFIG_SECRET,
                "the credential holds characters that no token or password has (a line break?)",
                where=self._reference,
                hint="For an SSH key give an `ssh://` address; else look for a stray newline in the secret.",
            )
        scheme = found.extra.get("scheme")
        if not found.username and not self._username and scheme is not None and scheme.reveal().lower() == "bearer":
            return f"Bearer {token}"
        pair = f"{found.username or self._username or DEFAULT_USERNAME}:{token}"
        basic = base64.b64encode(pair.encode()).decode()
        self._seen.add(basic)
        return f"Basic {basic}"

    async def private_key(self) -> bytes:
        """The SSH private key, without passphrase, as OpenSSH reads it; empty for the user's own keys and agent."""
        found = await self.credential()
        if found is None:
            return b""
        key = found.extra.get("private_key", found.secret).reveal().strip()
        if not key:
            return b""
        phrase = found.extra.get("private_key_passphrase")
        return _plain_key(key.encode() + b"\n", phrase.reveal().encode() if phrase else None, self._reference)

    def redact(self, text: str) -> str:
        """`text` without any value that was ever resolved here."""
        for value in sorted(self._seen, key=len, reverse=True):
            text = text.replace(value, "***")
        return text


def _plain_key(key: bytes, phrase: bytes | None, where: str) -> bytes:
    if b"PRIVATE KEY-----" not in key:
        raise ConfigError(
            Code.CONFIG_SECRET,
            "the credential for an SSH address is not a private key",
            where=where,
            hint="Give an OpenSSH or PEM private key, or no credential to use the user's own keys and agent.",
        )
    if phrase is None:
        return key
    try:
        loaded = load_ssh_private_key(key, phrase)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            Code.CONFIG_SECRET, "the SSH key cannot be opened with its passphrase", where=where
        ) from error
    return loaded.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
