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
    """No settings file is named, or it is not there."""
    CONFIG_UNREADABLE = "config.unreadable"
    """A file that is needed cannot be read by this process."""
    CONFIG_INVALID = "config.invalid"
    """A field is unknown, of the wrong type, or contradicts another."""
    CONFIG_UNKNOWN_TARGET = "config.unknown_target"
    """The name is no declared target."""
    CONFIG_UNKNOWN_KIND = "config.unknown_kind"
    """No engine, ledger or other kind of that name exists."""
    CONFIG_SECRET = "config.secret"  # noqa: S105 - a code, not a secret
    """A reference to a secret leads nowhere, or may not be read."""
    CONFIG_EXTRA_MISSING = "config.extra_missing"
    """A Python package that this needs is not installed."""
    CONFIG_SIGNING_KEY = "config.signing_key"
    """The signing key cannot be used: wrong format, passphrase missing, expired."""
    # proposal.*: what is asked is not acceptable
    PROPOSAL_INVALID = "proposal.invalid"
    """What is asked cannot be a change: no edit, no reason, a value that no file can hold."""
    PROPOSAL_OUT_OF_SCOPE = "proposal.out_of_scope"
    """A path lies outside what the target covers. Nothing was fetched."""
    PROPOSAL_DENIED = "proposal.denied"
    """The target's rules do not let this caller use it."""
    # edit.*: the edit cannot be done without risk to other bytes
    EDIT_FILE_MISSING = "edit.file_missing"
    """The file is not on the branch."""
    EDIT_FILE_EXISTS = "edit.file_exists"
    """The file is there already, and the edit expects that it is not."""
    EDIT_NOT_A_FILE = "edit.not_a_file"
    """The path is a folder, a symbolic link or a submodule."""
    EDIT_TOO_LARGE = "edit.too_large"
    """The file is larger than an edit may read."""
    EDIT_ENCODING = "edit.encoding"
    """The file is not UTF-8, or holds characters that YAML versions read differently."""
    EDIT_SYNTAX = "edit.syntax"
    """The file does not parse, is nested too deeply, or is indented with tabs."""
    EDIT_SELECTOR = "edit.selector"
    """The key is not written as a selector is."""
    EDIT_KEY_MISSING = "edit.key_missing"
    """The key is not in the file, or leads through a scalar."""
    EDIT_AMBIGUOUS = "edit.ambiguous"
    """The key means several places: several documents, or several items."""
    EDIT_DUPLICATE_KEY = "edit.duplicate_key"
    """A mapping on the way holds the same key twice."""
    EDIT_ALIAS = "edit.alias"
    """The key leads through an alias, or its value is one: others share it."""
    EDIT_ANCHOR = "edit.anchor"
    """The value lies below an anchor: what refers to it would change too."""
    EDIT_MERGE_KEY = "edit.merge_key"
    """The key comes from a merge (`<<`), not from this mapping."""
    EDIT_TAG = "edit.tag"
    """The value carries an explicit tag."""
    EDIT_MULTILINE = "edit.multiline"
    """The value spans lines."""
    EDIT_NOT_SCALAR = "edit.not_scalar"
    """The key holds a mapping or a list."""
    EDIT_TEMPLATE = "edit.template"
    """The file is a template: what it will say is not known here."""
    EDIT_ENCRYPTED = "edit.encrypted"
    """The file is encrypted (SOPS): an edit would break its seal."""
    EDIT_FILTERED = "edit.filtered"
    """Git attributes say that the file is stored in another form (LFS, git-crypt)."""
    EDIT_VALUE = "edit.value"
    """The value cannot stand in one line of the file."""
    EDIT_UNPROVEN = "edit.unproven"
    """The result could not be proven to differ in this value alone."""
    EDIT_EXPECTATION = "edit.expectation"
    """What is there is not what the edit expects."""
    REVERT_NOT_LAST_WRITER = "revert.not_last_writer"
    """Somebody wrote one of the change's keys since: putting it back would undo that too."""
    REVERT_UNKNOWN_CHANGE = "revert.unknown_change"
    """No commit on the branch, or no record here, carries this change."""
    # git.*: the repository or its host
    GIT_AUTHENTICATION = "git.authentication"
    """The host does not accept the credential."""
    GIT_FORBIDDEN = "git.forbidden"
    """The host knows the credential and does not allow this."""
    GIT_NOT_FOUND = "git.not_found"
    """There is no such repository, or the credential may not know of it."""
    GIT_MOVED = "git.moved"
    """The host says that the repository is elsewhere. Redirects are not followed with a credential."""
    GIT_BRANCH_MISSING = "git.branch_missing"
    """The branch does not exist."""
    GIT_BRANCH_PROTECTED = "git.branch_protected"
    """The host refuses the push though nobody moved the branch: a protection or a hook."""
    GIT_OBJECT_FORMAT = "git.object_format"
    """The repository uses SHA-256 object ids, which are not supported. Nothing was written."""
    GIT_OBJECT_MISSING = "git.object_missing"
    """The host does not have an object that it should have: the history was rewritten, or the host is damaged."""
    GIT_PROTOCOL = "git.protocol"
    """The host's answer is not what Git's protocol says."""
    GIT_CONTENDED = "git.contended"
    """Others kept moving the branch first. Nothing was lost; try again."""
    GIT_UNREACHABLE = "git.unreachable"
    """The host cannot be reached."""
    GIT_HOST_KEY = "git.host_key"
    """The SSH host key is unknown or has changed."""
    GIT_RATE_LIMITED = "git.rate_limited"
    """The host asks for a pause."""
    # net.*: the way to a peer
    NET_UNREACHABLE = "net.unreachable"
    """No connection to the peer."""
    NET_TIMEOUT = "net.timeout"
    """The peer did not answer in time."""
    NET_TLS = "net.tls"
    """The peer's certificate is not trusted."""
    NET_TOO_LARGE = "net.too_large"
    """The answer is larger than any such answer should be."""
    NET_RATE_LIMITED = "net.rate_limited"
    """The peer asks for a pause."""
    NET_UNRECORDED = "net.unrecorded"
    """The call would have changed something and could not be recorded first, so it was not sent."""
    # engine.*: Argo CD, Flux, the Kubernetes API
    ENGINE_AUTHENTICATION = "engine.authentication"
    """The engine does not accept the credential."""
    ENGINE_FORBIDDEN = "engine.forbidden"
    """The engine does not allow this; in Argo CD a missing application looks the same without its project."""
    ENGINE_NOT_FOUND = "engine.not_found"
    """The engine knows no such application."""
    ENGINE_CONFLICT = "engine.conflict"
    """The object changed at the same moment; ask again."""
    ENGINE_PROTOCOL = "engine.protocol"
    """The engine's answer is not what its API says."""
    ENGINE_UNREACHABLE = "engine.unreachable"
    """The engine cannot be reached."""
    ENGINE_PREFLIGHT = "engine.preflight"
    """A commit at this place can never reach the application. Nothing was committed."""
    # ledger.*: the record of what happened
    LEDGER_WRITE = "ledger.write"
    """The record cannot be written, so nothing was done."""
    LEDGER_CONFLICT = "ledger.conflict"
    """Somebody else recorded a step of this change first."""
    LEDGER_INVALID = "ledger.invalid"
    """The record holds what cannot have happened, or cannot be read."""
    # recording.*: the flight recorder
    RECORDING_INVALID = "recording.invalid"
    """The file is no recording, or a damaged one."""


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
        return (_rebuild, (type(self), self.code, self.message, self.where, self.hint), self.__dict__)


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
