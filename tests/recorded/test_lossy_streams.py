"""Watches drop events, polls miss what lies between them: with any part of a recording missing, success is still true.

A success is judged by the moment at which the object that it rests on was recorded: what happened since then is what a
confirming read is for, and that is tested with the waits.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import replace

import pytest

from loopseal.domain.revision import State
from loopseal.engines import replay, scene
from tests.recorded.live_state import LiveState
from tests.recorded.usual_predicates import UNCHECKED, recordings

WAITS = [
    pytest.param(recording, want, transport, id=f"{recording.system}-{recording.scenario}-{number}-{transport}")
    for system in ("argocd", "flux")
    for recording in recordings(system)
    if recording.scenario != UNCHECKED
    for number, want in enumerate(recording.wants)
    if want.on != "source" and want.state == State.SUCCEEDED
    for transport in scene.transports(recording, want)
]


@pytest.mark.parametrize(("recording", "want", "transport"), WAITS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_whatever_is_missing_success_is_true(recording, want, transport, share):
    for seed in range(5):
        _check(recording, want, transport, random.Random(f"{seed} {share}"), share)


def _check(recording, want, transport, dice, share):
    keep = ("git", "ancestry")
    events = tuple(one for one in recording.events if one.channel in keep or dice.random() < share)
    lossy = replace(recording, events=events)
    times = [one.at for one in events if one.channel not in keep and not one.channel.endswith("deployment")]
    state = LiveState(recording, want)
    for at, said in replay.verdicts(lossy, want, transport):
        if said.state is State.SUCCEEDED:
            state.until(times[bisect_right(times, at) - 1])
            assert state.holds(want.sha)
            return
