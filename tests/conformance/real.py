"""A world of real peers, in real time: one namespace, one project and one repository of its own for each scenario.

We come as the identities that `deploy/` documents, with exactly its rights: those files are applied as they are, but for
names. Who commits, creates applications and looks what is live is an administrator, past the proxy that is ours alone.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any, Final, Self, TypeVar

import httpx2

from loopseal.wiring import SystemClock
from tests.conformance.proxy import Proxy
from tests.conformance.stage import TOKEN, Stage
from tests.conformance.world import Files, Kind, Peer
from tests.peers.cluster import Cluster
from tests.peers.kube import KubeError
from tests.peers.taping import FOLDER, Tape

T = TypeVar("T")

_PATIENCE: Final = 90.0


async def apart(do: Callable[..., T], *arguments: Any) -> T:
    """Something that blocks, in a thread: the waits of this loop go on meanwhile."""
    return await asyncio.to_thread(do, *arguments)


async def patiently(do: Callable[[], T]) -> T:
    """The same until it works: a server that has just been started does not do everything at once."""
    end = time.monotonic() + _PATIENCE
    while True:
        with suppress(OSError, KubeError, httpx2.HTTPStatusError):
            return await apart(do)
        if time.monotonic() > end:
            return await apart(do)
        await asyncio.sleep(0.2)


class Real(Stage):
    """What real Argo CD and real Flux have in common. `number` keeps apart the scenarios of one cluster."""

    programs: Mapping[Peer, str]

    def __init__(self, kind: Kind, name: str, cluster: Cluster, number: int) -> None:
        super().__init__(kind, name, SystemClock())
        self.cluster = cluster
        self.team = f"team-{number:03}"
        self._repository = f"{self.team}.git"
        self._stack = AsyncExitStack()
        self._proxy, self._way = Proxy(self.address()), ""
        self._apps: list[str] = []

    @abstractmethod
    def address(self) -> str:
        """The server that we speak to."""

    @property
    def url(self) -> str:
        return self.cluster.git.url(self._repository)

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._proxy)
        self._way = self._proxy.url
        await patiently(lambda: self.cluster.kube.namespace(self.team))
        await self.admit()
        self.vault.values[TOKEN] = await self.token()
        await super().__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        await apart(self.cluster.processes.revive)
        for app in self._apps:
            await self.delete(app)
        await apart(self.cluster.kube.delete, "Namespace", "", self.team)
        self.cluster.git.slow.pop(self._repository, None)
        await self._stack.aclose()

    async def recorded(self, play: Callable[[Stage], Awaitable[None]]) -> None:
        """Play a scenario here, and keep what the engine heard if it goes well (`tests/recorded/conformance`)."""
        system, name = ("flux" if self.kind is Kind.FLUX else "argocd"), self.name.removeprefix("test_")
        path = FOLDER / self.kind / f"{name.replace('_', '-')}.json"
        self.tape, well = Tape(path, self.clock, system=system, scenario=path.stem, only=self.team), False
        try:
            await play(self)
            well = True
        finally:
            peer = "http://argocd.test" if self.kind is Kind.ARGOCD else "https://kubernetes.test"
            names = {self.cluster.git.server: "http://git.test", self._way or peer: peer, self.address(): peer}
            self.tape.close(names, keep=well)

    @abstractmethod
    async def delete(self, app: str = "web") -> None:
        """See World."""

    @abstractmethod
    async def admit(self) -> None:
        """Give our identity its documented rights, here and nowhere else."""

    @abstractmethod
    async def token(self, seconds: int = 0) -> str:
        """A new token of our identity; with `seconds` one that soon ends."""

    @abstractmethod
    async def accepted(self, token: str) -> bool:
        """Whether the server knows whose token it is."""

    async def commit(self, files: Files, *, onto: str = "") -> str:
        return await apart(lambda: self.cluster.git.commit(self._repository, files, onto=onto))

    async def slow_git(self, seconds: float) -> None:
        self.cluster.git.slow[self._repository] = lambda *_: seconds
        if not seconds:
            del self.cluster.git.slow[self._repository]

    # -- processes

    async def kill(self, peer: Peer) -> None:
        await apart(self.cluster.processes.kill, self.programs[peer])

    async def start(self, peer: Peer) -> None:
        await apart(self.cluster.processes.start, self.programs[peer])

    # -- credentials

    async def expiring(self) -> None:
        self.vault.values[TOKEN] = await self.token(seconds=5)
        self.vault.renewed = {TOKEN: await self.token()}
        await self.reopen()

    async def expired(self) -> None:
        await self._refused(self.vault.values[TOKEN])

    async def _refused(self, token: str) -> None:
        async with asyncio.timeout(_PATIENCE):
            while await self.accepted(token):  # noqa: ASYNC110 - nobody tells when a peer forgets a token
                await asyncio.sleep(0.2)

    async def restore(self) -> None:
        self.vault.values[TOKEN] = await self.token()

    # -- connections

    async def cut(self) -> None:
        self._proxy.cut()

    async def freeze(self, on: bool) -> None:
        if on:
            self._proxy.freeze()
        else:
            self._proxy.cut()

    async def forget(self) -> None:
        """The API server's memory of what was is that of its process: one that has just started knows the present only."""
        self._proxy.refuse(on=True)
        self._proxy.cut()
        later = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later", "namespace": self.team}}
        await apart(self.cluster.kube.apply, later)  # in a quiet cluster the present would be where our watch ended
        await self.kill(Peer.API_SERVER)
        await self.start(Peer.API_SERVER)
        self._proxy.refuse(on=False)

    # -- truth

    async def rollout(self, app: str) -> Mapping[str, Any] | None:
        return await patiently(lambda: self.cluster.kube.get("Deployment", self.team, app))

    def server(self) -> str:
        return self._proxy.url.rstrip("/")

    async def _patch(self, kind: str, namespace: str, name: str, change: Mapping[str, Any]) -> None:
        await patiently(lambda: self.cluster.kube.patch(kind, namespace, name, dict(change)))
