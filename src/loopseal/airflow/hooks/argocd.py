"""Connections of type `loopseal_argocd`: an Argo CD API server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from loopseal.airflow.hooks.base import NAME, ConnectionHook

if TYPE_CHECKING:
    from loopseal.ports import Finding
    from loopseal.settings import EngineSettings
    from loopseal.wiring import Workshop


class ArgoCDHook(ConnectionHook):
    """A token of Argo CD; `credential: connection:<id>` in the settings file refers to it."""

    conn_name_attr = "conn_id"
    default_conn_name = "loopseal_argocd_default"
    conn_type = "loopseal_argocd"
    hook_name = "loopseal: Argo CD"

    def __init__(self, conn_id: str = default_conn_name, logger_name: str | None = None) -> None:
        super().__init__(conn_id, logger_name)

    def settings(self, connection: Any) -> EngineSettings:
        """As `ConnectionHook`."""
        from loopseal.airflow.hooks.git import url_of
        from loopseal.airflow.secrets import extra_texts
        from loopseal.settings import EngineSettings

        extra = extra_texts(connection)
        return EngineSettings(
            kind="argocd",
            url=url_of(connection),
            credential=self.reference(connection),
            project=extra.get("project", ""),
            ca=extra.get("ca", ""),
        )

    async def check(self, workshop: Workshop) -> Sequence[Finding]:
        """As `ConnectionHook`: whether the server answers and knows the token."""
        from loopseal.domain.proposal import Application

        return await workshop.engine(Application(NAME, "*")).check()
