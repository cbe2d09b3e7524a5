"""The face of the room: reading, previewing, logging and checking."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from loopseal.domain.proposal import DeleteFile, PutFile, SetValue
from loopseal.errors import Code, ConfigError, Conflict, Refused, Unreachable
from loopseal.git import reader
from loopseal.git.objects import EXECUTABLE, SYMLINK, commit_of
from loopseal.git.queue import again
from loopseal.git.store import Store
from loopseal.ports import Level
from tests.unit.git.memory_remote import World, living, proposal

VALUES = b"image:\n  tag: v1\n"
PATH = "apps/pay/values.yaml"
FILES = {PATH: VALUES, "README": b"r"}


class Key:
    """A signer whose signature says what it signed, and when."""

    name, public = "test", ""

    def __init__(self, error=None) -> None:
        self.error = error

    async def sign(self, data: bytes, *, at: int) -> str:
        if self.error:
            raise self.error
        return f"-----BEGIN SIGNATURE-----\n{len(data)} {at}\n\n-----END SIGNATURE-----\n"


def tag(value, path=PATH, **more):
    return SetValue(path, "image.tag", value, **more)


def test_where_it_is() -> None:
    world = World(FILES)
    assert (world.repository.url, world.repository.branch) == ("https://git.example.com/apps.git", "main")


def test_the_tip_is_read_or_remembered() -> None:
    world = World(FILES)

    async def main() -> None:
        landed = await world.repository.commit(proposal("a", tag("v2")))
        moved = world.host.push({"README": b"else"})
        assert await world.repository.tip(fresh=False) == landed.revision
        assert await world.repository.tip() == moved

    living(main)
    assert living(lambda: World(FILES).repository.tip(fresh=False))


def test_files_are_read_at_any_revision() -> None:
    world = World(FILES)
    first = world.host.tip
    world.host.push({PATH: b"else"})
    assert living(lambda: world.repository.read(PATH)) == b"else"
    assert living(lambda: world.repository.read(PATH, first)) == VALUES
    assert living(lambda: world.repository.read("apps/none")) is None
    assert living(lambda: world.repository.read("none/none/none")) is None


@pytest.mark.parametrize(
    ("path", "revision"), [("../x", ""), ("", ""), ("/x", ""), (".git/config", ""), (PATH, "main")]
)
def test_what_is_no_path_or_commit_is_refused_before_anything_is_asked(path: str, revision: str) -> None:
    world = World(FILES)
    with pytest.raises(Refused):
        living(lambda: world.repository.read(path, revision))
    assert world.remote.calls == []


def test_what_is_no_file_is_refused() -> None:
    world = World(FILES)
    world.host.push({"link": b"README"}, mode=SYMLINK)
    for path in ("link", "apps", "README/x", "link/x"):
        with pytest.raises(Refused) as caught:
            living(lambda path=path: world.repository.read(path))
        assert caught.value.code is Code.EDIT_NOT_A_FILE


def test_a_commit_that_is_not_there_is_told() -> None:
    world = World(FILES)
    with pytest.raises(Unreachable):
        living(lambda: world.repository.read(PATH, "f" * 40))
    blob = next(oid for path, (_, oid) in world.host.entries() if path == PATH)
    with pytest.raises(Unreachable):
        living(lambda: world.repository.read(PATH, blob))


def test_a_preview_shows_bytes_and_writes_nothing() -> None:
    world = World(FILES)
    asked = proposal("a", tag("v2"), PutFile("new", "x"), DeleteFile("README"))
    diffs = living(lambda: world.repository.preview(asked))
    assert [(one.path, one.before, one.after) for one in diffs] == [
        (PATH, VALUES, VALUES.replace(b"v1", b"v2")),
        ("new", None, b"x"),
        ("README", b"r", None),
    ]
    assert "push" not in world.remote.calls
    assert list(living(lambda: world.repository.preview(proposal("b", tag("v1"))))) == []


def test_a_preview_fails_as_the_commit_would() -> None:
    world = World(FILES)
    with pytest.raises(Conflict) as caught:
        living(lambda: world.repository.preview(proposal("a", tag("v2", expect="v0"))))
    assert caught.value.code is Code.EDIT_EXPECTATION
    with pytest.raises(Refused):
        living(lambda: world.repository.preview(proposal("a")))


def test_a_change_is_found_by_its_id() -> None:
    world = World(FILES)
    base = world.host.tip
    landed = living(lambda: world.repository.commit(proposal("a", tag("v2"), base=base)))
    found = living(lambda: world.repository.find(proposal("a").id, base))
    assert (found.revision, found.parent, found.found) == (landed.revision, base, True)
    assert living(lambda: World(FILES).repository.find(proposal("a").id)) is None


def test_the_log_tells_changes_and_leaves_out_the_rest() -> None:
    world = World(FILES, signer=Key())

    async def main():
        for number in range(5):
            await world.repository.commit(proposal(f"{number}", tag(f"t{number}"), labels=(("dag", "d"),)))
            world.host.push({"README": b"%d" % number})
        return await world.repository.log(3), await world.repository.log(change=proposal("1").id)

    log, one = living(main)
    assert [entry.change for entry in log] == [proposal(f"{n}").id for n in (4, 3, 2)]
    assert [entry.change for entry in one] == [proposal("1").id]
    assert log[0].author == "bot <bot@example.com>"
    assert log[0].subject == "because of 4"
    assert log[0].trailer("loopseal-dag") == "d"
    assert log[0].signed
    assert log[0].at.tzinfo is UTC


def test_a_commit_is_signed_and_the_same_again_for_the_same_time() -> None:
    made = []
    for _ in range(2):
        world = World(FILES, signer=Key(), committer="gate <gate@example.com>")
        landed = living(lambda world=world: world.repository.commit(proposal("a", tag("v2"))))
        made.append(landed.revision)
        commit = commit_of(world.host.objects[landed.revision].data)
        assert commit.signed
        assert commit.header("gpgsig").endswith("-----END SIGNATURE-----")
        assert commit.author.startswith("bot <bot@example.com> ")
        assert commit.committer.startswith("gate <gate@example.com> ")
        assert abs((commit.at - datetime(2026, 11, 21, 12, tzinfo=UTC)).total_seconds()) < 5
    assert made[0] == made[1]


def test_a_key_that_fails_lands_nothing() -> None:
    world = World(FILES, signer=Key(ConfigError(Code.CONFIG_SIGNING_KEY, "expired")))
    with pytest.raises(ConfigError):
        living(lambda: world.repository.commit(proposal("a", tag("v2"))))
    assert len(world.host.commits()) == 1


@pytest.mark.parametrize(
    ("options", "trouble", "codes"),
    [
        ({"signer": Key()}, [], []),
        ({}, [], ["git.unsigned"]),
        ({"signer": Key(ConfigError(Code.CONFIG_SIGNING_KEY, "no"))}, [], [Code.CONFIG_SIGNING_KEY]),
        ({"signer": Key()}, [Refused(Code.GIT_AUTHENTICATION, "no")], [Code.GIT_AUTHENTICATION]),
        ({"signer": Key(), "branch": "other"}, [], [Code.GIT_BRANCH_MISSING]),
    ],
)
def test_preflight(options, trouble, codes) -> None:
    world = World(FILES, **options)
    world.remote.down = trouble
    findings = living(world.repository.check)
    assert [one.code for one in findings] == codes
    assert all(one.where for one in findings)


def test_a_busy_host_is_a_warning() -> None:
    world = World(FILES, signer=Key())
    world.remote.down = [Unreachable(Code.GIT_RATE_LIMITED, "slow down")]
    assert [one.level for one in living(world.repository.check)] == [Level.WARNING]


def test_modes_are_kept_and_filtered_files_refused() -> None:
    world = World(FILES | {".gitattributes": b"*.bin filter=lfs\nsecret/** filter=git-crypt\n"})
    world.host.push({"run.yaml": VALUES}, mode=EXECUTABLE)
    living(lambda: world.repository.commit(proposal("a", tag("v2", "run.yaml"))))
    assert dict(world.host.entries())["run.yaml"][0] == EXECUTABLE
    for edit in (PutFile("a.bin", b"x"), PutFile("secret/deep/x", "y"), tag("v", "secret/values.yaml")):
        with pytest.raises(Refused) as caught:
            living(lambda edit=edit: world.repository.commit(proposal(edit.path, edit)))
        assert caught.value.code is Code.EDIT_FILTERED


def test_a_file_and_something_beneath_it_cannot_both_be_made() -> None:
    world = World(FILES)
    for edits in (
        (PutFile("x", "1"), PutFile("x/y", "2")),
        (PutFile("x/y", "2"), PutFile("x", "1")),
        (PutFile("README/y", "2"),),
        (PutFile("apps", "2"),),
    ):
        with pytest.raises(Refused) as caught:
            living(lambda edits=edits: world.repository.commit(proposal(f"{edits}", *edits)))
        assert caught.value.code is Code.EDIT_NOT_A_FILE
    assert len(world.host.commits()) == 1


def test_files_of_one_content_are_apart() -> None:
    """The same blob and the same tree stand in many places; one of them changes, then another."""
    world = World({f"apps/{app}/{env}/values.yaml": VALUES for app in "ab" for env in ("dev", "prod")})

    async def main() -> None:
        paths = ["apps/a/dev/values.yaml", "apps/b/dev/values.yaml", "apps/a/prod/values.yaml"]
        asked = [proposal(f"{path}{n}", tag(f"v{n}", path)) for n in range(2, 5) for path in paths]
        await asyncio.gather(*(world.repository.commit(one) for one in asked))
        assert {path: world.host.files()[path] for path in paths} == dict.fromkeys(paths, VALUES.replace(b"v1", b"v4"))
        assert world.host.files()["apps/b/prod/values.yaml"] == VALUES

    living(main)


def test_everything_may_go_and_come_back() -> None:
    world = World({"only/file": b"x"})
    living(lambda: world.repository.commit(proposal("a", DeleteFile("only/file"))))
    assert world.host.files() == {}
    living(lambda: world.repository.commit(proposal("b", PutFile("only/file", "x"))))
    assert world.host.files() == {"only/file": b"x"}


def test_a_chain_that_returns_to_an_old_state_is_sound() -> None:
    world = World(FILES)

    async def main() -> None:
        asked = [proposal(f"{n}", tag(value)) for n, value in enumerate(["v2", "v1", "v2", "v1", "v3"])]
        await asyncio.gather(*(world.repository.commit(one) for one in asked))

    living(main)
    assert len(world.host.commits()) == 6
    assert b"v3" in world.host.files()[PATH]


def test_memory_stays_bounded_over_many_changes() -> None:
    world = World({f"apps/{n:04d}/values.yaml": VALUES + b"# %d\n" % n for n in range(500)})

    async def main() -> None:
        for number in range(60):
            await world.repository.commit(
                proposal(f"{number}", tag(f"t{number}", f"apps/{number % 3:04d}/values.yaml"))
            )

    living(main)
    trees = [obj for obj in world.repository._reader.store.values() if len(obj.data) > 10_000]
    assert len(trees) <= 2


def test_a_small_store_only_costs_fetches(monkeypatch) -> None:
    world = World(FILES)
    world.repository._reader.store = Store(limit=1)
    world.repository._branch._reader.store = world.repository._reader.store

    async def main() -> None:
        for number in range(3):
            await world.repository.commit(proposal(f"{number}", tag(f"t{number}"), base=world.host.tip))
            assert await world.repository.read(PATH) == VALUES.replace(b"v1", b"t%d" % number)

    living(main)


def test_large_files_are_left_where_they_are(monkeypatch) -> None:
    monkeypatch.setattr(reader, "CONTENT_LIMIT", 100)
    monkeypatch.setattr("loopseal.git.draft.CONTENT_LIMIT", 100)
    world = World({"big/values.yaml": b"a: 1\n" + b"#" * 200, "big/x": b"1"})
    with pytest.raises(Refused) as caught:
        living(lambda: world.repository.commit(proposal("a", SetValue("big/values.yaml", "a", 2))))
    assert caught.value.code is Code.EDIT_TOO_LARGE
    assert not any(len(obj.data) > 200 for _, got in world.remote.fetched for obj in got)
    living(lambda: world.repository.commit(proposal("b", PutFile("big/values.yaml", "a: 3\n"))))
    assert world.host.files()["big/values.yaml"] == b"a: 3\n"


def test_hosts_without_a_filter_by_size_are_asked_for_the_file(monkeypatch) -> None:
    world = World(FILES, deep=False)
    living(lambda: world.repository.commit(proposal("a", tag("v2"))))
    assert b"v2" in world.host.files()[PATH]


def test_a_host_that_leaves_out_what_was_asked_is_told() -> None:
    world = World(FILES)
    fetch = world.remote.fetch

    async def forgetful(request, have):
        return [obj for obj in await fetch(request, have) if obj.data != VALUES]

    world.remote.fetch = forgetful
    with pytest.raises(Unreachable) as caught:
        living(lambda: world.repository.read(PATH))
    assert caught.value.code is Code.GIT_PROTOCOL


@pytest.mark.parametrize(
    "error",
    [
        Unreachable(Code.NET_TIMEOUT, "m", where="w", hint="h", retry_after=3.0),
        Refused(Code.GIT_FORBIDDEN, "m", where="w", hint="h"),
    ],
)
def test_an_error_is_raised_anew_for_each(error) -> None:
    other = again(error)
    assert other is not error
    assert type(other) is type(error)
    assert vars(other) == vars(error)
    assert again(boom := RuntimeError("bug")) is boom


def test_a_bug_in_a_round_leaves_nobody_waiting() -> None:
    world = World(FILES)

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    world.repository._branch._drafted = broken
    with pytest.raises(ZeroDivisionError):
        living(lambda: world.repository.commit(proposal("a", tag("v2"))))


@pytest.mark.parametrize("author", ["nobody", "a\nb <x@y>"])
def test_an_impossible_author_is_refused(author: str) -> None:
    with pytest.raises(ConfigError):
        World(FILES, author=author)
