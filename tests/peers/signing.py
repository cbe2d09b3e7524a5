"""One engine that verifies who signed what it applies: on the real peers, or on their simulators.

In both worlds the commits are made by the real Git room over HTTP with the real signers, and by somebody else.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any, Final, Self

import pysequoia

from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import Application, Proposal, SetValue, Target, change_id
from loopseal.domain.revision import State, Tolerance, Verdict
from loopseal.engines import argocd, flux
from loopseal.git.repository import Repository
from loopseal.git.signing import open_signer
from loopseal.ports import Finding, Source, Wait
from loopseal.settings import EngineSettings
from loopseal.testing import objects
from loopseal.testing.argocd import ArgoCD
from loopseal.testing.clock import LoopClock
from loopseal.testing.flux import Flux
from loopseal.testing.gitview import Repositories
from loopseal.wiring import SystemClock
from tests.peers.cluster import Cluster
from tests.peers.flux import NAMESPACE as FLUX_SYSTEM
from tests.peers.git import Git
from tests.peers.ports import Ports
from tests.peers.signing_keys import Key, repository
from tests.unit.engines.worlds import Vault, kubeconfig

PATH: Final = "app/settings.yaml"
QUICK: Final = Tolerance(settle=0.5, error_grace=20.0, degraded_grace=10.0, wedge=60.0)
_PATIENCE: Final = 120.0


def settings_map(value: object) -> str:
    """The one object that the application consists of."""
    return f'apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{value: "{value}"}}\n'


class World(ABC):
    """One application of one engine that takes only commits signed by `trusted`; `name` is its and its repository's."""

    kind: str
    git: Git
    engine: Any

    def __init__(self, name: str, trusted: Key) -> None:
        self.name, self.trusted = name, trusted
        self.application = Application("engine", name, project=name if self.kind == "argocd" else "")
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        """Of the repository."""
        return self.git.url(f"{self.name}.git")

    @abstractmethod
    async def open(self) -> None:
        """Have the peers run, and make `engine`."""

    @abstractmethod
    async def apply(self, obj: Mapping[str, Any]) -> None:
        """Create an object."""

    @abstractmethod
    async def trust(self) -> None:
        """Have the peers know the public half."""

    @abstractmethod
    async def live(self) -> str:
        """The value in the cluster; empty when there is none."""

    async def __aenter__(self) -> Self:
        await self.open()
        first = await self.foreign(1, self.trusted)
        await self.trust()
        for obj in self.objects():
            await self.apply(obj)
        verdict = await self.waited(first)
        assert verdict.state is State.SUCCEEDED, verdict
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    @abstractmethod
    def objects(self) -> Sequence[Mapping[str, Any]]:
        """The application, and what demands signatures."""

    async def foreign(self, value: object, key: Key | None = None) -> str:
        """Somebody else commits: signed, or not at all."""
        sign = await _sign(key) if key is not None else None
        files = {PATH: settings_map(value)}
        return await asyncio.to_thread(lambda: self.git.commit(f"{self.name}.git", files, sign=sign))

    async def ours(self, value: str, key: Key | None = None) -> str:
        """We commit, by the Git room."""
        async with aclosing(await self._ours(key)) as repository:
            tip = await repository.tip()
            target = Target(self.name, "apps", "main", ("app/**",), (self.application,))
            edits = (SetValue(PATH, "data.value", value),)
            actor = Actor("test", "test", ActorKind.PERSON)
            asked = Proposal(change_id(self.name, value), target, tip, edits, f"value {value}", actor)
            return (await repository.commit(asked)).revision

    async def preflight(self, key: Key | None = None) -> Sequence[Finding]:
        """What is found of signatures before a commit that this key would sign."""
        async with aclosing(await self._ours(key)) as repository:
            source = Source(self.url, "main", (PATH,), await repository.signing())
        found = await self.engine.preflight(self.application, source, QUICK)
        return [one for one in found if "signature" in one.code]

    async def waited(self, revision: str) -> Verdict:
        """The last verdict on this commit."""
        wait = Wait(self.application, revision, Source(self.url, "main"), QUICK)
        told: list[Verdict] = []
        async with (
            aclosing(await self._ours(None)) as repository,
            aclosing(self.engine.wait(wait, repository)) as heard,
        ):
            try:
                async with asyncio.timeout(_PATIENCE):
                    async for verdict in heard:
                        told.append(verdict)  # noqa: PERF401 - what was told until then is of interest
            except TimeoutError:
                raise AssertionError(told) from None
        return told[-1]

    async def _ours(self, key: Key | None) -> Repository:
        return await (repository(self.url, key.way, key.secret) if key else repository(self.url))

    def _argocd_objects(self) -> Sequence[Mapping[str, Any]]:
        anywhere = {"sourceRepos": ["*"], "destinations": [{"namespace": "*", "server": "*"}]}
        project = objects.project(self.name, **anywhere, signatureKeys=[{"keyID": self.trusted.id}])
        return project, objects.application(self.name, url=self.url, path="app", project=self.name)

    def _flux_objects(self) -> Sequence[Mapping[str, Any]]:
        name, content = self.trusted.entry
        meta = {"name": self.name, "namespace": FLUX_SYSTEM}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {name: content}}
        verify = {"mode": "HEAD", "secretRef": {"name": self.name}}
        source = objects.git_repository(self.name, url=self.url, verify=verify)
        return secret, source, objects.kustomization(self.name, source=self.name, path="./app")


async def _sign(key: Key) -> Callable[[bytes], str]:
    signer = await open_signer(secrets=Vault({"env:KEY": key.secret}), **{key.way: "env:KEY"})
    return lambda data: asyncio.run(signer.sign(data, at=0))


class Simulated(World):
    """Simulators that look into real repositories."""

    def __init__(self, name: str, trusted: Key, folder: Path) -> None:
        super().__init__(name, trusted)
        self.git = Git(folder)

    async def open(self) -> None:
        ports = self._stack.enter_context(Ports())
        self._stack.enter_context(self.git.serving(ports["git"]))
        self.peer = await self._stack.enter_async_context(self.simulator(Repositories(self.git.root)))
        self.engine = self.engine_of(LoopClock())
        self._stack.push_async_callback(self.engine.aclose)

    @abstractmethod
    def simulator(self, view: Repositories) -> Any:
        """Not running yet."""

    @abstractmethod
    def engine_of(self, clock: LoopClock) -> Any:
        """Our engine before it."""

    async def apply(self, obj: Mapping[str, Any]) -> None:
        self.peer.store.create(obj)

    async def trust(self) -> None:
        """Ids are enough for a simulator."""

    async def live(self) -> str:
        found = self.peer.store.get("ConfigMap", self.name, "settings")
        return found["data"]["value"] if found else ""


class SimulatedArgoCD(Simulated):
    """The one of Argo CD."""

    kind = "argocd"

    def simulator(self, view: Repositories) -> Any:
        return ArgoCD(view)

    def engine_of(self, clock: LoopClock) -> Any:
        settings = EngineSettings("argocd", url="http://argocd.test", credential="env:TOKEN")
        vault = Vault({"env:TOKEN": "ops-token"})
        transport = self.peer.transport()
        return argocd.Engine(settings, name="engine", secrets=vault, clock=clock, transport=transport)

    def objects(self) -> Sequence[Mapping[str, Any]]:
        return self._argocd_objects()


class SimulatedFlux(Simulated):
    """The one of Flux."""

    kind = "flux"

    def simulator(self, view: Repositories) -> Any:
        return Flux(view)

    def engine_of(self, clock: LoopClock) -> Any:
        settings = EngineSettings("flux", kubeconfig="env:CONFIG")
        vault = Vault({"env:CONFIG": kubeconfig("admin-token")})
        transport = self.peer.transport()
        return flux.Engine(settings, name="engine", secrets=vault, clock=clock, transport=transport)

    def objects(self) -> Sequence[Mapping[str, Any]]:
        return self._flux_objects()


class Real(World):
    """The peers of a cluster."""

    def __init__(self, name: str, trusted: Key, cluster: Cluster) -> None:
        super().__init__(name, trusted)
        self.cluster, self.git = cluster, cluster.git

    async def open(self) -> None:
        await asyncio.to_thread(self.cluster.kube.namespace, self.name)
        self.engine = self.engine_of()
        self._stack.push_async_callback(self._delete)
        self._stack.push_async_callback(self.engine.aclose)

    async def _delete(self) -> None:
        """What is left would be tried for ever."""
        for obj in reversed(self.objects()):
            meta = obj["metadata"]
            await asyncio.to_thread(self.cluster.kube.delete, obj["kind"], meta["namespace"], meta["name"])

    @abstractmethod
    def engine_of(self) -> Any:
        """Our engine before it."""

    async def apply(self, obj: Mapping[str, Any]) -> None:
        await asyncio.to_thread(self.cluster.kube.apply, obj)

    async def trust(self) -> None:
        """Flux finds the key in its Secret."""

    async def live(self) -> str:
        found = await asyncio.to_thread(self.cluster.kube.get, "ConfigMap", self.name, "settings")
        return found["data"]["value"] if found else ""


class RealArgoCD(Real):
    """Argo CD with GnuPG."""

    kind = "argocd"

    def engine_of(self) -> Any:
        settings = EngineSettings("argocd", url=self.cluster.argocd.url, credential="env:TOKEN")
        vault = Vault({"env:TOKEN": self.cluster.argocd.token("ops")})
        return argocd.Engine(settings, name="engine", secrets=vault, clock=SystemClock())

    async def trust(self) -> None:
        fingerprint = pysequoia.Cert.from_bytes(self.trusted.public.encode()).fingerprint
        primary = fingerprint.upper()[-16:]  # a keyring knows a key by its primary half, whoever of it signs
        await asyncio.to_thread(self.cluster.argocd.trust_gpg, primary, self.trusted.public)
        ring = self.cluster.folder / "argocd/gpg/pubring.kbx"
        await asyncio.to_thread(
            self.cluster.processes.until,
            lambda: ring.exists() and bytes.fromhex(fingerprint) in ring.read_bytes(),
            _PATIENCE,
            "Argo CD has not taken the key into its keyring",
            "argocd-repo-server",
        )

    def objects(self) -> Sequence[Mapping[str, Any]]:
        return self._argocd_objects()


class RealFlux(Real):
    """Flux with its own OpenPGP and SSH."""

    kind = "flux"

    def engine_of(self) -> Any:
        config = self.cluster.kubeconfig.read_text()
        settings = EngineSettings("flux", kubeconfig="env:CONFIG")
        return flux.Engine(settings, name="engine", secrets=Vault({"env:CONFIG": config}), clock=SystemClock())

    def objects(self) -> Sequence[Mapping[str, Any]]:
        return self._flux_objects()
