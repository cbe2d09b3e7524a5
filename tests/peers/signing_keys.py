"""Keys that sign commits, made by the programs that people make them with, and a repository that signs by one."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import tempfile
from dataclasses import dataclass
from typing import Final

import pysequoia
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from loopseal.git.remotes import open_remote
from loopseal.git.repository import Repository
from loopseal.git.signing import open_signer
from loopseal.ports import Signing
from loopseal.wiring import SystemClock
from tests.unit.engines.worlds import Vault

_USER: Final = "Bot <bot@example.com>"


@dataclass(frozen=True, slots=True)
class Key:
    """One key: how the settings name it (`openpgp`, `ssh`), its secret half, its public half, and what it signs as."""

    way: str
    secret: str
    public: str
    signing: Signing

    @property
    def id(self) -> str:
        """The long id of the OpenPGP key that signs, as Argo CD's projects name it."""
        return self.signing.key[-16:]

    @property
    def entry(self) -> tuple[str, str]:
        """Name and content of its entry in a Secret for Flux."""
        ending = "asc" if self.way == "openpgp" else "sshpub"
        name = self.id if self.way == "openpgp" else "bot"
        return f"{name}.{ending}", base64.b64encode(self.public.encode()).decode()


async def _key(way: str, secret: str, public: str) -> Key:
    made = await repository("http://127.0.0.1:1/none.git", way, secret)
    try:
        return Key(way, secret, public, await made.signing())
    finally:
        await made.aclose()


def gnupg() -> Key:
    """An OpenPGP key as GnuPG makes it, whose primary half signs."""
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:

        def gpg(*arguments: str) -> str:
            command = ["gpg", "--homedir", home, "--batch", "--passphrase", "", "--pinentry-mode", "loopback"]
            return subprocess.run([*command, *arguments], check=True, capture_output=True, text=True).stdout

        try:
            gpg("--quick-generate-key", _USER, "ed25519", "sign", "never")
            halves = gpg("--armor", "--export-secret-keys"), gpg("--armor", "--export")
        finally:
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True, capture_output=True)
    return asyncio.run(_key("openpgp", *halves))


def sequoia() -> Key:
    """An OpenPGP key as Sequoia makes it, which signs by a subkey."""
    key = pysequoia.Tsk.generate(_USER)
    return asyncio.run(_key("openpgp", str(key), str(key.extract_certificate())))


def ssh() -> Key:
    """An SSH key."""
    key = ed25519.Ed25519PrivateKey.generate()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    made = asyncio.run(_key("ssh", secret, ""))
    return Key("ssh", secret, made.signing.key + "\n", made.signing)


async def repository(url: str, way: str = "", secret: str = "") -> Repository:
    """The branch main of a repository, with commits signed by the secret half of a key if there is one."""
    signer = await open_signer(secrets=Vault({"env:KEY": secret}), **{way: "env:KEY"}) if way else None
    remote = open_remote(url, mode="wire", unsafe_http=True)
    return Repository(remote, branch="main", clock=SystemClock(), author=_USER, signer=signer)
