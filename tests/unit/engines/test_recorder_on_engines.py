"""A wait of the real engines, recorded, is the same wait when it is replayed."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from loopseal.domain.revision import State
from loopseal.engines import argocd, flux
from loopseal.engines.recorder import Recorder
from loopseal.engines.recording import read
from loopseal.engines.replay import replay
from loopseal.ports import Wait
from loopseal.settings import EngineSettings
from loopseal.testing.clock import LoopClock, run
from tests.unit.engines.worlds import QUICK, SOURCE, argo, deployment, fluxcd


async def recorded(world, engine, revision, recorder):
    wait = Wait(world.app, revision, SOURCE, QUICK)
    recorder.waits(wait)
    try:
        async with aclosing(engine.wait(wait, recorder.listening(world.graph))) as told:
            return [verdict async for verdict in told]
    finally:
        await engine.aclose()
        recorder.close()


@pytest.mark.parametrize(("image", "state"), [("web:v2", State.SUCCEEDED), ("web:broken", State.FAILED)])
def test_argo_cd(tmp_path, image, state):
    path = tmp_path / "flight.json"

    async def main():
        async with argo() as world:
            clock = LoopClock()
            recorder = Recorder(path, clock, system="argocd")
            settings = EngineSettings("argocd", url="http://argocd.test", credential="env:ARGO", project="default")
            engine = argocd.Engine(
                settings, name="argo", secrets=world.vault, clock=clock, tap=recorder, transport=world.wire
            )
            revision = world.git.commit({"apps/a/web.yaml": deployment(image, deadline=5)})
            return await recorded(world, engine, revision, recorder)

    verdicts = run(main)
    assert verdicts[-1].state is state
    (outcome,) = replay(read(path)).outcomes
    assert outcome.reached is not None
    assert (outcome.reached.state, outcome.reached.reason) == (state, verdicts[-1].reason)
    assert outcome.ended is not None
    assert "bot-token" not in path.read_text()


def test_flux(tmp_path):
    path = tmp_path / "flight.json"

    async def main():
        async with fluxcd() as world:
            clock = LoopClock()
            recorder = Recorder(path, clock, system="flux")
            settings = EngineSettings("flux", kubeconfig="env:CONFIG")
            engine = flux.Engine(
                settings, name="eu1", secrets=world.vault, clock=clock, tap=recorder, transport=world.wire
            )
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:v2")})
            return await recorded(world, engine, revision, recorder)

    verdicts = run(main)
    assert verdicts[-1].state is State.SUCCEEDED
    applied, fetched = replay(read(path)).outcomes
    assert applied.target == "kustomization/a"
    assert fetched.target == "gitrepository/src"
    for outcome in (applied, fetched):
        assert outcome.reached is not None
        assert outcome.reached.state is State.SUCCEEDED
    assert "admin-token" not in path.read_text()
