"""What carries Git's bytes to a host and back: the seam beneath `wire`.

A channel knows connections, processes and credentials; it does not know what the bytes mean, except where a
connection begins with a greeting.
"""

from __future__ import annotations

from typing import Protocol

from loopseal.git.protocol import Advertisement, Service


class Channel(Protocol):
    """One repository at one host, asked by whole requests."""

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        ...

    async def advertise(self, service: Service) -> Advertisement:
        """What the service says of itself. Raises Unreachable, Refused, ConfigError."""
        ...

    async def ask(self, service: Service, body: bytes, version: int) -> bytes:
        """One request and its whole answer, in protocol `version` (2, or 0 for receive-pack and old hosts).

        For RECEIVE raises AmbiguousPush when the host may have acted; any other error says that it did not.
        """
        ...

    def redact(self, text: str) -> str:
        """What the host said, without our credential."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and helper processes."""
        ...
