"""Who acts: one subject at one issuer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ActorKind(StrEnum):
    """What sort of caller an actor is."""

    PERSON = "person"
    DAG = "dag"
    CI = "ci"
    AGENT = "agent"


@dataclass(frozen=True, slots=True)
class Actor:
    """One `subject` at one `issuer`; the pair is the identity, neither alone is.

    `on_behalf_of` is the actor who set this one in motion (the person who triggered a Dag run), for the record only:
    it carries no rights.
    """

    subject: str
    issuer: str
    kind: ActorKind
    on_behalf_of: Actor | None = None

    def __post_init__(self) -> None:
        if not self.subject or not self.issuer:
            message = "an actor needs a subject and an issuer"
            raise ValueError(message)

    def __str__(self) -> str:
        return f"{self.kind}:{self.subject}@{self.issuer}"
