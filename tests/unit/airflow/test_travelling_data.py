"""What travels between worker, database and triggerer comes out as it went in."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal import wire
from loopseal.airflow import intent
from loopseal.airflow.errand import Order, commit_url
from loopseal.airflow.ledger import TaskLedger
from loopseal.airflow.looking import Sight, Wish
from loopseal.airflow.outcome import MAX_EVIDENCE, MAX_PAYLOAD, Failure, Outcome, references, story
from loopseal.domain.change import Cleared, Committed, Degraded, Denied, Expired, Healthy, Proposed, Refusal, Withdrawn
from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import Proposal, SetValue, Target, change_id
from loopseal.domain.revision import Resource, State, Verdict
from loopseal.errors import Code, Conflict, Unreachable
from loopseal.ports import Evidence
from loopseal.usecases import OnFailure

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
ACTOR = Actor("loop_x/t", "airflow.test", ActorKind.DAG)
times = st.datetimes(timezones=st.just(UTC))
texts = st.text(max_size=20)
pairs = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)


def through_json(data: Any) -> Any:
    return json.loads(json.dumps(data))


def proposed(name: str = "one", content: str = "x") -> Proposed:
    target = Target("plain", "platform", "main", ("apps/**",))
    proposal = Proposal(change_id(name), target, "a" * 40, (SetValue("apps/v", "k", content),), "because", ACTOR)
    return Proposed(NOW, proposal, wire.digest(proposal))


def history(*more: Any, name: str = "one") -> tuple[Any, ...]:
    return (proposed(name), Cleared(NOW, ("target:plain",), "sha"), *more)


LANDED = Committed(NOW, "b" * 40, "a" * 40)


@given(
    st.builds(
        Order, texts, times, st.sampled_from(OnFailure), st.booleans(), texts, st.sampled_from(["keep", "revert"])
    )
)
def test_an_order(order: Order) -> None:
    assert Order.load(through_json(order.dump())) == order


@given(st.builds(Wish, texts, times, texts, texts, texts, texts, st.floats(0, 1e6)))
def test_a_wish(wish: Wish) -> None:
    assert Wish.load(through_json(wish.dump())) == wish


failures = st.none() | st.builds(Failure, texts, texts, st.booleans())
verdicts = st.builds(Verdict, st.sampled_from(State), texts, texts, texts)


@given(st.builds(Sight, verdicts, st.booleans(), failures, pairs))
def test_a_sight(sight: Sight) -> None:
    assert Sight.load(through_json(sight.dump())) == sight


documents = st.just({"c": {"format": 1, "events": []}})


@given(st.builds(intent.Intent, texts, texts, texts, times, documents, st.lists(texts, max_size=3).map(tuple), pairs))
def test_an_intent(kept: intent.Intent) -> None:
    store: dict[str, Any] = {}
    accessor: Any = SimpleNamespace(get=store.get, set=lambda key, value: store.update({key: through_json(value)}))
    assert intent.recall(accessor) is None
    intent.keep(accessor, kept)
    assert intent.recall(accessor) == kept
    intent.keep(None, kept)
    assert intent.recall(None) is None


@given(st.integers(0, 5), failures, pairs)
def test_an_outcome(count: int, failure: Any, links: Any) -> None:
    events = {"one": {"format": 1, "events": [{"n": n} for n in range(count)]}}
    outcome = Outcome("one", events, failure, Evidence((("t", "x"),)), ("note",), links)
    assert Outcome.load(through_json(outcome.dump())) == outcome


def test_an_outcome_is_bounded() -> None:
    big = TaskLedger({"one": history(), "two": (proposed("two", "x" * MAX_PAYLOAD),)}).dump()
    evidence = Evidence(tuple((f"part {n}", "y" * 40_000) for n in range(4)))
    dumped = Outcome("one", big, evidence=evidence).dump()
    assert len(json.dumps(dumped)) < MAX_PAYLOAD
    assert set(dumped["events"]) == {"one"}
    small = Outcome("one", TaskLedger({"one": history()}).dump(), evidence=evidence).dump()
    assert sum(len(text) for _, text in small["evidence"]["sections"]) == MAX_EVIDENCE


def outcome_of(*more: Any, failure: Any = None, back: Any = None) -> Outcome:
    events = {change_id("one"): history(*more)}
    if back is not None:
        events[change_id("two")] = history(*back, name="two")
    return Outcome(change_id("one"), TaskLedger(events).dump(), failure, notes=("not reverted: why",))


@pytest.mark.parametrize(
    ("outcome", "phase", "reason", "words"),
    [
        (outcome_of(LANDED, Healthy(NOW, "b" * 40)), "healthy", "HEALTHY", "is healthy"),
        (
            outcome_of(LANDED, Degraded(NOW, "DEGRADED", "why", resources=(Resource("Pod", "p", status="Bad"),))),
            "failed",
            "DEGRADED",
            "Pod/p Bad",
        ),
        (outcome_of(LANDED, Expired(NOW, "NOT_OBSERVED", "nothing")), "failed", "NOT_OBSERVED", "not healthy in time"),
        (outcome_of(Refusal(NOW, "edit.alias", "an alias")), "refused", "edit.alias", "an alias"),
        (outcome_of(Denied(NOW, (), "", "no")), "denied", "DENIED", "no"),
        (outcome_of(Withdrawn(NOW, ACTOR, "stopped")), "withdrawn", "WITHDRAWN", "is withdrawn"),
    ],
)
def test_what_is_told_of_an_outcome(outcome: Outcome, phase: str, reason: str, words: str) -> None:
    refs = references(outcome)
    assert (refs["phase"], refs["reason"]) == (phase, reason)
    assert words in story(outcome)
    assert "not reverted: why" in story(outcome)
    assert "SetValue" not in json.dumps(refs)


@pytest.mark.parametrize(
    ("back", "words"),
    [
        ((LANDED, Healthy(NOW, "b" * 40)), f"reverted by {'b' * 40}, and that is healthy"),
        ((LANDED, Degraded(NOW, "DEGRADED", "still")), f"reverted by {'b' * 40}, and that is failed"),
        ((Refusal(NOW, "edit.expectation", "changed"),), "is refused"),
    ],
)
def test_what_became_of_the_revert_is_told(back: Any, words: str) -> None:
    outcome = outcome_of(LANDED, Degraded(NOW, "DEGRADED", "why"), back=back)
    assert words in story(outcome)
    assert references(outcome)["revert"]["change"] == change_id("two")


def test_an_error_is_told_with_what_to_do() -> None:
    down = Failure.of(Unreachable(Code.GIT_UNREACHABLE, "nobody", where="https://x.test", hint="Wait."))
    assert down.again
    assert "hint: Wait." in story(Outcome("unknown", {}, down))
    assert references(Outcome("unknown", {}, down)) == {"change": "unknown", "links": {}}
    assert not Failure.of(Conflict(Code.EDIT_EXPECTATION, "changed")).again


def test_the_ledger_saves_before_it_returns() -> None:
    saved: list[Any] = []
    ledger = TaskLedger(save=lambda one: saved.append(through_json(one.dump())))
    first, second = history()
    asyncio.run(ledger.append("c", 0, first))
    asyncio.run(ledger.append("c", 1, second))
    assert [len(one["c"]["events"]) for one in saved] == [1, 2]
    assert TaskLedger.load(saved[-1]).events("c") == (first, second)
    assert asyncio.run(ledger.read("c")) == (first, second)
    assert asyncio.run(ledger.read("d")) == ()


def test_of_two_racers_one_wins() -> None:
    ledger = TaskLedger({"c": history()})
    with pytest.raises(Conflict) as told:
        asyncio.run(ledger.append("c", 1, LANDED))
    assert told.value.code == "ledger.conflict"


def ti(max_tries: int) -> Any:
    return SimpleNamespace(max_tries=max_tries)


def kept(generation: str, *events: Any, previous: tuple[str, ...] = ()) -> intent.Intent:
    documents = TaskLedger({"old": events}).dump() if events else {}
    return intent.Intent("old", "plain", generation, NOW, documents, previous)


def test_which_change_a_try_is_about() -> None:
    def name(generation: str) -> str:
        return f"new-{generation}"

    assert intent.plan(ti(1), None, name) == intent.Plan("new-1", "1")
    retry = intent.plan(ti(1), kept("1", *history()), name)
    assert (retry.change, retry.generation, retry.deadline) == ("old", "1", None)
    landed = intent.plan(ti(1), kept("1", *history(LANDED)), name)
    assert (landed.change, landed.deadline) == ("old", NOW)
    assert landed.standing is not None
    cleared = intent.plan(ti(3), kept("1", *history(LANDED), previous=("older",)), name)
    assert (cleared.change, cleared.previous, cleared.standing) == ("new-3", ("older", "old"), None)
    withdrawn = intent.plan(ti(1), kept("1", *history(Withdrawn(NOW, ACTOR, "x"))), name)
    assert (withdrawn.change, withdrawn.generation) == ("new-1.1", "1.1")
    after = intent.plan(ti(1), kept("1.1", *history()), name)
    assert (after.change, after.generation) == ("old", "1.1")
    nothing_yet = intent.plan(ti(1), kept("1"), name)
    assert (nothing_yet.change, nothing_yet.standing) == ("old", None)


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://git.test/a/b.git", "https://git.test/a/b/commit/abc"),
        ("https://git.test/a/b/", "https://git.test/a/b/commit/abc"),
        ("ssh://git@git.test/a/b.git", ""),
        ("file:///srv/a.git", ""),
    ],
)
def test_the_page_of_a_commit(url: str, page: str) -> None:
    assert commit_url(url, "abc") == page
