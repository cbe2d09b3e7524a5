"""The judges against recordings of the real controllers: every want is met, and success is never said too early."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from loopseal.domain.revision import State
from loopseal.engines import reasons, replay, scene
from loopseal.engines.recording import Recording, dumps, loads, read
from tests.recorded import usual_predicates
from tests.recorded.live_state import LiveState

HERE = Path(__file__).parent
FILES = sorted([*(HERE / "argocd").glob("*.json"), *(HERE / "flux").glob("*.json")])
RECORDINGS = {f"{path.parent.name}-{path.stem}": read(path) for path in FILES}
WAITED = [name for name, recording in RECORDINGS.items() if recording.wants]
IMPATIENT = {("argocd-repo-server-down", "SUCCEEDED")}
"""Wants about the end of a recording where a wait under their policy would have ended before, and why is in the README."""


def test_all_recordings_are_here():
    assert len([name for name in RECORDINGS if name.startswith("argocd-")]) == 31
    assert len([name for name in RECORDINGS if name.startswith("flux-")]) == 18
    assert sum(len(recording.wants) for recording in RECORDINGS.values()) == 93


@pytest.mark.parametrize("name", WAITED)
def test_every_want_is_met_in_every_transport(name):
    report = replay.replay(RECORDINGS[name])
    missed = [(one.transport, one.target, one.expected, one.timeline) for one in report.outcomes if not one.ok]
    assert not missed
    assert report.ok
    assert json.loads(json.dumps(report.as_data()))["ok"] is True


@pytest.mark.parametrize("name", [name for name in WAITED if name.startswith("argocd-")])
def test_argo_cd_is_judged_from_both_transports(name):
    streamed = any(event.channel == "argo-sse" for event in RECORDINGS[name].events)
    told = {one.transport for one in replay.replay(RECORDINGS[name]).outcomes}
    assert told == ({scene.KUBERNETES, scene.REST} if streamed else {scene.KUBERNETES})


@pytest.mark.parametrize("name", WAITED)
def test_no_wait_ends_before_its_want(name):
    """A real wait ends at its first final verdict: that one, too, must be the one that was to be reached."""
    for one in replay.replay(RECORDINGS[name]).outcomes:
        if (name, one.expected.state) in IMPATIENT:
            assert one.ended is not None
            assert one.ended[1].state is State.FAILED
        elif State(one.expected.state).final:
            assert one.ended is not None
            assert one.ended[1].state.value == one.expected.state
        else:
            assert one.ended is None


@pytest.mark.parametrize("name", WAITED)
def test_success_is_never_said_while_something_else_runs(name):
    recording = RECORDINGS[name]
    for want in recording.wants:
        if want.on == "source":
            continue  # says that the commit is fetched, not that it runs
        for transport in scene.transports(recording, want):
            state = LiveState(recording, want)
            early = []
            for at, said in replay.verdicts(recording, want, transport):
                state.until(at)
                if said.state is State.SUCCEEDED and not state.holds(want.sha):
                    early.append((at, said))
            assert bool(early) == (recording.scenario == usual_predicates.UNCHECKED)


def test_the_live_state_can_tell_wrong_from_right():
    """The oracle of the test above is no rubber stamp: it calls the old state wrong, and the new one right."""
    recording = RECORDINGS["argocd-happy-normal"]
    want = recording.wants[0]
    state = LiveState(recording, want)
    state.until(want.begins)
    assert not state.holds(want.sha)
    assert state.holds(next(iter(recording.graph)))
    state.until(want.until)
    assert state.holds(want.sha)


@pytest.mark.parametrize("name", WAITED)
def test_memory_survives_serialisation_between_any_two_events(name):
    recording = RECORDINGS[name]
    for want in recording.wants:
        judge, policy = scene.judge_for(recording, want), replay.tolerance(recording, want)
        for transport in scene.transports(recording, want):
            written, told = "{}", []
            for moment in scene.moments(recording, want, transport):
                if moment.obj is None:
                    continue
                memory = json.loads(written)
                told.append(judge(moment, recording.started + moment.at, memory, policy))
                written = json.dumps(memory)
                assert len(written) < 4096
            plain = [said for _, said in replay.verdicts(recording, want, transport)]
            assert told == [said for said in plain if said.reason not in {"NOT_CREATED", "APP_MISSING"}]


@pytest.mark.parametrize("name", WAITED)
def test_every_reason_is_in_the_table(name):
    for one in replay.replay(RECORDINGS[name]).outcomes:
        assert [said for _, said in one.timeline if not reasons.known(said.state, said.reason)] == []


@pytest.mark.parametrize("name", RECORDINGS)
def test_reading_and_writing_keep_everything(name):
    recording = RECORDINGS[name]
    written = dumps(recording)
    assert loads(written) == recording
    assert written.count("\n{") == len(recording.events)


@pytest.mark.parametrize("name", ["argocd-slow-rollout", "flux-slow-rollout"])
def test_a_recording_that_broke_off_is_judged_up_to_its_last_whole_line(name):
    recording = RECORDINGS[name]
    written = dumps(recording)
    broken = loads(written[: written.index('{"t":' + f"{recording.events[-3].at}") + 40])
    assert broken.broken_off
    assert broken.events == recording.events[: len(broken.events)]
    assert 0 < len(broken.events) < len(recording.events)
    assert replay.replay(broken).outcomes


@pytest.mark.parametrize("name", WAITED)
def test_a_recording_without_wants_is_told_all_the_same(name):
    """As a user's recording: one wait for each push after the first, under the default tolerance."""
    recording: Recording = replace(RECORDINGS[name], wants=())
    if len(list(recording.bodies("git"))) > 1:
        report = replay.replay(recording)
        assert report.ok
        assert report.outcomes


def test_the_page_of_the_usual_predicates_is_up_to_date():
    page = (HERE.parents[1] / "docs/reference/predicates.md").read_text()
    assert page == usual_predicates.page()


def test_the_usual_predicates_are_early_in_most_waits_and_ours_in_none():
    found = [*usual_predicates.rows("argocd"), *usual_predicates.rows("flux")]
    assert sum(row.early for row in found) >= 0.7 * len(found)
    assert [row for row in found if row.ours_early and row.scenario != usual_predicates.UNCHECKED] == []
