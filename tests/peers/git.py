"""A Git host for the real peers: smart HTTP in a thread, and commits by somebody else, made without a clone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Sign = Callable[[bytes], str]
"""From a commit object to the armoured signature for its header `gpgsig`."""

Slow = Callable[[str, str, bytes], float]
"""From method, query and body of a request to the seconds that git's answer, already made, is held back."""


@dataclass(slots=True)
class Git:
    """Bare repositories below `root`, served at `server`."""

    root: Path
    server: str
    slow: dict[str, Slow] = field(default_factory=dict)
    """By repository (`apps.git`)."""
    down: set[str] = field(default_factory=set)
    """Repositories whose connections break before anything is answered."""

    def url(self, repository: str) -> str:
        """Such as `http://127.0.0.1:20001/apps.git`."""
        return f"{self.server}/{repository}"

    def require(self, user: str, password: str) -> None:
        """From now on this user and nobody else comes in; with an empty user, everybody."""

    def commit(
        self,
        repository: str,
        files: Mapping[str, str | None],
        *,
        branch: str = "main",
        message: str = "Change",
        onto: str = "",
        sign: Sign | None = None,
    ) -> str:
        """Commit as somebody else: texts by path, None deletes. Makes the repository when it is not there yet.

        The parent is the tip of the branch, or `onto`: then the branch is forced to go there.
        """

    def tip(self, repository: str, branch: str = "main") -> str:
        """The commit a branch points at; empty when there is none."""

    def read(self, repository: str, path: str, revision: str = "main") -> str:
        """One file."""
