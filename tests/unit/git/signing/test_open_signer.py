"""Which signer the settings mean."""

import asyncio

import pysequoia
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from loopseal.errors import Code, ConfigError
from loopseal.git.signing import open_signer
from loopseal.ports import Credential, Secret


class Table:
    """Secrets from a table."""

    def __init__(self, **known):
        self.known = known

    async def resolve(self, reference):
        return Credential(Secret(self.known[reference.removeprefix("env:")]))

    def forget(self, reference):
        del self.known[reference]


SSH = ed25519.Ed25519PrivateKey.generate().private_bytes(
    Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(b"open sesame")
)
SECRETS = Table(SSH=SSH.decode(), PHRASE="open sesame", PGP=str(pysequoia.Tsk.generate("Bot")))


def open_(**kwargs):
    return asyncio.run(open_signer(secrets=SECRETS, **kwargs))


def test_each_way():
    assert open_(ssh="env:SSH", passphrase="env:PHRASE").name.startswith("SSH ssh-ed25519")
    assert open_(openpgp="env:PGP").name.startswith("OpenPGP ")
    assert open_(command=("sign",)).name == "command sign"


def test_an_agent_needs_its_socket():
    with pytest.raises(ConfigError, match="no ssh-agent"):
        open_(agent="SHA256:x")


@pytest.mark.parametrize(
    "ways", [{}, {"ssh": "env:SSH", "openpgp": "env:PGP"}, {"agent": "SHA256:x", "command": ("x",)}]
)
def test_exactly_one_way(ways):
    with pytest.raises(ConfigError, match="exactly one way") as caught:
        open_(**ways)
    assert caught.value.code is Code.CONFIG_SIGNING_KEY


def test_errors_say_which_field():
    with pytest.raises(ConfigError) as caught:
        open_(ssh="env:PGP")
    assert caught.value.where == "sign.ssh"
    with pytest.raises(ConfigError) as caught:
        open_(openpgp="env:SSH")
    assert caught.value.where == "sign.openpgp"
