"""Signatures, verified by the engine: which of our commits are applied, and what is said of those that are not.

Every test runs before the simulator and, with `--peers`, before the real engine: Argo CD with GnuPG, Flux with its own
OpenPGP and SSH. Argo CD names the key that made a signature, which is a subkey where one signs.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest

from loopseal.domain.revision import State, Verdict
from loopseal.ports import Level
from tests.peers.signing import RealArgoCD, RealFlux, SimulatedArgoCD, SimulatedFlux, World
from tests.peers.signing_keys import Key, gnupg, sequoia, ssh

pytestmark = pytest.mark.skipif(not shutil.which("gpg"), reason="GnuPG is not installed")
SIMULATED = {"argocd": SimulatedArgoCD, "flux": SimulatedFlux}
REAL = {"argocd": RealArgoCD, "flux": RealFlux}
real = pytest.mark.peers

Open = Callable[[str, Key], World]
Story = Callable[[World], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def keys() -> Mapping[str, Key]:
    """`gnupg` and `sequoia` sign by OpenPGP, the second by a subkey; `other` is a stranger's."""
    return {"gnupg": gnupg(), "sequoia": sequoia(), "ssh": ssh(), "other": gnupg()}


@pytest.fixture(params=["simulated", pytest.param("real", marks=real)])
def tell(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str, Key, Story], None]:
    """Plays a story in a world of that engine which trusts that key."""

    def play(engine: str, trusted: Key, story: Story) -> None:
        name = f"signed-{hashlib.sha256(request.node.name.encode()).hexdigest()[:10]}"  # no two tests share a world
        world: World = (
            REAL[engine](name, trusted, request.getfixturevalue("cluster"))
            if request.param == "real"
            else SIMULATED[engine](name, trusted, tmp_path / "git")
        )

        async def main() -> None:
            async with world:
                await story(world)

        asyncio.run(main())

    return play


ACCEPTED = [("argocd", "gnupg"), ("argocd", "sequoia"), ("flux", "gnupg"), ("flux", "sequoia"), ("flux", "ssh")]
REFUSED = [
    ("argocd", "gnupg", "other"),
    ("argocd", "gnupg", "ssh"),
    ("flux", "gnupg", "other"),
    ("flux", "ssh", "gnupg"),
]
ON_TOP = [("argocd", "gnupg"), ("flux", "gnupg"), ("flux", "ssh")]


def said(verdict: Verdict) -> tuple[State, str]:
    return verdict.state, verdict.reason


@pytest.mark.parametrize(("engine", "name"), ACCEPTED)
def test_a_commit_of_ours_is_accepted(engine: str, name: str, keys: Mapping[str, Key], tell: Any) -> None:
    key = keys[name]

    async def story(world: World) -> None:
        assert not [one for one in await world.preflight(key) if one.level is Level.ERROR]
        revision = await world.ours("2", key)
        verdict = await world.waited(revision)
        assert verdict.state is State.SUCCEEDED, verdict
        assert await world.live() == "2"

    tell(engine, key, story)


@pytest.mark.parametrize(("engine", "trusted", "used"), REFUSED)
def test_another_key_is_refused_and_argo_says_so_before(
    engine: str, trusted: str, used: str, keys: Mapping[str, Key], tell: Any
) -> None:
    """Which keys Flux trusts stands in a Secret, which we do not read."""

    async def story(world: World) -> None:
        found = await world.preflight(keys[used])
        assert [one.level for one in found] == [Level.ERROR if engine == "argocd" else Level.NOTE]
        revision = await world.ours("2", keys[used])
        verdict = await world.waited(revision)
        assert said(verdict) == (State.FAILED, "SIGNATURE_REJECTED"), verdict
        assert verdict.message
        assert await world.live() == "1"

    tell(engine, keys[trusted], story)


@pytest.mark.parametrize("engine", ["argocd", "flux"])
def test_a_commit_without_a_signature_is_refused(engine: str, keys: Mapping[str, Key], tell: Any) -> None:
    async def story(world: World) -> None:
        (found,) = await world.preflight(None)
        assert (found.level, found.code) == (Level.ERROR, f"{engine}.signature")
        verdict = await world.waited(await world.ours("2"))
        assert said(verdict) == (State.FAILED, "SIGNATURE_REJECTED"), verdict
        assert await world.live() == "1"

    tell(engine, keys["gnupg"], story)


@pytest.mark.parametrize(("engine", "name"), ON_TOP)
def test_an_unsigned_commit_on_top_of_ours_is_named_as_what_is_refused(
    engine: str, name: str, keys: Mapping[str, Key], tell: Any
) -> None:
    """Nobody applied ours before the other came: it is not live, and not because of its own signature."""

    async def story(world: World) -> None:
        revision = await world.ours("2", keys[name])
        foreign = await world.foreign(3)
        verdict = await world.waited(revision)
        assert said(verdict) == (State.FAILED, "SIGNATURE_REJECTED_AT_LATER_COMMIT"), verdict
        assert foreign in verdict.message
        assert await world.live() == "1"

    tell(engine, keys[name], story)


@pytest.mark.parametrize(("engine", "name"), ON_TOP)
def test_a_signed_commit_on_top_of_an_unsigned_one_brings_both(
    engine: str, name: str, keys: Mapping[str, Key], tell: Any
) -> None:
    """Both engines verify the head alone."""

    async def story(world: World) -> None:
        await world.foreign(2)
        revision = await world.ours("3", keys[name])
        verdict = await world.waited(revision)
        assert verdict.state is State.SUCCEEDED, verdict
        assert await world.live() == "3"

    tell(engine, keys[name], story)
