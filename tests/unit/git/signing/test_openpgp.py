"""OpenPGP keys as people have them. Whether gpg and git believe the signatures is asked in tests/git."""

import asyncio
import base64
import sys

import pysequoia
import pytest

from loopseal.errors import Code, ConfigError
from loopseal.git.signing.openpgp import load
from loopseal.ports import Secret

KEY = pysequoia.Tsk.generate("Bot <bot@example.com>")


def verified(tsk, data: bytes, signature: str) -> bool:
    cert = tsk.extract_certificate()
    try:
        answer = pysequoia.verify(
            bytes=data, store=lambda _: [cert], signature=pysequoia.Sig.from_bytes(signature.encode())
        )
    except RuntimeError:
        return False
    return len(answer.valid_sigs) == 1


def sign(signer, data=b"commit"):
    return asyncio.run(signer.sign(data, at=1_700_000_000))


@pytest.mark.parametrize(
    "form",
    [
        str(KEY),
        "\n" + str(KEY) + "\n",
        str(KEY).replace("\n", "\r\n"),
        base64.b64encode(bytes(KEY)).decode(),
        base64.encodebytes(bytes(KEY)).decode(),
        bytes(KEY).decode("utf-8", "surrogateescape"),
    ],
    ids=["armoured", "blanks", "crlf", "base64", "base64 lines", "binary"],
)
def test_keys_in_every_usual_form(form):
    signer = load(Secret(form), None, "sign.openpgp")
    signature = sign(signer)
    assert signature.startswith("-----BEGIN PGP SIGNATURE-----\n")
    assert signature.endswith("-----END PGP SIGNATURE-----\n")
    assert verified(KEY, b"commit", signature)
    assert not verified(KEY, b"commit!", signature)


@pytest.mark.parametrize("suite", ["Cv25519", "RSA2k", "P256", "P384", "P521"])
def test_every_usual_algorithm(suite):
    tsk = pysequoia.Tsk.generate("Bot <bot@example.com>", cipher_suite=getattr(pysequoia.CipherSuite, suite))
    assert verified(tsk, b"commit", sign(load(Secret(str(tsk)), None, "")))


def test_names_are_for_people():
    signer = load(Secret(str(KEY)), Secret("needless"), "")
    fingerprint = KEY.extract_certificate().fingerprint.upper()
    assert signer.public == fingerprint
    assert signer.name == f"OpenPGP {fingerprint} Bot <bot@example.com>"
    nameless = load(Secret(str(pysequoia.Tsk.generate())), None, "")
    assert nameless.name == f"OpenPGP {nameless.public}"


@pytest.mark.parametrize(
    "key",
    ["", "junk", "QUFB", str(KEY.extract_certificate()), str(KEY)[:300], "-----BEGIN PGP PRIVATE KEY BLOCK-----\n"],
    ids=["empty", "junk", "base64", "public", "cut short", "header"],
)
def test_what_is_no_secret_key_is_refused(key):
    with pytest.raises(ConfigError, match="no secret OpenPGP key") as caught:
        load(Secret(key), None, "sign.openpgp")
    assert caught.value.code is Code.CONFIG_SIGNING_KEY
    assert "gpg --armor --export-secret-keys" in caught.value.hint
    assert caught.value.__cause__ is None


def test_the_extra_is_named_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pysequoia", None)
    with pytest.raises(ConfigError) as caught:
        load(Secret(str(KEY)), None, "sign.openpgp")
    assert caught.value.code is Code.CONFIG_EXTRA_MISSING
    assert caught.value.hint == "pip install 'loopseal[openpgp]'"


def test_nothing_of_the_key_shows():
    signer = load(Secret(str(KEY)), None, "")
    line = str(KEY).splitlines()[6]
    assert line not in f"{signer!r} {signer.name} {vars(signer)}"
