"""The record of whole waits on the simulated peers: every request that arrives is in it, for whom it was made."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import httpx2
import pytest

from loopseal.domain.proposal import Application
from loopseal.domain.revision import State
from loopseal.engines.kubernetes import CHANGE
from loopseal.ports import Behalf, on_behalf_of
from loopseal.testing.clock import run
from tests.calls import attached, listening
from tests.unit.engines.worlds import QUICK, SOURCE, World, argo, deployment, fluxcd, last

Make = Callable[[], AbstractAsyncContextManager[World]]
ADA, BOB = Behalf("person:ada@https://id.test", "01ADA"), Behalf("person:bob@https://id.test", "01BOB")
WORLDS: dict[str, Make] = {"argocd": argo, "argocd by objects": partial(argo, objects_only=True), "flux": fluxcd}
every_world = pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS.keys())


@every_world
def test_every_request_of_a_wait_is_recorded(make: Make):
    async def main() -> None:
        async with make() as world:
            with listening() as heard, on_behalf_of(ADA):
                await world.engine.preflight(world.app, SOURCE, QUICK)
                revision = world.git.commit({"apps/a/web.yaml": deployment("web:v2")})
                verdict = (await world.verdicts(revision))[-1]
                await world.engine.evidence(world.app, verdict)
                await world.engine.aclose()
        assert verdict.state is State.SUCCEEDED
        arrived = world.wire.requests
        assert [one.headers["audit-id"] for one in arrived] == [line["id"] for line in heard.sent]
        assert [one.url.raw_path.decode() for one in arrived] == [line["path"] for line in heard.sent]
        assert [one.method for one in arrived] == [line["method"] for line in heard.sent]
        assert set(heard.answers) == {line["id"] for line in heard.sent}
        secrets = [value for one in arrived for value in one.headers.get_list("authorization")]
        assert secrets
        assert not any(value.split()[1] in str(heard.lines) for value in secrets)

    run(main)


@every_world
def test_who_and_for_which_change(make: Make):
    async def main() -> None:
        async with make() as world:
            with listening() as heard:
                revision = world.git.commit({"apps/a/web.yaml": deployment("web:v2")})

                async def waits(whose: Behalf) -> tuple[State, str]:
                    with on_behalf_of(whose):
                        return last(await world.verdicts(revision))

                said = await asyncio.gather(waits(ADA), waits(BOB))
        assert [state for state, _ in said] == [State.SUCCEEDED] * 2
        watches = [line for line in heard.sent if line["verb"] == "watch"]
        assert watches
        assert all((line["shared"], line["actor"], line["change"]) == (True, "", "") for line in watches)
        rest = [line for line in heard.sent if line["verb"] != "watch"]
        assert {(line["actor"], line["change"]) for line in rest} <= {(one.actor, one.change) for one in (ADA, BOB)}
        assert {line["change"] for line in heard.sent if line["writes"]}, "somebody has nudged"
        assert not any(line["shared"] for line in rest)

    run(main)


@pytest.mark.parametrize("make", [partial(argo, objects_only=True), fluxcd], ids=["argocd by objects", "flux"])
def test_a_nudge_says_for_which_change(make: Make):
    async def asked(world: World) -> str:
        kind, namespace, name = (
            ("applications", "argocd", "a") if world.engine.kind == "argocd" else ("kustomizations", "flux-system", "a")
        )
        group = {"applications": "argoproj.io/v1alpha1", "kustomizations": "kustomize.toolkit.fluxcd.io/v1"}[kind]
        async with httpx2.AsyncClient(transport=world.wire.inner, base_url="http://kubernetes.test") as client:
            answer = await client.get(
                f"/apis/{group}/namespaces/{namespace}/{kind}/{name}", headers={"authorization": "Bearer admin-token"}
            )
        return str((answer.json()["metadata"].get("annotations") or {}).get(CHANGE, ""))

    async def main() -> None:
        async with make() as world:
            with on_behalf_of(ADA):
                await world.engine.act(world.app)
            assert await asked(world) == ADA.change
            await world.engine.act(world.app)
            assert await asked(world) == "", "nobody's change: the last one's name must not stay"

    run(main)


class Full(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@every_world
def test_without_a_record_it_looks_and_does_not_touch(make: Make):
    async def main() -> None:
        async with make() as world:
            with attached(Full()):
                shows = await world.engine.status(world.app)
                assert shows["revision"]
                revision = world.git.commit({"apps/a/web.yaml": deployment("web:v2")})
                told = world.wait(revision)
                try:
                    first = await anext(told)
                    await asyncio.sleep(60)
                finally:
                    await told.aclose()
                await world.engine.aclose()
            assert not first.state.final
            touched = [one for one in world.wire.requests if one.method == "PATCH" or "refresh" in one.url.params]
            assert not touched

    run(main)


def test_a_stranger_is_told_as_one():
    async def main() -> None:
        async with argo() as world:
            with listening() as heard:
                await world.engine.status(Application("argo", "nobody"))
        assert [(line["actor"], line["change"]) for line in heard.sent] == [("", "")]
        assert [line["object"]["name"] for line in heard.sent] == ["nobody"]
        assert [one["status"] for one in heard.answers.values()] == [404]

    run(main)
