"""The simulators as real servers on 127.0.0.1, in real time: what the demo and other processes talk to.

    python -m loopseal.testing.serve --git ROOT --argocd --application payments=apps/payments@main
    python -m loopseal.testing.serve --git ROOT --flux --application payments=apps/payments@main

Prints one line of JSON on standard output when all answer: `{"argocd": URL, "kubernetes": URL, "tokens": {…},
"kubeconfig": {…}}` (the kubeconfig as data, for a client of Flux). `--url` is what the applications' repository is
called by its users; its path is looked up below ROOT. With `--argocd` the Kubernetes API shows the same applications.
Ends on SIGTERM and SIGINT and, with `--until-eof`, when standard input is closed: so no server outlives its parent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from loopseal.testing.argocd import ArgoCD
from loopseal.testing.asgi import App
from loopseal.testing.clock import LoopClock
from loopseal.testing.cluster import Cluster
from loopseal.testing.flux import Flux
from loopseal.testing.gitview import Repositories


@dataclass(frozen=True, slots=True)
class Declared:
    """One application as it stands on the command line: `name=path@branch`."""

    name: str
    path: str
    branch: str = "main"

    @classmethod
    def parse(cls, text: str) -> Declared:
        """Raises ValueError."""
        found = re.fullmatch(r"(?P<name>[a-z0-9-]+)=(?P<path>[^@]+)(?:@(?P<branch>\S+))?", text)
        if not found:
            raise ValueError(f"not name=path@branch: {text!r}")
        return cls(found["name"], found["path"], found["branch"] or "main")


@asynccontextmanager
async def serving(app: App, port: int = 0) -> AsyncIterator[str]:
    """Run `app` under uvicorn on loopback; gives its URL when it answers."""
    with socket.create_server(("127.0.0.1", port)) as listener:  # calls wait in its queue until all is up
        config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1, ws="none")
        server = uvicorn.Server(config)
        # whoever runs us decides what a signal means
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]  # same call shape
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield "http://{}:{}".format(*listener.getsockname())
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def argocd_on(
    git: Repositories, url: str, applications: Sequence[Declared], port: int = 0
) -> AsyncIterator[tuple[ArgoCD, str, str]]:
    """A running Argo CD with these applications: the simulator, its URL, and that of the Kubernetes API beneath it."""
    clock = LoopClock.real()
    async with AsyncExitStack() as stack:
        argocd = await stack.enter_async_context(ArgoCD(git, cluster=Cluster(clock)))
        for one in applications:
            argocd.create(one.name, url=url, path=one.path, branch=one.branch, automated={"prune": True})
        kubernetes = await stack.enter_async_context(serving(argocd.cluster.asgi))
        api = await stack.enter_async_context(serving(argocd.asgi, port))
        stack.callback(argocd.faults.cut_streams)
        stack.callback(argocd.cluster.faults.cut_streams)
        yield argocd, api, kubernetes


@asynccontextmanager
async def flux_on(
    git: Repositories, url: str, applications: Sequence[Declared], port: int = 0
) -> AsyncIterator[tuple[Flux, str]]:
    """A running Flux with one Kustomization per application and one GitRepository per branch, and its API's URL."""
    clock = LoopClock.real()
    async with AsyncExitStack() as stack:
        flux = await stack.enter_async_context(Flux(git, cluster=Cluster(clock)))
        for branch in sorted({one.branch for one in applications}):
            flux.create_source(_source(branch), url=url, branch=branch, interval="1m")
        for one in applications:
            flux.create(one.name, source=_source(one.branch), path=f"./{one.path}", retryInterval="10s")
        api = await stack.enter_async_context(serving(flux.asgi, port))
        stack.callback(flux.cluster.faults.cut_streams)
        yield flux, api


def _source(branch: str) -> str:
    return "repository-" + re.sub(r"[^a-z0-9]+", "-", branch.lower())


def kubeconfig(url: str, token: str = "admin-token") -> dict[str, Any]:  # noqa: S107 - of a simulator
    """A kubeconfig for a simulated cluster, as data (JSON is YAML)."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "simulated",
        "clusters": [{"name": "simulated", "cluster": {"server": url}}],
        "users": [{"name": "simulated", "user": {"token": token}}],
        "contexts": [{"name": "simulated", "context": {"cluster": "simulated", "user": "simulated"}}],
    }


def as_kubeconfig(url: str) -> str:
    """The same as the text of a file."""
    return json.dumps(kubeconfig(url))


async def _serve(arguments: argparse.Namespace) -> None:
    git = Repositories(arguments.git)
    told: dict[str, Any] = {"tokens": {"bot": "bot-token", "ops": "ops-token", "kubernetes": "admin-token"}}
    async with AsyncExitStack() as stack:
        if arguments.argocd:
            running = argocd_on(git, arguments.url, arguments.application, arguments.port)
            _, told["argocd"], told["kubernetes"] = await stack.enter_async_context(running)
        else:
            _, told["kubernetes"] = await stack.enter_async_context(
                flux_on(git, arguments.url, arguments.application, arguments.port)
            )
        told["kubeconfig"] = kubeconfig(told["kubernetes"])
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        await _until_told(parent=arguments.until_eof)


async def _until_told(*, parent: bool) -> None:
    """Returns on a signal or, with a parent, when it closes our standard input."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    if not parent:
        await over.wait()
        return

    def hear() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            over.set()

    loop.add_reader(sys.stdin, hear)
    try:
        await over.wait()
    finally:
        loop.remove_reader(sys.stdin)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m loopseal.testing.serve", description=__doc__)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    kind = made.add_mutually_exclusive_group(required=True)
    kind.add_argument("--argocd", action="store_true", help="simulate Argo CD")
    kind.add_argument("--flux", action="store_true", help="simulate Flux")
    made.add_argument("--git", type=Path, required=True, metavar="ROOT", help="folder with the bare repositories")
    made.add_argument("--url", required=True, help="URL of the repository; its path is looked up below ROOT")
    made.add_argument("--application", type=Declared.parse, action="append", default=[], metavar="NAME=PATH@BRANCH")
    made.add_argument("--port", type=int, default=0, help="default: any free one")
    made.add_argument("--until-eof", action="store_true", help="end when standard input (a pipe) is closed")
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until told to stop."""
    asyncio.run(_serve(parser().parse_args(argv)))


if __name__ == "__main__":
    main()
