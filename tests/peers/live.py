"""What the cluster really runs, told by the API server alone: watches that remember, and a look at one object now.

The oracle of the tests on the real peers. It shares no code with the engines that it judges, and it goes past every
relay that a test breaks. It looks like the store of the simulators, so that the oracle of the random schedules
(`tests.simulators.schedules.Truth`) reads from either.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Self

import httpx2

from loopseal.testing.store import Change
from tests.peers.kube import Kube, KubeError

KINDS = ("Deployment", "ConfigMap", "Application", "Kustomization")
_PAUSE = 0.2
_PATIENCE = 120.0
_ROUND = 3
"""Seconds of one watch: it then begins anew with everything there is, so nothing that lasts is missed."""


class Live:
    """A memory of some kinds of objects, kept by watches in threads. Listeners are called on the loop it was opened on."""

    def __init__(self, kube: Kube, kinds: Iterable[str] = KINDS) -> None:
        self._kube, self._kinds = kube, tuple(kinds)
        self._objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._listeners: list[Callable[[Change], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for kind in self._kinds:
            thread = threading.Thread(target=self._watch, args=(kind,), name=f"live-{kind}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        await asyncio.to_thread(lambda: [thread.join(_PATIENCE) for thread in self._threads])

    def monotonic(self) -> float:
        """The time of the moments that are remembered, in seconds."""
        return time.monotonic()

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """The object as it was last heard of."""
        return self._objects.get((kind, namespace, name))

    def listen(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call `listener` after each change; the answer ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def look(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        """The object as the API server shows it now; waits for an API server that is down."""
        found = await asyncio.to_thread(self._look, kind, namespace, name)
        if found is not None:
            self._feed(kind, "MODIFIED", found)
        elif self.get(kind, namespace, name) is not None:
            self._feed(kind, "DELETED", self._objects[kind, namespace, name])
        return found

    def _look(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                return self._kube.get(kind, namespace, name)
            except (KubeError, OSError) as error:  # it is down, or has just come back and is not ready
                if time.monotonic() > end:
                    raise TimeoutError(f"the API server did not answer for {_PATIENCE:g} s") from error
            time.sleep(_PAUSE)

    def _watch(self, kind: str) -> None:
        while not self._over.is_set():
            try:
                with self._kube.watch(kind, "", timeoutSeconds=str(_ROUND)) as events:
                    for event in events:
                        self._tell(kind, event["type"], event["object"])
            except (KubeError, LookupError, OSError, httpx2.HTTPError):
                self._over.wait(_PAUSE)

    def _tell(self, kind: str, event: str, found: dict[str, Any]) -> None:
        if self._loop is not None and "name" in found.get("metadata", {}):
            self._loop.call_soon_threadsafe(self._feed, kind, event, found)

    def _feed(self, kind: str, event: str, found: dict[str, Any]) -> None:
        metadata = found["metadata"]
        key = (kind, metadata.get("namespace", ""), metadata["name"])
        if event == "DELETED":
            self._objects.pop(key, None)
        elif _version(found) > _version(self._objects.get(key)):
            self._objects[key] = {**found, "kind": kind}
        else:  # told before: a watch begins with what is there, and a look may be ahead of it
            return
        for listener in tuple(self._listeners):
            listener(Change(0, event, {**found, "kind": kind}))


def _version(found: dict[str, Any] | None) -> int:
    """Versions of one object only grow (KEP-5504 makes that a promise)."""
    return int(found["metadata"]["resourceVersion"]) if found else -1
