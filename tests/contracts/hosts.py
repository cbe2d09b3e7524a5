"""Real hosts on loopback that the contract tests of remotes run against, one per way of reaching a repository."""

from __future__ import annotations

import asyncio
import getpass
import itertools
import shutil
import socket
import subprocess
import threading
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from loopseal.errors import Code, ConfigError
from loopseal.git.remote import Remote
from loopseal.git.remotes import open_remote
from loopseal.ports import Credential, Secret
from loopseal.testing.git_server import GitServer, Quirks, config_text, git, serve

TOKEN = "tok-3f9a1c7e5b2d4f60"
SSHD = Path("/usr/sbin/sshd")
NAMES = itertools.count()


@dataclass(slots=True)
class Known:
    """`ports.Secrets` out of a table. `rotated` takes effect when a reference is forgotten, as with a real cache."""

    table: dict[str, Credential]
    rotated: dict[str, Credential] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)

    async def resolve(self, reference: str) -> Credential:
        try:
            return self.table[reference]
        except KeyError:
            raise ConfigError(Code.CONFIG_SECRET, "unknown reference", where=reference) from None

    def forget(self, reference: str) -> None:
        self.forgotten.append(reference)
        self.table.update(self.rotated)


def token(value: str = TOKEN, **extra: str) -> Credential:
    return Credential(Secret(value), extra={name: Secret(text) for name, text in extra.items()})


@dataclass(slots=True)
class Host:
    """One way to reach repositories below one folder."""

    name: str
    server: GitServer
    base: str
    mode: str = "auto"
    quirks: Quirks = field(default_factory=Quirks)
    config: Mapping[str, str] = field(default_factory=dict)
    filters: bool = True
    known_hosts: str = ""
    key: str = ""

    @property
    def http(self) -> bool:
        return self.base.startswith("http")

    @property
    def ssh(self) -> bool:
        return self.base.startswith("ssh")

    @property
    def program(self) -> bool:
        return self.mode == "git"

    def url(self, name: str) -> str:
        return f"{self.base}/{name}"

    def secrets(self) -> Known:
        return Known({"the-token": token(), "the-key": token(self.key)})

    def open(self, name: str, **options: object) -> Remote:
        given = {
            "mode": self.mode,
            "secrets": self.secrets(),
            "known_hosts": self.known_hosts,
            "timeout": 20.0,
            **options,
        }
        given.setdefault("credential", "the-token" if self.http else "the-key" if self.ssh else "")
        return open_remote(self.url(name), **given)

    async def repository(self, files: Mapping[str, bytes] | None = None, **options: object) -> str:
        """A new repository; its name. Made once per content, then copied: git takes its time."""
        name = f"team/{self.name}-{next(NAMES)}.git"
        config = {**self.config, **options.pop("config", {})}
        key = f"{hash((*(files or {}).items(), *options.items())):x}"
        template = self.server.root.parent / "templates" / key
        if not template.exists():
            await GitServer(template.parent).create(key, files, **options)
        shutil.copytree(template, self.server.root / name)
        with (self.server.root / name / "config").open("a") as file:
            file.write(config_text(config))
        self.server.quirks["/" + name] = self.quirks
        return name

    async def git(self, name: str, *arguments: str, data: bytes = b"") -> str:
        return (await git("-C", f"{self.server.root / name}", *arguments, data=data)).decode().strip()


HTTP = {
    "http": {},
    "http-info-refs-first": {"quirks": Quirks(info_refs_first=True)},
    "http-v0": {"quirks": Quirks(v2=False), "filters": False},
    "http-v0-any": {"quirks": Quirks(v2=False), "filters": False, "config": {"uploadpack.allowAnySHA1InWant": "true"}},
    "http-no-filter": {"config": {"uploadpack.allowFilter": "false"}, "filters": False},
    "http-tree-depth-0": {"config": {"uploadpackfilter.tree.maxDepth": "0"}},
    "http-only-blob-filters": {
        "config": {"uploadpackfilter.allow": "false", "uploadpackfilter.blob:none.allow": "true"},
        "filters": False,
    },
    "http-shallow": {"mode": "shallow", "filters": False},
    "git-http": {"mode": "git", "filters": False},
}
SSH = {
    "ssh": {},
    "ssh-v0": {"filters": False},
    "git-ssh": {"mode": "git", "filters": False},
}
LOCAL = {"file": {}, "git-file": {"mode": "git", "filters": False}}
ALL = [*HTTP, *SSH, *LOCAL]


@contextmanager
def hosts(root: Path):
    """All of them, by name, made when first asked for."""
    (root / "repositories").mkdir()
    server = GitServer(root / "repositories", {"loopseal": TOKEN})
    with ExitStack() as stack:
        bases: dict[str, str] = {}
        daemons: dict[bool, Sshd] = {}

        def find(name: str) -> Host:
            server.faults.clear()
            server.calls.clear()
            if name in LOCAL:
                return Host(name, server, f"file://{server.root}", **LOCAL[name])
            if name in HTTP:
                if "http" not in bases:
                    bases["http"] = stack.enter_context(serve(server))
                return Host(name, server, bases["http"], **HTTP[name])
            v2 = name != "ssh-v0"
            if v2 not in daemons:
                daemons[v2] = stack.enter_context(sshd(root / f"sshd-{v2}", v2=v2))
            daemon = daemons[v2]
            base = f"ssh://{getpass.getuser()}@127.0.0.1:{daemon.port}{server.root}"
            return Host(name, server, base, known_hosts=f"{daemon.known_hosts}", key=daemon.key, **SSH[name])

        yield find


@dataclass(frozen=True, slots=True)
class Sshd:
    port: int
    known_hosts: Path
    key: str


@contextmanager
def sshd(folder: Path, *, v2: bool = True):
    """The real OpenSSH server on loopback, one process per connection, with keys of its own."""
    if not SSHD.exists() or not shutil.which("ssh"):
        pytest.skip("needs the Debian packages openssh-server and openssh-client")
    folder.mkdir(exist_ok=True)
    for name in ("host", "user"):
        if not (folder / name).exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", folder / name], check=True)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    public = (folder / "host.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}")
    (folder / "config").write_text(
        f"HostKey {folder / 'host'}\nAuthorizedKeysFile {folder / 'user.pub'}\nStrictModes no\nUsePAM no\n"
        "KexAlgorithms curve25519-sha256\nUseDNS no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nPidFile none\n"
        + ("AcceptEnv GIT_PROTOCOL\n" if v2 else "")
    )
    if Path("/run").is_dir():
        with suppress(PermissionError):
            Path("/run/sshd").mkdir(exist_ok=True)
    children: list[subprocess.Popen[bytes]] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                command = [SSHD, "-i", "-f", folder / "config", "-E", folder / "log"]
                children.append(
                    subprocess.Popen(command, stdin=connection, stdout=connection, stderr=subprocess.DEVNULL)
                )

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield Sshd(port, folder / "known_hosts", (folder / "user").read_text())
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for child in children:
            with suppress(ProcessLookupError):
                child.terminate()
            child.wait()


def certificate(pem: Path, key: Path) -> None:
    """A certificate for 127.0.0.1 that signs itself."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopseal test")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(datetime(2020, 1, 1, tzinfo=UTC)).not_valid_after(
        datetime(2120, 1, 1, tzinfo=UTC)
    )
    builder = builder.add_extension(names, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem.write_bytes(builder.sign(private, hashes.SHA256()).public_bytes(Encoding.PEM))
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def run(main) -> None:
    """One test's coroutine function."""
    asyncio.run(main())
