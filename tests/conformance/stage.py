"""The half of a world that is the same with simulated and with real peers: settings, engine, waits, drives, calls.

Everything goes through `loopseal.wiring`, as in production: what is under test is the whole way, not an engine alone.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, Self

import httpx2

from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import Application, Edit, change_id
from loopseal.domain.revision import State, Tolerance, Verdict
from loopseal.errors import Code, ConfigError
from loopseal.ledger.memory import Ledger
from loopseal.net import calls
from loopseal.ports import Clock, Credential, Evidence, Secret, Source, Wait
from loopseal.settings import EngineSettings, RepositorySettings, Settings, TargetSettings
from loopseal.testing import health
from loopseal.usecases import OnFailure, Progress, draft, drive, propose
from loopseal.wiring import Workshop
from tests.conformance.content import deployment
from tests.conformance.waiting import Waiting
from tests.conformance.world import NOTHING, QUICK, Kind, Live
from tests.peers.taping import Tape

ENGINE: Final = "peer"
PLATFORM: Final = "platform"
TOKEN: Final = "env:TOKEN"
KUBECONFIG: Final = "env:KUBECONFIG"
PATIENCE: Final[Mapping[str, Any]] = {"timeout": 5.0, "poll": 3.0}
"""Of the engines: what hangs is given up soon, and what no stream tells is looked at soon."""
ACTOR: Final = Actor("conformance", "https://airflow.test", ActorKind.PERSON)


class Vault:
    """`ports.Secrets` over a dict. `renewed` are the values that are found once a reference was forgotten."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.renewed: dict[str, str] = {}

    async def resolve(self, reference: str) -> Credential:
        """The value, as whoever asks anew finds it."""
        if reference not in self.values:
            raise ConfigError(Code.CONFIG_SECRET, "no such secret", where=reference)
        return Credential(Secret(self.values[reference]), username="git")

    def forget(self, reference: str) -> None:
        """It was refused."""
        self.values[reference] = self.renewed.pop(reference, self.values[reference])


class _Overheard(logging.Handler):
    """Collects the record of calls."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[dict[str, Any]] = []

    def begin(self) -> None:
        """Listen."""
        calls.logger.addHandler(self)
        calls.logger.setLevel(logging.DEBUG)
        calls.logger.propagate = False  # a thousand lines beside a failure hide it

    def end(self) -> None:
        """Listen no more; the last one leaves the logger as it was."""
        calls.logger.removeHandler(self)
        if not any(isinstance(one, _Overheard) for one in calls.logger.handlers):
            calls.logger.setLevel(logging.NOTSET)
            calls.logger.propagate = True

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what was asked."""
        line = json.loads(record.getMessage())
        if line["event"] == "call":
            self.lines.append(line)


class Stage(ABC):
    """A `World` but for what its peers are made of. Use it as `async with`, on the loop that the scenario runs on."""

    def __init__(self, kind: Kind, name: str, clock: Clock) -> None:
        self.kind, self.name, self.clock = kind, name, clock
        self.vault = Vault()
        self.waits: list[Waiting] = []
        self.tape: Tape | None = None
        """Records what the engine hears, where somebody wants it."""
        self._calls = _Overheard()
        self._workshop: Workshop | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The repository, as its readers and writers call it."""

    @abstractmethod
    def engine_settings(self) -> EngineSettings:
        """How we come to the engine."""

    @abstractmethod
    def application(self, app: str) -> Application:
        """The application of that name, as settings name it."""

    @abstractmethod
    async def rollout(self, app: str) -> Mapping[str, Any] | None:
        """The Deployment in the application's namespace, asked past everything that is under test."""

    @abstractmethod
    async def commit(self, files: Mapping[str, str | None], *, onto: str = "") -> str:
        """See World."""

    @abstractmethod
    async def create(self, app: str = "web", *, after: str = "") -> None:
        """See World."""

    def transports(self) -> Mapping[str, httpx2.AsyncBaseTransport]:
        """What stands in for the network, by name of engine or repository."""
        return {}

    async def __aenter__(self) -> Self:
        self._calls.begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        for waiting in self.waits:
            await waiting.aclose()
        if self._workshop is not None:
            await self._workshop.aclose()
        self._calls.end()

    def open(self) -> None:
        """Make engine and repository anew: what they had learnt is gone."""
        chosen = RepositorySettings(self.url, author="loopseal <loopseal@conformance.test>", mode="wire")
        targets = {
            "web": TargetSettings(PLATFORM, ("apps/**",), (self.application("web"),), timeout=90.0, tolerance=QUICK)
        }
        settings = Settings({PLATFORM: chosen}, {ENGINE: self.engine_settings()}, targets)
        tap = self.tape.tap if self.tape is not None else None
        self._workshop = Workshop(settings, self.vault, self.clock, tap, self.transports())

    async def reopen(self) -> None:
        """Let go of engine and repository, and make new ones."""
        if self._workshop is not None:
            await self._workshop.aclose()
        self.open()

    @property
    def workshop(self) -> Workshop:
        """Engine and repository."""
        if self._workshop is None:
            self.open()
        assert self._workshop is not None
        return self._workshop

    def wait(self, revision: str, app: str = "web", *, patience: Tolerance = QUICK) -> Waiting:
        """See World."""
        application = self.application(app)
        uses = self.workshop.world(Ledger())
        repository = uses.repository(uses.route("web").target)
        wait = Wait(application, revision, Source(self.url, "main", (f"apps/{app}/**",)), patience)
        engine = uses.engine(application)
        if self.tape is None:
            verdicts = engine.wait(wait, repository)
        else:
            begun, ancestry = self.tape.begins(wait, repository)
            verdicts = self.tape.follow(engine.wait(wait, ancestry), begun)
        waiting = Waiting(verdicts, lambda: self.live(app), self.clock, self.clock.monotonic())
        self.waits.append(waiting)
        return waiting

    async def begin(self) -> str:
        """See World."""
        first = await self.commit(deployment("v1"))
        await self.create()
        waiting = self.wait(first, patience=replace(QUICK, create_grace=30.0, error_grace=60.0))
        await waiting.ends(State.SUCCEEDED, live=Live("v1"))
        return first

    async def drive(self, edits: Sequence[Edit]) -> AsyncGenerator[Progress, None]:
        """See World."""
        uses, change = self.workshop.world(Ledger()), change_id("conformance", self.kind, self.name)
        proposal = await draft(uses, change_id=change, target="web", edits=edits, reason="a new image", actor=ACTOR)
        await propose(uses, proposal)
        deadline = self.clock.now() + timedelta(seconds=90)
        async for step in drive(uses, change, deadline=deadline, on_failure=OnFailure.REVERT):
            yield step

    async def evidence(self, verdict: Verdict, app: str = "web") -> Evidence:
        """See World."""
        application = self.application(app)
        return await self.workshop.engine(application).evidence(application, verdict)

    async def live(self, app: str = "web") -> Live:
        """See World."""
        found = await self.rollout(app)
        if found is None:
            return NOTHING
        named = found["spec"]["template"]["spec"]["containers"][0]["image"]
        told = health.argo(found)
        return Live(named.rpartition(":")[2], available=told is not None and told[0] == "Healthy")

    def calls(self) -> Sequence[str]:
        """See World."""
        server = self.server()
        return [f"{line['method']} {line['path']}" for line in self._calls.lines if line["server"] == server]

    def server(self) -> str:
        """The address that the record of calls names."""
        return self.engine_settings().url.rstrip("/")

    def by(self, *, argocd: str, flux: str, objects: str = "") -> str:
        """See World."""
        return {Kind.ARGOCD: argocd, Kind.OBJECTS: objects or argocd, Kind.FLUX: flux}[self.kind]
