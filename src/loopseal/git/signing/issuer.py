"""What a signature tells of the key that made it. Pure; proves nothing, for nothing is verified.

An OpenPGP key often signs by a subkey, and verifiers name that one, so what counts is not the key that was configured
but the issuer that stands in the signature (RFC 9580 §5.2.3.35, or RFC 4880 §5.2.3.5). An SSH signature carries the
whole public key (PROTOCOL.sshsig of OpenSSH).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from loopseal.git.signing.sshsig import MAGIC, public_text, take_string
from loopseal.ports import Signing, SigningFormat

_ARMOUR: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----\n(.*?)-----END \1-----", re.DOTALL)
_FORMATS: Final = {"SSH SIGNATURE": SigningFormat.SSH, "PGP SIGNATURE": SigningFormat.OPENPGP}
_SIGNATURE: Final = 2
_FINGERPRINT: Final = 33
_KEY_ID: Final = 16


def signing(armoured: str) -> Signing:
    """The format and the key of a signature; an empty key where it cannot be told."""
    found = _ARMOUR.search(armoured)
    if found is None:
        return Signing(SigningFormat.OTHER)
    kind = _FORMATS.get(found[1], SigningFormat.OTHER)
    try:
        match kind:
            case SigningFormat.SSH:
                return Signing(kind, _ssh_key(_decoded(found[2])))
            case SigningFormat.OPENPGP:
                return Signing(kind, _issuer(_decoded(found[2])))
            case SigningFormat.NONE | SigningFormat.OTHER:
                return Signing(kind)
    except (ValueError, IndexError, binascii.Error):
        return Signing(kind)


def _decoded(armour: str) -> bytes:
    """The bytes between headers (before an empty line) and checksum (a line that begins with `=`)."""
    lines = armour.split("\n")
    begin = lines.index("") + 1 if "" in lines[:-1] else 0
    return base64.b64decode("".join(line for line in lines[begin:] if not line.startswith("=")), validate=True)


def _ssh_key(blob: bytes) -> str:
    if not blob.startswith(MAGIC):
        raise ValueError(blob[:6])
    return public_text(take_string(blob[len(MAGIC) + 4 :])[0])


def _issuer(packet: bytes) -> str:
    """Fingerprint, or only key id, of the key that signed: capital hexadecimal digits."""
    body = _body(packet)
    wide = 4 if body[0] == 6 else 2  # noqa: PLR2004 - version 6 has longer counts
    if body[0] not in {4, 6}:
        raise ValueError(body[0])
    found: dict[int, bytes] = {}
    rest = body[4:]
    for _ in ("hashed", "unhashed"):
        end = wide + int.from_bytes(rest[:wide])
        found = dict(_subpackets(rest[wide:end])) | found
        rest = rest[end:]
    if _FINGERPRINT in found:
        return found[_FINGERPRINT][1:].hex().upper()  # its first byte is the version of the key
    return found.get(_KEY_ID, b"").hex().upper()


def _body(packet: bytes) -> bytes:
    """What is in the first packet, which must be a signature (RFC 9580 §4.2)."""
    tag = packet[0]
    if tag & 0x40:
        if tag & 0x3F != _SIGNATURE:
            raise ValueError(tag)
        size, rest = _length(packet[1:])
        return rest[:size]
    if tag & 0x3C != _SIGNATURE << 2:
        raise ValueError(tag)
    wide = {0: 1, 1: 2, 2: 4}[tag & 3] if tag & 3 != 3 else 0  # noqa: PLR2004 - 3 says: to the end
    return packet[1 + wide : 1 + wide + int.from_bytes(packet[1 : 1 + wide])] if wide else packet[1:]


def _subpackets(area: bytes) -> Iterator[tuple[int, bytes]]:
    while area:
        size, rest = _length(area)
        if not 0 < size <= len(rest):
            raise ValueError(size)
        yield rest[0] & 0x7F, rest[1:size]
        area = rest[size:]


def _length(data: bytes) -> tuple[int, bytes]:
    """A length of one, two or five bytes, and what follows it."""
    first = data[0]
    if first < 192:  # noqa: PLR2004 - RFC 9580 §4.2.1
        return first, data[1:]
    if first < 255:  # noqa: PLR2004 - as above
        return ((first - 192) << 8) + data[1] + 192, data[2:]
    return int.from_bytes(data[1:5]), data[5:]
