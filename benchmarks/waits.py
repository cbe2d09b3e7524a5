"""Claim: 500 waits on one Argo CD need one stream. How many requests, how much CPU and memory each, and what a naive
poller (a client of its own and a GET every five seconds) needs for the same in the same run.

    python benchmarks/waits.py [--json] [--waits 500] [--seconds 60]

The server is a process of its own on the loopback interface, so that its CPU is not counted. Each application gets
one status write per minute, three times what Argo CD's own resync makes: one that is being waited for is mostly quiet.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from loopseal.domain.proposal import Application
from loopseal.domain.revision import Relation
from loopseal.engines.argocd import Engine
from loopseal.ports import Credential, Secret, Source, Wait
from loopseal.settings import EngineSettings

WANTED, OLD = "b" * 40, "a" * 40
URL = "https://git.test/platform/apps.git"
NAIVE_PERIOD = 5.0


# -- the server, in a process of its own


def application(name: str, version: int) -> dict[str, Any]:
    """An application at the old commit with 30 resources, about 6 KiB."""
    source = {"repoURL": URL, "path": f"apps/{name}", "targetRevision": "main"}
    resources = [
        {"group": "apps", "kind": "Deployment", "namespace": name, "name": f"web-{number}", "version": "v1"}
        | {"status": "Synced", "health": {"status": "Healthy"}}
        for number in range(30)
    ]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"name": name, "namespace": "argocd", "uid": name, "resourceVersion": str(version)},
        "spec": {"project": "default", "source": source, "syncPolicy": {"automated": {}}},
        "status": {
            "sync": {"status": "Synced", "revision": OLD, "comparedTo": {"source": source}},
            "health": {"status": "Healthy"},
            "reconciledAt": now,
            "resources": resources,
        },
    }


class Server:
    """Just enough of Argo CD, and counts."""

    def __init__(self, writes: float) -> None:
        self.counts = {"get": 0, "refresh": 0, "streams": 0}
        self.version = 1
        self.writes = writes

    async def __call__(self, scope: Any, _: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        path, query = scope["path"], scope["query_string"].decode()
        if path == "/counts":
            await self._answer(send, self.counts)
        elif "/stream/" in path:
            self.counts["streams"] += 1
            await self._stream(send)
        else:
            self.counts["refresh" if "refresh=" in query else "get"] += 1
            self.version += 1
            await self._answer(send, application(path.rsplit("/", 1)[-1], self.version))

    async def _answer(self, send: Any, body: Any) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})

    async def _stream(self, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while True:
            for number in range(500):
                name = f"app-{number:04}"
                self.version += 1
                moved = {"name": name, "namespace": "argocd", "resourceVersion": str(self.version)}
                event = {"result": {"type": "MODIFIED", "application": {"metadata": moved}}}
                await send(
                    {
                        "type": "http.response.body",
                        "body": b"data: " + json.dumps(event).encode() + b"\n\n",
                        "more_body": True,
                    }
                )
                await asyncio.sleep(self.writes / 500)


def serve(port: int, writes: float) -> None:
    import uvicorn

    def end_with_parent() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end_with_parent, daemon=True).start()
    uvicorn.run(Server(writes), host="127.0.0.1", port=port, log_level="error", lifespan="off")


# -- the two ways to wait


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Token:
    async def resolve(self, reference: str) -> Credential:
        return Credential(Secret(reference))

    def forget(self, reference: str) -> None:
        """Nothing is kept."""


class Ancestry:
    async def relation(self, observed: str, wanted: str) -> Relation:
        return Relation.EQUAL if observed == wanted else Relation.ANCESTOR


@asynccontextmanager
async def ours(url: str, waits: int) -> AsyncIterator[None]:
    settings = EngineSettings("argocd", url=url, credential="env:TOKEN", project="default")
    engine = Engine(settings, name="argo", secrets=Token(), clock=SystemClock())

    async def one(name: str) -> None:
        wait = Wait(Application("argo", name), WANTED, Source(URL, "main"))
        async with aclosing(engine.wait(wait, Ancestry())) as verdicts:
            async for _ in verdicts:
                pass

    async with tasks([one(f"app-{number:04}") for number in range(waits)]):
        yield
    await engine.aclose()


@asynccontextmanager
async def naive(url: str, waits: int) -> AsyncIterator[None]:
    async def one(name: str) -> None:
        async with httpx2.AsyncClient(headers={"authorization": "Bearer TOKEN"}, timeout=None) as client:
            while True:
                answer = (await client.get(f"{url}/api/v1/applications/{name}?project=default")).json()
                if answer["status"]["sync"]["revision"] == WANTED and answer["status"]["health"]["status"] == "Healthy":
                    return
                await asyncio.sleep(NAIVE_PERIOD)

    async with tasks([one(f"app-{number:04}") for number in range(waits)]):
        yield


@asynccontextmanager
async def tasks(jobs: list[Any]) -> AsyncIterator[None]:
    running = [asyncio.create_task(job) for job in jobs]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measured(way: Any, url: str, waits: int, seconds: float) -> dict[str, float]:
    """One way, on its own: CPU of setting up and of waiting, requests of waiting."""
    began, before = time.monotonic(), cpu()
    async with way(url, waits):
        await looked(url, waits)
        set_up = cpu() - before
        async with httpx2.AsyncClient(timeout=None) as client:
            first = (await client.get(f"{url}/counts")).json()
            before = cpu()
            await asyncio.sleep(seconds)
            waiting = cpu() - before
            last = (await client.get(f"{url}/counts")).json()
    return {
        "streams": last["streams"],
        "requests_per_minute": sum(last[key] - first[key] for key in ("get", "refresh")) * 60 / seconds,
        "refreshes_per_minute": (last["refresh"] - first["refresh"]) * 60 / seconds,
        "setup_cpu_ms_per_wait": set_up / waits * 1000,
        "cpu_ms_per_wait_and_minute": waiting / waits * 1000 * 60 / seconds,
        "seconds": time.monotonic() - began,
    }


async def looked(url: str, waits: int) -> None:
    """Until everybody has looked once, and a little longer."""
    async with httpx2.AsyncClient(timeout=None) as client:
        while (await client.get(f"{url}/counts")).json()["get"] < waits:  # noqa: ASYNC110 - it counts in another process
            await asyncio.sleep(0.5)
    await asyncio.sleep(3)


async def resident(way: Any, url: str, waits: int) -> float:
    """KiB of resident memory per wait: of that many less that of one, so that what all share is left out."""
    sizes = []
    for count in (1, waits):
        async with way(url, count):
            await looked(url, count)
            gc.collect()
            pages = int(Path("/proc/self/statm").read_text().split()[1])  # noqa: ASYNC240 - of the kernel's memory
            sizes.append(pages * resource.getpagesize() / 1024)
    return (sizes[1] - sizes[0]) / (waits - 1)


async def memory(name: str, url: str, waits: int) -> float:
    """The same in a process of its own, where nothing was freed before."""
    asked = (__file__, "--resident", name, "--url", url, "--waits", str(waits))
    process = await asyncio.create_subprocess_exec(sys.executable, *asked, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    return float(out)


@asynccontextmanager
async def server(writes: float) -> AsyncIterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serving = ("--serve", str(port), "--writes", str(writes))
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, *serving, stdin=subprocess.PIPE)
    try:
        async with httpx2.AsyncClient(timeout=None) as client:
            for _ in range(200):
                with suppress(httpx2.HTTPError):
                    await client.get(f"http://127.0.0.1:{port}/counts")
                    break
                await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


WAYS: dict[str, Any] = {"shared": ours, "naive": naive}


async def main(waits: int, seconds: float) -> dict[str, Any]:
    out: dict[str, Any] = {"waits": waits}
    for name, way in WAYS.items():
        async with server(60.0) as url:
            out[name] = await measured(way, url, waits, seconds)
        async with server(60.0) as url:
            out[name]["kib_per_wait"] = await memory(name, url, waits)
    pairs = (key for key in out["shared"] if key not in {"streams", "seconds", "refreshes_per_minute"})
    out["ratio"] = {key: out["naive"][key] / out["shared"][key] for key in pairs}
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--waits", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--serve", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--writes", type=float, default=30.0, help=argparse.SUPPRESS)
    parser.add_argument("--resident", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--url", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.resident:
        print(asyncio.run(resident(WAYS[options.resident], options.url, options.waits)))
        sys.exit()
    if options.serve:
        serve(options.serve, options.writes)
        sys.exit()
    found = asyncio.run(main(options.waits, options.seconds))
    if options.json:
        print(json.dumps(found, indent=1))
        sys.exit()
    print(f"{found['waits']} waits on one Argo CD")
    print(f"{'':32}{'shared':>10}{'naive':>10}{'ratio':>8}")
    for key, value in found["shared"].items():
        ratio = f"{found['ratio'][key]:8.1f}" if key in found["ratio"] else ""
        print(f"{key:32}{value:10.2f}{found['naive'][key]:10.2f}{ratio}")
