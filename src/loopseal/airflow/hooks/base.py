"""What the three hooks share: reading one connection, and a *Test* button that asks the peer itself."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from loopseal.ports import Credential, Finding, Secrets
    from loopseal.settings import EngineSettings, RepositorySettings
    from loopseal.wiring import Workshop

NAME = "connection"
"""What the tested repository or engine is called in findings."""


class ConnectionHook(BaseHook):
    """Base of the hooks. `settings` says what the connection would be in the settings file."""

    def __init__(self, conn_id: str, logger_name: str | None = None) -> None:
        super().__init__(logger_name=logger_name)
        self.conn_id = conn_id

    @abstractmethod
    def settings(self, connection: Any) -> RepositorySettings | EngineSettings:
        """The entry of the settings file that this connection amounts to."""

    @abstractmethod
    async def check(self, workshop: Workshop) -> Sequence[Finding]:
        """What the peer says. Reads only."""

    def credential(self) -> Credential:
        """The credential that the connection holds. Raises ConfigError (`config.secret`) when it holds none."""
        from loopseal.airflow.secrets import credential

        return credential(self.get_connection(self.conn_id))

    def reference(self, connection: Any) -> str:
        """The reference to the connection's secret; empty where it holds none."""
        from loopseal.airflow.secrets import credential
        from loopseal.errors import ConfigError

        try:
            credential(connection)
        except ConfigError:
            return ""
        return f"connection:{self.conn_id}"

    def test_connection(self) -> tuple[bool, str]:
        """Whether the peer answers, knows us, and lets us do what is needed; the message says what to do next."""
        from loopseal.errors import LoopsealError

        try:
            findings = asyncio.run(self._check(self.get_connection(self.conn_id)))
        except LoopsealError as error:
            return False, error.diagnostics()
        return _verdict(findings)

    async def _check(self, connection: Any) -> Sequence[Finding]:
        from loopseal.airflow.secrets import MaskedSecrets, credential
        from loopseal.credentials.reference import References

        async def given(_name: str) -> Credential:
            return credential(connection)

        return await self._ask(connection, MaskedSecrets(References(connections=given)))

    async def _ask(self, connection: Any, secrets: Secrets) -> Sequence[Finding]:
        from loopseal.settings import EngineSettings, Settings
        from loopseal.wiring import SystemClock, Workshop

        one = self.settings(connection)
        tree = (
            Settings(repositories={}, engines={NAME: one}, targets={})
            if isinstance(one, EngineSettings)
            else Settings(repositories={NAME: one}, engines={}, targets={})
        )
        workshop = Workshop(tree, secrets, SystemClock())
        try:
            return await self.check(workshop)
        finally:
            await workshop.aclose()


def _verdict(findings: Sequence[Finding]) -> tuple[bool, str]:
    from loopseal.ports import Level

    told = "; ".join(f"{one.message}{f' ({one.hint})' if one.hint else ''}" for one in findings)
    return not any(one.level is Level.ERROR for one in findings), told or "it answers and knows us"
