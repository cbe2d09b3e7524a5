"""What a signature tells of its key: our own signers, GnuPG's packets, and bytes that are no signature at all."""

import asyncio
import base64

import pysequoia
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.git.signing import open_signer
from loopseal.git.signing.issuer import signing
from loopseal.git.signing.sshsig import armoured, string
from loopseal.ports import Credential, Secret, Signing, SigningFormat

FINGERPRINT = "85F2D0C19B7B1F0E0D2A0123456789ABCDEF0000"
ISSUER = bytes([22, 33, 4]) + bytes.fromhex(FINGERPRINT)
KEY_ID = bytes([9, 16]) + bytes.fromhex(FINGERPRINT)[-8:]
TIME = bytes([5, 2, 0, 0, 0, 1])


class Table:
    """Secrets from a table."""

    def __init__(self, value):
        self.value = value

    async def resolve(self, reference):
        return Credential(Secret(self.value))

    def forget(self, reference):
        raise AssertionError(reference)


def signature(hashed=b"", unhashed=b"", *, version=4, header=None):
    """A signature packet with these subpackets and 4 bytes that stand for the rest."""
    wide = 4 if version == 6 else 2
    areas = b"".join(len(area).to_bytes(wide) + area for area in (hashed, unhashed))
    body = bytes([version, 0, 22, 10]) + areas + b"rest"
    return (header(len(body)) if header else bytes([0xC2, len(body)])) + body


def armour(data, kind="PGP SIGNATURE", head="", checksum="=abcd\n"):
    text = base64.b64encode(data).decode()
    lines = "".join(f"{text[at : at + 64]}\n" for at in range(0, len(text), 64))
    return f"-----BEGIN {kind}-----\n{head}\n{lines}{checksum}-----END {kind}-----\n"


def test_a_subkey_that_signs_is_named_and_not_the_key_above_it():
    key = pysequoia.Tsk.generate("Bot <bot@example.com>")
    signer = asyncio.run(open_signer(secrets=Table(str(key)), openpgp="env:KEY"))
    told = signing(asyncio.run(signer.sign(b"tree\n", at=0)))
    assert told.format is SigningFormat.OPENPGP
    assert len(told.key) in {40, 64}
    assert told.key != signer.public, "sequoia makes a signing subkey"


def test_an_ssh_signature_carries_the_key():
    public = string(b"ssh-ed25519") + string(b"k" * 32)
    told = signing(armoured(public, string(b"ssh-ed25519") + string(b"s" * 64)))
    assert told == Signing(SigningFormat.SSH, f"ssh-ed25519 {base64.b64encode(public).decode()}")


@pytest.mark.parametrize(
    ("packet", "key"),
    [
        (signature(TIME + ISSUER, KEY_ID), FINGERPRINT),
        (signature(TIME, ISSUER), FINGERPRINT),
        (signature(TIME, KEY_ID), FINGERPRINT[-16:]),
        (signature(TIME), ""),
        (signature(ISSUER, version=6), FINGERPRINT),
        (signature(ISSUER, header=lambda size: bytes([0x88, size])), FINGERPRINT),
        (signature(ISSUER, header=lambda size: bytes([0x89]) + size.to_bytes(2)), FINGERPRINT),
        (signature(ISSUER, header=lambda size: bytes([0x8A]) + size.to_bytes(4)), FINGERPRINT),
        (signature(ISSUER, header=lambda size: bytes([0x8B])), FINGERPRINT),
        (signature(ISSUER, header=lambda size: bytes([0xC2, 255]) + size.to_bytes(4)), FINGERPRINT),
        (
            signature(
                TIME * 60 + ISSUER, header=lambda size: bytes([0xC2, 192 + ((size - 192) >> 8), (size - 192) & 255])
            ),
            FINGERPRINT,
        ),
        (signature(ISSUER, version=3), ""),
        (signature(bytes([0]) + ISSUER), ""),
        (signature(bytes([200, 1, 33]) + b"x"), ""),
        (b"\xc6\x02ab", ""),
        (b"\x98\x02ab", ""),
        (b"", ""),
        (b"\xc2", ""),
    ],
)
def test_packets_of_openpgp(packet, key):
    assert signing(armour(packet)) == Signing(SigningFormat.OPENPGP, key)
    assert signing(armour(packet, head="Version: GnuPG v2\nComment: x\n", checksum="")).key == key


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", SigningFormat.OTHER),
        ("-----BEGIN SIGNED MESSAGE-----\nAAAA\n-----END SIGNED MESSAGE-----\n", SigningFormat.OTHER),
        ("-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n", SigningFormat.SSH),
        ("-----BEGIN SSH SIGNATURE-----\n!\n-----END SSH SIGNATURE-----\n", SigningFormat.SSH),
        (armour(b"SSHSIG\0\0\0\1\0\0\0\1", "SSH SIGNATURE"), SigningFormat.SSH),
        ("-----BEGIN PGP SIGNATURE-----\n\n????\n-----END PGP SIGNATURE-----\n", SigningFormat.OPENPGP),
    ],
)
def test_what_tells_no_key(text, kind):
    assert signing(text) == Signing(kind)


@given(st.binary(max_size=80), st.sampled_from(["PGP SIGNATURE", "SSH SIGNATURE"]))
def test_any_bytes_are_survived(data, kind):
    assert signing(armour(data, kind)).format in {SigningFormat.OPENPGP, SigningFormat.SSH}


@given(st.text(max_size=200))
def test_any_text_is_survived(text):
    assert signing(text).key == ""
