"""A world of simulated peers: virtual time, one process, Git itself behind its own server in that process."""

from __future__ import annotations

import json
import subprocess
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

import httpx2

from loopseal.testing.clock import LoopClock
from loopseal.testing.cluster import Cluster, User
from loopseal.testing.faults import Faults
from loopseal.testing.git_server import GitServer
from loopseal.testing.serve import kubeconfig
from loopseal.testing.store import Rejected
from loopseal.testing.transport import AppTransport
from tests.conformance import content, rights
from tests.conformance.stage import ENGINE, KUBECONFIG, PLATFORM, TOKEN, Stage
from tests.conformance.world import Files, Kind

TEAM: Final = "team"
"""Namespace of the applications' workloads and, with Flux, of its objects; name of the project."""
FIRST, SECOND = "token-1", "token-2"


def refuse(item: Mapping[str, Any]) -> None:
    """The admission policy of both worlds. Raises Rejected, in the words of Kubernetes v1.36."""
    if content.REFUSED in (item["metadata"].get("labels") or {}):
        who = "ValidatingAdmissionPolicy 'conformance' with binding 'conformance' denied request"
        name = item["metadata"]["name"]
        raise Rejected(422, "Invalid", f'deployments.apps "{name}" is forbidden: {who}: {content.REFUSAL}')


class Simulated(Stage):
    """What simulated Argo CD and simulated Flux have in common."""

    def __init__(self, kind: Kind, name: str, folder: Path) -> None:
        super().__init__(kind, name, LoopClock())
        rules = rights.rules(kind, TEAM)
        self.cluster = Cluster(users={token: User("loopseal", rules) for token in (FIRST, SECOND)})
        self.cluster.store.admission.append(refuse)
        self._folder = folder
        self._git = GitServer(folder)
        self._stack = AsyncExitStack()
        self._serial = 0

    @property
    def url(self) -> str:
        return "https://git.test/apps.git"

    def transports(self) -> Mapping[str, httpx2.AsyncBaseTransport]:
        return {ENGINE: self.way(), PLATFORM: AppTransport(self._git)}

    @abstractmethod
    def way(self) -> AppTransport:
        """To the server that we speak to."""

    async def __aenter__(self) -> Self:
        await self._git.create("apps.git", config={"http.receivepack": "true"})
        self.vault.values |= {TOKEN: FIRST, KUBECONFIG: json.dumps(kubeconfig("http://kubernetes.test", FIRST))}
        await super().__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        await self._stack.aclose()

    async def commit(self, files: Files, *, onto: str = "") -> str:
        self._serial += 1
        parent = onto or self._run("for-each-ref", "--format=%(objectname)", "refs/heads/main")
        message = f"Commit {self._serial}"
        stream = [
            f"commit refs/heads/main\ncommitter Somebody <somebody@conformance.test> {1_700_000_000 + self._serial} +0000",
            f"data {len(message)}\n{message}",
            *([f"from {parent}"] if parent else []),
            *(
                f"D {path}" if text is None else f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}"
                for path, text in files.items()
            ),
        ]
        self._run("fast-import", "--quiet", "--force", data="\n".join(stream) + "\n")
        return self._run("rev-parse", "refs/heads/main")

    def _run(self, *arguments: str, data: str = "") -> str:
        command = ["git", "-C", str(self._folder / "apps.git"), *arguments]
        return subprocess.run(command, input=data, check=True, capture_output=True, text=True).stdout.strip()

    async def slow_git(self, seconds: float) -> None:
        self.behind.fetch_delay = seconds

    @property
    @abstractmethod
    def faults(self) -> Faults:
        """Those between us and the engine."""

    @property
    @abstractmethod
    def behind(self) -> Faults:
        """Those behind the engine's API."""

    async def expiring(self) -> None:
        self.vault.renewed = {TOKEN: SECOND}

    async def expired(self) -> None:
        self.faults.revoked.add(FIRST)

    async def revoke(self) -> None:
        self.faults.revoked.add(FIRST)

    async def restore(self) -> None:
        self.vault.values[TOKEN] = SECOND

    async def cut(self) -> None:
        self.faults.cut_streams()

    async def forget(self) -> None:
        self.faults.gone = 1
        self.faults.cut_streams()

    async def freeze(self, on: bool) -> None:
        self.faults.silent = on

    async def rollout(self, app: str) -> Mapping[str, Any] | None:
        return self.cluster.store.get("Deployment", TEAM, app)
