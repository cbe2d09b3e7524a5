"""A world in memory for the verbs: two applications, one file, a clock that only moves when told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import Application, Edit, Proposal, SetValue, Target, change_id
from loopseal.domain.revision import State, Verdict
from loopseal.ledger.memory import Ledger
from loopseal.ports import Wait
from loopseal.testing.memory import MemoryEngine, MemoryRepository
from loopseal.usecases import Route, World, draft

DAG = Actor("payments_deploy/deploy", "https://airflow.test", ActorKind.DAG)
PERSON = Actor("ada", "https://id.test", ActorKind.PERSON)
STAGING = Application("argo", "payments-staging")
EUROPE = Application("flux", "payments-eu")
VALUES = "apps/payments/values.yaml"
LATER = timedelta(minutes=20)


@dataclass
class StillClock:
    """Stands still; `sleep` moves it."""

    time: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        await asyncio.sleep(0)


@dataclass
class Scene:
    repository: MemoryRepository = field(
        default_factory=lambda: MemoryRepository({VALUES: b"image:\n  tag: v1\nreplicas: 2\n"})
    )
    argo: MemoryEngine = field(default_factory=MemoryEngine)
    flux: MemoryEngine = field(default_factory=MemoryEngine)
    clock: StillClock = field(default_factory=StillClock)
    ledger: Ledger = field(default_factory=Ledger)
    applications: tuple[Application, ...] = (STAGING,)
    dags: tuple[str, ...] = ("payments_*",)

    def world(self) -> World:
        target = Target("payments-staging", "platform", "main", ("apps/payments/**",), self.applications)
        engines = {"argo": self.argo, "flux": self.flux}
        return World(
            routes={target.name: Route(target, self.dags)},
            repository=lambda _: self.repository,
            engine=lambda application: engines[application.engine],
            ledger=self.ledger,
            clock=self.clock,
            policy_set="sha256:0",
        )

    async def draft(
        self, *edits: Edit, name: str = "one", actor: Actor = DAG, target: str = "payments-staging"
    ) -> Proposal:
        chosen = edits or (SetValue(VALUES, "image.tag", "v2"),)
        return await draft(
            self.world(), change_id=change_id(name), target=target, edits=chosen, reason="model v2 passed", actor=actor
        )

    def value(self) -> bytes:
        return self.repository.commits[-1].files[VALUES]

    def deadline(self) -> datetime:
        return self.clock.now() + LATER


def verdicts(*told: tuple[State, str], observed: str | None = None):
    """A script: these states and reasons, observing the wanted revision unless said otherwise."""

    def script(wait: Wait) -> Sequence[Verdict]:
        seen = wait.revision if observed is None else observed
        return [Verdict(state, reason, observed=seen) for state, reason in told]

    return script


HEALTHY = verdicts((State.PENDING, "HEALTH_PROGRESSING"), (State.SUCCEEDED, "HEALTHY"))
DEGRADED = verdicts((State.PENDING, "HEALTH_PROGRESSING"), (State.FAILED, "DEGRADED"))
