"""The format of SSH signatures: what is signed, and how the signature is wrapped. Pure.

Source: PROTOCOL.sshsig of OpenSSH 9.x, as `git` uses it with `gpg.format=ssh` (namespace `git`, hash `sha512`).
"""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Final

MAGIC: Final = b"SSHSIG"
NAMESPACE: Final = b"git"
_VERSION: Final = 1
_HASH: Final = b"sha512"
_WIDTH: Final = 70

ALGORITHMS: Final = {
    b"ssh-ed25519": b"ssh-ed25519",
    b"ssh-rsa": b"rsa-sha2-512",
    b"ecdsa-sha2-nistp256": b"ecdsa-sha2-nistp256",
    b"ecdsa-sha2-nistp384": b"ecdsa-sha2-nistp384",
    b"ecdsa-sha2-nistp521": b"ecdsa-sha2-nistp521",
    b"sk-ssh-ed25519@openssh.com": b"sk-ssh-ed25519@openssh.com",
    b"sk-ecdsa-sha2-nistp256@openssh.com": b"sk-ecdsa-sha2-nistp256@openssh.com",
}
"""Type of a public key -> name of the only signature algorithm that we take from it (never SHA-1)."""


def string(data: bytes) -> bytes:
    """`data` with its length before it (RFC 4251 §5)."""
    return struct.pack(">I", len(data)) + data


def take_string(data: bytes) -> tuple[bytes, bytes]:
    """The first string of `data`, and what is left. Raises ValueError."""
    if len(data) < 4:  # noqa: PLR2004 - a length is four bytes
        raise ValueError("cut short")
    end = 4 + int.from_bytes(data[:4], "big")
    if end > len(data):
        raise ValueError("cut short")
    return data[4:end], data[end:]


def mpint(number: int) -> bytes:
    """A positive number (RFC 4251 §5)."""
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def signed_data(message: bytes) -> bytes:
    """What the key signs: not the message but a frame around its hash."""
    return MAGIC + string(NAMESPACE) + string(b"") + string(_HASH) + string(hashlib.sha512(message).digest())


def armoured(public: bytes, signature: bytes) -> str:
    """The signature as text, with the key that made it; both are blobs as RFC 4253 §6.6 has them."""
    parts = (public, NAMESPACE, b"", _HASH, signature)
    blob = MAGIC + struct.pack(">I", _VERSION) + b"".join(map(string, parts))
    text = base64.b64encode(blob).decode()
    lines = (text[at : at + _WIDTH] for at in range(0, len(text), _WIDTH))
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def key_type(public: bytes) -> bytes:
    """The type that a public key's blob names. Raises ValueError."""
    return take_string(public)[0]


def fingerprint(public: bytes) -> str:
    """`SHA256:…`, as `ssh-keygen -l` and `ssh-add -l` show it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(public).digest()).decode().rstrip("=")


def public_text(public: bytes) -> str:
    """`ssh-ed25519 AAAA…`, as it stands in an allowed-signers file."""
    return f"{key_type(public).decode()} {base64.b64encode(public).decode()}"
