"""What the core needs from the world, in its own words.

Protocols and the values that cross them. Adapters stand behind them in rooms of their own (`git`, `engines`,
`credentials`, `ledger`); `wiring` alone knows which. All that waits is async. Adapters raise only
`loopseal.errors`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol, TypeAlias

from loopseal.domain.change import Event
from loopseal.domain.proposal import Application, Edit, Proposal
from loopseal.domain.revision import Relation, Tolerance, Verdict


class Clock(Protocol):
    """Time. `now` is for records, `monotonic` for intervals; tests make both jump."""

    def now(self) -> datetime:
        """Wall-clock time, in UTC, aware."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


class Secret:
    """A value that must not be seen: no repr, no str, no format, no pickle shows it. `reveal()` is the only way out."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value, for the one call that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str | tuple[Any, ...]:
        message = "a secret does not leave its process"
        raise TypeError(message)


@dataclass(frozen=True, slots=True)
class Credential:
    """What a reference in the settings resolved to: a secret, whose it is, and whatever else came with it."""

    secret: Secret
    username: str = ""
    extra: Mapping[str, Secret] = field(default_factory=dict)


class Secrets(Protocol):
    """Resolves the references of the settings (`env:`, `file:`, `connection:`, `command:`)."""

    async def resolve(self, reference: str) -> Credential:
        """The credential behind `reference`. Raises ConfigError (`config.secret`), which never shows the value."""
        ...

    def forget(self, reference: str) -> None:
        """The peer refused it: read it anew next time instead of from any cache."""
        ...


@dataclass(frozen=True, slots=True)
class Behalf:
    """For whom a peer is called, for the record of the call: who acts, and for which change, where it is for one.

    `shared` says that the call serves everybody who waits: one watch is opened for all.
    """

    actor: str = ""
    change: str = ""
    shared: bool = False

    @classmethod
    def of(cls, proposal: Proposal) -> Behalf:
        """Whoever proposed it, for this very change."""
        return cls(str(proposal.actor), proposal.id)


_NOBODY: Final = Behalf()
_behalf: Final[ContextVar[Behalf]] = ContextVar("loopseal.behalf", default=_NOBODY)


def behalf() -> Behalf:
    """For whom the running task calls peers now."""
    return _behalf.get()


@contextmanager
def on_behalf_of(one: Behalf) -> Iterator[None]:
    """Call peers for `one` within the block, and in tasks that are made there.

    Never around the `yield` of an asynchronous generator: its body runs in the context of whoever asks for the next
    value, and so would theirs be changed.
    """
    before = _behalf.set(one)
    try:
        yield
    finally:
        _behalf.reset(before)


@dataclass(frozen=True, slots=True)
class Landed:
    """Where a change is on its branch.

    `parent` is the commit before it; `attempts` counts pushes; `found` says that it was there already (a retry);
    `changed` is False when the branch held all that was asked, and then `revision` is the tip that was looked at.
    """

    revision: str
    parent: str
    attempts: int = 1
    found: bool = False
    changed: bool = True


@dataclass(frozen=True, slots=True)
class FileDiff:
    """One file before and after, byte for byte; None where it does not exist."""

    path: str
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True, slots=True)
class LoggedChange:
    """One change as the trailers of its commit tell it. `signed` says that a signature is there, not whose."""

    change: str
    revision: str
    at: datetime
    author: str
    subject: str
    trailers: tuple[tuple[str, str], ...]
    signed: bool

    def trailer(self, name: str) -> str:
        """The first trailer of that name, or an empty string."""
        return next((value for key, value in self.trailers if key.lower() == name.lower()), "")


class Ancestry(Protocol):
    """Answers what one commit is to another, without a clone."""

    async def relation(self, observed: str, wanted: str) -> Relation:
        """What `observed` is to `wanted`; UNKNOWN only when the repository cannot tell now."""
        ...


class SigningFormat(StrEnum):
    """What kind of signature commits carry, in words for people."""

    NONE = "none"
    OPENPGP = "OpenPGP"
    SSH = "SSH"
    OTHER = "another format"


@dataclass(frozen=True, slots=True)
class Signing:
    """How commits are signed, and by which key.

    `key` is `ssh-ed25519 AAAA…`, or the fingerprint of the OpenPGP key (of a subkey, where one signs); empty where a
    signature does not tell.
    """

    format: SigningFormat = SigningFormat.NONE
    key: str = ""


class Repository(Ancestry, Protocol):
    """One branch of one Git repository. Safe to share between tasks of one event loop."""

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        ...

    @property
    def branch(self) -> str:
        """The branch that changes go to."""
        ...

    async def tip(self, *, fresh: bool = True) -> str:
        """The commit the branch points at; with `fresh=False` the last one seen will do."""
        ...

    async def read(self, path: str, revision: str = "") -> bytes | None:
        """One file at a revision (default: the fresh tip), or None."""
        ...

    async def preview(self, proposal: Proposal) -> Sequence[FileDiff]:
        """What the proposal would change on the fresh tip. Writes nothing; raises as `commit` would."""
        ...

    async def commit(self, proposal: Proposal) -> Landed:
        """Put the proposal on the branch as one signed commit, exactly once, whatever happens around it.

        Concurrent calls share pushes (group commit). Running it again finds the commit by the change id, from
        `proposal.base` on. Edits are applied anew, key by key, on whatever the branch has become.
        """
        ...

    async def find(self, change: str, since: str = "") -> Landed | None:
        """The commit that carries this change id, looked for from `since` on (or in the last 1,000 commits)."""
        ...

    async def log(self, limit: int = 50, *, change: str = "") -> Sequence[LoggedChange]:
        """The changes on the branch, newest first, read from trailers; foreign commits are left out."""
        ...

    async def inverse(self, change: str) -> Sequence[Edit]:
        """The edits that put back what this change replaced.

        Raises Conflict (`revert.not_last_writer`) when somebody wrote one of its keys or files since, naming the
        commit; Conflict (`revert.unknown_change`) when the branch does not carry it.
        """
        ...

    async def signing(self) -> Signing:
        """How our commits are signed. Raises as `commit` would when the key cannot be used."""
        ...

    async def check(self) -> Sequence[Finding]:
        """Preflight: reachable, may read, may push, branch there, object format, signing key usable."""
        ...

    async def aclose(self) -> None:
        """Let go of connections. Proposals still waiting are answered with Unreachable."""
        ...


class Level(StrEnum):
    """How bad a finding is: an ERROR means that the change can never arrive."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that preflight or a check saw: a stable code, the text, and the next thing to do."""

    level: Level
    code: str
    message: str
    where: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the commit will be: what an application must read from to ever see it.

    `signing` is how it will be signed; None where that is of no interest, or not known.
    """

    url: str
    branch: str
    paths: tuple[str, ...] = ()
    signing: Signing | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """One wait: for `revision` in `application`, as patient as `tolerance` says.

    `baseline` is what `Engine.baseline` answered before the commit landed (plain JSON data), or empty.
    """

    application: Application
    revision: str
    source: Source
    tolerance: Tolerance = field(default_factory=Tolerance)
    baseline: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen around a failure: at most 256 KiB of titled texts and links, secrets removed."""

    sections: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()


Tap: TypeAlias = Callable[[str, Mapping[str, Any]], None]
"""Gets (channel, body) of everything an engine answered: the flight recorder listens here."""


class Engine(Protocol):
    """A GitOps reconciler that is observed. One object serves any number of waits on one event loop."""

    @property
    def kind(self) -> str:
        """`argocd`, `flux`, …"""
        ...

    async def preflight(self, application: Application, source: Source, tolerance: Tolerance) -> Sequence[Finding]:
        """Whether a commit at `source` can ever arrive in `application`. Reads only; under two seconds."""
        ...

    async def baseline(self, application: Application) -> Mapping[str, Any]:
        """What the application shows before the commit, as plain JSON data; empty when it does not exist yet."""
        ...

    def wait(self, wait: Wait, ancestry: Ancestry) -> AsyncIterator[Verdict]:
        """Verdicts as they change; ends after a final one. Refreshes within its budget, never syncs.

        Survives dropped connections and restarts of the peer; BLOCKED and REGRESSED do not end it. Has no deadline of
        its own: the caller sets one.
        """
        ...

    async def status(self, application: Application) -> Mapping[str, Any]:
        """What the application shows now: revision, sync, health, message, url. Plain JSON data."""
        ...

    async def act(self, application: Application, revision: str = "") -> str:
        """Ask for a sync (Argo CD) or a reconciliation (Flux) of `revision` and answer how: `refresh`, `sync`, …

        With automated sync on this is a refresh; another's running operation is left to end. Never overrides.
        """
        ...

    async def evidence(self, application: Application, verdict: Verdict) -> Evidence:
        """What a person needs to see about this verdict. Missing permissions shorten it; it never raises."""
        ...

    def link(self, application: Application) -> str:
        """Where a person can look at the application, or an empty string."""
        ...

    async def check(self) -> Sequence[Finding]:
        """Whether the server answers and knows us: behind every connection's *Test* button."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


class Ledger(Protocol):
    """The append-only log of every change."""

    async def read(self, change: str) -> Sequence[Event]:
        """All events of one change, in order; empty when there are none."""
        ...

    async def append(self, change: str, expected: int, event: Event) -> None:
        """Write `event` as number `expected` (from 0). Raises Conflict when another came first."""
        ...
