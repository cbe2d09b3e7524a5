"""A hundred random waits in a row on the real engines: no verdict wrong, none hung.

The truth is the live objects at the moment of the verdict. `python -m tests.peers.random_waits --first SEED --count N`
plays chosen seeds. With `--results` the figures of this run become `docs/reference/random-waits.md`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.peers import random_waits
from tests.peers.lanes import WAYS
from tests.peers.random_waits_page import page

COUNT = 100
PAGE = Path(__file__).parents[2] / "docs/reference/random-waits.md"


# A waiter is killed in the middle of connecting: the HTTP library then leaves its socket to the garbage collector.
@pytest.mark.filterwarnings(
    r"ignore:Exception ignored in. <(function _SelectorTransport|socket\.socket):pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.timeout(1800)
def test_a_hundred_random_waits_are_right(cluster, tmp_path, request) -> None:
    told: list[str] = []
    seeds = random_waits.seeds_of(0, COUNT)
    report = asyncio.run(random_waits.play(cluster, tmp_path, seeds, 4, told.append))
    runs = report.runs
    if request.config.getoption("--results", default=False):
        PAGE.write_text(page(report, f"{datetime.now(UTC):%Y-%m-%d}"))
    assert len(runs) >= COUNT
    assert not [run for run in runs if run.wrong], "\n".join(told)
    ends = Counter((run.way, run.state) for run in runs)
    assert all(ends[way, "SUCCEEDED"] and ends[way, "FAILED"] for way in WAYS), ends
