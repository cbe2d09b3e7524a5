"""Connections of type `loopseal_git`: a Git repository that changes are written to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from loopseal.airflow.hooks.base import NAME, ConnectionHook

if TYPE_CHECKING:
    from loopseal.ports import Finding
    from loopseal.settings import RepositorySettings
    from loopseal.wiring import Workshop


class GitHook(ConnectionHook):
    """Token, password or SSH key for a repository; `credential: connection:<id>` in the settings file refers to it."""

    conn_name_attr = "conn_id"
    default_conn_name = "loopseal_git_default"
    conn_type = "loopseal_git"
    hook_name = "loopseal: Git repository"

    def __init__(self, conn_id: str = default_conn_name, logger_name: str | None = None) -> None:
        super().__init__(conn_id, logger_name)

    def settings(self, connection: Any) -> RepositorySettings:
        """As `ConnectionHook`."""
        from loopseal.airflow.secrets import extra_texts
        from loopseal.settings import RepositorySettings

        extra = extra_texts(connection)
        return RepositorySettings(
            url=url_of(connection),
            branch=extra.get("branch", "main"),
            credential=self.reference(connection),
            ca=extra.get("ca", ""),
            known_hosts=extra.get("known_hosts", ""),
        )

    async def check(self, workshop: Workshop) -> Sequence[Finding]:
        """As `ConnectionHook`: whether it can be read and written."""
        from loopseal.domain.proposal import Target

        branch = workshop.settings.repositories[NAME].branch
        return await workshop.repository(Target(NAME, NAME, branch, ())).check()


def url_of(connection: Any) -> str:
    """The URL that a connection's host field holds. Raises ConfigError when it is empty."""
    from loopseal.errors import Code, ConfigError

    if not connection.host:
        raise ConfigError(
            Code.CONFIG_INVALID,
            "the connection names no URL",
            where=f"connection:{connection.conn_id}",
            hint="Put the whole URL, with https:// or ssh://, into the first field.",
        )
    return str(connection.host)
