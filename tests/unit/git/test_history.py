"""Which change landed where: nothing is read twice, nothing is missed, nothing outlives a rewritten branch."""

from __future__ import annotations

import pytest

from loopseal.errors import Code, Conflict, Unreachable
from loopseal.git import history
from loopseal.git.history import Gap, History, Landings
from loopseal.git.objects import commit_of
from tests.unit.git.memory_remote import BRANCH, Host, MemoryRemote, living

ID = "abcdefghijklmnopqrstuvwxyz"


def trailer(change: str = ID) -> str:
    return f"subject\n\nLoopseal-Change: {change}\n"


class Scene:
    def __init__(self, **options) -> None:
        self.host = Host({"a": b"0"})
        self.remote = MemoryRemote(self.host, **options)
        self.history = History(self.remote)
        self.landings = Landings(self.history)

    def push(self, count=1, message="foreign"):
        for number in range(count):
            self.host.push({"a": b"%d" % number}, message)
        return self.host.tip

    def find(self, base, change=ID, tip=""):
        return living(lambda: self.landings.find(change, base=base, tip=tip or self.host.tip))


def test_a_gap_is_newest_first_and_says_what_it_leads_to() -> None:
    scene = Scene()
    base = scene.host.tip
    scene.push(5)
    gap = living(lambda: scene.history.gap(scene.host.tip, base))
    assert [oid for oid, _ in gap] == [oid for oid, _ in scene.host.commits()[:5]]
    assert gap.whole
    assert gap.leads_to(base)
    assert not gap.leads_to(scene.host.tip)
    assert not living(lambda: scene.history.gap(scene.host.tip, "", limit=3)).whole


def test_a_gap_with_merges_tells_each_commit_once_before_its_parents() -> None:
    host = Host({"a": b"0"})
    base = host.tip
    left, right = host.commit({"l": b"1"}, "l", [base]), host.commit({"r": b"1"}, "r", [base])
    merge = host.commit({}, "m", [left, right])
    commits = {oid: commit_of(host.objects[oid].data) for oid in (left, right, merge, base)}
    order = [oid for oid, _ in Gap(merge, commits, whole=True)]
    assert order[0] == merge
    assert order[-1] == base
    assert sorted(order) == sorted(commits)


def test_nothing_is_asked_when_the_base_is_the_tip() -> None:
    scene = Scene()
    assert scene.find(scene.host.tip) is None
    assert scene.remote.calls == []


def test_a_change_is_found_and_not_asked_for_again() -> None:
    scene = Scene()
    base = scene.host.tip
    parent = scene.push(3)
    landed = scene.push(1, trailer())
    scene.push(3)
    place = scene.find(base)
    assert (place.revision, place.parent) == (landed, parent)
    assert scene.find(base) == place
    assert scene.find(base, "b" * 26) is None
    assert scene.remote.calls == ["fetch"]


def test_a_moving_tip_is_followed_by_what_is_new() -> None:
    scene = Scene()
    base = scene.host.tip
    scene.push(3)
    assert scene.find(base) is None
    scene.push(2)
    landed = scene.push(1, trailer())
    assert scene.find(base).revision == landed
    assert [len(got) for _, got in scene.remote.fetched] == [3, 3]
    scene.push(1)
    assert scene.find(scene.host.commits()[2][0]).revision == landed


@pytest.mark.parametrize("base", ["", "f" * 40])
def test_without_a_known_base_the_last_thousand_count(base: str, monkeypatch) -> None:
    monkeypatch.setattr(history, "RECENT", 1_000)
    scene = Scene()
    landed = scene.push(1, trailer())
    scene.push(20)
    assert scene.find(base).revision == landed


def limited(monkeypatch, recent: int, far: int) -> None:
    monkeypatch.setattr(history, "FAR", far)
    original = History.gap

    async def gap(self, tip, base="", *, limit=recent):
        return await original(self, tip, base, limit=limit)

    monkeypatch.setattr(History, "gap", gap)


def test_a_far_base_that_is_known_is_looked_for_further(monkeypatch) -> None:
    limited(monkeypatch, 5, 100)
    scene = Scene()
    base = scene.host.tip
    landed = scene.push(1, trailer())
    scene.push(20)
    assert scene.find(base).revision == landed
    assert scene.find("f" * 40, "b" * 26) is None


def test_a_base_too_far_away_is_a_conflict_and_no_guess(monkeypatch) -> None:
    limited(monkeypatch, 5, 10)
    scene = Scene()
    base = scene.host.tip
    scene.push(20)
    with pytest.raises(Conflict) as caught:
        scene.find(base)
    assert caught.value.code is Code.GIT_CONTENDED


def test_on_hosts_without_filters_a_base_is_taken_as_unknown(monkeypatch) -> None:
    limited(monkeypatch, 5, 10)
    scene = Scene(filters=False)
    base = scene.host.tip
    scene.push(20)
    assert scene.find(base) is None
    assert not living(lambda: scene.history.knows(base))


def test_a_host_that_does_not_answer_is_no_unknown_base() -> None:
    scene = Scene()
    scene.remote.down = [Unreachable(Code.NET_TIMEOUT, "away")]
    with pytest.raises(Unreachable):
        living(lambda: scene.history.knows(scene.host.tip))
    assert living(lambda: scene.history.knows(scene.host.tip))


def test_a_rewritten_branch_forgets_what_landed() -> None:
    scene = Scene()
    base = scene.host.tip
    scene.push(1, trailer())
    assert scene.find(base) is not None
    scene.host.refs[BRANCH] = base
    scene.push(2)
    assert scene.find(base) is None


def test_a_rewound_branch_forgets_what_landed() -> None:
    scene = Scene()
    base = scene.host.tip
    kept = scene.push(1)
    scene.push(1, trailer())
    assert scene.find(base) is not None
    scene.host.refs[BRANCH] = kept
    assert scene.find(base) is None


def test_our_own_pushes_are_known() -> None:
    scene = Scene()
    base = scene.host.tip
    landed = scene.push(1, trailer())
    scene.landings.pushed(base, [(ID, scene.host.objects[landed])])
    assert scene.landings.covers(base, landed)
    assert not scene.landings.covers("f" * 40, landed)
    assert scene.find(base).revision == landed
    more = scene.push(1, trailer("b" * 26))
    scene.landings.pushed(landed, [("b" * 26, scene.host.objects[more])])
    assert scene.find(base).revision == landed
    assert scene.find(landed, "b" * 26).revision == more
    assert scene.remote.calls == []


def test_memory_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(history, "KEPT", 10)
    scene = Scene()
    scene.push(30)
    living(lambda: scene.history.gap(scene.host.tip))
    assert len(scene.history.parents) <= 31
    monkeypatch.setattr(history, "_CHANGES", 0)
    base = scene.host.tip
    scene.push(1, trailer())
    scene.find(base)
    scene.push(1)
    assert scene.find(scene.host.commits()[1][0]) is None
