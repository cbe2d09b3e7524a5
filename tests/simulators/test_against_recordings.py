"""The simulators are held to the recordings: the same pushes and requests give the same history of states.

Compared is what `states` calls significant, without times. The recorder often stopped in the middle of a transition, so
the simulator plays on for some seconds: its history must begin with the recorded one, and must not have been ahead of it
by more than one state when the recorder stopped.

| system | recordings | matched by history | left out |
|---|---|---|---|
| Argo CD | 31 | 31 (every answer of a single call, too) | none |
| Flux | 18 | 18 (every source and every Kustomization) | none |
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.simulators import stage, states

ARGOCD = sorted(path.stem for path in (stage.RECORDED / "argocd").glob("*.json"))
FLUX = sorted(path.stem for path in (stage.RECORDED / "flux").glob("*.json"))


def test_no_recording_is_forgotten() -> None:
    assert len(ARGOCD) == 31
    assert len(FLUX) == 18


@pytest.mark.parametrize("name", ARGOCD)
def test_argocd_goes_through_the_recorded_states(name: str) -> None:
    recording = stage.load("argocd", name)
    played = stage.play_argocd(recording)
    events = stage.recorded(recording, "k8s-watch-application")
    assert_same_history(played, events, played.watched("Application"), states.application, states.chance)


@pytest.mark.parametrize("name", FLUX)
def test_flux_goes_through_the_recorded_states(name: str) -> None:
    recording = stage.load("flux", name)
    played = stage.play_flux(recording)
    sources = stage.recorded(recording, "k8s-watch-gitrepository")
    assert_same_history(played, sources, played.watched("GitRepository"), states.source, lambda _: False)
    seen = stage.recorded(recording, "k8s-watch-kustomization")
    for one in {event["object"]["metadata"]["name"] for _, event in seen}:
        assert_same_history(
            played, _named(seen, one), _named(played.watched("Kustomization"), one), states.kustomization, states.early
        )


def assert_same_history(played: stage.Stage, recorded: Any, simulated: Any, state: Any, chance: Any) -> None:
    names = stage.names(played.recording)
    wanted = states.history(recorded, names, state, chance)
    assert states.history(simulated, names, state, chance)[: len(wanted)] == wanted
    by_then = [(at, event) for at, event in simulated if at <= played.end]
    assert len(states.history(by_then, names, state, chance)) <= len(wanted) + 1


@pytest.mark.parametrize("name", ["auth-errors", "created-late", "hung-operation", "manual-sync-pinned", "sync-window"])
def test_argocd_answers_single_calls_as_recorded(name: str) -> None:
    played = stage.play_argocd(stage.load("argocd", name))
    for call, status, body in played.answers:
        wanted = call["answer"]
        assert status == wanted["status"], call["what"]
        if status >= 400 or call["what"].endswith(("can-i sync", "userinfo", "syncwindows")):
            assert without_times(body) == without_times(wanted["body"]), call["what"]


def test_the_recordings_hold_refusals_of_every_kind() -> None:
    played = stage.play_argocd(stage.load("argocd", "auth-errors"))
    told = {(status, (body or {}).get("code")) for _, status, body in played.answers if isinstance(body, dict)}
    assert told >= {(401, 16), (403, 7), (404, 5), (400, 9), (400, 3), (500, None)}


@pytest.mark.parametrize("name", ["happy-normal", "slow-rollout", "coalesced"])
def test_the_operation_is_announced_while_the_status_is_still_old(name: str) -> None:
    """The hazard of every waiter: Synced, Healthy and no operation are all true just before it appears."""
    recording = stage.load("argocd", name)
    names = stage.names(recording)
    last = f"C{len(names)}"
    history = [states.application(event, names) for _, event in stage.play_argocd(recording).watched("Application")]
    announced = next(state for state in history if state[0] == last)
    assert announced[1:7] == ("", "", 0, False, "Synced", "C1")
    assert announced[-1] is True


def test_the_end_of_an_operation_and_its_success_are_one_write() -> None:
    for name in ARGOCD:
        for _, event in stage.play_argocd(stage.load("argocd", name)).watched("Application"):
            state = (event["object"].get("status") or {}).get("operationState") or {}
            assert ("operation" in event["object"]) or state.get("phase") in {None, "Succeeded", "Failed", "Error"}


def test_the_first_synced_state_is_reconciled_no_later_than_the_operation_ended() -> None:
    """One second of resolution: fresh and stale look alike, so a strict comparison needs one more refresh."""
    recording = stage.load("argocd", "happy-normal")
    played = stage.play_argocd(recording)
    names = stage.names(recording)
    synced = [
        event["object"]["status"]
        for _, event in played.watched("Application")
        if states.application(event, names)[5:7] == ("Synced", "C2")
    ]
    assert synced[0]["reconciledAt"] <= synced[0]["operationState"].get("finishedAt", "9")


@pytest.mark.parametrize("name", ["happy", "slow-rollout", "never-available"])
def test_flux_says_applied_before_the_revision_field_moves(name: str) -> None:
    played = stage.play_flux(stage.load("flux", name))
    early = 0
    for _, event in played.watched("Kustomization"):
        status = event["object"].get("status") or {}
        ready = next((one for one in status.get("conditions") or () if one["type"] == "Ready"), {})
        said = re.search(r"Applied revision: (\S+)", ready.get("message", ""))
        early += bool(said and said[1] != status.get("lastAppliedRevision"))
    assert early >= 2


def without_times(body: Any) -> str:
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", json.dumps(body, sort_keys=True))


def _named(events: Any, name: str) -> Any:
    return [(at, event) for at, event in events if event["object"]["metadata"]["name"] == name]
