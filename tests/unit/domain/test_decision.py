"""The fold of policy answers and approvals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.domain.decision import Allow, Approval, Decision, Deny, Hold, decide
from loopseal.domain.identity import Actor, ActorKind
from tests import strategies

ANN = Actor("ann", "idp", ActorKind.PERSON)
BOB = Actor("bob", "idp", ActorKind.PERSON)
OTHER_ANN = Actor("ann", "another idp", ActorKind.PERSON)
HOLD = Hold(("two-eyes",), (("sre", 2),))

answers = st.lists(
    st.one_of(
        st.builds(Allow, st.tuples(strategies.words)),
        st.builds(Deny, st.tuples(strategies.words), strategies.words),
        st.builds(Hold, st.tuples(strategies.words), st.tuples(st.tuples(st.sampled_from("ab"), st.integers(1, 3)))),
    ),
    max_size=6,
)
people = st.builds(Actor, st.sampled_from(["ann", "bob", "cyd"]), st.just("idp"), st.just(ActorKind.PERSON))
votes = st.lists(st.builds(Approval, people, st.sampled_from("ab"), st.sampled_from(["d1", "d2", ""])), max_size=8)


def test_no_answer_means_deny():
    assert decide([]) == Deny((), "no policy allows it")


def test_one_allow_is_enough():
    assert decide([Allow(("p",))]) == Allow(("p",))


def test_deny_beats_hold_beats_allow():
    allow, deny = Allow(("a",)), Deny(("d",), "no")
    assert decide([allow, HOLD, deny]) == deny
    assert decide([allow, HOLD]) == HOLD


def test_denials_tell_every_reason_once():
    told = decide([Deny(("b",), "frozen"), Deny(("a",), "frozen"), Deny(("c",), "agent")])
    assert told == Deny(("a", "b", "c"), "agent; frozen")


def test_enough_votes_turn_a_hold_into_an_allow():
    both = [Approval(ANN, "sre", "d"), Approval(BOB, "sre", "d")]
    assert decide([Allow(("a",)), HOLD], both, digest="d") == Allow(("a", "two-eyes"))


@pytest.mark.parametrize(
    "second",
    [
        Approval(ANN, "sre", "d"),  # the same person again
        Approval(BOB, "sre", "other content"),
        Approval(BOB, "dba", "d"),  # of a group that nobody asked
    ],
)
def test_votes_that_do_not_count(second: Approval):
    assert decide([HOLD], [Approval(ANN, "sre", "d"), second], digest="d") == Hold(("two-eyes",), (("sre", 1),))


def test_the_same_subject_at_another_issuer_is_another_person():
    votes = [Approval(ANN, "sre", "d"), Approval(OTHER_ANN, "sre", "d")]
    assert isinstance(decide([HOLD], votes, digest="d"), Allow)


def test_votes_bind_to_content_so_without_a_digest_none_counts():
    votes = [Approval(ANN, "sre", ""), Approval(BOB, "sre", "")]
    assert isinstance(decide([HOLD], votes), Hold)


def test_the_largest_need_of_a_group_holds():
    more = Hold(("three",), (("sre", 3), ("dba", 1)))
    assert decide([HOLD, more]) == Hold(("three", "two-eyes"), (("dba", 1), ("sre", 3)))


@pytest.mark.parametrize("needs", [(), (("sre", 0),), (("sre", 1), ("dba", -1)), (("", 1),)])
def test_a_hold_that_needs_nobody_is_none(needs: tuple[tuple[str, int], ...]):
    with pytest.raises(ValueError, match="at least one person"):
        Hold(("p",), needs)


@given(answers, votes, st.randoms(use_true_random=False))
def test_order_changes_nothing(told: list[Decision], given_votes: list[Approval], random):
    before = decide(told, given_votes, digest="d1")
    random.shuffle(told)
    random.shuffle(given_votes)
    assert decide(told, given_votes, digest="d1") == before


@given(answers, votes)
def test_the_ranking(told: list[Decision], given_votes: list[Approval]):
    decision = decide(told, given_votes, digest="d1")
    assert isinstance(decision, Deny) == (not told or any(isinstance(one, Deny) for one in told))
    if isinstance(decision, Hold):
        assert any(isinstance(one, Hold) for one in told)
        assert all(count > 0 for _, count in decision.needs)


@given(answers, votes, st.builds(Approval, people, st.sampled_from("ab"), st.just("d1")))
def test_one_more_vote_never_takes_an_allow_away(told: list[Decision], before: list[Approval], vote: Approval):
    if isinstance(decide(told, before, digest="d1"), Allow):
        assert isinstance(decide(told, [*before, vote], digest="d1"), Allow)


@given(answers, votes)
def test_votes_for_other_content_are_as_if_not_given(told: list[Decision], given_votes: list[Approval]):
    right = [vote for vote in given_votes if vote.digest == "d1"]
    assert decide(told, given_votes, digest="d1") == decide(told, right, digest="d1")


@given(answers, votes)
def test_what_an_allow_rests_on_is_what_was_needed(told: list[Decision], given_votes: list[Approval]):
    if isinstance(decide(told, given_votes, digest="d1"), Allow):
        for hold in (one for one in told if isinstance(one, Hold)):
            for group, count in hold.needs:
                voters = {v.actor for v in given_votes if v.group == group and v.digest == "d1"}
                assert len(voters) >= count
