"""What a world offers to a scenario, whether its peers are simulated or real.

A scenario commits, does things to the peers, and waits through the real engine. It never asks which world it is in:
what differs between the kinds of engine stands in the scenario as data. The half that is the same in both worlds is
`stage`; what differs is `simulated` and `real`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from loopseal.domain.proposal import Edit
from loopseal.domain.revision import Tolerance, Verdict
from loopseal.ports import Clock, Evidence
from loopseal.usecases import Progress
from tests.conformance.waiting import Waiting

QUICK = Tolerance(settle=0.5, error_grace=6.0, degraded_grace=2.0, drift_grace=5.0, wedge=6.0)
"""Patience of the scenarios: short, because nothing here takes long."""


class Kind(StrEnum):
    """The ways in which loopseal looks at an engine."""

    ARGOCD = "argocd"
    """Argo CD by its API server, as a project role."""
    OBJECTS = "argocd-objects"
    """Argo CD by its Application objects, as a service account of Kubernetes."""
    FLUX = "flux"
    """Flux, as a service account of Kubernetes."""


class Peer(StrEnum):
    """What can be killed and started again."""

    API_SERVER = "api-server"
    """The server we speak to: Argo CD's, or that of Kubernetes."""
    CONTROLLER = "controller"
    """The application controller, or the kustomize-controller."""
    READER = "reader"
    """Who reads Git: the repo server, or the source-controller."""


@dataclass(frozen=True, slots=True)
class Live:
    """What is in the cluster: the tag of the Deployment's image, and whether that very image is fully rolled out."""

    tag: str
    available: bool = True


NOTHING = Live("", available=False)
"""There is no Deployment."""

Files = Mapping[str, str | None]
"""Texts by path; None deletes."""


class World(Protocol):
    """One scenario's world: one repository, one engine, and applications that live in namespaces of their own."""

    @property
    def kind(self) -> Kind:
        """How the engine is looked at."""
        ...

    @property
    def clock(self) -> Clock:
        """Virtual time with simulated peers, real time with real ones."""
        ...

    # -- Git

    async def commit(self, files: Files, *, onto: str = "") -> str:
        """Somebody commits on the branch, or on `onto`: a force push. Answers the commit."""
        ...

    async def slow_git(self, seconds: float) -> None:
        """From now on whoever fetches from Git waits this long for the answer."""
        ...

    # -- applications

    async def create(self, app: str = "web", *, after: str = "") -> None:
        """Create the application that applies `apps/APP`; Flux: it depends on the one named `after`."""
        ...

    async def delete(self, app: str = "web") -> None:
        """Delete the application; what it applied stays."""
        ...

    async def suspend(self, on: bool, app: str = "web") -> None:
        """Somebody stops the engine from reconciling it: by annotation with Argo CD, `spec.suspend` with Flux."""
        ...

    async def close_window(self, on: bool) -> None:
        """Argo CD: a sync window of the project forbids every sync, or is taken away again."""
        ...

    async def refresh(self, app: str = "web") -> None:
        """Somebody else asks the engine to look again; returns without waiting for it."""
        ...

    # -- peers, credentials, connections

    async def kill(self, peer: Peer) -> None:
        """SIGKILL."""
        ...

    async def start(self, peer: Peer) -> None:
        """The same program again, with the same arguments; returns when it answers."""
        ...

    async def expiring(self) -> None:
        """From now on we come with a token that soon ends; whoever asks for it anew gets a good one."""
        ...

    async def expired(self) -> None:
        """Returns as soon as that token is not accepted any more."""
        ...

    async def revoke(self) -> None:
        """Our token is taken back, and there is no other; returns as soon as it is not accepted any more."""
        ...

    async def restore(self) -> None:
        """There is a good token again."""
        ...

    async def cut(self) -> None:
        """Every open connection between us and the engine breaks."""
        ...

    async def forget(self) -> None:
        """Kubernetes forgets its history while no watch is open: going on where ours ended is answered with 410."""
        ...

    async def freeze(self, on: bool) -> None:
        """Open connections stay open and carry nothing any more; new ones work."""
        ...

    # -- looking

    def wait(self, revision: str, app: str = "web", *, patience: Tolerance = QUICK) -> Waiting:
        """Begin to wait for this commit in this application, through the engine."""
        ...

    async def begin(self) -> str:
        """`web` exists and its first commit, with the tag `v1`, is live; answers the commit."""
        ...

    def drive(self, edits: Sequence[Edit]) -> AsyncGenerator[Progress, None]:
        """Propose these edits and drive them to their end, reverting on failure."""
        ...

    async def evidence(self, verdict: Verdict, app: str = "web") -> Evidence:
        """What the engine shows a person about this verdict."""
        ...

    async def live(self, app: str = "web") -> Live:
        """The truth: what is in the cluster now, asked past the engine and past our own rights."""
        ...

    def calls(self) -> Sequence[str]:
        """What we asked the engine's servers until now: `METHOD path?query`, in order."""
        ...

    def by(self, *, argocd: str, flux: str, objects: str = "") -> str:
        """The value for this kind; `objects` only where it differs from `argocd`."""
        ...
