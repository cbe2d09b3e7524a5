"""What one commit is to another: right for every graph, and never more than was seen."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.domain import revision
from loopseal.domain.revision import Relation
from loopseal.errors import Code, Refused, Unreachable
from loopseal.git.ancestry import Relations, proven
from loopseal.git.history import History
from loopseal.testing.clock import LoopClock
from tests.unit.git.memory_remote import BRANCH, Host, MemoryRemote, living


@st.composite
def graphs(draw):
    """Commit numbers and their parents, all of them smaller."""
    count = draw(st.integers(1, 10))
    return {
        f"{n}": tuple(f"{p}" for p in sorted(draw(st.sets(st.integers(0, n - 1), max_size=3)))) if n else ()
        for n in range(count)
    }


@given(graphs(), st.data())
def test_a_whole_graph_is_answered_as_the_domain_answers(graph, data) -> None:
    observed, wanted = data.draw(st.sampled_from(sorted(graph))), data.draw(st.sampled_from(sorted(graph)))
    assert proven(observed, wanted, graph) is revision.relation(observed, wanted, graph)


@given(graphs(), st.data())
def test_a_part_of_a_graph_never_lies(graph, data) -> None:
    observed, wanted = data.draw(st.sampled_from(sorted(graph))), data.draw(st.sampled_from(sorted(graph)))
    known = {one: graph[one] for one in data.draw(st.sets(st.sampled_from(sorted(graph))))}
    limit = data.draw(st.integers(1, 12))
    answer = proven(observed, wanted, known, limit=limit)
    assert answer in {revision.relation(observed, wanted, graph), Relation.UNKNOWN}


def test_a_fork_is_proven_without_its_whole_history() -> None:
    known = {"o2": ("o1",), "o1": ("base",), "w1": ("base",)}
    assert proven("o2", "w1", known) is Relation.DIVERGED
    assert proven("o2", "w1", {"o2": ("o1",), "w1": ("base",)}) is Relation.UNKNOWN


class Scene:
    def __init__(self, **options) -> None:
        self.host = Host({"a": b"1"})
        self.remote = MemoryRemote(self.host, **options)
        self.relations = Relations(History(self.remote), LoopClock())

    def line(self, count, parent=""):
        """A chain of commits on `parent`, its head."""
        head = parent or self.host.tip
        for number in range(count):
            head = self.host.commit({"a": b"%d" % number}, f"{number}", [head])
        return head

    def ask(self, observed, wanted):
        return living(lambda: self.relations.relation(observed, wanted))


@pytest.mark.parametrize("options", [{}, {"filters": False}])
def test_a_line_and_a_fork(options) -> None:
    scene = Scene(**options)
    root = scene.host.tip
    middle = scene.line(30)
    head, other = scene.line(30, middle), scene.line(5, middle)
    assert scene.ask(head, middle) is Relation.DESCENDANT
    assert scene.ask(root, head) is Relation.ANCESTOR
    assert scene.ask(head, other) is Relation.DIVERGED
    assert scene.ask(other, head) is Relation.DIVERGED
    assert scene.ask(head, head) is Relation.EQUAL


def test_what_is_near_costs_one_fetch_of_few_commits() -> None:
    scene = Scene()
    old = scene.line(500)
    new = scene.line(3, old)
    assert scene.ask(new, old) is Relation.DESCENDANT
    ((request, got),) = scene.remote.fetched
    assert request.filter == "tree:0"
    assert not request.thin
    assert len(got) == 3


def test_an_answer_is_kept_and_equal_questions_share_one_walk() -> None:
    scene = Scene()
    old = scene.host.tip
    news = scene.line(20)

    async def main() -> None:
        asked = [scene.relations.relation(news, old) for _ in range(50)]
        assert set(await asyncio.gather(*asked)) == {Relation.DESCENDANT}

    living(main)
    assert scene.remote.calls == ["fetch"]
    scene.relations._history.parents.clear()
    assert scene.ask(news, old) is Relation.DESCENDANT
    assert scene.remote.calls == ["fetch"]


def test_many_wanted_commits_of_one_chain_need_one_fetch() -> None:
    scene = Scene()
    chain = [scene.host.tip]
    for _ in range(20):
        chain.append(scene.line(1, chain[-1]))

    async def main() -> None:
        asked = [scene.relations.relation(chain[-1], one) for one in chain[:-1]]
        assert set(await asyncio.gather(*asked)) == {Relation.DESCENDANT}

    living(main)
    assert scene.remote.calls == ["fetch"]


def test_an_old_branch_merged_in_does_not_hide_a_fork() -> None:
    """The way out of the walk leads far below the fork: the recent history of both decides."""
    scene = Scene()
    ancient = scene.line(2)
    side = scene.line(2, ancient)
    middle = scene.line(20, ancient)
    merge = scene.host.commit({"b": b"m"}, "merge", [scene.line(2, middle), side])
    wanted = scene.line(3, middle)
    assert scene.ask(merge, wanted) is Relation.DIVERGED
    assert scene.ask(merge, side) is Relation.DESCENDANT


def test_after_a_force_push_the_commit_is_diverged_even_when_the_host_forgot_it() -> None:
    scene = Scene()
    base = scene.host.tip
    landed = scene.line(1)
    scene.relations._history.parents[landed] = (base,)
    del scene.host.objects[landed]
    rewritten = scene.line(4, base)
    assert scene.ask(rewritten, landed) is Relation.DIVERGED
    assert scene.ask(landed, rewritten) is Relation.DIVERGED


def test_what_nobody_has_is_unknown_and_asked_again_only_later() -> None:
    scene = Scene()
    nowhere = "f" * 40

    async def main() -> None:
        assert await scene.relations.relation(scene.host.tip, nowhere) is Relation.UNKNOWN
        calls = len(scene.remote.calls)
        assert await scene.relations.relation(scene.host.tip, nowhere) is Relation.UNKNOWN
        assert len(scene.remote.calls) == calls
        await asyncio.sleep(10)
        await scene.relations.relation(scene.host.tip, nowhere)
        assert len(scene.remote.calls) > calls

    living(main)


@pytest.mark.parametrize("name", ["", "main", "sha1:abc", "F" * 40, "a" * 39])
def test_what_is_no_commit_id_is_unknown_and_not_asked(name: str) -> None:
    scene = Scene()
    assert scene.ask(scene.host.refs[BRANCH], name) is Relation.UNKNOWN
    assert scene.remote.calls == []


def test_a_host_that_is_away_is_unknown_now_and_asked_later() -> None:
    scene = Scene()
    old, new = scene.host.tip, scene.line(2)
    scene.remote.down = [Unreachable(Code.NET_TIMEOUT, "away")]

    async def main() -> None:
        assert await scene.relations.relation(new, old) is Relation.UNKNOWN
        await asyncio.sleep(10)
        assert await scene.relations.relation(new, old) is Relation.DESCENDANT

    living(main)


def test_a_refusal_is_told() -> None:
    scene = Scene()
    old, new = scene.host.tip, scene.line(2)
    scene.remote.down = [Refused(Code.GIT_AUTHENTICATION, "no")]
    with pytest.raises(Refused):
        scene.ask(new, old)
