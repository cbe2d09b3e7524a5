"""What is asked: a target, edits, a reason, an actor.

Approvals and retries bind to content: target, base and edits. Its digest (SHA-256 over RFC 8785 canonical JSON) is
computed by `loopseal.wire.digest`, because canonical JSON is a library's work and this room has none.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final, TypeAlias

from loopseal.domain.identity import Actor

Scalar: TypeAlias = str | int | float | bool | None
"""What one key may hold. Floats must be finite; integers within ±(2**53 - 1), as RFC 8785 asks."""


class Expect(Enum):
    """Expectations that are no value of their own."""

    ANYTHING = "anything"
    ABSENT = "absent"


ANYTHING: Final = Expect.ANYTHING
"""No expectation: whatever is there is replaced."""
ABSENT: Final = Expect.ABSENT
"""The key or file must not exist."""


@dataclass(frozen=True, slots=True)
class SetValue:
    """One scalar under one key of a YAML or JSON file.

    `key` is a selector: ``image.tag``, ``containers[0].image``, ``env[name=LOG_LEVEL].value``, ``"dotted.key".x``.
    `expect` is the old value that must be there; `create` adds the last key to a mapping that exists.
    """

    path: str
    key: str
    value: Scalar
    expect: Scalar | Expect = ANYTHING
    create: bool = False


@dataclass(frozen=True, slots=True)
class PutFile:
    """A whole file. `expect` is the blob id that must be there, or ABSENT for a new file."""

    path: str
    content: str | bytes
    expect: str | Expect = ANYTHING


@dataclass(frozen=True, slots=True)
class DeleteFile:
    """Remove a file. `expect` is the blob id that must be there."""

    path: str
    expect: str | Expect = ANYTHING


@dataclass(frozen=True, slots=True)
class SetImage:
    """One entry of `images:` in a kustomization: the entry whose `name` is `image` gets tag, digest or new name.

    The entry must exist (adding one is a PutFile); fields that are None stay as they are.
    """

    path: str
    image: str
    tag: str | None = None
    digest: str | None = None
    new_name: str | None = None
    expect: str | Expect = ANYTHING


@dataclass(frozen=True, slots=True)
class RemoveKey:
    """Take one key with a scalar value out of a mapping: what undoes a SetValue that created it."""

    path: str
    key: str
    expect: Scalar | Expect = ANYTHING


Edit: TypeAlias = SetValue | RemoveKey | SetImage | PutFile | DeleteFile


@dataclass(frozen=True, slots=True)
class Application:
    """One application that a target reaches, by the name that its engine knows it under."""

    engine: str
    """Name of the engine, as the settings declare it."""
    name: str
    """Name of the application, Kustomization or HelmRelease."""
    namespace: str = ""
    """Its namespace; default: the engine's."""
    project: str = ""
    """Argo CD: its project; default: the engine's."""
    kind: str = ""
    """Flux: `Kustomization` (the default) or `HelmRelease`."""

    def __str__(self) -> str:
        return "/".join(part for part in (self.engine, self.namespace, self.kind, self.name) if part)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a change goes. `paths` are the only files it may touch: globs, `*` within a name, `**` across folders."""

    name: str
    repository: str
    branch: str
    paths: tuple[str, ...]
    applications: tuple[Application, ...] = ()

    def covers(self, path: str) -> bool:
        """Whether `path` is a plain relative path within the scope. No scope covers nothing."""
        return is_plain(path) and any(_glob(pattern).fullmatch(path) for pattern in self.paths)


def is_plain(path: str) -> bool:
    """Whether `path` is relative, normalised and outside `.git`: what may stand in a Git tree without surprise."""
    return (
        path.isprintable()  # no control or zero-width characters, no lone surrogates
        and "\\" not in path
        and not any(part in {"", ".", ".."} or _is_git(part) for part in path.split("/"))
    )


def _is_git(name: str) -> bool:
    """Whether some file system takes `name` for `.git`, as git-fsck(1) checks (`hasDotgit`)."""
    return name.lower().partition(":")[0].rstrip(". ") in {".git", "git~1"}


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> re.Pattern[str]:
    out: list[str] = []
    for token in re.split(r"((?:\*\*/)+|\*\*|\*|\?)", pattern):
        match token:
            case many if many.startswith("**/"):
                out.append("(?:[^/]+/)*")
            case "**":
                out.append(".*")
            case "*":
                out.append("[^/]*")
            case "?":
                out.append("[^/]")
            case literal:
                out.append(re.escape(literal))
    return re.compile("".join(out), re.DOTALL)


@dataclass(frozen=True, slots=True)
class Proposal:
    """One change as asked for.

    `id` names the change for ever and makes every effect idempotent. `base` is the revision that the author looked
    at: whether the change has landed is asked from there on. `labels` say where it came from (Dag, run, task, …) and
    become commit trailers; they and `reason` are not content. `reverts` is the id of the change this one undoes.
    """

    id: str
    target: Target
    base: str
    edits: tuple[Edit, ...]
    reason: str
    actor: Actor
    labels: tuple[tuple[str, str], ...] = ()
    reverts: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files this proposal touches, each once, in order of first mention."""
        return tuple(dict.fromkeys(edit.path for edit in self.edits))

    def problems(self) -> tuple[str, ...]:
        """Why this can be no proposal at all, whoever asks; empty when it can."""
        out = [f"{path!r} is outside the scope of target {self.target.name!r}" for path in self.out_of_scope()]
        if not self.edits:
            out.append("a proposal needs at least one edit")
        if not self.reason.strip():
            out.append("a proposal needs a reason")
        if not CHANGE_ID.fullmatch(self.id):
            out.append(f"{self.id!r} is no change id")
        return tuple(out)

    def out_of_scope(self) -> tuple[str, ...]:
        """The paths that the target does not cover."""
        return tuple(path for path in self.paths if not self.target.covers(path))


CHANGE_ID: Final = re.compile(r"[a-z2-7]{26}")
"""130 bits in lower-case base32: fits a ref name, a trailer, a label and a URL without quoting."""


def change_id(*parts: str) -> str:
    """The id of the change that `parts` name: the same parts give the same id, on every machine."""
    framed = b"".join(len(part.encode()).to_bytes(8, "big") + part.encode() for part in parts)
    return base64.b32encode(hashlib.sha256(framed).digest()).decode().lower()[:26]
