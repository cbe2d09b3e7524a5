"""Who calls the Argo CD API and what they may: accounts with tokens, policies as globs, refusals as recorded."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final


@dataclass(frozen=True, slots=True)
class Account:
    """One account. A policy is `resource, action, object` with globs, such as `applications, get, team-a/*`."""

    name: str
    token: str
    policies: tuple[str, ...] = ()
    password: str = ""

    def may(self, resource: str, action: str, what: str) -> bool:
        """Whether a policy allows it; as in Casbin's glob, `*` crosses `/`."""
        asked = (resource, action, what)
        return any(
            all(fnmatchcase(value, pattern.strip()) for value, pattern in zip(asked, policy.split(","), strict=True))
            for policy in self.policies
        )


DEFAULT: Final = (
    Account("bot", "bot-token", ("applications, get, */*", "logs, get, */*")),
    Account("ops", "ops-token", ("*, *, *",), password="ops"),  # noqa: S106 - of a simulator
    Account("blind", "blind-token"),
)
"""`bot` may look and refresh, `ops` may all, `blind` nothing."""


class Denied(Exception):
    """The API refuses."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


UNAUTHENTICATED: Final = 16
PERMISSION_DENIED: Final = 7
NOT_FOUND: Final = 5
FAILED_PRECONDITION: Final = 9
INVALID_ARGUMENT: Final = 3


def denied(message: str = "permission denied") -> Denied:
    """403."""
    return Denied(403, PERMISSION_DENIED, message)


def missing(name: str) -> Denied:
    """404."""
    return Denied(404, NOT_FOUND, f'applications.argoproj.io "{name}" not found')


def precondition(message: str) -> Denied:
    """400, FailedPrecondition."""
    return Denied(400, FAILED_PRECONDITION, message)
