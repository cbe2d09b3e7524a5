"""The inverse of a change, and who wrote last."""

from __future__ import annotations

import asyncio

import pytest

from loopseal.domain.proposal import ABSENT, DeleteFile, PutFile, RemoveKey, SetImage, SetValue
from loopseal.errors import Code, Conflict, LoopsealError, Refused
from loopseal.git import revert, writers
from loopseal.git.objects import EXECUTABLE, FILE
from tests.unit.git.memory_remote import World, living, proposal

VALUES = b"image:\n  tag: v1\nreplicas: 1\n"
KUSTOMIZATION = b"images:\n  - name: registry.example.com/pay\n    newTag: v1\n  - name: other\n    newTag: x\n"
PATH = "apps/pay/values.yaml"
FILES = {PATH: VALUES, "apps/pay/kustomization.yaml": KUSTOMIZATION, "data/blob": b"\xff\x00", "README": b"r\n"}


def tag(value, **more):
    return SetValue(PATH, "image.tag", value, **more)


def landed(*edits, name="a", **options):
    """A world in which one change with these edits has landed."""
    world = World(FILES, **options)
    asked = proposal(name, *edits, base=world.host.tip)
    living(lambda: world.repository.commit(asked))
    return world, asked


def inverse(world, asked):
    return list(living(lambda: world.repository.inverse(asked.id)))


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([tag("v2")], [tag("v1", expect="v2")]),
        ([SetValue(PATH, "replicas", 5)], [SetValue(PATH, "replicas", 1, expect=5)]),
        ([tag("v2"), SetValue(PATH, "replicas", 5)], [SetValue(PATH, "replicas", 1, 5), tag("v1", expect="v2")]),
        ([tag("v2"), tag("v3")], [tag("v1", expect="v3")]),
        ([SetValue(PATH, "port", 80, create=True)], [RemoveKey(PATH, "port", 80)]),
        ([RemoveKey(PATH, "replicas")], [SetValue(PATH, "replicas", 1, ABSENT, create=True)]),
        ([PutFile("README", "new\n")], [PutFile("README", "r\n", "f77056f9ce4ddd7be6d7a1ba9b05d3ab3b7a3a3a")]),
        ([DeleteFile("README")], [PutFile("README", "r\n", ABSENT)]),
        ([DeleteFile("data/blob")], [PutFile("data/blob", b"\xff\x00", ABSENT)]),
        ([PutFile("new", "x")], [DeleteFile("new", "c1b0730e0133cac7c9a5b1a1c6c5e5e5a6cd2dbe")]),
    ],
    ids=lambda value: "-".join(type(one).__name__ for one in value),
)
def test_each_edit_has_its_inverse_and_it_restores_every_byte(edits, expected) -> None:
    world, asked = landed(*edits)
    back = inverse(world, asked)
    assert [type(one) for one in back] == [type(one) for one in expected]
    assert [(one.path, getattr(one, "key", "")) for one in back] == [(o.path, getattr(o, "key", "")) for o in expected]
    for got, wanted in zip(back, expected, strict=True):
        if not isinstance(got, PutFile | DeleteFile):
            assert got == wanted
        else:
            assert getattr(got, "content", "") == getattr(wanted, "content", "")
            assert (got.expect is ABSENT) is (wanted.expect is ABSENT)
    living(lambda: world.repository.commit(proposal("back", *back, base=world.host.tip, reverts=asked.id)))
    assert world.host.files() == FILES
    assert f"Loopseal-Reverts: {asked.id}" in world.host.commits()[0][1].message


def test_an_image_is_put_back_field_by_field() -> None:
    world, asked = landed(SetImage("apps/pay/kustomization.yaml", "registry.example.com/pay", tag="v2"))
    back = inverse(world, asked)
    assert [type(one) for one in back] == [SetValue]
    assert (back[0].value, back[0].expect) == ("v1", "v2")
    living(lambda: world.repository.commit(proposal("back", *back)))
    assert world.host.files() == FILES


def test_neighbours_changed_since_are_left_as_they_are() -> None:
    """What git revert would call a conflict: the line beside it was changed."""
    world, asked = landed(tag("v2"))
    world.host.push({PATH: world.host.files()[PATH].replace(b"replicas: 1", b"replicas: 9")})
    living(lambda: world.repository.commit(proposal("back", *inverse(world, asked))))
    assert world.host.files()[PATH] == b"image:\n  tag: v1\nreplicas: 9\n"


def refused(world, asked) -> LoopsealError:
    with pytest.raises(LoopsealError) as caught:
        inverse(world, asked)
    return caught.value


def test_a_later_writer_is_named() -> None:
    world, asked = landed(tag("v2"))
    base = world.host.tip
    later = living(lambda: world.repository.commit(proposal("b", tag("v3"), base=base)))
    error = refused(world, asked)
    assert (type(error), error.code) == (Conflict, Code.REVERT_NOT_LAST_WRITER)
    assert later.revision[:12] in str(error)
    assert proposal("b").id in str(error)


def test_one_two_three_two_is_seen() -> None:
    """Where git revert applies cleanly and silently undoes the third writer."""
    world, asked = landed(tag("v2"))
    after = world.host.files()[PATH]
    changed = world.host.push({PATH: after.replace(b"v2", b"v3")})
    world.host.push({PATH: after})
    assert world.host.files()[PATH] == after
    error = refused(world, asked)
    assert error.code is Code.REVERT_NOT_LAST_WRITER
    assert changed[:12] in str(error)


@pytest.mark.parametrize("edit", [PutFile("README", "new"), DeleteFile("README"), PutFile("fresh", "x")])
def test_files_are_watched_like_keys(edit) -> None:
    world, asked = landed(edit)
    after = world.host.files().get(edit.path)
    world.host.push({edit.path: b"else"})
    world.host.push({edit.path: after})
    assert refused(world, asked).code is Code.REVERT_NOT_LAST_WRITER


def test_a_file_that_cannot_be_read_any_more_was_written() -> None:
    world, asked = landed(tag("v2"))
    world.host.push({PATH: b"image: [\n"})
    assert refused(world, asked).code is Code.REVERT_NOT_LAST_WRITER
    world.host.push({PATH: None, "apps/pay/values.yaml/inner": b"x"})
    assert refused(world, asked).code is Code.REVERT_NOT_LAST_WRITER


def test_many_commits_since_are_all_looked_into(monkeypatch) -> None:
    monkeypatch.setattr(writers, "CHUNK", 7)
    world, asked = landed(tag("v2"))
    for number in range(30):
        world.host.push({"README": b"%d" % number})
    assert inverse(world, asked) == [tag("v1", expect="v2")]
    after = world.host.files()[PATH]
    world.host.push({PATH: after.replace(b"v2", b"v9")})
    world.host.push({PATH: after})
    for number in range(10):
        world.host.push({"README": b"%d" % number})
    assert refused(world, asked).code is Code.REVERT_NOT_LAST_WRITER


def test_too_many_commits_since_are_no_guess(monkeypatch) -> None:
    monkeypatch.setattr(revert, "SINCE", 5)
    world, asked = landed(tag("v2"))
    for number in range(10):
        world.host.push({"README": b"%d" % number})
    assert refused(world, asked).code is Code.REVERT_NOT_LAST_WRITER


def test_what_a_merge_brought_in_beside_is_not_taken_for_a_writer() -> None:
    """A side branch from before the change still holds the old value; the merge keeps ours."""
    world = World(FILES)
    before = world.host.tip
    asked = proposal("a", tag("v2"), base=before)
    living(lambda: world.repository.commit(asked))
    side = world.host.commit({"side": b"s"}, "side", [before])
    merge = world.host.commit({"side": b"s"}, "merge", [world.host.tip, side])
    world.host.refs["refs/heads/main"] = merge
    assert inverse(world, asked) == [tag("v1", expect="v2")]


@pytest.mark.parametrize("depth", [0, 5])
def test_an_unknown_change_is_told(depth: int, monkeypatch) -> None:
    monkeypatch.setattr(revert, "BACK", (2, 3))
    world, _ = landed(tag("v2"))
    for number in range(depth):
        world.host.push({"README": b"%d" % number})
    error = refused(world, proposal("never"))
    assert (type(error), error.code) == (Conflict, Code.REVERT_UNKNOWN_CHANGE)


@pytest.mark.parametrize(
    "told",
    ["", "Loopseal-Edit: {", "Loopseal-Edit: []", 'Loopseal-Edit: {"path":"README"}', 'Loopseal-Edit: {"path":1}'],
)
def test_trailers_that_tell_nothing_are_no_ground_for_a_guess(told: str) -> None:
    world = World(FILES)
    world.host.push({"apps/pay/values.yaml": b"x"}, f"s\n\nLoopseal-Change: {proposal('a').id}\n{told}".rstrip("\n"))
    assert refused(world, proposal("a")).code is Code.REVERT_UNKNOWN_CHANGE


def test_a_key_that_cannot_be_read_in_its_own_commit_is_refused() -> None:
    world = World(FILES)
    edit = 'Loopseal-Edit: {"path":"README","key":"a b c"}'
    world.host.push({"README": b"{"}, f"s\n\nLoopseal-Change: {proposal('a').id}\n{edit}")
    error = refused(world, proposal("a"))
    assert isinstance(error, Refused)


def test_a_revert_can_be_reverted() -> None:
    world, asked = landed(tag("v2"))
    back = proposal("back", *inverse(world, asked), base=world.host.tip)
    living(lambda: world.repository.commit(back))
    again = inverse(world, back)
    assert again == [tag("v2", expect="v1")]
    assert refused(world, asked).code is Code.REVERT_NOT_LAST_WRITER


def expectation(world, edit) -> str:
    with pytest.raises(Conflict) as caught:
        living(lambda: world.repository.commit(proposal("late", edit)))
    assert caught.value.code is Code.EDIT_EXPECTATION
    return str(caught.value)


def test_an_expectation_that_fails_says_who_changed_it() -> None:
    world, _ = landed(SetValue(PATH, "replicas", 2))
    writer = world.host.push({PATH: world.host.files()[PATH].replace(b"v1", b"v7")}, "Somebody's")
    for number in range(5):
        world.host.push({"README": b"%d" % number})
    assert f"last changed by commit {writer[:12]} by Somebody" in expectation(world, tag("v9", expect="v1"))


def test_our_own_changes_are_named_with_actor_and_id() -> None:
    world, asked = landed(tag("v2"))
    told = expectation(world, tag("v9", expect="v1"))
    assert f"by dag:deploy@airflow (change {asked.id})" in told


def test_a_file_has_writers_too() -> None:
    world = World(FILES)
    writer = world.host.push({"README": b"else"})
    assert writer[:12] in expectation(world, PutFile("README", "x", expect="f" * 40))


def test_the_writer_within_one_batch_is_named() -> None:
    world = World(FILES)

    async def main():
        asked = [proposal("first", tag("v2")), proposal("second", tag("v3", expect="v1"))]
        return await asyncio.gather(*(world.repository.commit(one) for one in asked), return_exceptions=True)

    first, second = living(main)
    assert first.revision[:12] in str(second)


def test_a_writer_that_is_long_ago_is_left_unsaid(monkeypatch) -> None:
    monkeypatch.setattr(writers, "LOOK_BACK", 3)
    world, _ = landed(tag("v2"))
    for number in range(10):
        world.host.push({"README": b"%d" % number})
    assert "last changed" not in expectation(world, tag("v9", expect="v1"))


def test_the_first_commit_wrote_what_nobody_changed() -> None:
    world = World(FILES)
    assert world.host.tip[:12] in expectation(world, tag("v9", expect="v5"))


def test_values_are_compared_with_their_types() -> None:
    assert not writers.same(1, True)
    assert not writers.same(1, 1.0)
    assert writers.same("a", "a")
    assert writers.same(ABSENT, ABSENT)


def reverting(world, asked, *edits):
    """What a revert of `asked` with these edits (default: its inverse) leaves on the branch: mode by path."""
    edits = edits or tuple(inverse(world, asked))
    back = proposal("back", *edits, base=world.host.tip, reverts=asked.id)
    living(lambda: world.repository.commit(back))
    return {path: mode for path, (mode, _) in world.host.entries()}


def script(*edits):
    """A world with two scripts, in which a change with these edits has landed."""
    world = World(FILES)
    world.host.push({"run.sh": b"#!/bin/sh\n", "bin/x": b"x"}, mode=EXECUTABLE)
    asked = proposal("a", *edits, base=world.host.tip)
    living(lambda: world.repository.commit(asked))
    return world, asked


def test_a_script_that_comes_back_is_executable_again() -> None:
    world, asked = script(DeleteFile("run.sh"), DeleteFile("bin/x"), DeleteFile("README"))
    modes = reverting(world, asked)
    assert (modes["run.sh"], modes["bin/x"], modes["README"]) == (EXECUTABLE, EXECUTABLE, FILE)


def test_another_file_in_its_place_is_not() -> None:
    world, asked = script(DeleteFile("run.sh"))
    assert reverting(world, asked, PutFile("run.sh", "#!/bin/else\n"))["run.sh"] == FILE


def test_only_a_revert_of_a_known_change_looks_for_modes() -> None:
    world = script(DeleteFile("run.sh"))[0]
    put = proposal("b", PutFile("run.sh", "#!/bin/sh\n"), base=world.host.tip)
    living(lambda: world.repository.commit(put))
    assert dict(world.host.entries())["run.sh"][0] == FILE
    unknown = proposal("c", PutFile("new.sh", "x"), base=world.host.tip, reverts="b" * 26)
    living(lambda: world.repository.commit(unknown))
    assert dict(world.host.entries())["new.sh"][0] == FILE
