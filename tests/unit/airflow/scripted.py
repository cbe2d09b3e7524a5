"""An engine of our own (`kind: tests.unit.airflow.scripted`) that answers as the application's name says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from loopseal.domain.proposal import Application
from loopseal.domain.revision import Resource, State, Verdict
from loopseal.errors import Code, Unreachable
from loopseal.ports import Evidence, Finding, Level, Wait
from loopseal.testing.memory import MemoryEngine

unreachable: list[Unreachable] = []
"""Raised by the next calls of `baseline`, one each."""
closed: list[str] = []
acted: list[str] = []


def reset() -> None:
    unreachable.clear()
    closed.clear()
    acted.clear()


def down() -> Unreachable:
    return Unreachable(Code.ENGINE_UNREACHABLE, "nobody answers", where="https://engine.test", hint="Wait.")


class Engine(MemoryEngine):
    def __init__(self, settings: Any, *, name: str, secrets: Any, clock: Any, tap: Any = None, transport: Any = None):
        super().__init__(script=self._says, kind=settings.context or "scripted")

    def _says(self, wait: Wait) -> Iterable[Verdict]:
        yield Verdict(State.PENDING, "HEALTH_PROGRESSING", observed=wait.revision)
        match wait.application.name:
            case "good":
                yield Verdict(State.SUCCEEDED, "HEALTHY", observed=wait.revision)
            case "bad":
                why = (Resource("Deployment", "api", status="Degraded", message="cannot pull the image"),)
                yield Verdict(State.FAILED, "DEGRADED", "the rollout failed", wait.revision, why)
            case "gone":
                yield Verdict(State.SUPERSEDED, "REVISION_DIVERGED", "the branch was rewritten", "f" * 40)

    async def preflight(self, application: Application, source: Any, tolerance: Any) -> list[Finding]:
        if application.name == "deaf":
            return [Finding(Level.ERROR, "PATH", "it reads from another folder", "argo/deaf", "Move the file.")]
        return [Finding(Level.NOTE, "RETRY", "no retry policy")]

    async def baseline(self, application: Application) -> Mapping[str, Any]:
        if unreachable:
            raise unreachable.pop()
        return {}

    async def status(self, application: Application) -> Mapping[str, Any]:
        return {"revision": f"main@sha1:{'a' * 40}" if application.name != "empty" else ""}

    async def act(self, application: Application, revision: str = "") -> str:
        acted.append(f"{application.name}@{revision}")
        return "sync"

    async def evidence(self, application: Application, verdict: Verdict) -> Evidence:
        return Evidence((("Events of api", "Failed to pull\nBackOff"),), (("page", "https://engine.test/bad"),))

    async def check(self) -> list[Finding]:
        return []

    async def aclose(self) -> None:
        closed.append("engine")
