"""Everything at once, against real git: committers that do not know of each other, foreign pushes, crashes, lost answers.

Whatever happens, at the end each change is on the branch exactly once, every key holds what was asked, every foreign
commit is still there, and git finds nothing wrong. One seed, one history.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from loopseal.domain.proposal import Proposal, PutFile, SetValue
from loopseal.git import message
from loopseal.git.remotes import open_remote
from loopseal.git.repository import Repository
from loopseal.testing.clock import LoopClock
from loopseal.testing.git_server import Cut, GitFault, GitServer, git, serve
from tests.unit.git.memory_remote import proposal

COMMITTERS = 3
PROPOSALS = 18
FOREIGN = 3
HOT = "apps/hot/values.yaml"
FILES = {
    HOT: b"keys:\n" + b"".join(b"  k%d: 0   # of writer %d\n" % (n, n) for n in range(PROPOSALS)),
    **{f"apps/svc-{n}/values.yaml": b"image:\n  tag: v0\n" for n in range(PROPOSALS)},
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    server = GitServer(tmp_path_factory.mktemp("repositories"))
    with serve(server) as base:
        yield server, base


class Crash(Exception):
    """The process of a committer is gone, and with it all that it knew."""


class Mortal:
    """A remote of a process that may die around a push: before it is sent, or before its answer is heard."""

    def __init__(self, remote, chance):
        self._remote, self._chance, self.dead = remote, chance, False

    @property
    def url(self):
        return self._remote.url

    @property
    def filters(self):
        return self._remote.filters

    async def refs(self, *prefixes):
        self._live()
        return await self._remote.refs(*prefixes)

    async def fetch(self, request, have):
        self._live()
        return await self._remote.fetch(request, have)

    async def push(self, updates, pack):
        self._live()
        fate = self._chance.random()
        if fate < 0.15:
            self._die()
        report = await self._remote.push(updates, pack)
        if fate > 0.85:
            self._die()
        return report

    async def aclose(self):
        await self._remote.aclose()

    def _live(self):
        if self.dead:
            raise Crash

    def _die(self):
        self.dead = True
        raise Crash


class Story:
    """One seed: a repository, what is asked of it, and who asks."""

    def __init__(self, seed: int, server: GitServer, base: str) -> None:
        self.chance = random.Random(seed)
        self.server, self.name = server, f"seed-{seed}.git"
        self.url = f"{base}/{self.name}"
        self.foreign: list[str] = []
        self.options = {"change_refs": "refs/loopseal/change/"} if seed % 4 == 0 else {}

    async def tell(self) -> None:
        folder = await self.server.create(self.name, FILES)
        self.git = lambda *arguments, data=b"": git("-C", f"{folder}", *arguments, data=data)
        begin = (await self.git("rev-parse", "main")).decode().strip()
        asked = [self.ask(number, begin) for number in range(PROPOSALS)]
        shares: list[list[Proposal]] = [[] for _ in range(COMMITTERS)]
        for one in asked:
            twice = self.chance.random() < 1 / 3
            for share in self.chance.sample(shares, 2 if twice else 1):
                share.append(one)
        await asyncio.gather(*(self.committer(share) for share in shares), self.somebody_else(), self.bad_network())
        await self.check(asked)

    def ask(self, number: int, begin: str) -> Proposal:
        """A third writes into one hot file, on adjacent lines; a few have lost the base they began from."""
        edits = (
            SetValue(HOT, f"keys.k{number}", number + 1, expect=0),
            SetValue(f"apps/svc-{number}/values.yaml", "image.tag", f"v{number}"),
            PutFile(f"new/{number % 5}/{number}.txt", f"{number}\n"),
        )
        base = self.chance.choice([begin, begin, begin, "", "f" * 40])
        return proposal(f"{self.name}-{number}", edits[number % 3], base=base)

    async def committer(self, share: Sequence[Proposal]) -> None:
        """Works until all is done; after a crash it begins anew and knows nothing."""
        open_ = list(share)
        while open_:
            remote = Mortal(open_remote(self.url, mode="wire"), self.chance)
            repository = Repository(
                remote,
                branch="main",
                clock=LoopClock.real(),
                author="bot <bot@example.com>",
                random=self.chance.random,
                **self.options,
            )
            ended = await asyncio.gather(*(self.later(repository, one) for one in open_), return_exceptions=True)
            await repository.aclose()
            unexpected = [one for one in ended if isinstance(one, BaseException) and not isinstance(one, Crash)]
            assert not unexpected, unexpected
            open_ = [one for one, end in zip(open_, ended, strict=True) if isinstance(end, Crash)]

    async def later(self, repository: Repository, one: Proposal) -> None:
        await asyncio.sleep(self.chance.random() * 0.3)
        landed = await repository.commit(one)
        assert landed.changed

    async def somebody_else(self) -> None:
        """Pushes with plain git, which refuses when the branch moved under it; then once more."""
        who = "Somebody <somebody@example.com> 1700000500 +0000"
        for number in range(FOREIGN):
            await asyncio.sleep(self.chance.random() * 0.2)
            text = f"foreign {number}"
            stream = (
                f"commit refs/heads/main\ncommitter {who}\ndata {len(text)}\n{text}\nfrom refs/heads/main^0\n"
                f"M 100644 inline foreign/{number}.txt\ndata 2\nx\n\n"
            )
            while text not in self.foreign:
                try:
                    await self.git("fast-import", "--quiet", data=stream.encode())
                except RuntimeError:
                    continue
                self.foreign.append(text)

    async def bad_network(self) -> None:
        """Now and then a connection breaks in the middle of a push, before or after git has done it."""
        for _ in range(2):
            await asyncio.sleep(self.chance.random() * 0.4)
            cut = self.chance.choice([Cut.BEFORE, Cut.AFTER])
            self.server.faults.append(GitFault(service="git-receive-pack", method="POST", cut=cut))

    async def check(self, asked: Sequence[Proposal]) -> None:
        self.server.faults.clear()
        bodies = (await self.git("log", "--format=%B%x00", "main")).decode().split("\0")
        ids = Counter(
            message.first(message.trailers(body.strip("\n")), message.CHANGE) for body in bodies if body.strip()
        )
        told = {change: count for change, count in ids.items() if change}
        assert told == {one.id: 1 for one in asked}
        subjects = {body.strip().partition("\n")[0] for body in bodies}
        assert subjects >= set(self.foreign)
        assert len(self.foreign) == FOREIGN
        hot = (await self.git("cat-file", "blob", f"main:{HOT}")).decode()
        for number in range(PROPOSALS):
            if number % 3 == 0:
                assert f"  k{number}: {number + 1}   # of writer {number}\n" in hot
            elif number % 3 == 1:
                file = await self.git("cat-file", "blob", f"main:apps/svc-{number}/values.yaml")
                assert file == f"image:\n  tag: v{number}\n".encode()
            else:
                assert await self.git("cat-file", "blob", f"main:new/{number % 5}/{number}.txt") == b"%d\n" % number
        assert hot.count("\n") == PROPOSALS + 1
        await self.git("fsck", "--strict", "--full", "--no-dangling")


@pytest.mark.parametrize("seed", range(20))
def test_no_change_is_lost_and_none_lands_twice(served, seed):
    asyncio.run(Story(seed, *served).tell())
