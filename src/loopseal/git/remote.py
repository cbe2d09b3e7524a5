"""One remote repository as the three questions Git's protocol can be asked: refs, objects, a conditional update.

Everything above speaks to this Protocol only; every way of reaching a host (smart HTTP, OpenSSH, a local folder, the
`git` program) stands below it and is held by the same contract tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from loopseal.errors import Code

ZERO: Final = "0" * 40
"""The object id that means: no object."""


NOT_HANDED_OUT: Final = frozenset({Code.GIT_OBJECT_MISSING, Code.GIT_PROTOCOL})
"""Codes of a fetch that the host answered with an error: it does not have the object, or not in that way."""


class ObjectKind(StrEnum):
    """Git's four kinds of objects."""

    COMMIT = "commit"
    TREE = "tree"
    BLOB = "blob"
    TAG = "tag"


@dataclass(frozen=True, slots=True)
class GitObject:
    """One object, whole: `oid` is the hex SHA-1 over kind, length and `data`, checked by whoever made this."""

    oid: str
    kind: ObjectKind
    data: bytes


@dataclass(frozen=True, slots=True)
class Fetch:
    """What to ask for (gitprotocol-v2, command `fetch`).

    `filter` is a partial-clone filter such as `blob:none` or `tree:0`; `depth` 0 means no limit; `shallow` are the
    commits whose parents we do not have. `haves` let the server send only what is new; then deltas may lean on
    objects that only we have, and those whose base we never had are left out of the answer (they are off our paths).
    With `thin=False` every object comes whole or with its base: for history, where a missing commit would be a lie.
    """

    wants: tuple[str, ...]
    haves: tuple[str, ...] = ()
    depth: int = 0
    filter: str = ""
    shallow: tuple[str, ...] = ()
    thin: bool = True


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """Move `ref` from `old` to `new`, only if it still is at `old` (ZERO: must not exist / delete)."""

    ref: str
    old: str
    new: str


class Outcome(StrEnum):
    """What became of one ref of a push. Prose of hosts is never parsed for a decision: after REJECTED, read the ref."""

    OK = "ok"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class PushReport:
    """The server's own report, by ref: outcome and the host's words (secrets removed, cut)."""

    refs: Mapping[str, tuple[Outcome, str]]

    @property
    def ok(self) -> bool:
        """Whether every ref was updated."""
        return all(outcome is Outcome.OK for outcome, _ in self.refs.values())


class AmbiguousPush(Exception):  # not an error that leaves this room: the caller reads the ref and decides
    """The connection broke after the push was sent: it may or may not have landed."""


class Remote(Protocol):
    """One repository at one host. Safe for concurrent use on one event loop."""

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        ...

    @property
    def filters(self) -> bool:
        """Whether the host honours partial-clone filters and single wanted objects; else fetch depth 1, whole."""
        ...

    async def refs(self, *prefixes: str) -> Mapping[str, str]:
        """Refs below these prefixes and where they point. Raises Unreachable, Refused, ConfigError."""
        ...

    async def fetch(self, request: Fetch, have: Mapping[str, GitObject]) -> Sequence[GitObject]:
        """The objects asked for. `have` resolves delta bases that the server knows we have."""
        ...

    async def push(self, updates: Sequence[RefUpdate], pack: bytes) -> PushReport:
        """Send a pack and update all refs or none. Never repeated by itself.

        Raises AmbiguousPush when it may have landed, Unreachable when it certainly did not.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections and helper processes."""
        ...
