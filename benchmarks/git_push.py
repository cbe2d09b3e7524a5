"""One change to a repository of 30,000 files, 30 ms away: ours beside `git push` alone and beside the best clone.

    python benchmarks/git_push.py [--json] [--rtt 30] [--rounds 15]

All ways take turns in one run against the same server. Only their ratios mean anything, and on a busy machine only
those of the best times. `git push` is given a commit that is ready, so it is what no way of working with the git
program can beat. Goals: at most 0.45 of that push, and 0.15 of the best way by clone (depth 1, no blobs, sparse).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.delayed import delayed, served
from benchmarks.monorepo import build
from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import Proposal, SetValue, Target, change_id
from loopseal.git.remotes import open_remote
from loopseal.git.repository import Repository
from loopseal.testing.clock import LoopClock

TARGET = Target("bench", "monorepo", "main", ("**",))
ACTOR = Actor("bench", "benchmarks", ActorKind.CI)
PATH = "apps/svc-0700/prod/values.yaml"
ENVIRONMENT = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    **{f"GIT_{who}_NAME": "bench" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "bench@example.com" for who in ("AUTHOR", "COMMITTER")},
}


def git(*arguments: str | Path, **variables: str) -> str:
    environment = ENVIRONMENT | variables
    ended = subprocess.run(["git", *arguments], check=True, env=environment, capture_output=True, text=True)
    return ended.stdout.strip()


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class PlainPush:
    """`git push` of a commit that is ready, from a repository that is kept."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        git("clone", "-q", "--bare", url, folder)

    def once(self, number: int) -> float:
        git("-C", self.folder, "fetch", "-q", self.url, "+main:main")
        old = git("-C", self.folder, "show", f"main:{PATH}") + "\n"
        blob = self.folder / "blob"
        blob.write_text(old.replace("replicaCount: ", f"# {number}\nreplicaCount: "))
        index = {"GIT_INDEX_FILE": f"{self.folder / 'bench.index'}", "GIT_DIR": f"{self.folder}"}
        git("read-tree", "main", **index)
        entry = f"100644,{git('hash-object', '-w', blob, **index)},{PATH}"
        git("update-index", "--cacheinfo", entry, **index)
        commit = git("commit-tree", git("write-tree", **index), "-p", "main", "-m", f"plain {number}", **index)
        return timed(lambda: git("-C", self.folder, "push", "-q", self.url, f"{commit}:main"))


class SparseClone:
    """The best way by clone: depth 1, no blobs, only the folder that is wanted."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder

    def once(self, number: int) -> float:
        work = self.folder / str(number)

        def whole() -> None:
            options = ("--depth=1", "--filter=blob:none", "--sparse", "--single-branch", "--no-tags")
            git("clone", "-q", *options, self.url, work)
            git("-C", work, "sparse-checkout", "set", PATH.rpartition("/")[0])
            file = work / PATH
            file.write_text(file.read_text().replace("replicaCount: ", f"# {number}\nreplicaCount: "))
            git("-C", work, "commit", "-q", "-a", "-m", f"clone {number}")
            git("-C", work, "push", "-q", "origin", "main")

        return timed(whole)


class Ours:
    """loopseal: warm, and with nothing known at all."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.repository = self.open()

    def open(self) -> Repository:
        remote = open_remote(self.url, mode="wire")
        return Repository(remote, branch="main", clock=LoopClock.real(), author="bench <bench@example.com>")

    async def warm(self, number: int) -> float:
        tip = await self._settled(f"settle-{number}")
        return await self._timed(self.repository, f"warm-{number}", f"v{number}", tip)

    async def cold(self, number: int) -> float:
        repository = self.open()
        try:
            return await self._timed(repository, f"cold-{number}", f"c{number}", "")
        finally:
            await repository.aclose()

    async def _settled(self, name: str) -> str:
        """Land something, so that the tip and the path are those of the branch now."""
        base = await self.repository.tip()
        return (await self.repository.commit(self._proposal(name, name, base))).revision

    async def _timed(self, repository: Repository, name: str, tag: str, tip: str) -> float:
        began = time.perf_counter()
        landed = await repository.commit(self._proposal(name, tag, tip or await repository.tip()))
        took = time.perf_counter() - began
        assert landed.changed
        assert landed.attempts == 1
        return took

    def _proposal(self, name: str, tag: str, base: str) -> Proposal:
        edits = (SetValue(PATH, "image.tag", tag),)
        return Proposal(change_id(name, str(time.time_ns())), TARGET, base, edits, f"bench {name}", ACTOR)


async def measure(url: str, folder: Path, rounds: int, clones: int) -> dict[str, list[float]]:
    plain, clone, ours = PlainPush(url, folder / "kept.git"), SparseClone(url, folder), Ours(url)
    took: dict[str, list[float]] = {"git push": [], "clone": [], "loopseal warm": [], "loopseal cold": []}
    for number in range(rounds):
        took["git push"].append(await asyncio.to_thread(plain.once, number))
        took["loopseal warm"].append(await ours.warm(number))
        took["loopseal cold"].append(await ours.cold(number))
        if number < clones:
            took["clone"].append(await asyncio.to_thread(clone.once, number))
    await ours.repository.aclose()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rtt", type=float, default=30.0, help="milliseconds")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--apps", type=int, default=2000)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        build(folder / "served" / "monorepo.git", apps=options.apps)
        port = stack.enter_context(served(f"{folder / 'served'}"))
        port = stack.enter_context(delayed(port, options.rtt / 1000))
        url = f"http://127.0.0.1:{port}/monorepo.git"
        took = asyncio.run(measure(url, folder, options.rounds, max(3, options.rounds // 3)))
        fsck = git("-C", folder / "served" / "monorepo.git", "fsck", "--strict", "--no-dangling")
    print_result(took, options.rtt, fsck, as_json=options.json)


def print_result(took: dict[str, list[float]], rtt: float, fsck: str, *, as_json: bool) -> None:
    best = {name: min(times) * 1000 for name, times in took.items()}
    middle = {name: statistics.median(times) * 1000 for name, times in took.items()}
    ratios = {
        f"warm / {other}": (best["loopseal warm"] / best[other], middle["loopseal warm"] / middle[other], goal)
        for other, goal in (("git push", 0.45), ("clone", 0.15))
    }
    if as_json:
        told = {name: {"min": one, "median": two, "goal": goal} for name, (one, two, goal) in ratios.items()}
        print(json.dumps({"rtt_ms": rtt, "min_ms": best, "median_ms": middle, "ratios": told, "fsck": fsck}))
        return
    print(f"one change, 30,000 files, round trip {rtt:g} ms; min / median of {len(took['git push'])}")
    for name in took:
        print(f"  {name:15} {best[name]:8.1f} / {middle[name]:8.1f} ms")
    for name, (one, two, goal) in ratios.items():
        print(f"  {name:18} {one:6.3f} / {two:6.3f}   goal {goal}")
    print(f"  fsck --strict: {fsck or 'clean'}")


if __name__ == "__main__":
    main()
