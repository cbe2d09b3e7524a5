"""The frozen tree of settings: what can be set, in which unit, with which default, and why.

Each field says so under itself; the JSON Schema and the reference page are generated from here. Reading a file is
`loopseal.settings.reader`, what must hold between fields is `loopseal.settings.rules`. A plain float is in seconds and
may be written `90s`, `20m` or `1h` in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, TypeAlias

from loopseal.domain.proposal import Application
from loopseal.domain.revision import Tolerance

Reference: TypeAlias = Annotated[str, "reference"]
"""Where a secret is: `env:NAME`, `file:/path`, `connection:id` of Airflow, `command:program args`. Never the secret."""

Kubeconfig: TypeAlias = Annotated[str, "kubeconfig"]
"""A reference, or `in-cluster`."""

PerMinute: TypeAlias = Annotated[float, "per minute"]
"""A budget: how often in a minute."""


@dataclass(frozen=True, slots=True)
class SignSettings:
    """How commits are signed. Exactly one of `ssh`, `openpgp`, `agent` and `command` is set.

    Argo CD verifies OpenPGP only; Flux verifies OpenPGP and SSH.
    """

    ssh: Reference = ""
    """An OpenSSH private key."""
    openpgp: Reference = ""
    """An OpenPGP secret key, armoured or binary."""
    agent: str = ""
    """The public key (`ssh-ed25519 AAAA…`) or fingerprint (`SHA256:…`) of a key that the ssh-agent holds."""
    command: tuple[str, ...] = ()
    """A program that reads the bytes to sign on standard input and writes the armoured signature (keys in an HSM)."""
    passphrase: Reference = ""
    """The passphrase of `ssh` or `openpgp`, where there is one."""


@dataclass(frozen=True, slots=True)
class RepositorySettings:
    """One Git repository and how to write to it."""

    url: str
    """`https://`, `ssh://`, `git@host:path`, `file://`, or `http://` on loopback; never with credentials in it."""
    branch: str = "main"
    """The branch that changes go to unless a target names another."""
    credential: Reference = ""
    """A token, or a connection with login and password or SSH key."""
    username: str = ""
    """User name for a bare token; some hosts want `oauth2` or `x-access-token`. Default: `loopseal`."""
    sign: SignSettings | None = None
    """Without it commits are not signed, and `loopseal targets check` says so."""
    author: str = "loopseal <loopseal@localhost>"
    """Author of the commits, `Name <email>`: the bot, not the person; the actor stands in a trailer."""
    committer: str = ""
    """Committer; default: the author."""
    mode: str = "auto"
    """How to speak to the host: `auto` probes; `wire`, `shallow` and `git` force one way."""
    pushes_per_minute: PerMinute = 0.0
    """Push budget of the host, 0 for none. GitHub recommends at most 6 per repository; waiting changes share a push."""
    change_refs: str = ""
    """Prefix such as `refs/loopseal/change/`: a push then also creates one ref per change, so that the server itself
    refuses a second one. Off by default: some hosts restrict such names."""
    ca: str = ""
    """File with the certificate authorities to trust instead of the system's."""
    known_hosts: str = ""
    """OpenSSH known_hosts file; default: the user's. Host keys are always checked."""
    timeout: float = 30.0
    """Seconds until a silent connection is given up."""
    unsafe_http: bool = False
    """Allow plain `http://` to other hosts than loopback: credentials travel in clear."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """One Argo CD or one cluster with Flux, and how to look at it."""

    kind: str
    """`argocd`, `flux`, or a dotted module of your own."""
    url: str = ""
    """Argo CD's API server. Without it, Argo CD is watched through its Application objects in Kubernetes."""
    credential: Reference = ""
    """A token of Argo CD, or a bearer token for the Kubernetes API."""
    kubeconfig: Kubeconfig = ""
    """A kubeconfig, as `file:`, `env:` or `connection:`; `in-cluster` for the pod's own service account."""
    context: str = ""
    """The kubeconfig's context; default: its current one."""
    namespace: str = ""
    """Where applications live unless a target says otherwise; default `argocd` or `flux-system`."""
    project: str = ""
    """Argo CD: the project of applications that name none. Without a project a missing application looks forbidden."""
    ca: str = ""
    """File with the certificate authorities to trust instead of the system's."""
    public_url: str = ""
    """Where people look at it, for links; default: `url`."""
    timeout: float = 15.0
    """Seconds until one request is given up."""
    poll: float = 30.0
    """Seconds between re-reads beside the stream: a stream may be silent without being broken."""
    refreshes_per_minute: PerMinute = 300.0
    """Budget of refreshes for the whole server; waits share them by application. A change takes three of each one."""
    unsafe_http: bool = False
    """Allow plain `http://` to other hosts than loopback."""


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """One place that changes may go to, declared outside the Dags so that no Dag can widen it."""

    repository: str
    """Name under `repositories`."""
    paths: tuple[str, ...]
    """The only files it may touch: globs, `*` within a name, `**` across folders. Empty is invalid."""
    applications: tuple[Application, ...] = ()
    """What must become healthy; empty means that landing on the branch is the end."""
    branch: str = ""
    """Default: the repository's."""
    dags: tuple[str, ...] = ()
    """Dag ids that may use it, with `*`. Absent: no Dag may. Who runs the command line holds the credentials anyway."""
    timeout: float = 1200.0
    """Seconds a change may take from commit to healthy; default 20 minutes."""
    tolerance: Tolerance = field(default_factory=Tolerance, metadata={"file": "wait"})
    """How patient and strict the wait is (`wait:` in the file)."""
    sync: bool = False
    """Allow `act`: Argo CD with automated sync off is synced to the very commit. Needs the right `sync` there."""
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Free labels, such as `tier: production`: cluster policies may ask for them."""


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """Where the command line keeps its events. Airflow keeps them in the task's own state store."""

    kind: str = "file"
    """`file`, `memory`, or a dotted module of your own."""
    path: str = ""
    """Absolute; default: `$XDG_STATE_HOME/loopseal/ledger.jsonl`."""


@dataclass(frozen=True, slots=True)
class CallsSettings:
    """Where every call to Argo CD and Kubernetes is recorded, for auditors. Pushes to Git stand in the ledger."""

    path: str = ""
    """Absolute: a file that JSON lines are appended to. Without it they go to the logger `loopseal.calls`, what writes
    at INFO, what reads at DEBUG."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole tree."""

    repositories: Mapping[str, RepositorySettings] = field(default_factory=lambda: MappingProxyType({}))
    """By name: the Git repositories."""
    engines: Mapping[str, EngineSettings] = field(default_factory=lambda: MappingProxyType({}))
    """By name: what applies them."""
    targets: Mapping[str, TargetSettings] = field(default_factory=lambda: MappingProxyType({}))
    """By name: where changes may go. The names are what Dags and the command line use."""
    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    """The command line's own record."""
    calls: CallsSettings = field(default_factory=CallsSettings)
    """The record of calls to the engines."""
    source: str = field(default="", metadata={"file": ""})
    """The file it was read from."""
    sha256: str = field(default="", metadata={"file": ""})
    """Of that file's bytes: which set of targets a decision was made under."""
