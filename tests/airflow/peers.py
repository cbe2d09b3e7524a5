"""The peers of a whole loop in this process: a Git server with a password, and an Argo CD on its repository."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from loopseal.testing.argocd import ArgoCD
from loopseal.testing.argocd.accounts import Account
from loopseal.testing.clock import LoopClock
from loopseal.testing.cluster import Cluster
from loopseal.testing.git_server import GitServer, serve
from loopseal.testing.gitview import Repositories
from loopseal.testing.serve import serving

T = TypeVar("T")

APPLICATIONS = ("alpha", "beta", "gamma", "wide", "manual", "payments")


def values(tag: str = "1.0") -> bytes:
    return f"image:\n  repository: registry.test/app\n  tag: '{tag}'\nreplicaCount: 1\nprogressDeadlineSeconds: 1\n".encode()


FILES: Mapping[str, bytes] = {
    **{f"apps/{name}/values.yaml": values() for name in APPLICATIONS if name != "wide"},
    "apps/wide/values.yaml": values() + b"".join(f"key{n}: old\n".encode() for n in range(40)),
    "plain/settings.yaml": b"".join(f"key{n}: old\n".encode() for n in range(40)),
    "README.md": b"made by a test\n",
}


@dataclass
class Peers:
    """Git and Argo CD. `secrets` are the planted values: none of them may ever be seen."""

    root: Path
    git: GitServer
    git_url: str
    argocd: ArgoCD
    argocd_url: str
    loop: asyncio.AbstractEventLoop
    secrets: Mapping[str, str]
    key: Path = field(default_factory=Path)

    @property
    def repository(self) -> str:
        return f"{self.git_url}/apps.git"

    def on_loop(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(work(), self.loop).result(30)

    def now(self, call: Callable[[], object]) -> None:
        """Something about the simulator, on its own loop."""

        async def there() -> None:
            call()

        self.on_loop(there)

    def run_git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.root / "apps.git"), *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout

    def show(self, path: str, revision: str = "main") -> str:
        return self.run_git("show", f"{revision}:{path}")

    def tip(self) -> str:
        return self.run_git("rev-parse", "main").strip()

    def commits_of(self, change: str) -> list[str]:
        """Every commit on the branch that carries this change id."""
        return self.run_git("log", "--format=%H", f"--grep=^Loopseal-Change: {change}$", "main").split()

    def contains(self, later: str, earlier: str) -> bool:
        """Whether `later` is `earlier` or a descendant."""
        done = subprocess.run(
            ["git", "-C", str(self.root / "apps.git"), "merge-base", "--is-ancestor", earlier, later], check=False
        )
        return done.returncode == 0

    def changes(self) -> list[str]:
        """Change ids on the branch, newest first."""
        told = self.run_git("log", "--format=%(trailers:key=Loopseal-Change,valueonly)", "main")
        return told.split()

    def pushes(self) -> int:
        return sum(call.service == "git-receive-pack" and call.method == "POST" for call in self.git.calls)


@contextmanager
def peers(root: Path) -> Iterator[Peers]:
    """Running peers; the repository holds FILES, and Argo CD has one application per folder of `apps/`."""
    planted = {
        "git": "planted-git-password-7c1f",
        "argocd": "planted-argocd-token-2b9e",
        "passphrase": "planted-key-passphrase-5d0a",
    }
    root.mkdir(parents=True, exist_ok=True)
    git = GitServer(root, {"loopseal": planted["git"]})
    asyncio.run(git.create("apps.git", FILES))
    account = Account("loopseal", planted["argocd"], ("*, *, *",))
    loop = asyncio.new_event_loop()
    ready: asyncio.Future[tuple[ArgoCD, str]] = loop.create_future()
    over = asyncio.Event()

    async def live(git_url: str) -> None:
        async with AsyncExitStack() as stack:
            argocd = await stack.enter_async_context(
                ArgoCD(Repositories(root), cluster=Cluster(LoopClock.real()), people=(account,))
            )
            for name in APPLICATIONS:
                url, path = f"{git_url}/apps.git", f"apps/{name}"
                argocd.create(name, url=url, path=path, automated={"prune": True}, manual=name == "manual")
            url = await stack.enter_async_context(serving(argocd.asgi))
            stack.callback(argocd.faults.cut_streams)
            ready.set_result((argocd, url))
            await over.wait()

    with serve(git) as git_url:
        thread = threading.Thread(target=lambda: loop.run_until_complete(live(git_url)), daemon=True)
        thread.start()

        async def told() -> tuple[ArgoCD, str]:
            return await ready

        argocd, argocd_url = asyncio.run_coroutine_threadsafe(told(), loop).result(30)
        try:
            yield Peers(root, git, git_url, argocd, argocd_url, loop, planted)
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join(30)
            loop.close()
