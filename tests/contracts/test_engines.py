"""What every GitOps engine promises, whatever its kind: `loopseal.ports.Engine`, before a simulator of its peer."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace
from itertools import pairwise

import pytest

from loopseal.domain.proposal import Application
from loopseal.domain.revision import State
from loopseal.errors import LoopsealError
from loopseal.ports import Engine, Level, Source
from loopseal.testing.clock import run
from tests.unit.engines.worlds import QUICK, SOURCE, URL, World, argo, deployment, fluxcd, leftovers, settings_map

Kinds = Callable[[], AbstractAsyncContextManager[World]]

KINDS: dict[str, Kinds] = {
    "argocd": argo,
    "argocd-objects": lambda: argo(objects_only=True),
    "flux": fluxcd,
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kinds:
    return KINDS[request.param]


def test_the_class_has_every_method_of_the_port(kind: Kinds) -> None:
    async def main() -> None:
        async with kind() as world:
            methods = [name for name, one in inspect.getmembers(Engine) if not name.startswith("_") and callable(one)]
            assert "wait" in methods
            for name in methods:
                ours = inspect.signature(getattr(type(world.engine), name))
                assert list(ours.parameters) == list(inspect.signature(getattr(Engine, name)).parameters)
            assert world.engine.kind in {"argocd", "flux"}

    run(main)


def test_a_commit_becomes_healthy_and_the_wait_ends(kind: Kinds) -> None:
    async def main() -> None:
        async with kind() as world:
            baseline = await world.engine.baseline(world.app)
            assert json.loads(json.dumps(baseline)) == baseline
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:v2")})
            verdicts = await world.verdicts(revision, baseline=baseline)
            assert [one.state for one in verdicts[:-1]] == [State.PENDING] * (len(verdicts) - 1)
            assert verdicts[-1].state is State.SUCCEEDED
            assert verdicts[-1].observed.endswith(revision)
            assert all(one.application == str(world.app) for one in verdicts)

    run(main)


def test_only_changes_are_told(kind: Kinds) -> None:
    async def main() -> None:
        async with kind() as world:
            verdicts = await world.verdicts(world.git.commit({"apps/a/web.yaml": deployment("web:slow")}))
            assert not any(one.same_as(before) for before, one in pairwise(verdicts))

    run(main)


def test_a_descendant_counts_and_exact_is_superseded_by_it(kind: Kinds) -> None:
    async def main() -> None:
        async with kind() as world:
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            newer = world.git.commit({"apps/a/settings.yaml": settings_map("3")})
            verdict = (await world.verdicts(revision))[-1]
            assert verdict.state is State.SUCCEEDED
            assert verdict.observed.endswith(newer)
            assert (await world.verdicts(revision, replace(QUICK, exact=True)))[-1].state is State.SUPERSEDED

    run(main)


def test_a_broken_rollout_fails_with_evidence(kind: Kinds) -> None:
    async def main() -> None:
        async with kind() as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:broken", deadline=4)})
            verdict = (await world.verdicts(revision))[-1]
            assert verdict.state is State.FAILED
            evidence = await world.engine.evidence(world.app, verdict)
            assert verdict.reason in dict(evidence.sections)["verdict"]

    run(main)


def test_a_dropped_commit_is_superseded(kind: Kinds) -> None:
    async def main() -> None:
        async with kind() as world:
            base = world.git.tip
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            world.git.commit({"apps/a/settings.yaml": settings_map("3")}, onto=base)
            assert (await world.verdicts(revision))[-1].state is State.SUPERSEDED

    run(main)


def test_waiting_changes_nothing_but_annotations(kind: Kinds) -> None:
    async def main() -> None:
        async with kind() as world:
            await world.verdicts(world.git.commit({"apps/a/settings.yaml": settings_map("2")}))
            written = {method for method, path, _ in world.wire.calls if "accessreview" not in path}
            assert written <= {"GET", "PATCH"}
            assert world.wire.count("POST", "/sync") == 0

    run(main)


def test_a_wait_that_nobody_reads_further_leaves_nothing(kind: Kinds) -> None:
    async def main() -> None:
        async with kind() as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:broken")})
            async with aclosing(world.wait(revision)) as verdicts:
                await anext(aiter(verdicts))
                assert leftovers(world)
            assert not leftovers(world)

    run(main)


def test_a_wait_begun_anew_comes_to_the_same_end(kind: Kinds) -> None:
    async def main() -> None:
        async with kind() as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:slow")})
            for seconds in (0.1, 0.5, 1.0, 3.0):
                attempt = asyncio.ensure_future(world.verdicts(revision))
                await asyncio.sleep(seconds)
                attempt.cancel()
                await asyncio.gather(attempt, return_exceptions=True)
            assert (await world.verdicts(revision))[-1].state is State.SUCCEEDED

    run(main)


def test_an_outage_of_minutes_does_not_end_a_wait(kind: Kinds) -> None:
    async def main() -> None:
        async with kind() as world:
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            faults = (world.peer.faults, world.peer.cluster.faults)
            for one in faults:
                one.kill()
                asyncio.get_running_loop().call_later(180, one.restart)
            verdicts = await world.verdicts(revision)
            assert verdicts[0].reason == "ENGINE_UNREACHABLE"
            assert verdicts[-1].state is State.SUCCEEDED

    run(main)


def test_preflight_tells_a_wrong_branch_and_status_what_is_there(kind: Kinds) -> None:
    async def main() -> None:
        async with kind() as world:
            good = await world.engine.preflight(world.app, SOURCE, QUICK)
            assert Level.ERROR not in {one.level for one in good}
            bad = await world.engine.preflight(world.app, Source(URL, "release"), QUICK)
            assert Level.ERROR in {one.level for one in bad}
            status = await world.engine.status(world.app)
            assert {"revision", "sync", "health", "message", "url"} <= set(status)
            assert json.loads(json.dumps(status)) == status

    run(main)


def test_what_does_not_exist_is_said_so_everywhere(kind: Kinds) -> None:
    async def main() -> None:
        async with kind() as world:
            nobody = Application(world.app.engine, "nobody")
            assert await world.engine.baseline(nobody) == {}
            assert await world.engine.status(nobody) == {}
            assert [one.level for one in await world.engine.preflight(nobody, SOURCE, QUICK)] == [Level.ERROR]
            assert (await world.verdicts(app=nobody))[-1].reason == "APP_MISSING"
            with pytest.raises(LoopsealError):
                await world.engine.act(nobody)

    run(main)


def test_closing_twice_is_no_harm(kind: Kinds) -> None:
    async def main() -> None:
        async with kind() as world:
            await world.verdicts()
            await world.engine.aclose()
            await world.engine.aclose()

    run(main)
