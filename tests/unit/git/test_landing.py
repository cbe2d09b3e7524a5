"""What a branch does with the changes that are given to it, whatever happens around them."""

from __future__ import annotations

import asyncio

import pytest

from loopseal.domain.proposal import ABSENT, DeleteFile, PutFile, SetValue, Target
from loopseal.errors import Code, ConfigError, Conflict, LoopsealError, Refused, Unreachable
from loopseal.git.budget import Budget
from loopseal.git.edits.memory import LARGEST
from loopseal.git.objects import commit_of
from loopseal.git.remote import AmbiguousPush
from loopseal.git.repository import Repository
from loopseal.testing.clock import LoopClock
from tests.unit.git.memory_remote import BRANCH, Host, MemoryRemote, World, living, proposal

VALUES = b"image:\n  tag: v1\nreplicas: 1\nport: 80\n"
FILES = {f"apps/{app}/{env}/values.yaml": VALUES for app in ("pay", "shop") for env in ("dev", "prod")} | {
    "README": b"x"
}
PAY = "apps/pay/dev/values.yaml"


def tag(value: str, path: str = PAY, **more: object) -> SetValue:
    return SetValue(path, "image.tag", value, **more)


def held(host: Host, path: str = PAY) -> bytes:
    return host.files()[path]


def refused(world: World, asked: object) -> LoopsealError:
    with pytest.raises(LoopsealError) as caught:
        living(lambda: world.repository.commit(asked))
    return caught.value


def test_one_change_is_one_commit_that_touches_one_value() -> None:
    world = World(FILES)
    base = world.host.tip

    landed = living(lambda: world.repository.commit(proposal("a", tag("v2"), base=base)))

    assert landed.revision == world.host.tip
    assert (landed.parent, landed.attempts, landed.found, landed.changed) == (base, 1, False, True)
    assert world.host.files() == FILES | {PAY: VALUES.replace(b"v1", b"v2")}
    assert len(world.host.commits()) == 2


def test_a_warm_change_costs_one_turnaround_and_a_small_pack() -> None:
    wide = {f"apps/app-{number:04d}/dev/values.yaml": VALUES for number in range(1500)}
    world = World(wide)

    async def main() -> None:
        first = await world.repository.commit(proposal("a", tag("v2", "apps/app-0700/dev/values.yaml")))
        world.remote.calls.clear()
        await world.repository.commit(proposal("b", tag("v3", "apps/app-0700/dev/values.yaml"), base=first.revision))

    living(main)
    assert world.remote.calls == ["push"]
    assert len(world.remote.packs[-1]) < 1000


def test_only_the_path_is_read() -> None:
    files = {
        f"apps/team-{t}/svc-{s}/dev/values.yaml": VALUES + b"# %d %d\n" % (t, s) for t in range(20) for s in range(20)
    }
    world = World(files)

    living(lambda: world.repository.commit(proposal("a", tag("v2", "apps/team-3/svc-4/dev/values.yaml"))))

    got = [obj for _, objects in world.remote.fetched for obj in objects]
    assert len(got) < 40
    assert sum(len(obj.data) for obj in got) < 8000


@pytest.mark.parametrize("remote", [{}, {"deep": False}, {"filters": False}])
def test_hosts_that_allow_less_are_read_in_another_way(remote: dict[str, bool]) -> None:
    world = World(FILES, **remote)

    async def main() -> None:
        await world.repository.commit(proposal("a", tag("v2")))
        world.host.push({"README": b"y"})
        landed = await world.repository.commit(proposal("b", tag("v3"), base=world.host.commits()[2][0]))
        assert landed.attempts == 2

    living(main)
    assert held(world.host) == VALUES.replace(b"v1", b"v3")
    assert world.host.files()["README"] == b"y"


def test_those_who_come_together_share_one_push() -> None:
    world = World(FILES)
    base = world.host.tip

    async def main() -> None:
        asked = [proposal(f"{number}", PutFile(f"new/{number}", f"{number}"), base=base) for number in range(200)]
        landed = await asyncio.gather(*(world.repository.commit(one) for one in asked))
        assert len({one.revision for one in landed}) == 200
        assert {one.attempts for one in landed} == {1}

    living(main)
    assert world.remote.calls.count("push") == 1
    assert sum(path.startswith("new/") for path in world.host.files()) == 200


def test_those_who_come_during_a_push_ride_on_the_next() -> None:
    world = World(FILES)

    async def main() -> None:
        first = asyncio.create_task(world.repository.commit(proposal("a", tag("v2"))))
        await world.remote.pushing.wait()
        rest = [proposal(f"{n}", PutFile(f"new/{n}", "x"), base=world.host.tip) for n in range(20)]
        await asyncio.gather(first, *(world.repository.commit(one) for one in rest))

    living(main)
    assert world.remote.calls.count("push") == 2


def test_adjacent_keys_of_one_file_never_conflict() -> None:
    world = World(FILES)
    edits = [SetValue(PAY, "replicas", 5), SetValue(PAY, "port", 81), tag("v9")]

    async def main() -> None:
        await asyncio.gather(*(world.repository.commit(proposal(edit.key, edit)) for edit in edits))

    living(main)
    assert held(world.host) == b"image:\n  tag: v9\nreplicas: 5\nport: 81\n"
    assert len(world.host.commits()) == 4


def test_a_foreign_push_is_kept_and_the_edit_done_anew() -> None:
    world = World(FILES)

    async def main() -> int:
        first = await world.repository.commit(proposal("a", tag("v2")))
        world.host.push({PAY: held(world.host).replace(b"replicas: 1", b"replicas: 7")})
        return (await world.repository.commit(proposal("b", tag("v3"), base=first.revision))).attempts

    assert living(main) == 2
    assert held(world.host) == b"image:\n  tag: v3\nreplicas: 7\nport: 80\n"


def test_a_failed_edit_harms_nobody_else() -> None:
    world = World(FILES)

    async def main() -> None:
        asked = [
            proposal("good", tag("v2")),
            proposal("missing", SetValue("apps/none.yaml", "a", 1)),
            proposal("wrong", SetValue(PAY, "replicas", 2, expect=99)),
            proposal("fine", SetValue(PAY, "port", 81)),
        ]
        got = await asyncio.gather(*(world.repository.commit(one) for one in asked), return_exceptions=True)
        assert [getattr(one, "code", None) for one in got] == [
            None,
            Code.EDIT_FILE_MISSING,
            Code.EDIT_EXPECTATION,
            None,
        ]

    living(main)
    assert held(world.host) == b"image:\n  tag: v2\nreplicas: 1\nport: 81\n"


def test_an_expectation_is_judged_on_the_branch_and_not_on_what_we_remember() -> None:
    world = World(FILES)

    async def main() -> None:
        first = await world.repository.commit(proposal("a", tag("v2")))
        world.host.push({PAY: VALUES.replace(b"v1", b"v7")})
        await world.repository.commit(proposal("b", tag("v8", expect="v7"), base=first.revision))

    living(main)
    assert b"v8" in held(world.host)


def test_a_failure_on_top_of_a_change_that_does_not_land_is_judged_again() -> None:
    """The second expects what the first would have replaced; the first is taken back while the push is rejected."""
    world = World(FILES)

    async def main() -> None:
        await world.repository.commit(proposal("warm", SetValue(PAY, "port", 81)))
        first = asyncio.create_task(world.repository.commit(proposal("a", tag("v2"), base=world.host.tip)))
        second = asyncio.create_task(
            world.repository.commit(proposal("b", tag("v3", expect="v1"), base=world.host.tip))
        )

        def foreign() -> None:
            world.host.push({"README": b"moved"})
            world.remote.before_push = lambda: None
            first.cancel()

        world.remote.before_push = foreign
        landed = await second
        assert landed.changed
        assert first.cancelled()

    living(main)
    assert b"v3" in held(world.host)


def test_what_is_there_already_makes_no_commit() -> None:
    world = World(FILES)
    tip = world.host.tip

    landed = living(lambda: world.repository.commit(proposal("a", tag("v1"), base=tip)))

    assert (landed.changed, landed.revision) == (False, tip)
    assert world.host.tip == tip
    assert "push" not in world.remote.calls


def test_nothing_to_change_is_said_of_the_branch_as_it_is() -> None:
    world = World(FILES)

    async def main() -> None:
        first = await world.repository.commit(proposal("a", tag("v2")))
        world.host.push({PAY: VALUES})
        landed = await world.repository.commit(proposal("b", tag("v2"), base=first.revision))
        assert landed.changed

    living(main)
    assert b"v2" in held(world.host)


def test_the_same_change_twice_is_one_commit() -> None:
    world = World(FILES)
    base = world.host.tip

    async def main() -> None:
        asked = proposal("a", tag("v2"), base=base)
        one, two = await asyncio.gather(world.repository.commit(asked), world.repository.commit(asked))
        again = await world.repository.commit(asked)
        assert one.revision == two.revision == again.revision
        assert (two.found, again.found) == (True, True)

    living(main)
    assert len(world.host.commits()) == 2


@pytest.mark.parametrize("base", ["known", "unknown", "none"])
def test_another_process_finds_what_has_landed(base: str) -> None:
    world = World(FILES)
    began = {"known": world.host.tip, "unknown": "f" * 40, "none": ""}[base]
    asked = proposal("a", tag("v2"), base=began)
    first = living(lambda: world.repository.commit(asked))
    for number in range(30):
        world.host.push({PAY: VALUES.replace(b"v1", b"x%d" % number)})
    other = Repository(MemoryRemote(world.host), branch="main", clock=LoopClock(), author="o <o@x>")

    again = living(lambda: other.commit(asked))

    assert (again.revision, again.parent, again.found) == (first.revision, first.parent, True)
    assert len(world.host.commits()) == 32


def test_a_burst_with_one_base_reads_the_messages_once() -> None:
    world = World(FILES)
    base = world.host.tip
    for number in range(50):
        world.host.push({"README": b"%d" % number})

    async def main() -> None:
        asked = [proposal(f"{n}", PutFile(f"new/{n}", "x"), base=base) for n in range(40)]
        await asyncio.gather(*(world.repository.commit(one) for one in asked))

    living(main)
    histories = [request for request, _ in world.remote.fetched if not request.thin]
    assert len(histories) == 1


def test_a_lost_acknowledgement_is_resolved_by_reading_the_ref() -> None:
    world = World(FILES)
    world.remote.lose_acks = 1

    landed = living(lambda: world.repository.commit(proposal("a", tag("v2"))))

    assert landed.revision == world.host.tip
    assert world.remote.calls.count("push") == 1
    assert len(world.host.commits()) == 2


def test_a_lost_acknowledgement_under_a_foreign_push_is_resolved_by_the_id() -> None:
    world = World(FILES)
    world.remote.lose_acks = 1
    refs = world.remote.refs

    async def refs_after_a_foreign_push(*prefixes: str) -> object:
        if world.remote.calls[-1:] == ["push"]:
            world.host.push({"README": b"foreign"})
        return await refs(*prefixes)

    world.remote.refs = refs_after_a_foreign_push
    landed = living(lambda: world.repository.commit(proposal("a", tag("v2"))))

    assert landed.found
    assert landed.parent == world.host.commits()[2][0]
    assert len(world.host.commits()) == 3


def test_a_push_that_broke_before_it_landed_is_made_again() -> None:
    world = World(FILES)
    troubles = [AmbiguousPush("reset"), AmbiguousPush("reset")]
    world.remote.before_push = lambda: troubles.pop() if troubles else None

    landed = living(lambda: world.repository.commit(proposal("a", tag("v2"))))

    assert landed.attempts == 3
    assert len(world.host.commits()) == 2


def test_a_host_that_breaks_every_push_is_unreachable() -> None:
    world = World(FILES)
    world.remote.before_push = lambda: AmbiguousPush("reset")
    error = refused(world, proposal("a", tag("v2")))
    assert isinstance(error, Unreachable)
    assert error.code is Code.GIT_UNREACHABLE


def test_the_ref_is_read_patiently_after_a_broken_push() -> None:
    world = World(FILES)
    world.remote.lose_acks = 1

    def trouble() -> None:
        world.remote.down = [Unreachable(Code.NET_TIMEOUT, "away") for _ in range(3)]

    world.remote.before_push = trouble
    landed = living(lambda: world.repository.commit(proposal("a", tag("v2"))))
    assert landed.revision == world.host.tip


def test_an_unreachable_host_is_told_to_each_and_the_next_try_works() -> None:
    world = World(FILES)

    async def main() -> None:
        world.remote.down = [Unreachable(Code.NET_TIMEOUT, "away")]
        asked = [proposal("a", tag("v2")), proposal("b", SetValue(PAY, "port", 81))]
        got = await asyncio.gather(*(world.repository.commit(one) for one in asked), return_exceptions=True)
        assert [one.code for one in got] == [Code.NET_TIMEOUT] * 2
        assert got[0] is not got[1]
        await asyncio.gather(*(world.repository.commit(one) for one in asked))

    living(main)
    assert len(world.host.commits()) == 3


def test_a_protected_branch_is_refused_with_the_hosts_words() -> None:
    world = World(FILES)
    world.remote.before_push = lambda: "protected branch hook declined"

    async def main() -> None:
        asked = [proposal("a", tag("v2")), proposal("b", SetValue(PAY, "port", 81))]
        got = await asyncio.gather(*(world.repository.commit(one) for one in asked), return_exceptions=True)
        assert [one.code for one in got] == [Code.GIT_BRANCH_PROTECTED] * 2
        assert "hook declined" in str(got[0])
        world.remote.before_push = lambda: None
        await world.repository.commit(asked[0])

    living(main)
    assert len(world.host.commits()) == 2


def test_one_rejection_without_a_move_may_be_a_lock() -> None:
    world = World(FILES)
    troubles = ["cannot lock ref"]
    world.remote.before_push = lambda: troubles.pop() if troubles else None
    assert living(lambda: world.repository.commit(proposal("a", tag("v2")))).attempts == 2


def test_endless_contention_ends() -> None:
    world = World(FILES)
    world.remote.before_push = lambda: world.host.push({"README": b"%d" % world.host.clock}) and None
    error = refused(world, proposal("a", tag("v2")))
    assert isinstance(error, Conflict)
    assert error.code is Code.GIT_CONTENDED
    assert all(b"v1" in data for path, data in world.host.files().items() if path == PAY)


def test_a_waiter_that_goes_before_the_push_takes_its_change_back() -> None:
    world = World(FILES)

    async def main() -> None:
        gone = asyncio.create_task(world.repository.commit(proposal("a", tag("v2"))))
        stays = asyncio.create_task(world.repository.commit(proposal("b", SetValue(PAY, "port", 81))))
        await asyncio.sleep(0.01)
        gone.cancel()
        await stays

    living(main)
    assert held(world.host) == VALUES.replace(b"80", b"81")
    assert len(world.host.commits()) == 2


def test_a_waiter_that_goes_during_the_push_harms_nobody() -> None:
    world = World(FILES)

    async def main() -> None:
        gone = asyncio.create_task(world.repository.commit(proposal("a", tag("v2"))))
        stays = asyncio.create_task(world.repository.commit(proposal("b", SetValue(PAY, "port", 81))))
        await world.remote.pushing.wait()
        gone.cancel()
        assert (await stays).attempts == 1

    living(main)
    assert len(world.host.commits()) == 3


def test_closing_answers_those_who_wait() -> None:
    world = World(FILES)

    async def main() -> None:
        waiting = asyncio.create_task(world.repository.commit(proposal("a", tag("v2"))))
        await asyncio.sleep(0.01)
        await world.repository.aclose()
        with pytest.raises(Unreachable):
            await waiting
        with pytest.raises(Unreachable):
            await world.repository.commit(proposal("b", tag("v3")))

    living(main)
    assert world.remote.closed


def test_429_pauses_all_pushes_of_the_host() -> None:
    limited = Unreachable(Code.GIT_RATE_LIMITED, "slow down", retry_after=40.0)
    world = World(FILES)

    async def main() -> None:
        await world.repository.commit(proposal("warm", SetValue(PAY, "port", 81)))
        began = world.clock.monotonic()
        world.remote.down = [limited]
        landed = await world.repository.commit(proposal("a", tag("v2"), base=world.host.tip))
        assert world.clock.monotonic() - began >= 40
        assert landed.changed

    living(main)


@pytest.mark.parametrize("asked", [901.0, 5.0])
def test_429_without_end_is_told(asked: float) -> None:
    world = World(FILES)
    world.remote.down = [Unreachable(Code.GIT_RATE_LIMITED, "slow down", retry_after=asked) for _ in range(50)]
    error = refused(world, proposal("a", tag("v2")))
    assert error.code is Code.GIT_RATE_LIMITED
    assert error.retry_after == asked


def test_over_budget_changes_share_pushes() -> None:
    host = Host(FILES)
    remote = MemoryRemote(host)

    async def main() -> None:
        clock = LoopClock()
        repository = Repository(remote, branch="main", clock=clock, author="b <b@x>", budget=Budget(clock, 6))

        async def one(number: int) -> None:
            await asyncio.sleep(number * 0.5)
            await repository.commit(proposal(f"{number}", PutFile(f"new/{number}", "x"), base=host.tip))

        await asyncio.gather(*(one(number) for number in range(120)))
        assert clock.monotonic() < 80

    living(main)
    assert remote.calls.count("push") <= 9
    assert len(host.commits()) == 121


def test_change_refs_make_the_server_refuse_a_second_landing() -> None:
    """A base that lies wrongly after the first landing: only the server can still tell."""
    world = World(FILES, change_refs="refs/loopseal/change")

    async def main() -> None:
        first = await world.repository.commit(proposal("a", tag("v2")))
        assert world.host.refs[f"refs/loopseal/change/{proposal('a').id}"] == first.revision
        other = Repository(
            MemoryRemote(world.host),
            branch="main",
            clock=LoopClock(),
            author="o <o@x>",
            change_refs="refs/loopseal/change/",
        )
        again = await other.commit(proposal("a", tag("v3"), base=first.revision))
        assert (again.found, again.revision) == (True, first.revision)
        await other.aclose()

    living(main)
    assert b"v2" in held(world.host)


def test_a_change_ref_whose_change_was_rewritten_away_is_a_conflict() -> None:
    world = World(FILES, change_refs="refs/loopseal/change/")
    base = world.host.tip
    living(lambda: world.repository.commit(proposal("a", tag("v2"), base=base)))
    world.host.refs[BRANCH] = base
    other = World(FILES, change_refs="refs/loopseal/change/")
    other.remote.host = world.host
    error = refused(other, proposal("a", tag("v2"), base=base))
    assert (type(error), error.code) == (Conflict, Code.GIT_CONTENDED)


def test_a_rewound_branch_is_believed_after_a_rejection() -> None:
    world = World(FILES)

    async def main() -> None:
        first = await world.repository.commit(proposal("a", tag("v2")))
        await world.repository.commit(proposal("b", tag("v3"), base=first.revision))
        world.host.refs[BRANCH] = first.revision
        landed = await world.repository.commit(proposal("c", SetValue(PAY, "port", 81), base=first.revision))
        assert landed.parent == first.revision

    living(main)
    assert held(world.host) == b"image:\n  tag: v2\nreplicas: 1\nport: 81\n"


def test_a_lagging_replica_is_not_believed() -> None:
    world = World(FILES)

    async def main() -> None:
        base = world.host.tip
        first = await world.repository.commit(proposal("a", tag("v2")))
        await asyncio.sleep(120)
        refs = world.remote.refs

        async def lagging(*prefixes: str) -> dict[str, str]:
            return {**await refs(*prefixes), BRANCH: base}

        world.remote.refs = lagging
        landed = await world.repository.commit(proposal("b", tag("v3"), base=first.revision))
        assert (landed.attempts, landed.parent) == (1, first.revision)

    living(main)


def test_an_old_memory_of_the_tip_is_refreshed_before_a_push_is_wasted() -> None:
    world = World(FILES)

    async def main() -> None:
        await world.repository.commit(proposal("a", tag("v2")))
        moved = world.host.push({"README": b"z"})
        await asyncio.sleep(120)
        assert (await world.repository.commit(proposal("b", tag("v3"), base=moved))).attempts == 1

    living(main)


def test_a_rewritten_branch_carries_the_change_again() -> None:
    world = World(FILES)
    base = world.host.tip

    async def main() -> None:
        await world.repository.commit(proposal("a", tag("v2"), base=base))
        world.host.refs[BRANCH] = world.host.commit({"README": b"rewritten"}, "Rewritten", [base])
        again = await world.repository.commit(proposal("b", SetValue(PAY, "port", 81), base=base))
        assert again.attempts == 2
        again = await world.repository.commit(proposal("a", tag("v2"), base=base))
        assert not again.found

    living(main)
    assert held(world.host) == b"image:\n  tag: v2\nreplicas: 1\nport: 81\n"


def test_scope_and_shape_are_checked_before_anything_is_fetched() -> None:
    world = World(FILES)
    narrow = Target("pay", "apps", "main", ("apps/pay/**",))
    outside = refused(world, proposal("a", tag("v2", "apps/shop/dev/values.yaml"), target=narrow))
    assert (type(outside), outside.code) == (Refused, Code.PROPOSAL_OUT_OF_SCOPE)
    empty = refused(world, proposal("a"))
    assert empty.code is Code.PROPOSAL_INVALID
    assert world.remote.calls == []


def test_a_missing_branch_is_named() -> None:
    world = World(FILES)
    del world.host.refs[BRANCH]
    assert refused(world, proposal("a", tag("v2"))).code is Code.GIT_BRANCH_MISSING


def test_files_are_made_and_removed_and_empty_folders_vanish() -> None:
    world = World(FILES)

    async def main() -> None:
        await world.repository.commit(proposal("a", PutFile("new/deep/file.txt", "hello", expect=ABSENT)))
        assert world.host.files()["new/deep/file.txt"] == b"hello"
        await world.repository.commit(proposal("b", DeleteFile("new/deep/file.txt"), base=world.host.tip))

    living(main)
    assert world.host.files() == FILES
    assert commit_of(world.host.objects[world.host.tip].data).tree == world.host.commits()[2][1].tree


def test_two_repositories_of_one_branch_lose_nothing() -> None:
    world = World(FILES)
    second = Repository(
        MemoryRemote(world.host), branch="main", clock=world.clock, author="o <o@x>", random=lambda: 0.9
    )
    base = world.host.tip

    async def main() -> None:
        asked = [proposal(f"{n}", PutFile(f"new/{n}", f"{n}"), base=base) for n in range(60)]
        both = [(repository, one) for n, one in enumerate(asked) for repository in _who(n)]
        landed = await asyncio.gather(*(repository.commit(one) for repository, one in both))
        assert len({one.revision for one in landed}) == 60
        await second.aclose()

    def _who(number: int) -> list[Repository]:
        return [[world.repository], [second], [world.repository, second]][number % 3]

    living(main)
    assert len(world.host.commits()) == 61


@pytest.mark.parametrize("name", ["", "a b", "a..b", "/a", "a/", ".a", "a.lock", "a~1", "a\n", "@{x", "a//b"])
def test_impossible_branch_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        World(FILES, branch=name)


@pytest.mark.parametrize("prefix", ["change/", "refs/heads/x/", "refs/a b"])
def test_impossible_prefixes_are_refused(prefix: str) -> None:
    with pytest.raises(ConfigError):
        World(FILES, change_refs=prefix)


def test_a_large_file_does_not_hold_up_the_event_loop() -> None:
    """Its edit takes seconds of the processor: other tasks go on meanwhile."""
    entries = b"".join(b"  - name: entry-%d\n" % number for number in range(LARGEST // 16))
    world, turns = World({PAY: VALUES + b"entries:\n" + entries}), 0

    async def beat() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def main() -> None:
        beating = asyncio.ensure_future(beat())
        await world.repository.commit(proposal("a", tag("v2")))
        beating.cancel()

    asyncio.run(main())  # in real time: virtual time would wait for the beat to end
    assert turns > 500
    assert held(world.host).startswith(b"image:\n  tag: v2\n")
