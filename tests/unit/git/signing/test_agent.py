"""The ssh-agent's side is played by a small server that speaks its protocol, and speaks it wrongly where asked."""

import asyncio
import base64
import struct
from contextlib import asynccontextmanager

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from loopseal.errors import Code, ConfigError, Unreachable
from loopseal.git.signing import agent, sshsig
from loopseal.git.signing.ssh import SshSigner

ED = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)


def blob(key):
    return base64.b64decode(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])


class Agent:
    """Holds the two keys above; `answers` replace what it would say to a type of request."""

    def __init__(self, **answers):
        self.answers = answers
        self.flags = []

    def identities(self):
        keys = [b"\0\0\0\x07ssh-dss" + b"old", blob(ED), blob(RSA)]
        listed = b"".join(sshsig.string(key) + sshsig.string(b"comment") for key in keys)
        return b"\x0c" + struct.pack(">I", len(keys)) + listed

    def signature(self, request):
        public, rest = sshsig.take_string(request)
        data, flags = sshsig.take_string(rest)
        self.flags.append(int.from_bytes(flags, "big"))
        if public == blob(ED):
            made = sshsig.string(b"ssh-ed25519") + sshsig.string(ED.sign(data))
        else:
            made = sshsig.string(b"rsa-sha2-512") + sshsig.string(RSA.sign(data, padding.PKCS1v15(), hashes.SHA512()))
        return b"\x0e" + sshsig.string(made)

    async def serve(self, reader, writer):
        size = int.from_bytes(await reader.readexactly(4), "big")
        request = await reader.readexactly(size)
        name = {11: "identities", 13: "signature"}[request[0]]
        if name in self.answers:
            raw = self.answers[name]
            if raw is None:
                await reader.read()  # until the other side gives up
            else:
                writer.write(raw)
        else:
            answer = self.identities() if name == "identities" else self.signature(request[1:])
            writer.write(sshsig.string(answer))
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def running(tmp_path, **answers):
    path = str(tmp_path / "agent.sock")
    player = Agent(**answers)
    server = await asyncio.start_unix_server(player.serve, path)
    async with server:
        yield path, player


@pytest.mark.parametrize("key", [ED, RSA], ids=["ed25519", "rsa"])
@pytest.mark.parametrize("named_by", ["public key", "with comment", "fingerprint"])
def test_signs_as_the_key_itself_would(tmp_path, key, named_by):
    own = SshSigner(key)
    names = {
        "public key": own.public,
        "with comment": own.public + " ops@example",
        "fingerprint": sshsig.fingerprint(blob(key)),
    }

    async def scene():
        async with running(tmp_path) as (path, player):
            signer = await agent.connect(path, names[named_by])
            assert signer.public == own.public
            assert signer.name.startswith("SSH agent ssh-")
            assert await signer.sign(b"data", at=1) == await own.sign(b"data", at=1)
            assert player.flags == [4]  # RSA with SHA-512, never SHA-1

    asyncio.run(scene())


@pytest.mark.parametrize("wanted", ["SHA256:nobody", "ssh-ed25519 AAAA", "ssh-ed25519", "", "ssh-rsa !!!"])
def test_a_key_that_is_not_there(tmp_path, wanted):
    async def scene():
        async with running(tmp_path) as (path, _):
            with pytest.raises(ConfigError, match="does not hold this key") as caught:
                await agent.connect(path, wanted)
            assert caught.value.code is Code.CONFIG_SIGNING_KEY
            assert "ssh-add" in caught.value.hint

    asyncio.run(scene())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0\0",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\0\0\0\x05\x0c\0\0\0\x01",
        b"\0\0\0\x05\x0c\xff\xff\xff\xff",
        sshsig.string(b"\x0c\0\0\0\x01" + sshsig.string(b"") + sshsig.string(b"")),
    ],
    ids=["nothing", "half a length", "empty", "4 GiB", "cut short", "too many", "no type"],
)
def test_nonsense_for_identities(tmp_path, raw):
    async def scene():
        async with running(tmp_path, identities=raw) as (path, _):
            with pytest.raises(Unreachable) as caught:
                await agent.connect(path, "SHA256:x")
            assert caught.value.hint

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("raw", "kind", "message"),
    [
        (sshsig.string(b"\x05"), ConfigError, "refuses to sign"),
        (sshsig.string(b"\x0e\0\0\0\xff"), Unreachable, "nonsense"),
        (sshsig.string(b"\x0e" + sshsig.string(b"x")), Unreachable, "nonsense"),
        (
            sshsig.string(b"\x0e" + sshsig.string(sshsig.string(b"ssh-rsa") + sshsig.string(b"sha1"))),
            ConfigError,
            "too old",
        ),
    ],
    ids=["refused", "cut short", "no algorithm", "sha-1"],
)
def test_bad_signatures(tmp_path, raw, kind, message):
    async def scene():
        async with running(tmp_path, signature=raw) as (path, _):
            signer = await agent.connect(path, sshsig.fingerprint(blob(RSA)))
            with pytest.raises(kind, match=message):
                await signer.sign(b"data", at=0)

    asyncio.run(scene())


def test_an_agent_that_refuses_to_list_holds_no_key(tmp_path):
    async def scene():
        async with running(tmp_path, identities=sshsig.string(b"\x05")) as (path, _):
            with pytest.raises(ConfigError, match="holds 0 others"):
                await agent.connect(path, "SHA256:x")

    asyncio.run(scene())


def test_a_silent_agent_is_given_up(tmp_path):
    async def scene():
        async with running(tmp_path, identities=None) as (path, _):
            with pytest.raises(Unreachable) as caught:
                await agent.connect(path, "SHA256:x", timeout=0.05)
            assert caught.value.code is Code.NET_TIMEOUT

    asyncio.run(scene())


def test_no_agent_at_all(tmp_path):
    with pytest.raises(Unreachable) as caught:
        asyncio.run(agent.connect(str(tmp_path / "nothing"), "SHA256:x"))
    assert caught.value.code is Code.NET_UNREACHABLE
    with pytest.raises(ConfigError, match="no ssh-agent"):
        asyncio.run(agent.connect("", "SHA256:x"))
