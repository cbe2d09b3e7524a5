"""Random schedules played on real engines, in real time: many lanes at once, one cluster, its processes killed meanwhile.

What is drawn is what the simulators' random schedules draw (`tests.simulators.schedules.draw`, from the same seeds),
2.5 times as fast, as far as it can be made to happen to a real peer:

| drawn | on the real peers |
|---|---|
| `ours`, `foreign`, `force-push`, `drift`, `hold`, `kill-waiter` | the same |
| `server-down` | SIGKILL of argocd-server, or of kube-apiserver where the wait goes there; started again at its end |
| `paused`, `restart` | SIGKILL of the application controller or the kustomize-controller; started again, or at once |
| `slow-server` | SIGKILL of the repo-server or the source-controller, started again at its end |
| `fetch-error`, `slow-fetch` | the Git host breaks this repository's connections, or answers 4 s late |
| `cut`, `burst` | every connection of this wait is reset |
| `half-open` | the connections of this wait stay and fall silent |
| `lost`, `stale`, `gone` | nothing: these happen by themselves or not at all |

A kill hits every lane at once, so a seed repeats what is done, not what the others do meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loopseal.testing.background import Background
from tests.peers.lanes import ACCOUNT, WAYS, Engines, Lane
from tests.peers.live import Live
from tests.peers.outages import Outages
from tests.peers.random_play import Play
from tests.peers.random_waits_page import Report, Run, page
from tests.peers.relay import Relay, relay
from tests.peers.timeline import Timeline
from tests.simulators import schedules

LONG = 120.0
"""Seconds after which what happened around a wait is told even though it ended right."""


async def play(cluster: Any, folder: Path, seeds: Mapping[str, Iterable[int]], lanes: int, tell: Any) -> Report:
    """Every seed of every way, on `lanes` lanes per way at once."""
    began = time.monotonic()
    engines = Engines(cluster, folder)
    await asyncio.to_thread(engines.prepare, ACCOUNT)
    outages, runs = Outages(cluster.processes), list[Run]()
    todo = {way: iter(chosen) for way, chosen in seeds.items()}
    total = sum(len(list(chosen)) for chosen in seeds.values())

    async def work(lane: Lane, way: Relay) -> None:
        settings = engines.settings(lane.way, lambda _: way.url)
        for seed in todo[lane.way]:
            schedule = schedules.draw(seed, lane.way)
            timeline = Timeline(lane.name, lane.live.monotonic)
            done = await Play(lane, schedule, engines, settings, way, outages, timeline).run()
            runs.append(done)
            tell(
                f"{len(runs):3}/{total} {done.way} seed {seed}: {done.state} {done.reason} after {done.seconds:.1f} s"
                f"{''.join(f' WRONG: {one}' for one in done.wrong)}"
            )
            if done.wrong or done.seconds > LONG:
                tell("\n".join(("what happened around it:", *timeline.told(outages.moments))))
            await lane.recover()

    with ExitStack() as stack:
        background = stack.enter_context(Background())
        own = {"Kustomization" if way == "flux" else "Application" for way in seeds}
        async with Live(cluster.kube, ("Deployment", "ConfigMap", *own)) as live:
            made = [Lane(cluster, live, way, f"{way.replace('_', '-')}-{one}") for way in seeds for one in range(lanes)]
            await asyncio.gather(*(lane.open() for lane in made))
            await asyncio.gather(*(lane.recover(push=False) for lane in made))
            tell(f"{len(made)} applications are healthy")
            targets = {way: cluster.argocd.url if way == "argocd" else cluster.kube.url for way in seeds}
            ways = [stack.enter_context(relay(background, targets[lane.way])) for lane in made]
            supervisor = asyncio.create_task(outages.supervise())
            try:
                await asyncio.gather(*map(work, made, ways))
            finally:
                supervisor.cancel()
                await asyncio.gather(supervisor, return_exceptions=True)
    tell(f"killed: {', '.join(f'{name} {count}' for name, count in outages.kills.most_common()) or 'nothing'}")
    return Report(tuple(runs), dict(outages.kills), round(time.monotonic() - began, 1))


def seeds_of(first: int, count: int) -> dict[str, range]:
    """`count` seeds in all, a third for each way."""
    each = -(-count // len(WAYS))
    return {way: range(first, first + each) for way in WAYS}


def main(argv: list[str] | None = None) -> int:
    """Play them and print one line for each."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers.random_waits", description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--lanes", type=int, default=4, help="per way")
    parser.add_argument("--way", action="append", choices=WAYS, help="only this one")
    parser.add_argument("--rehearse", action="store_true", help="on the simulators")
    parser.add_argument("--json", type=Path, help="write the runs here")
    parser.add_argument("--page", type=Path, help="write the page of the documentation here")
    parser.add_argument("--folder", type=Path, help="keep the cluster's logs and all in this new folder")
    options = parser.parse_args(argv)
    seeds = {way: one for way, one in seeds_of(options.first, options.count).items() if way in (options.way or WAYS)}
    began = time.monotonic()

    def tell(text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - began:6.1f} s  {text}\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory(prefix="waits-") as made, ExitStack() as stack:
        folder = options.folder or Path(made)
        folder.mkdir(exist_ok=True)
        cluster = stack.enter_context(_cluster(folder / "cluster", seeds, rehearse=options.rehearse))
        tell("the cluster is up")
        report = asyncio.run(play(cluster, folder, seeds, options.lanes, tell))
    runs = report.runs
    if options.json:
        options.json.write_text(json.dumps(asdict(report), indent=1) + "\n")
    if options.page:
        options.page.write_text(page(report, f"{datetime.now(UTC):%Y-%m-%d}"))
    wrong = [run for run in runs if run.wrong]
    tell(f"{len(runs)} waits, {len(wrong)} wrong: {dict(Counter(run.state for run in runs))}")
    return 1 if wrong else 0


def _cluster(folder: Path, ways: Iterable[str], *, rehearse: bool) -> Any:
    if rehearse:
        from tests.peers.rehearsal import Rehearsal

        return Rehearsal(folder)
    from tests.peers.cluster import Cluster

    return Cluster(folder, argocd=any(way != "flux" for way in ways), flux="flux" in ways, resync=60)


if __name__ == "__main__":
    raise SystemExit(main())
