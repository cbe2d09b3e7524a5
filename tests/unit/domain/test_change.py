"""The state machine of a change: its table, its checks, and replay."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.domain.change import (
    TRANSITIONS,
    Approved,
    Change,
    Cleared,
    Committed,
    Degraded,
    Denied,
    Event,
    Expired,
    Healthy,
    Held,
    IllegalMove,
    Leased,
    Phase,
    Proposed,
    Reconciled,
    Refusal,
    Rejected,
    Withdrawn,
    advance,
    begin,
    replay,
)
from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import Application, Proposal, SetValue, Target, change_id
from tests import strategies

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAIVE = NOW.replace(tzinfo=None)
LATER = NOW + timedelta(days=7)
ANN = Actor("ann", "https://id.example.com", ActorKind.PERSON)
TARGET = Target("payments", "platform", "main", ("apps/**",), (Application("argo", "payments"),))
PROPOSAL = Proposal(change_id("x"), TARGET, "base", (SetValue("apps/a.yaml", "tag", "v2"),), "why", ANN)
PROPOSED = Proposed(NOW, PROPOSAL, "sha256:1")
CLEARED = Cleared(NOW, ("p1",), "set")
HELD = Held(NOW, ("p1",), "set", (("sre", 1),), LATER)
COMMITTED = Committed(NOW, "r1", "base")

CLOSED = {
    Phase.HEALTHY,
    Phase.FAILED,
    Phase.SUPERSEDED,
    Phase.DENIED,
    Phase.REFUSED,
    Phase.WITHDRAWN,
}


def test_the_straight_way():
    change = replay([PROPOSED, CLEARED, COMMITTED, Reconciled(NOW, "r1"), Healthy(NOW, "r1")])
    assert change.phase is Phase.HEALTHY
    assert (change.id, change.revision, change.digest, change.closed) == (PROPOSAL.id, "r1", "sha256:1", True)


def test_held_until_people_clear_it():
    held = replay([PROPOSED, HELD])
    assert (held.phase, held.expires, held.closed) == (Phase.HELD, LATER, False)
    approved = advance(held, Approved(NOW, ANN, "sre", "sha256:1"))
    assert approved.phase is Phase.HELD
    landed = replay([*approved.events, CLEARED, Leased(NOW, "s", "h", LATER), COMMITTED])
    assert (landed.phase, landed.expires) == (Phase.COMMITTED, None)


@pytest.mark.parametrize(
    ("before", "event", "after"),
    [
        ([], Denied(NOW, (), "set", "no"), Phase.DENIED),
        ([], Withdrawn(NOW, ANN, "mistake"), Phase.WITHDRAWN),
        ([HELD], Rejected(NOW, ANN, "sha256:1", "no"), Phase.DENIED),
        ([HELD], Expired(NOW, "EXPIRED", "nobody came"), Phase.DENIED),
        ([CLEARED], Refusal(NOW, "edit.alias", "shared"), Phase.REFUSED),
        ([CLEARED, COMMITTED], Degraded(NOW, "DEGRADED", "x"), Phase.FAILED),
        ([CLEARED, COMMITTED], Expired(NOW, "TIMEOUT", "was PENDING"), Phase.FAILED),
    ],
)
def test_ways_to_end(before: list[Event], event: Event, after: Phase):
    change = replay([PROPOSED, *before, event])
    assert change.phase is after
    assert change.closed


@pytest.mark.parametrize(
    ("events", "says"),
    [
        ([], "at least one event"),
        ([CLEARED], "begins with Proposed"),
        ([PROPOSED, PROPOSED], "Proposed cannot follow in phase proposed"),
        ([PROPOSED, COMMITTED], "Committed cannot follow"),
        ([PROPOSED, HELD, Approved(NOW, ANN, "sre", "sha256:2")], "vote is for other content"),
        ([PROPOSED, HELD, Rejected(NOW, ANN, "sha256:2", "no")], "vote is for other content"),
        ([PROPOSED, HELD, Approved(LATER, ANN, "sre", "sha256:1")], "hold has expired"),
        ([PROPOSED, HELD, dataclasses.replace(CLEARED, at=LATER)], "hold has expired"),
        ([PROPOSED, CLEARED, COMMITTED, Healthy(NOW, "r2")], "Healthy speaks of r2"),
        ([PROPOSED, CLEARED, COMMITTED, Reconciled(NOW, "r2")], "Reconciled speaks of r2"),
        ([PROPOSED, CLEARED, Committed(NOW, "", "base")], "lands as some revision"),
        ([dataclasses.replace(PROPOSED, digest="")], "needs the digest"),
        ([dataclasses.replace(PROPOSED, at=NAIVE)], "time without its zone"),
        ([PROPOSED, dataclasses.replace(CLEARED, at=NAIVE)], "time without its zone"),
        ([PROPOSED, dataclasses.replace(HELD, expires=NAIVE)], "time without its zone"),
        ([PROPOSED, CLEARED, Leased(NOW, "s", "h", NAIVE)], "time without its zone"),
        ([dataclasses.replace(PROPOSED, proposal=dataclasses.replace(PROPOSAL, edits=()))], "at least one edit"),
    ],
)
def test_what_no_change_can_have_gone_through(events: list[Event], says: str):
    with pytest.raises(IllegalMove, match=says):
        replay(events)


def test_an_approval_just_before_the_end_of_the_hold_counts():
    vote = Approved(LATER - timedelta(microseconds=1), ANN, "sre", "sha256:1")
    assert replay([PROPOSED, HELD, vote]).phase is Phase.HELD


def test_the_order_of_the_log_decides_and_not_the_clocks():
    early = dataclasses.replace(CLEARED, at=NOW - timedelta(hours=1))
    assert replay([PROPOSED, early]).phase is Phase.CLEARED


def test_closed_phases_have_no_way_out_and_all_others_have_one():
    assert {phase for phase in Phase if phase.closed} == CLOSED
    assert {phase for phase, _ in TRANSITIONS} == set(Phase) - CLOSED


def test_every_phase_can_be_reached_and_every_open_one_can_end():
    def reach(start: Phase) -> set[Phase]:
        seen, stack = {start}, [start]
        while stack:
            here = stack.pop()
            new = {after for (before, _), after in TRANSITIONS.items() if before is here} - seen
            seen |= new
            stack.extend(new)
        return seen

    assert reach(Phase.PROPOSED) == set(Phase)
    assert all(reach(phase) & CLOSED for phase in Phase)


def test_every_kind_of_event_is_used_by_the_table_or_begins():
    assert {kind for _, kind in TRANSITIONS} | {Proposed} == set(get_args(Event))


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        TRANSITIONS[Phase.HEALTHY, Degraded] = Phase.FAILED  # type: ignore[index]


def test_nothing_gets_past_a_commit_but_by_the_table():
    landed = {Phase.COMMITTED, Phase.RECONCILED, Phase.HEALTHY, Phase.FAILED, Phase.SUPERSEDED}
    for (before, kind), after in TRANSITIONS.items():
        if after in landed and before not in landed:
            assert kind is Committed
            assert before in {Phase.CLEARED, Phase.LEASED}


@given(strategies.changes())
def test_replay_of_the_events_is_the_change(change: Change):
    assert replay(change.events) == change


@given(strategies.changes())
def test_every_beginning_of_a_log_is_a_log(change: Change):
    whole = begin(change.events[0])
    for length, event in enumerate(change.events[1:], start=2):
        whole = advance(whole, event)
        assert replay(change.events[:length]) == whole
    assert whole == change


@given(strategies.changes())
def test_a_revision_is_there_exactly_when_it_landed(change: Change):
    assert bool(change.revision) == any(isinstance(event, Committed) for event in change.events)


@given(strategies.changes(), st.data())
def test_any_event_moves_by_the_table_or_is_refused(change: Change, data: st.DataObject):
    kind = data.draw(st.sampled_from(get_args(Event)))
    event = data.draw(strategies.fitting(change, kind))
    allowed = TRANSITIONS.get((change.phase, kind))
    try:
        after = advance(change, event)
    except IllegalMove:
        assert allowed is None
    else:
        assert after.phase is allowed
        assert after.events == (*change.events, event)


@given(st.lists(strategies.values(Event), max_size=5), strategies.changes())
def test_any_sequence_replays_the_same_twice_or_is_refused_twice(tail: list[Event], change: Change):
    def outcome() -> Change | str:
        try:
            return replay((*change.events, *tail))
        except IllegalMove as illegal:
            return str(illegal)

    assert outcome() == outcome()


@given(strategies.changes())
def test_closed_changes_take_nothing(change: Change):
    if change.closed:
        for event in (CLEARED, HELD, COMMITTED, Healthy(NOW, change.revision), Withdrawn(NOW, ANN, "x")):
            with pytest.raises(IllegalMove):
                advance(change, event)
