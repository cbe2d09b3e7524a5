"""200 writers on one branch, 30 ms away: group commit beside one push per commit in sequence.

    python benchmarks/group_commit.py [--json] [--rtt 30] [--writers 200]

All ways go to the same server in one run; a fifth of the writers edit one hot file, each its own key. "In sequence" is
told twice: `git push` of commits that are ready, which no way of working with the git program can beat (the mean of
some, times the number of writers), and our own push in one turnaround, one commit after the other. The sequence is cut
into ten parts with a round of group commit after each, so that both meet the same server and the same machine, whose
speed changes from second to second; told is the mean of the rounds. Goal: at least 25 times faster than either, nothing
lost, `git fsck --strict` clean.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.delayed import delayed, served
from benchmarks.git_push import PlainPush
from benchmarks.monorepo import build
from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import Edit, Proposal, PutFile, SetValue, Target, change_id
from loopseal.git.remotes import open_remote
from loopseal.git.repository import Repository
from loopseal.testing.clock import LoopClock

TARGET = Target("bench", "monorepo", "main", ("**",))
ACTOR = Actor("bench", "benchmarks", ActorKind.CI)
HOT = "hot/values.yaml"
ROUNDS = 10
"""Of group commit, and parts of the sequence."""
PLAIN = 30
"""How many plain pushes stand for all."""


def edit(writer: int, round_: int) -> Edit:
    """What one writer wants: every fifth writes into the hot file."""
    if writer % 5 == 0:
        return SetValue(HOT, f"keys.w{writer}", round_)
    return SetValue(f"apps/svc-{writer:04d}/dev/values.yaml", "image.tag", f"v{round_}")


def expected(writer: int, round_: int) -> tuple[str, bytes]:
    """The file that a writer's edit is in, and the bytes that prove it."""
    if writer % 5 == 0:
        return HOT, f"w{writer}: {round_}\n".encode()
    return f"apps/svc-{writer:04d}/dev/values.yaml", f'tag: "v{round_}"'.encode()


def proposals(writers: int, round_: int, base: str) -> list[Proposal]:
    return [
        Proposal(change_id(f"{round_}", f"{n}"), TARGET, base, (edit(n, round_),), f"writer {n}", ACTOR)
        for n in range(writers)
    ]


async def lost(repository: Repository, writers: int, round_: int) -> int:
    """How many edits cannot be read back."""
    tip = await repository.tip()
    wanted = [expected(writer, round_) for writer in range(writers)]
    held = {path: await repository.read(path, tip) or b"" for path in dict.fromkeys(path for path, _ in wanted)}
    return sum(proof not in held[path] for path, proof in wanted)


async def measure(url: str, writers: int) -> dict[str, float]:
    repository = Repository(open_remote(url, mode="wire"), branch="main", clock=LoopClock.real(), author="b <b@x>")
    hot = "keys:\n" + "".join(f"  w{writer}: 0\n" for writer in range(0, writers, 5))
    base = (await repository.commit(_one(PutFile(HOT, hot), await repository.tip()))).revision
    await asyncio.gather(*(repository.commit(one) for one in proposals(writers, 1, base)))  # both begin warm
    sequence, groups = 0.0, []
    for round_ in range(2, 2 + 2 * ROUNDS, 2):
        part = slice(round_ // 2 - 1, None, ROUNDS)  # every tenth writer: hot files and others as in the whole
        sequence += await _sequence(repository, proposals(writers, round_, await repository.tip())[part])
        groups.append(await _group(repository, writers, round_ + 1))
    await repository.aclose()
    seconds, lacking, attempts = zip(*groups, strict=True)
    return {
        "sequence": sequence,
        "group": sum(seconds) / ROUNDS,
        "group_best": min(seconds),
        "lost": sum(lacking),
        "attempts": max(attempts),
    }


async def _group(repository: Repository, writers: int, round_: int) -> tuple[float, int, int]:
    """All at once: (seconds, edits that cannot be read back, most attempts of one)."""
    asked = proposals(writers, round_, await repository.tip())
    began = time.perf_counter()
    landed = await asyncio.gather(*(repository.commit(one) for one in asked))
    took = time.perf_counter() - began
    missing = await lost(repository, writers, round_) + writers - len({one.revision for one in landed})
    return took, missing, max(one.attempts for one in landed)


async def _sequence(repository: Repository, asked: Sequence[Proposal]) -> float:
    began = time.perf_counter()
    for one in asked:
        await repository.commit(one)
    return time.perf_counter() - began


def _one(put: PutFile, base: str) -> Proposal:
    return Proposal(change_id("hot"), TARGET, base, (put,), "the hot file", ACTOR)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rtt", type=float, default=30.0, help="milliseconds")
    parser.add_argument("--writers", type=int, default=200)
    parser.add_argument("--apps", type=int, default=2000)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        repository = folder / "monorepo.git"
        build(repository, apps=options.apps, history=10)
        port = stack.enter_context(delayed(stack.enter_context(served(f"{folder}")), options.rtt / 1000))
        url = f"http://127.0.0.1:{port}/monorepo.git"
        told = asyncio.run(measure(url, options.writers))
        push = PlainPush(url, folder / "plain.git")
        plain = sum(push.once(number) for number in range(PLAIN)) / PLAIN * options.writers
        check = subprocess.run(
            ["git", "-C", repository, "fsck", "--strict", "--no-dangling"], capture_output=True, text=True, check=False
        )
    ratios = {"times": plain / told["group"], "times_ours": told["sequence"] / told["group"], "goal": 25}
    told |= ratios | {"git_push": plain, "fsck": (check.stdout + check.stderr).strip()}
    if options.json:
        print(json.dumps(told))
        return
    print(f"{options.writers} writers on one branch, 30,000 files, round trip {options.rtt:g} ms")
    print(f"  `git push`, one after the other    {told['git_push']:8.2f} s   {told['times']:6.1f} times ours")
    print(f"  our own push, one after the other  {told['sequence']:8.2f} s   {told['times_ours']:6.1f} times ours")
    print("  goal: 25 times for either")
    print(f"  group commit                       {told['group']:8.2f} s   (best {told['group_best']:.2f})")
    print(f"  lost {told['lost']:.0f}, most attempts {told['attempts']:.0f}, fsck --strict: {told['fsck'] or 'clean'}")


if __name__ == "__main__":
    main()
