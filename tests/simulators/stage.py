"""Plays a recording to a simulator: the same pushes, requests and patches at the same (virtual) times.

What the recorder did outside the recording's own channels (a slow fetch, a key ring, a stopped process) is told here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2

from loopseal.testing.argocd import ArgoCD, Pace
from loopseal.testing.clock import run
from loopseal.testing.flux import Flux
from loopseal.testing.gitview import MemoryRepositories, MemoryRepository
from loopseal.testing.objects import project
from loopseal.testing.store import Change

RECORDED = Path(__file__).parents[1] / "recorded"

Recording = dict[str, Any]

PACE = Pace(resync=60.0, ref_cache=60.0, grace=20.0)
"""What the recorded Argo CD was told; the rest is the simulator's default."""

AFTERWARDS = 8.0
"""Seconds to go on after the recorder stopped, often in the middle of a transition."""

RIGHT_KEY = "FE98C31DEEDC2D7B"
OTHER_KEY = "F3EE9494EC7DAF26"

REPO_SERVER = (
    'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: '
    'dial tcp repo-server.test: connect: connection refused"'
)
NO_REPOSITORY = "rpc error: code = Unknown desc = failed to list refs: repository not found: "


def load(system: str, name: str) -> Recording:
    """One recording."""
    return json.loads((RECORDED / system / f"{name}.json").read_text())


def names(recording: Recording) -> dict[str, str]:
    """Commit ids as C1, C2, … in order of their pushes."""
    pushed = dict.fromkeys(event["body"]["sha"] for event in recording["events"] if event["channel"] == "git")
    return {sha: f"C{number}" for number, sha in enumerate(pushed, 1)}


def recorded(recording: Recording, channel: str) -> list[tuple[float, Mapping[str, Any]]]:
    """The watch events of one channel: time and event."""
    return [(event["t"], event["body"]) for event in recording["events"] if event["channel"] == channel]


class Stage:
    """One simulator on which a recording is played. `seen` collects every change of its cluster."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.repository = MemoryRepository()
        self.seen: list[tuple[float, dict[str, Any]]] = []
        self.answers: list[tuple[Mapping[str, Any], int, Any]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def end(self) -> float:
        """When the recorder stopped."""
        return float(self.recording["events"][-1]["t"])

    def watched(self, kind: str) -> list[tuple[float, Mapping[str, Any]]]:
        """What a watch of that kind would have brought."""
        return [(at, event) for at, event in self.seen if event["object"]["kind"] == kind]

    async def play(self, store: Any, act: Callable[[float, Mapping[str, Any]], Awaitable[None]]) -> None:
        """All events in order, each at its time."""
        loop = asyncio.get_running_loop()

        def note(change: Change) -> None:
            self.seen.append((loop.time(), {"type": change.type, "object": change.object}))

        store.listen(note)
        for event in self.recording["events"]:
            if event["channel"] == "git":
                await _until(event["t"])
                self._push(event["body"])
            elif event["channel"] in {"action", "http"}:
                await _until(event["t"])
                await act(event["t"], event)
        await _until(self.end + AFTERWARDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def spawn(self, work: Any) -> None:
        """Let something run beside the recording."""
        self._tasks.add(asyncio.get_running_loop().create_task(work))

    def _push(self, body: Mapping[str, Any]) -> None:
        message = body["message"]
        unsigned, other = message.startswith("unsigned"), "another key" in message
        signer = "" if unsigned else OTHER_KEY if other else RIGHT_KEY
        parent = body["parents"][0] if body["parents"] else None
        onto = parent if body["forced"] else None
        self.repository.commit(body["files"], message, signer=signer, onto=onto, sha=body["sha"])


async def _until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))


def play_argocd(recording: Recording) -> Stage:
    """Play to a simulated Argo CD."""
    stage = Stage(recording)
    git = MemoryRepositories({f"http://git.test/{recording['targets']['application'][1]}.git": stage.repository})

    async def main() -> None:
        async with ArgoCD(git, pace=PACE) as argocd:
            actor = _ArgoActor(stage, argocd)
            _prepare(recording["scenario"], argocd)
            if recording["scenario"] == "lost-refresh":
                stage.spawn(actor.slow_fetch(4.0, 9.2))
            await stage.play(argocd.store, actor.act)

    run(main)
    return stage


def _prepare(scenario: str, argocd: ArgoCD) -> None:
    if scenario == "signature-gpg":
        argocd.store.create(project("signed", signatureKeys=[{"keyID": RIGHT_KEY}]))
    if scenario == "sync-window":
        argocd.store.create(project("windowed"))


class _ArgoActor:
    """Does to the simulated Argo CD what the recorder did to the real one."""

    def __init__(self, stage: Stage, argocd: ArgoCD) -> None:
        self._stage, self._argocd = stage, argocd

    async def act(self, at: float, event: Mapping[str, Any]) -> None:
        del at
        body, faults = event["body"], self._argocd.faults
        if event["channel"] == "http":
            await self._call(body)
            return
        match body["do"]:
            case "apply":
                self._argocd.store.create(body["object"])
            case "refresh":
                self._stage.spawn(self._refresh(body["mode"]))
            case "patch":
                self._argocd.store.patch(body["kind"], self._namespace(body), body["name"], body["patch"])
            case "delete":
                self._argocd.store.delete(body["kind"], self._namespace(body), body["name"])
            case "repo-server stopped":
                faults.fetch_error = REPO_SERVER
            case "repository gone":
                faults.fetch_error = NO_REPOSITORY
            case "repo-server started" | "repository back":
                faults.fetch_error = ""
            case "argocd-server killed":
                faults.kill()
            case "argocd-server started":
                faults.restart()
            case "add deny window":
                window = {"kind": "deny", "schedule": "* * * * *", "duration": "24h", "applications": ["*"]}
                self._windows([{**window, "manualSync": False}])
            case "remove deny window":
                self._windows(None)
            case other:
                raise AssertionError(other)

    async def slow_fetch(self, begin: float, end: float) -> None:
        await _until(begin)
        self._argocd.faults.fetch_delay = 5.0
        await _until(end)
        self._argocd.faults.fetch_delay = 0.0

    def _namespace(self, body: Mapping[str, Any]) -> str:
        return "argocd" if body["kind"] == "Application" else self._stage.recording["targets"]["application"][1]

    def _windows(self, windows: Any) -> None:
        self._argocd.store.patch("AppProject", "argocd", "windowed", {"spec": {"syncWindows": windows}})

    async def _refresh(self, mode: str) -> None:
        name = self._stage.recording["targets"]["application"][1]
        app = self._argocd.store.need("Application", "argocd", name)
        await self._send(
            "GET", f"/api/v1/applications/{name}?project={app['spec']['project']}&refresh={mode}", None, "bot"
        )

    async def _call(self, body: Mapping[str, Any]) -> None:
        """A single call; who made it shows in the answer, or in the words about it."""
        wanted = body.get("answer", {})
        if "request" not in body or not wanted.get("status"):
            return
        what = body["what"]
        as_bot = "as bot" in what or "sub: bot" in str(wanted.get("body")) or what == "syncwindows"
        who = {"no token": "", "wrong token": "wrong", "no permission": "blind", "get only": "bot"}
        caller = next((name for words, name in who.items() if what.startswith(words)), "bot" if as_bot else "ops")
        request = body["request"]
        status, answer = await self._send(request["method"], request["path"], request["body"], caller, what)
        self._stage.answers.append((body, status, answer))

    async def _send(self, method: str, path: str, body: Any, caller: str, what: str = "") -> tuple[int, Any]:
        headers = {"content-type": "application/json"}
        if "without content type" in what:
            headers = {"content-type": "text/plain"}
        if caller:
            known = self._argocd.accounts.get(caller)
            headers["authorization"] = f"Bearer {known.token if known else caller}"
        if "/stream/" in path and "as JSON" not in what:
            headers["accept"] = "text/event-stream"
        transport = self._argocd.transport()
        async with httpx2.AsyncClient(transport=transport, base_url="http://argocd.test", timeout=120) as client:
            try:
                answer = await client.request(method, path, json=body if body is not None else None, headers=headers)
            except httpx2.TransportError:
                return 0, None
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, answer.text


def play_flux(recording: Recording) -> Stage:
    """Play to a simulated Flux."""
    stage = Stage(recording)
    namespace = f"f-{recording['scenario']}"

    async def main() -> None:
        git = MemoryRepositories({f"http://git.test/{namespace}.git": stage.repository})
        async with Flux(git, requeue=5.0) as flux:
            if recording["scenario"] == "signature-pgp":
                secret = {"kind": "Secret", "metadata": {"name": "keys", "namespace": namespace}}
                flux.store.create({**secret, "data": {f"{RIGHT_KEY}.asc": ""}})

            async def act(at: float, event: Mapping[str, Any]) -> None:
                del at
                body = event["body"]
                match body["do"]:
                    case "apply":
                        flux.store.create(body["object"])
                    case "patch":
                        flux.store.patch(body["kind"], namespace, body["name"], body["patch"])
                    case other:
                        raise AssertionError(other)

            await stage.play(flux.store, act)

    run(main)
    return stage
