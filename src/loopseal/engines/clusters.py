"""One client of a cluster per engine, made when it is first needed: only then are kubeconfigs read and plugins run."""

from __future__ import annotations

import asyncio

import httpx2

from loopseal.engines.kubernetes import Cluster
from loopseal.engines.kubernetes_access import access
from loopseal.ports import Clock, Secrets, Tap
from loopseal.settings import EngineSettings


class Clusters:
    """Makes the cluster of these settings once, whoever asks first."""

    def __init__(
        self,
        settings: EngineSettings,
        *,
        name: str,
        secrets: Secrets,
        clock: Clock,
        tap: Tap | None,
        transport: httpx2.AsyncBaseTransport | None,
    ) -> None:
        self._settings, self._name, self._secrets = settings, name, secrets
        self._clock, self._tap, self._transport = clock, tap, transport
        self._lock = asyncio.Lock()
        self._cluster: Cluster | None = None

    async def connect(self) -> Cluster:
        """The cluster. Raises ConfigError when the way to it is not well described."""
        async with self._lock:
            if self._cluster is None:
                way = await access(
                    self._settings,
                    self._secrets,
                    self._clock,
                    name=self._name,
                    simulated=self._transport is not None,
                )
                self._cluster = Cluster(
                    way, self._clock, timeout=self._settings.timeout, tap=self._tap, transport=self._transport
                )
            return self._cluster

    async def aclose(self) -> None:
        """Let go of connections."""
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            await cluster.aclose()
