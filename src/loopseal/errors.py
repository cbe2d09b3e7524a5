"""Everything loopseal may raise, in one small tree.

    LoopsealError              has a stable `code`, says `where`, and ends with the next thing to do (`hint`)
    ├── ConfigError            edit a file: settings, connection, a Dag's arguments
    ├── Refused                ask somebody: scope, permission, an edit that cannot be done safely
    ├── Conflict               propose again: the world moved, an expectation is not met
    └── Unreachable            try again: the peer or the way to it is broken

Adapters let nothing else out. A "no" that was decided (a denial, a failed rollout) is a value, not an exception: see
`loopseal.domain.decision` and `loopseal.domain.revision`.
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Stable names of what can go wrong. A code is never reused for something else; scripts may match on it."""

    # config.*: a file or an argument is wrong
    CONFIG_MISSING = "config.missing"
    CONFIG_UNREADABLE = "config.unreadable"
    CONFIG_INVALID = "config.invalid"
    CONFIG_UNKNOWN_TARGET = "config.unknown_target"
    CONFIG_UNKNOWN_KIND = "config.unknown_kind"
    CONFIG_SECRET = "config.secret"  # noqa: S105 - a code, not a secret
    CONFIG_EXTRA_MISSING = "config.extra_missing"
    CONFIG_SIGNING_KEY = "config.signing_key"
    # proposal.*: what is asked is not acceptable
    PROPOSAL_INVALID = "proposal.invalid"
    PROPOSAL_OUT_OF_SCOPE = "proposal.out_of_scope"
    PROPOSAL_DENIED = "proposal.denied"
    # edit.*: the edit cannot be done without risk to other bytes
    EDIT_FILE_MISSING = "edit.file_missing"
    EDIT_FILE_EXISTS = "edit.file_exists"
    EDIT_NOT_A_FILE = "edit.not_a_file"
    EDIT_TOO_LARGE = "edit.too_large"
    EDIT_ENCODING = "edit.encoding"
    EDIT_SYNTAX = "edit.syntax"
    EDIT_SELECTOR = "edit.selector"
    EDIT_KEY_MISSING = "edit.key_missing"
    EDIT_AMBIGUOUS = "edit.ambiguous"
    EDIT_DUPLICATE_KEY = "edit.duplicate_key"
    EDIT_ALIAS = "edit.alias"
    EDIT_ANCHOR = "edit.anchor"
    EDIT_MERGE_KEY = "edit.merge_key"
    EDIT_TAG = "edit.tag"
    EDIT_MULTILINE = "edit.multiline"
    EDIT_NOT_SCALAR = "edit.not_scalar"
    EDIT_TEMPLATE = "edit.template"
    EDIT_ENCRYPTED = "edit.encrypted"
    EDIT_FILTERED = "edit.filtered"
    EDIT_VALUE = "edit.value"
    EDIT_UNPROVEN = "edit.unproven"
    EDIT_EXPECTATION = "edit.expectation"
    REVERT_NOT_LAST_WRITER = "revert.not_last_writer"
    REVERT_UNKNOWN_CHANGE = "revert.unknown_change"
    # git.*: the repository or its host
    GIT_AUTHENTICATION = "git.authentication"
    GIT_FORBIDDEN = "git.forbidden"
    GIT_NOT_FOUND = "git.not_found"
    GIT_MOVED = "git.moved"
    GIT_BRANCH_MISSING = "git.branch_missing"
    GIT_BRANCH_PROTECTED = "git.branch_protected"
    GIT_OBJECT_FORMAT = "git.object_format"
    GIT_OBJECT_MISSING = "git.object_missing"
    GIT_PROTOCOL = "git.protocol"
    GIT_CONTENDED = "git.contended"
    GIT_UNREACHABLE = "git.unreachable"
    GIT_HOST_KEY = "git.host_key"
    GIT_RATE_LIMITED = "git.rate_limited"
    # net.*: the way to a peer
    NET_UNREACHABLE = "net.unreachable"
    NET_TIMEOUT = "net.timeout"
    NET_TLS = "net.tls"
    NET_TOO_LARGE = "net.too_large"
    NET_RATE_LIMITED = "net.rate_limited"
    # engine.*: Argo CD, Flux, the Kubernetes API
    ENGINE_AUTHENTICATION = "engine.authentication"
    ENGINE_FORBIDDEN = "engine.forbidden"
    ENGINE_NOT_FOUND = "engine.not_found"
    ENGINE_CONFLICT = "engine.conflict"
    ENGINE_PROTOCOL = "engine.protocol"
    ENGINE_UNREACHABLE = "engine.unreachable"
    ENGINE_PREFLIGHT = "engine.preflight"
    # ledger.*: the record of what happened
    LEDGER_WRITE = "ledger.write"
    LEDGER_CONFLICT = "ledger.conflict"
    LEDGER_INVALID = "ledger.invalid"
    # recording.*: the flight recorder
    RECORDING_INVALID = "recording.invalid"


class LoopsealError(Exception):
    """Base of all errors.

    `where` names the place (a file and key, a URL without credentials); `hint` is the next thing to do.
    Messages never carry secrets: whoever raises redacts first.
    """

    def __init__(self, code: Code, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.where, self.hint = code, message, where, hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.message} [{self.code}]"

    def diagnostics(self) -> str:
        """The text for people: what, where, why, and what to do."""
        return f"{self}\n  hint: {self.hint}" if self.hint else str(self)

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross process borders (Airflow's triggerer), so they must survive pickling."""
        return (_rebuild, (type(self), self.code, self.message, self.where, self.hint))


def _rebuild(kind: type[LoopsealError], code: Code, message: str, where: str, hint: str) -> LoopsealError:
    return kind(code, message, where=where, hint=hint)


class ConfigError(LoopsealError):
    """A file or an argument must be edited; trying again changes nothing."""


class Refused(LoopsealError):
    """Not allowed, or not safe to do. Somebody must be asked, or the edit be put differently."""


class Conflict(LoopsealError):
    """The world is not as the proposal expects. Look, then propose again."""


class Unreachable(LoopsealError):
    """The peer did not answer as a peer should. `retry_after` is in seconds where the peer named it."""

    def __init__(
        self, code: Code, message: str, *, where: str = "", hint: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(code, message, where=where, hint=hint)
        self.retry_after = retry_after
