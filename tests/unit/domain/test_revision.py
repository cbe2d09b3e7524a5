"""Relations of commits and verdicts."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.domain.revision import Relation, Resource, State, Verdict, relation, worst
from tests import strategies

FINAL = {State.SUCCEEDED, State.FAILED, State.SUPERSEDED}
BADNESS = [State.SUCCEEDED, State.PENDING, State.BLOCKED, State.SUPERSEDED, State.REGRESSED, State.FAILED]


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """A random history: commit n may have any earlier commits as parents."""
    size = draw(st.integers(1, 8))
    return {
        str(n): draw(st.lists(st.sampled_from([str(m) for m in range(n)]), max_size=2)) if n else []
        for n in range(size)
    }


def contains(graph: dict[str, list[str]], tip: str, commit: str) -> bool:
    """The oracle: is `commit` reachable from `tip`?"""
    return tip == commit or any(contains(graph, parent, commit) for parent in graph[tip])


@given(graphs(), st.data())
def test_relation_is_reachability(graph: dict[str, list[str]], data: st.DataObject):
    observed, wanted = (data.draw(st.sampled_from(sorted(graph))) for _ in range(2))
    expected = {
        (True, True): Relation.EQUAL,
        (True, False): Relation.DESCENDANT,
        (False, True): Relation.ANCESTOR,
        (False, False): Relation.DIVERGED,
    }[contains(graph, observed, wanted), contains(graph, wanted, observed)]
    assert relation(observed, wanted, graph) is expected


@given(graphs(), st.data())
def test_a_shallow_graph_never_lies(graph: dict[str, list[str]], data: st.DataObject):
    observed, wanted = (data.draw(st.sampled_from(sorted(graph))) for _ in range(2))
    known = data.draw(st.sets(st.sampled_from(sorted(graph))))
    told = relation(observed, wanted, {commit: parents for commit, parents in graph.items() if commit in known})
    assert told in {Relation.UNKNOWN, relation(observed, wanted, graph)}


def test_a_commit_is_equal_to_itself_even_where_the_graph_does_not_hold_it():
    assert relation("x", "x", {}) is Relation.EQUAL


@pytest.mark.parametrize(("observed", "wanted"), [("x", "a"), ("a", "x"), ("x", "y")])
def test_unknown_commits_are_unknown(observed: str, wanted: str):
    assert relation(observed, wanted, {"a": []}) is Relation.UNKNOWN


def test_two_tips_over_a_cut_history_are_unknown_and_not_diverged():
    assert relation("b", "c", {"b": ["a"], "c": []}) is Relation.UNKNOWN
    assert relation("b", "c", {"b": [], "c": ["a"]}) is Relation.UNKNOWN
    assert relation("b", "c", {"b": [], "c": []}) is Relation.DIVERGED


def test_a_loop_that_no_git_has_ends_all_the_same():
    assert relation("a", "b", {"a": ["a"], "b": []}) is Relation.DIVERGED


def test_which_states_end_a_wait():
    assert {state for state in State if state.final} == FINAL


def test_nothing_to_wait_for_is_never_success():
    verdict = worst([])
    assert (verdict.state, verdict.reason) == (State.PENDING, "NO_APPLICATIONS")


@pytest.mark.parametrize(("better", "worse"), [*itertools.pairwise(BADNESS)])
def test_the_worse_decides(better: State, worse: State):
    told = [Verdict(better, "A"), Verdict(worse, "B"), Verdict(better, "C")]
    assert worst(told) is told[1]


def test_of_equals_the_first_decides():
    told = [Verdict(State.FAILED, "A"), Verdict(State.FAILED, "B")]
    assert worst(told) is told[0]


@given(st.lists(strategies.values(Verdict), min_size=1, max_size=5))
def test_success_only_when_all_succeed(verdicts: list[Verdict]):
    together = worst(verdicts)
    assert together in verdicts
    assert (together.state is State.SUCCEEDED) == all(one.state is State.SUCCEEDED for one in verdicts)


def test_same_as_looks_at_what_would_be_told():
    one = Verdict(State.PENDING, "NOT_OBSERVED", "text", "r1")
    assert one.same_as(Verdict(State.PENDING, "NOT_OBSERVED", "other text", "r1"))
    assert not one.same_as(None)
    assert not one.same_as(Verdict(State.PENDING, "NOT_OBSERVED", "text", "r2"))
    assert not one.same_as(Verdict(State.BLOCKED, "NOT_OBSERVED", "text", "r1"))


def test_a_resource_prints_what_it_is():
    assert str(Resource("Deployment", "web", "apps", "apps", "Degraded", "0/1")) == "Deployment/apps/web Degraded: 0/1"
    assert str(Resource("Namespace", "apps", status="Synced")) == "Namespace/apps Synced"
