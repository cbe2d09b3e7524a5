"""What came of random waits: the runs, and the page of the documentation that is made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tests.peers import pins

IMPOSSIBLE = frozenset({"lost", "stale", "gone"})
"""Steps that cannot be made to happen to a real peer."""


@dataclass(frozen=True, slots=True)
class Run:
    """One wait and what became of it. Seconds are from the push of our commit."""

    seed: int
    way: str
    steps: tuple[str, ...]
    state: str
    reason: str
    seconds: float
    wrong: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All runs, in the order in which they ended, what was killed how often, and how long it all took."""

    runs: tuple[Run, ...]
    kills: Mapping[str, int]
    seconds: float


def page(report: Report, date: str) -> str:
    """The page of the documentation."""
    runs, steps = report.runs, Counter(step.partition("=")[0] for run in report.runs for step in run.steps)
    trouble = ", ".join(f"{name} {count}" for name, count in steps.most_common() if name not in {"ours", *IMPOSSIBLE})
    killed = ", ".join(f"{name} {count}" for name, count in sorted(report.kills.items(), key=lambda one: -one[1]))
    chosen = {"Argo CD": "argocd", "Flux": "kustomize-controller", "Kubernetes": "kube-apiserver"}
    versions = ", ".join(f"{name} {pins.program(program).version}" for name, program in chosen.items())
    hung = sum(run.state == "none" for run in runs)
    out = PAGE.format(
        count=len(runs), date=date, versions=versions, minutes=report.seconds / 60, wrong=sum(map(bool, map(_wrong, runs))),
        hung=hung, killed=killed, trouble=trouble,
    )  # fmt: skip
    for way, title in TITLES.items():
        own = [run for run in runs if run.way == way]
        states = Counter(run.state for run in own)
        cells = [states[state] for state in ("SUCCEEDED", "FAILED", "SUPERSEDED")]
        times = sorted(run.seconds for run in own) or [0.0]
        middle, longest = f"{times[len(times) // 2]:.0f} s", f"{times[-1]:.0f} s"
        out += f"| {title} | {len(own)} | {' | '.join(map(str, cells))} | {sum(map(_wrong, own))} | {middle} | {longest} |\n"
    return out


def _wrong(run: Run) -> bool:
    return bool(run.wrong)


TITLES = {"argocd": "Argo CD's API", "argocd_objects": "Application objects", "flux": "Flux"}
PAGE = """\
# Random waits on the real engines

{count} waits, one after the other on each of several applications, on {versions}: {wrong} wrong, {hung} hung, in
{minutes:.0f} minutes on a machine with two cores that was busy with other things ({date}).

Each run is drawn from a seed: our commit is good, slow, broken, refused, unreadable or touches nothing, and around it
others commit, force-push and change live objects by hand, connections break or fall silent, the Git host is slow or
away, the waiter is killed and begins anew, and processes of the cluster are killed with SIGKILL and started again.

* **Wrong** is judged by the live objects at the moment of the verdict: success while the image and the ConfigMap that run
  are not those of our commit or of a later one, or are not available; failure while the engine shows none; superseded
  while the branch holds the commit; an error. **Hung**: no verdict after 200 seconds.
* Killed: {killed}.
* Drawn: {trouble}.

`python -m tests.peers.random_waits --first SEED --count N` plays chosen seeds again; `make peers` plays a hundred. A seed
repeats what is done, and when; what a kill does to the others at that moment differs each time.

| way | waits | succeeded | failed | superseded | wrong | median | longest |
|---|---|---|---|---|---|---|---|
"""
