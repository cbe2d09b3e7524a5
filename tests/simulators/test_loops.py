"""Whole changes over the simulators: the verbs, the real engine, killed and begun anew, with others committing beside.

I6 a revert puts our key back and drops nothing of others · I8 the change stands on the branch exactly once, its revert at
most once, however often the task was killed, also between the push and its record · and what ends healthy is live.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import yaml

from loopseal.domain.change import Change, Phase
from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import Application, SetValue, Target, change_id
from loopseal.domain.revision import Tolerance
from loopseal.engines.argocd import Engine
from loopseal.errors import Code, LoopsealError, Unreachable
from loopseal.ledger.memory import Ledger
from loopseal.settings import EngineSettings
from loopseal.testing import objects
from loopseal.testing.argocd import ArgoCD
from loopseal.testing.clock import run
from loopseal.testing.gitview import GitFailure
from loopseal.testing.memory import MemoryRepository
from loopseal.usecases import OnFailure, Route, World, draft, drive, propose
from loopseal.usecases.revert import revert_id
from tests.simulators.schedules import Secrets
from tests.simulators.worlds import PACE, RETRY

WEB, SETTINGS = "apps/web/web.yaml", "apps/web/settings.yaml"
IMAGE = "spec.template.spec.containers[0].image"
ACTOR = Actor("web/deploy", "https://airflow.test", ActorKind.DAG)
ARGO = Application("argo", "web", project="default")
TARGET = Target("web", "platform", "main", ("apps/web/**",), (ARGO,))
TOLERANCE = Tolerance(settle=0.5, error_grace=15.0, degraded_grace=4.0, drift_grace=8.0, wedge=30.0)
BLOCK = 25


class View:
    """The controllers' view of the repository that the verbs write to."""

    def __init__(self, repository: MemoryRepository) -> None:
        self._repository = repository

    async def resolve(self, url: str, ref: str) -> str:
        del url
        return self._repository.commits[-1].id if len(ref) != 40 else ref

    async def files(self, url: str, revision: str, path: str) -> Mapping[str, str] | None:
        del url
        found = next((one for one in self._repository.commits if one.id == revision), None)
        if found is None:
            raise GitFailure("reference is not a tree")
        prefix = path.strip("./") + "/"
        inside = {name: data.decode() for name, data in found.files.items() if name.startswith(prefix)}
        return {name.removeprefix(prefix): text for name, text in inside.items()} or None

    async def signer(self, url: str, revision: str) -> str:
        del url, revision
        return ""


@dataclass
class Loop:
    """One change, from proposal to its end, under kills."""

    seed: int
    broken: bool = False
    kills: int = 0
    foreign: list[str] = field(default_factory=list)
    change: Change | None = None
    reverting: Change | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.broken = self.dice.random() < 0.4
        web = yaml.safe_dump(objects.deployment("web", "registry.test/web:v1", deadline=10), sort_keys=False)
        settings = yaml.safe_dump(objects.config_map("settings", serial="0"), sort_keys=False)
        self.repository = MemoryRepository({WEB: web.encode(), SETTINGS: settings.encode()})
        self.ledger = Ledger()
        self.id = change_id("loop", str(self.seed))

    async def play(self) -> ArgoCD:
        random.seed(self.seed)
        async with ArgoCD(View(self.repository), pace=PACE) as argocd:
            argocd.create(
                "web", url="https://git.test/repo.git", path="apps/web", automated={"prune": True}, retry=RETRY
            )
            await asyncio.sleep(4.0)
            others = asyncio.create_task(self._others(argocd))
            await self._task(argocd)
            await others
            await asyncio.sleep(30.0)
            return argocd

    async def _task(self, argocd: ArgoCD) -> None:
        """The task, tried again until it ends: killed at random times, its records and the branch outliving it."""
        for _ in range(12):
            attempt = asyncio.create_task(self._attempt(argocd))
            limit = self.dice.uniform(0.0, 12.0) if self.kills < 3 and self.dice.random() < 0.6 else None
            if self.dice.random() < 0.3 and not self.kills:
                # between the push and its record: the commit stands, the answer is lost
                self.repository.lose_answers.append(Unreachable(Code.GIT_UNREACHABLE, "broken after the push"))
            await asyncio.wait({attempt}, timeout=limit)
            if not attempt.done():
                attempt.cancel()
                self.kills += 1
            [ended] = await asyncio.gather(attempt, return_exceptions=True)
            if ended is None:
                return
            assert isinstance(ended, asyncio.CancelledError | LoopsealError), ended
        raise AssertionError("the task never ended")

    async def _attempt(self, argocd: ArgoCD) -> None:
        settings = EngineSettings("argocd", url="http://argocd.test", credential="env:TOKEN", project="default")
        engine = Engine(settings, name="argo", secrets=Secrets(), clock=argocd.clock, transport=argocd.transport())
        world = World(
            {"web": Route(TARGET, ("web",), 300.0, TOLERANCE)},
            lambda _: self.repository,
            lambda _: engine,
            self.ledger,
            argocd.clock,
        )
        tag = "broken" if self.broken else "v2"
        try:
            edit = SetValue(WEB, IMAGE, f"registry.test/web:{tag}")
            if not await self.ledger.read(self.id):
                proposal = await draft(
                    world, change_id=self.id, target="web", edits=(edit,), reason="a new image", actor=ACTOR
                )
                await propose(world, proposal, dag="web")
            deadline = argocd.clock.now() + timedelta(seconds=300)
            async for step in drive(world, self.id, deadline=deadline, on_failure=OnFailure.REVERT, dag="web"):
                self.notes.append(step.note)
                if step.change.id == self.id:
                    self.change = step.change
                else:
                    self.reverting = step.change
        finally:
            await engine.aclose()

    async def _others(self, argocd: ArgoCD) -> None:
        """Somebody else commits to another file of the same application; the peer has its troubles."""
        for number in range(self.dice.randrange(4)):
            await asyncio.sleep(self.dice.uniform(0.5, 15.0))
            text = yaml.safe_dump(objects.config_map("settings", serial=f"{number + 1}"), sort_keys=False)
            self.foreign.append(self.repository.foreign(SETTINGS, text.encode()))
            match self.dice.randrange(4):
                case 0:
                    argocd.faults.lost_refreshes = 1
                case 1:
                    argocd.faults.cut_streams()
                case 2:
                    await argocd.restart_controller()
                case _:
                    argocd.faults.burst += [503]


@pytest.mark.parametrize("first", range(0, 100, BLOCK))
def test_changes_are_whole(first: int) -> None:
    ends: Counter[str] = Counter()
    for seed in range(first, first + BLOCK):
        loop = Loop(seed)
        argocd = run(loop.play)
        problems = broken(loop, argocd)
        assert not problems, f"seed {seed}: {problems} {loop.notes}"
        assert loop.change is not None
        ends[str(loop.change.phase)] += 1
        ends["killed"] += bool(loop.kills)
    assert ends[str(Phase.HEALTHY)] > 0
    assert ends[str(Phase.FAILED)] > 0
    assert ends["killed"] > 0


def broken(loop: Loop, argocd: ArgoCD) -> list[str]:
    """What is wrong at the end of a loop; empty when nothing is."""
    out = []
    commits = loop.repository.commits
    ids = Counter(one.proposal.id for one in commits if one.proposal)
    if ids[loop.id] != 1:
        out.append(f"I8: the change stands {ids[loop.id]} times on the branch")
    if ids[revert_id(loop.id)] > 1:
        out.append("I8: the revert stands twice on the branch")
    tip = commits[-1].files
    if loop.foreign and tip[SETTINGS] != next(one for one in commits if one.id == loop.foreign[-1]).files[SETTINGS]:
        out.append("I6: a commit of somebody else was lost")
    image = yaml.safe_load(tip[WEB])["spec"]["template"]["spec"]["containers"][0]["image"]
    wanted = "registry.test/web:v1" if loop.broken else "registry.test/web:v2"
    if image != wanted:
        out.append(f"I6: the branch says {image}")
    live: Any = argocd.store.need("Deployment", "web", "web")
    if live["spec"]["template"]["spec"]["containers"][0]["image"] != wanted:
        out.append("what is live is not what the branch says")
    phase = loop.change.phase if loop.change else None
    if phase is not (Phase.FAILED if loop.broken else Phase.HEALTHY):
        out.append(f"the change ended {phase}")
    if loop.broken and (loop.reverting is None or loop.reverting.phase is not Phase.HEALTHY):
        out.append("the revert did not become healthy")
    return out
