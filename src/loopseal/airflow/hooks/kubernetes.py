"""Connections of type `loopseal_kubernetes`: a cluster with Flux, or with Argo CD's Application objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from loopseal.airflow.hooks.base import NAME, ConnectionHook

if TYPE_CHECKING:
    from loopseal.ports import Finding
    from loopseal.settings import EngineSettings
    from loopseal.wiring import Workshop


class KubernetesHook(ConnectionHook):
    """A kubeconfig, or an API server and a token; `kubeconfig:` or `credential:` in the settings file refer to it."""

    conn_name_attr = "conn_id"
    default_conn_name = "loopseal_kubernetes_default"
    conn_type = "loopseal_kubernetes"
    hook_name = "loopseal: Kubernetes (Flux, Argo CD objects)"

    def __init__(self, conn_id: str = default_conn_name, logger_name: str | None = None) -> None:
        super().__init__(conn_id, logger_name)

    def settings(self, connection: Any) -> EngineSettings:
        """As `ConnectionHook`."""
        from loopseal.airflow.secrets import extra_texts
        from loopseal.settings import EngineSettings

        extra, reference = extra_texts(connection), self.reference(connection)
        by_file = "kubeconfig" in extra
        return EngineSettings(
            kind="flux",
            url="" if by_file else connection.host or "",
            credential="" if by_file else reference,
            kubeconfig=reference if by_file else "",
            context=extra.get("context", ""),
            namespace=extra.get("namespace", ""),
            ca=extra.get("ca", ""),
        )

    async def check(self, workshop: Workshop) -> Sequence[Finding]:
        """As `ConnectionHook`: whether the API server answers, and lets us read Flux's objects."""
        from loopseal.domain.proposal import Application

        return await workshop.engine(Application(NAME, "*")).check()
