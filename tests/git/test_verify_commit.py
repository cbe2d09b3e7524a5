"""Does `git verify-commit` believe our signatures? Real git, OpenSSH and GnuPG; every way to sign, every kind of key."""

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopseal.errors import ConfigError
from loopseal.git.signing import Signer, open_signer
from loopseal.ports import Credential, Secret

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("git", "gpg", "gpgconf", "ssh-keygen", "ssh-agent", "ssh-add"))),
    reason="git, GnuPG or OpenSSH is not installed",
)
AT = 1_700_000_000
SSH_KINDS = {
    "ed25519": ("ed25519", ""),
    "ecdsa-256": ("ecdsa", "256"),
    "ecdsa-384": ("ecdsa", "384"),
    "ecdsa-521": ("ecdsa", "521"),
    "rsa-3072": ("rsa", "3072"),
}


class Table:
    """Secrets from a table."""

    def __init__(self, **known: str) -> None:
        self.known = known

    async def resolve(self, reference: str) -> Credential:
        return Credential(Secret(self.known[reference]))

    def forget(self, reference: str) -> None:
        del self.known[reference]


def run(*command: str, cwd: Path, env: dict[str, str] | None = None, data: bytes = b"", check: bool = True) -> str:
    whole = {**os.environ, "LC_ALL": "C", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", **(env or {})}
    done = subprocess.run(command, cwd=cwd, env=whole, input=data, capture_output=True, check=False)
    if check and done.returncode:
        raise AssertionError(done.stderr.decode())
    return (done.stdout + done.stderr).decode()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    run("git", "init", "-q", "-b", "main", cwd=folder)
    return folder


def commit(repository: Path, signer: Signer, message: str = "Set image.tag\n\nLoopseal-Change: x\n") -> str:
    """A commit object with the signature where git wants it; its id."""
    tree = run("git", "hash-object", "-w", "-t", "tree", "--stdin", cwd=repository).strip()
    who = f"Böt <bot@example.com> {AT} +0000"
    head = f"tree {tree}\nauthor {who}\ncommitter {who}\n"
    signature = asyncio.run(signer.sign(f"{head}\n{message}".encode(), at=AT))
    folded = signature.removesuffix("\n").replace("\n", "\n ")
    data = f"{head}gpgsig {folded}\n\n{message}".encode()
    return run("git", "hash-object", "-w", "-t", "commit", "--stdin", cwd=repository, data=data).strip()


def tampered(repository: Path, good: str) -> str:
    data = subprocess.run(
        ["git", "cat-file", "commit", good], cwd=repository, capture_output=True, check=True
    ).stdout.replace(b"image.tag", b"image.tog")
    return run("git", "hash-object", "-w", "-t", "commit", "--stdin", cwd=repository, data=data).strip()


# --- SSH --------------------------------------------------------------------------------------------------------------


def keygen(folder: Path, kind: str, passphrase: str = "") -> Path:
    name, bits = SSH_KINDS[kind]
    command = ["ssh-keygen", "-q", "-t", name, "-N", passphrase, "-C", "bot", "-f", str(folder / "key")]
    run(*command, *(("-b", bits) if bits else ()), cwd=folder)
    return folder / "key"


def trust_ssh(repository: Path, public: str) -> None:
    allowed = repository.parent / "allowed"
    allowed.write_text(f"bot@example.com {public}\n")
    run("git", "config", "gpg.format", "ssh", cwd=repository)
    run("git", "config", "gpg.ssh.allowedSignersFile", str(allowed), cwd=repository)


def check_ssh(repository: Path, signer: Signer) -> None:
    trust_ssh(repository, signer.public)
    good = commit(repository, signer)
    assert 'Good "git" signature for bot@example.com' in run("git", "verify-commit", good, cwd=repository)
    assert "Good" not in run("git", "verify-commit", tampered(repository, good), cwd=repository, check=False)
    run("git", "fsck", "--strict", cwd=repository)


@pytest.mark.parametrize("kind", SSH_KINDS)
@pytest.mark.parametrize("passphrase", ["", "open sesame"])
def test_ssh_keys(tmp_path, repository, kind, passphrase):
    key = keygen(tmp_path, kind, passphrase)
    secrets = Table(key=key.read_text(), phrase=passphrase)
    signer = asyncio.run(open_signer(secrets=secrets, ssh="key", passphrase="phrase" if passphrase else ""))
    assert signer.public == " ".join(key.with_suffix(".pub").read_text().split()[:2])
    check_ssh(repository, signer)


@pytest.fixture
def agent() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="agent-") as folder:  # a short path: sockets have no room for long ones
        socket = f"{folder}/socket"
        started = run("ssh-agent", "-s", "-a", socket, cwd=Path(folder))
        pid = re.search(r"SSH_AGENT_PID=(\d+)", started)
        assert pid
        try:
            yield socket
        finally:
            os.kill(int(pid[1]), 15)


@pytest.mark.parametrize("kind", SSH_KINDS)
def test_ssh_agent(tmp_path, repository, agent, kind):
    key = keygen(tmp_path, kind)
    run("ssh-add", "-q", str(key), cwd=tmp_path, env={"SSH_AUTH_SOCK": agent})
    shown = run("ssh-keygen", "-l", "-f", str(key), cwd=tmp_path).split()[1]
    for wanted in (key.with_suffix(".pub").read_text(), shown):
        check_ssh(repository, asyncio.run(open_signer(secrets=Table(), agent=wanted, agent_socket=agent)))


def test_the_agent_forgot_the_key(tmp_path, repository, agent):
    key = keygen(tmp_path, "ed25519")
    run("ssh-add", "-q", str(key), cwd=tmp_path, env={"SSH_AUTH_SOCK": agent})
    public = key.with_suffix(".pub").read_text()
    signer = asyncio.run(open_signer(secrets=Table(), agent=public, agent_socket=agent))
    run("ssh-add", "-q", "-D", cwd=tmp_path, env={"SSH_AUTH_SOCK": agent})
    with pytest.raises(ConfigError, match="refuses to sign"):
        commit(repository, signer)
    with pytest.raises(ConfigError, match="does not hold"):
        asyncio.run(open_signer(secrets=Table(), agent=public, agent_socket=agent))


def test_command(tmp_path, repository):
    key = keygen(tmp_path, "ed25519")
    signer = asyncio.run(
        open_signer(secrets=Table(), command=("ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", str(key)))
    )
    trust_ssh(repository, key.with_suffix(".pub").read_text().strip())
    assert "Good" in run("git", "verify-commit", commit(repository, signer), cwd=repository)


def test_the_same_commit_gets_the_same_id(tmp_path, repository):
    secrets = Table(key=keygen(tmp_path, "ed25519").read_text())
    signers = [asyncio.run(open_signer(secrets=secrets, ssh="key")) for _ in range(2)]
    assert commit(repository, signers[0]) == commit(repository, signers[1])


# --- OpenPGP ----------------------------------------------------------------------------------------------------------


class Gpg:
    """A GnuPG of our own, in a folder of its own."""

    def __init__(self, home: str) -> None:
        self.home = home

    @property
    def env(self) -> dict[str, str]:
        return {"GNUPGHOME": self.home}

    def __call__(self, *arguments: str, passphrase: str = "") -> str:
        command = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", passphrase]
        done = subprocess.run(
            [*command, *arguments], env={**os.environ, **self.env}, capture_output=True, check=True, cwd=self.home
        )
        return done.stdout.decode()

    def fingerprint(self) -> str:
        return next(
            line.split(":")[9] for line in self("--list-keys", "--with-colons").splitlines() if line[:3] == "fpr"
        )


@pytest.fixture
def gpg() -> Iterator[Gpg]:
    with tempfile.TemporaryDirectory(prefix="gnupg-") as home:
        Path(home, "gpg-agent.conf").write_text("s2k-count 65536\n")  # passphrases are made slow to guess: not here
        try:
            yield Gpg(home)
        finally:
            run("gpgconf", "--kill", "gpg-agent", cwd=Path(home), env={"GNUPGHOME": home})


@pytest.mark.parametrize(
    ("algorithm", "passphrase", "shape"),
    [
        ("ed25519", "", "primary"),
        ("ed25519", "open sesame", "subkey only"),
        ("ed25519", "", "subkey"),
        ("rsa3072", "", "subkey"),
        ("rsa3072", "open sesame", "primary"),
        ("nistp256", "", "primary"),
    ],
)
def test_openpgp_keys(repository, gpg, algorithm, passphrase, shape):
    usage = "sign" if shape == "primary" else "cert"
    gpg("--quick-gen-key", "Bot <bot@example.com>", algorithm, usage, "never", passphrase=passphrase)
    fingerprint = gpg.fingerprint()
    if shape != "primary":
        gpg("--quick-add-key", fingerprint, algorithm, "sign", "never", passphrase=passphrase)
    export = "--export-secret-subkeys" if shape == "subkey only" else "--export-secret-keys"
    secrets = Table(key=gpg("--armor", export, fingerprint, passphrase=passphrase), phrase=passphrase)
    signer = asyncio.run(open_signer(secrets=secrets, openpgp="key", passphrase="phrase" if passphrase else ""))
    assert signer.public == fingerprint
    good = commit(repository, signer)
    assert 'Good signature from "Bot <bot@example.com>"' in run(
        "git", "verify-commit", good, cwd=repository, env=gpg.env
    )
    bad = run("git", "verify-commit", tampered(repository, good), cwd=repository, env=gpg.env, check=False)
    assert "BAD signature" in bad


@pytest.mark.parametrize("given", ["", "wrong"])
def test_openpgp_with_the_wrong_passphrase(gpg, given):
    gpg("--quick-gen-key", "Bot <bot@example.com>", "ed25519", "sign", "never", passphrase="open sesame")
    key = gpg("--armor", "--export-secret-keys", gpg.fingerprint(), passphrase="open sesame")
    with pytest.raises(ConfigError, match="does not open" if given else "no passphrase") as caught:
        asyncio.run(open_signer(secrets=Table(key=key, phrase=given), openpgp="key", passphrase="phrase"))
    assert key.splitlines()[5] not in caught.value.diagnostics()


def test_openpgp_expired_or_unable(gpg):
    gpg("--faked-system-time", "20200101T000000!", "--quick-gen-key", "Bot <bot@example.com>", "ed25519", "sign", "1d")
    with pytest.raises(ConfigError, match="may sign now"):
        asyncio.run(open_signer(secrets=Table(key=gpg("--armor", "--export-secret-keys")), openpgp="key"))


def test_openpgp_revoked(gpg):
    gpg("--quick-gen-key", "Bot <bot@example.com>", "ed25519", "sign", "never")
    revocation = Path(gpg.home, "openpgp-revocs.d", gpg.fingerprint() + ".rev")
    revocation.write_text(revocation.read_text().replace(":-----BEGIN", "-----BEGIN"))
    gpg("--import", str(revocation))
    with pytest.raises(ConfigError, match="revoked"):
        asyncio.run(open_signer(secrets=Table(key=gpg("--armor", "--export-secret-keys")), openpgp="key"))
