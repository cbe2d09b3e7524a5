"""The figures of one run, and the page that tells them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.loop.ways import POLL, Said

RESYNC = 30
"""Seconds of Argo CD's resync and of Flux's source interval in this run; their defaults are 120 to 180 and 60."""
LIMIT = 90.0
"""Seconds after which every way gives up."""


@dataclass(frozen=True)
class Result:
    """One wait. Seconds are from the push; `live` is when it was true first, or None."""

    seed: int
    said: Said
    seconds: float
    live: float | None
    wrong: str
    calls: int


def summary(results: list[Result], calls: float | None) -> dict[str, Any]:
    right = sorted(one.seconds for one in results if one.said and not one.wrong)
    lag = sorted(one.seconds - one.live for one in results if one.said and not one.wrong and one.live is not None)
    return {
        "waits": len(results),
        "right": sum(not one.wrong for one in results),
        "early": sum(one.wrong == "early" for one in results),
        "timed_out": sum(one.wrong == "timed out" for one in results),
        "false_alarms": sum(one.wrong == "false alarm" for one in results),
        "seconds_median": round(statistics.median(right), 1) if right else None,
        "seconds_slowest": round(right[-1], 1) if right else None,
        "after_live_median": round(statistics.median(lag), 1) if lag else None,
        "calls_per_wait": round(statistics.mean(one.calls for one in results) if calls is None else calls, 1),
        "results": [asdict(one) for one in results],
    }


HEAD = "| way | waits | right | early | timed out | false alarms | median | slowest | after it was live | calls |"
COLUMNS = (
    "waits", "right", "early", "timed_out", "false_alarms", "seconds_median", "seconds_slowest", "after_live_median",
    "calls_per_wait",
)  # fmt: skip


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures of one engine."""
    lines = [HEAD, "|---" * (len(COLUMNS) + 1) + "|"]
    for name, figures in found.items():
        cells = ["-" if figures[key] is None else str(figures[key]) for key in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page(found: Mapping[str, Any]) -> str:
    """The page of the documentation."""
    out = PAGE.format(limit=LIMIT, poll=POLL, resync=RESYNC, **found)
    names = {"argocd": "Argo CD", "flux": "Flux"}
    return out + "".join(f"\n## {names[one]}\n\n{table(found[one])}" for one in names if one in found)


PAGE = """\
# From push to healthy: ours beside what people use

Written by `python -m benchmarks.loop --markdown` on {date}, on {peers} ({machine}).

Every way plays the same random runs on applications of its own: our commit is good (70 %), slow (10 %), broken (12 %)
or touches nothing of the application (8 %); others commit up to two seconds before and four seconds after it.

* **early**: it says success while the live Deployment is not that of our commit or of a later one, or is not
  available, as the API server shows it at that moment. **timed out**: it says nothing within {limit:.0f} s. **false
  alarm**: it says failure while nothing has failed. The rest is **right**; so is a broken commit reported as failed.
* Seconds are from the end of the push to a right "success" (median, slowest), and from the first moment at which it was
  true (after it was live, median); ours waits for health to hold for 1 s before it says so (`settle`, 10 s by default).
* **calls** are requests per wait to Argo CD's or the Kubernetes API, streams included, Git not.
* Argo CD's resync and Flux's source interval are {resync} s here, so that the runs without a refresh end today; their
  defaults are 120 to 180 s and usually 60 s: *nobody asks* is that much slower in real life.
* `argocd app wait` is its documented predicate (sync, health, operation; v3.2) on every event of a watch;
  `flux reconcile` is its documented sequence (v2.7), given up after {limit:.0f} s instead of 5 minutes.
* *Poll* asks the engine to look at once and every {poll:.0f} s, and wants exactly our revision: where another commit
  came first, it never comes. The same is true of *nobody asks*.
"""
