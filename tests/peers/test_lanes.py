"""Lanes, random waits and tapes on the simulators: what the real tier uses is tried out wherever tests run."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from loopseal.domain.revision import State, Verdict
from loopseal.engines import replay
from loopseal.engines.recording import read
from loopseal.ports import Wait
from tests.peers import random_waits, random_waits_page
from tests.peers.lanes import WAYS, Engines, Lane
from tests.peers.live import Live
from tests.peers.rehearsal import Rehearsal
from tests.peers.taping import Tape
from tests.simulators.schedules import TOLERANCE


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    with Rehearsal(tmp_path_factory.mktemp("rehearsal")) as one:
        yield one


async def _taped(rehearsal, folder, way: str, kind: str) -> tuple[Verdict, bool]:
    engines = Engines(rehearsal, folder)
    engines.prepare()
    async with Live(rehearsal.kube) as live:
        lane = Lane(rehearsal, live, way, f"taped-{kind}-{way.replace('_', '-')}")
        await lane.open()
        await lane.recover(push=False)
        names = {rehearsal.git.server: "http://git.test", rehearsal.kube.url: "https://kubernetes.test"}
        system = "flux" if way == "flux" else "argocd"
        tape = Tape(folder / f"{kind}.json", engines.clock, system=system, scenario=kind, only=lane.name)
        engine = engines.make(engines.settings(way), tape.tap)
        wait = Wait(
            lane.application, await lane.commit(kind), lane.source, replace(TOLERANCE, settle=0.3, error_grace=2.0)
        )
        mark, ancestry = tape.begins(wait, lane.graph)
        try:
            async for verdict in tape.follow(engine.wait(wait, ancestry), mark):
                if verdict.state.final:
                    return verdict, tape.close(names)
        finally:
            await engine.aclose()
    raise AssertionError("no final verdict")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("kind", "state"), [("good", State.SUCCEEDED), ("unreadable", State.FAILED)])
@pytest.mark.slow
def test_a_tape_replays_to_the_same_verdict(rehearsal, tmp_path, way, kind, state):
    verdict, faithful = asyncio.run(_taped(rehearsal, tmp_path, way, kind))
    assert verdict.state is state
    assert faithful
    found = read(tmp_path / f"{kind}.json")
    assert replay.replay(found).ok
    assert [(want.state, want.reason) for want in found.wants] == [(state.value, verdict.reason)]
    assert set(found.versions) >= {"kubernetes", "kwok"}
    assert found.facts["date"]
    text = (tmp_path / f"{kind}.json").read_text()
    assert rehearsal.git.server not in text
    assert "admin-token" not in text
    assert "bot-token" not in text


def test_a_tape_that_does_not_replay_leaves_no_file(rehearsal, tmp_path):
    engines = Engines(rehearsal, tmp_path)
    path = tmp_path / "wrong.json"
    tape = Tape(path, engines.clock, system="flux", scenario="wrong")
    lane = Lane(rehearsal, Live(rehearsal.kube), "flux", "nothing")
    mark, _ = tape.begins(Wait(lane.application, "a" * 40, lane.source, TOLERANCE), lane.graph)
    tape.ended(mark, Verdict(State.SUCCEEDED, "APPLIED"))
    assert not tape.close({})
    assert not path.exists()


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_random_waits_go_well_on_the_simulators(rehearsal, tmp_path):
    told: list[str] = []
    report = asyncio.run(random_waits.play(rehearsal, tmp_path, random_waits.seeds_of(40, 6), 1, told.append))
    runs = report.runs
    assert len(runs) == 6
    assert not [run for run in runs if run.wrong], told
    assert json.dumps([run.steps for run in runs])
    assert "killed: " in told[-1]
    shown = random_waits_page.page(report, "2026-01-01")
    assert "6 waits" in shown
    assert "0 wrong, 0 hung" in shown
    assert shown.count("\n| ") == len(WAYS) + 1
