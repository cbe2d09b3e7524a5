"""`loopseal.ports.Repository` over every way to a repository, against real git at the other end.

Each test asks git itself what became of the branch: contents, `fsck --strict`, trailers, signatures.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess

import pytest

from loopseal.domain.proposal import ABSENT, DeleteFile, PutFile, SetValue
from loopseal.domain.revision import Relation
from loopseal.errors import Code, Conflict, Refused
from loopseal.git.remote import AmbiguousPush
from loopseal.git.repository import Repository
from loopseal.git.signing import open_signer
from loopseal.ports import Credential, Level, Secret
from loopseal.testing.clock import LoopClock
from loopseal.testing.git_server import Cut, GitFault
from tests.contracts import hosts as made
from tests.contracts.hosts import ALL, Known, run
from tests.unit.git.memory_remote import proposal

VALUES = b"# of the team\nimage:\n  tag: v1   # bumped\nreplicas: 1\nport: 80\n"
PATH = "apps/app07/values.yaml"
FILES = {
    "README.md": b"hello\n",
    **{f"apps/app{number:02}/values.yaml": VALUES for number in range(30)},
    **{f"apps/app{number:02}/deep/er/notes.txt": b"note %d\n" % number for number in range(3)},
}


@pytest.fixture(scope="module")
def find(tmp_path_factory):
    with made.hosts(tmp_path_factory.mktemp("hosts")) as find:
        yield find


@pytest.fixture(params=ALL)
def host(request, find):
    return find(request.param)


class Scene:
    """One repository on one host, and as many loopseals as a test wants."""

    def __init__(self, host, name):
        self.host, self.name, self.opened = host, name, []

    def open(self, **options):
        given = {"branch": "main", "author": "bot <bot@example.com>", "clock": LoopClock.real(), **options}
        self.opened.append(Repository(self.host.open(self.name), **given))
        return self.opened[-1]

    async def git(self, *arguments, data=b""):
        return await self.host.git(self.name, *arguments, data=data)

    async def tip(self):
        return await self.git("rev-parse", "main")

    async def count(self):
        return int(await self.git("rev-list", "--count", "main"))

    async def show(self, path, revision="main"):
        return (await self.git("cat-file", "blob", f"{revision}:{path}") + "\n").encode()

    async def foreign(self, path, content):
        """Somebody pushes with plain git."""
        who = "Somebody <somebody@example.com> 1700000500 +0000"
        stream = (
            f"commit refs/heads/main\ncommitter {who}\ndata 4\nElse\nfrom refs/heads/main^0\nM 100644 inline {path}\n"
        )
        await self.git("fast-import", "--quiet", data=stream.encode() + b"data %d\n%s\n" % (len(content), content))

    async def sound(self):
        """Nothing is broken: git says so. The first commits are of fast-import and have no blemish either."""
        assert "error" not in await self.git("fsck", "--strict", "--full", "--no-dangling")


def scenario(host, main, files=FILES, **options):
    """Run `main(scene)` on a new repository, then check it and close what was opened."""

    async def whole():
        scene = Scene(host, await host.repository(files, **options))
        try:
            await main(scene)
            await scene.sound()
        finally:
            for one in scene.opened:
                await one.aclose()

    run(whole)


def tag(value, path=PATH, **more):
    return SetValue(path, "image.tag", value, **more)


def test_a_change_lands_as_one_commit_and_is_read_back(host):
    async def main(scene):
        repository = scene.open()
        base = await repository.tip()
        asked = proposal("a", tag("v2"), base=base, labels=(("dag", "deploy"), ("map_index", "3")))
        (diff,) = await repository.preview(asked)
        assert (diff.before, diff.after) == (VALUES, VALUES.replace(b"v1 ", b"v2 "))

        landed = await repository.commit(asked)

        assert (landed.revision, landed.parent) == (await scene.tip(), base)
        assert await scene.show(PATH) == VALUES.replace(b"v1 ", b"v2 ")
        assert await scene.git("diff", "--name-only", base, "main") == PATH
        assert await repository.read(PATH) == await scene.show(PATH)
        assert await repository.read(PATH, base) == VALUES
        assert await repository.read("apps/none.yaml") is None
        assert (await repository.find(asked.id)).revision == landed.revision
        assert [one.change for one in await repository.log()] == [asked.id]
        assert await repository.relation(landed.revision, base) is Relation.DESCENDANT
        assert await repository.relation(base, landed.revision) is Relation.ANCESTOR
        assert await repository.inverse(asked.id) == [tag("v1", expect="v2")]

    scenario(host, main)


def test_adjacent_keys_at_once_and_files_made_and_removed(host):
    async def main(scene):
        repository = scene.open()
        base = await repository.tip()
        edits = [
            tag("v5"),
            SetValue(PATH, "replicas", 4),
            SetValue(PATH, "port", 81),
            PutFile("new/folder/file.txt", "hello\n", expect=ABSENT),
            DeleteFile("apps/app01/deep/er/notes.txt"),
        ]
        asked = [proposal(f"{number}", edit, base=base) for number, edit in enumerate(edits)]
        landed = await asyncio.gather(*(repository.commit(one) for one in asked))

        assert len({one.revision for one in landed}) == len(edits)
        assert await scene.count() == len(edits) + 1
        expected = VALUES.replace(b"v1 ", b"v5 ").replace(b"replicas: 1", b"replicas: 4").replace(b"80", b"81")
        assert await scene.show(PATH) == expected
        assert await scene.show("new/folder/file.txt") == b"hello\n"
        assert await scene.git("ls-tree", "-r", "--name-only", "main", "apps/app01") == "apps/app01/values.yaml"

    scenario(host, main)


def test_a_foreign_push_in_between_is_kept(host):
    async def main(scene):
        repository = scene.open()
        first = await repository.commit(proposal("a", tag("v2"), base=await repository.tip()))
        await scene.foreign(PATH, VALUES.replace(b"replicas: 1", b"replicas: 9"))

        landed = await repository.commit(proposal("b", tag("v3"), base=first.revision))

        assert landed.attempts == 2
        assert await scene.show(PATH) == VALUES.replace(b"replicas: 1", b"replicas: 9").replace(b"v1 ", b"v3 ")
        with pytest.raises(Conflict) as caught:
            await repository.commit(proposal("c", tag("v4", expect="v1"), base=landed.revision))
        assert landed.revision[:12] in str(caught.value)

    scenario(host, main)


def test_what_was_asked_before_is_found_and_what_is_there_changes_nothing(host):
    async def main(scene):
        repository = scene.open()
        base = await repository.tip()
        asked = proposal("a", tag("v2"), base=base)
        first = await repository.commit(asked)
        await scene.foreign("README.md", b"else\n")
        second = await scene.open().commit(asked)
        assert (second.revision, second.parent, second.found) == (first.revision, base, True)
        unknown = await scene.open().commit(proposal("a", tag("v2"), base="f" * 40))
        assert (unknown.revision, unknown.found) == (first.revision, True)
        nothing = await repository.commit(proposal("b", tag("v2"), base=await repository.tip()))
        assert (nothing.changed, nothing.revision) == (False, await scene.tip())
        assert await scene.count() == 3

    scenario(host, main)


class Crashing:
    """A remote whose process dies around a push: before it is sent, or before its answer is heard."""

    def __init__(self, remote, *, after):
        self._remote, self._after, self.died = remote, after, asyncio.Event()

    def __getattr__(self, name):
        return getattr(self._remote, name)

    async def push(self, updates, pack):
        if self._after:
            await self._remote.push(updates, pack)
        self.died.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("after", [False, True], ids=["before-push", "after-push"])
def test_a_crash_around_the_push_leaves_exactly_one_commit(host, after):
    async def main(scene):
        asked = proposal("a", tag("v2"), base=await scene.tip())
        crashing = Crashing(host.open(scene.name), after=after)
        dying = Repository(crashing, branch="main", author="bot <bot@example.com>", clock=LoopClock.real())
        scene.opened.append(dying)
        task = asyncio.create_task(dying.commit(asked))
        await crashing.died.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        landed = await scene.open().commit(asked)

        assert landed.found is after
        assert await scene.count() == 2

    scenario(host, main)


class Deaf:
    """A remote whose first push lands and whose answer is lost."""

    def __init__(self, remote):
        self._remote, self.lost = remote, False

    def __getattr__(self, name):
        return getattr(self._remote, name)

    async def push(self, updates, pack):
        report = await self._remote.push(updates, pack)
        if not self.lost:
            self.lost = True
            raise AmbiguousPush("connection reset")
        return report


def test_an_answer_that_is_lost_is_looked_up(host):
    async def main(scene):
        remote = Deaf(host.open(scene.name))
        repository = Repository(remote, branch="main", author="bot <bot@example.com>", clock=LoopClock.real())
        scene.opened.append(repository)
        landed = await repository.commit(proposal("a", tag("v2"), base=await repository.tip()))
        assert landed.revision == await scene.tip()
        assert await scene.count() == 2

    scenario(host, main)


def test_the_server_itself_refuses_a_change_twice(host):
    async def main(scene):
        options = {"change_refs": "refs/loopseal/change/"}
        first = await scene.open(**options).commit(proposal("a", tag("v2"), base=await scene.tip()))
        await scene.foreign("README.md", b"else\n")
        again = await scene.open(**options).commit(proposal("a", tag("v3"), base=await scene.tip()))
        assert (again.revision, again.found) == (first.revision, True)
        assert await scene.git("rev-parse", f"refs/loopseal/change/{proposal('a').id}") == first.revision
        assert await scene.count() == 3

    scenario(host, main)


def test_a_hook_that_refuses_is_told_and_nothing_lands(host):
    async def main(scene):
        hook = host.server.root / scene.name / "hooks/pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\necho 'GH006: protected branch' >&2\nexit 1\n")
        hook.chmod(0o755)
        repository = scene.open()
        asked = [proposal("a", tag("v2")), proposal("b", SetValue(PATH, "port", 81))]
        got = await asyncio.gather(*(repository.commit(one) for one in asked), return_exceptions=True)
        assert [one.code for one in got] == [Code.GIT_BRANCH_PROTECTED] * 2
        assert await scene.count() == 1

    scenario(host, main)


def test_two_hundred_at_once_are_a_chain_in_one_push(host):
    async def main(scene):
        repository = scene.open()
        base = await repository.tip()
        asked = [proposal(f"{n}", PutFile(f"many/{n % 17}/{n}.txt", f"{n}\n"), base=base) for n in range(170)]
        asked += [proposal(f"hot-{n}", SetValue(PATH, f"k{n}", n, create=True), base=base) for n in range(30)]
        landed = await asyncio.gather(*(repository.commit(one) for one in asked))
        assert {one.attempts for one in landed} == {1}
        assert await scene.count() == 201
        assert (await scene.git("rev-list", "--first-parent", "main")).split()[:200] == [
            one.revision for one in reversed(landed)
        ]
        held = await scene.show(PATH)
        assert all(b"k%d: %d\n" % (n, n) in held for n in range(30))

    scenario(host, main)


def test_preflight_says_what_is_wrong(host):
    async def main(scene):
        good = await scene.open().check()
        assert [one.level for one in good] == [Level.WARNING]
        assert good[0].code == "git.unsigned"
        missing = await scene.open(branch="none").check()
        assert [one.code for one in missing if one.level is Level.ERROR] == [Code.GIT_BRANCH_MISSING]

    scenario(host, main)


def test_links_submodules_and_filtered_files_are_refused_and_modes_kept(find):
    async def main(scene):
        blob = (await scene.git("rev-parse", f"main:{PATH}")).strip()
        stream = (
            "commit refs/heads/main\ncommitter S <s@example.com> 1700000500 +0000\ndata 1\nx\nfrom refs/heads/main^0\n"
            f"M 100755 {blob} apps/run.yaml\nM 120000 inline apps/link.yaml\ndata 8\nrun.yaml\n"
            f"M 160000 {'a' * 40} apps/module\n"
            f"M 100644 {blob} secret/values.yaml\nM 100644 inline .gitattributes\ndata 42\n"
            "secret/** filter=git-crypt diff=git-crypt\n\n"
        )
        await scene.git("fast-import", "--quiet", data=stream.encode())
        repository = scene.open()
        await repository.commit(proposal("a", tag("v2", "apps/run.yaml")))
        assert (await scene.git("ls-tree", "main", "apps/run.yaml")).startswith("100755 blob")
        for path, code in {
            "apps/link.yaml": Code.EDIT_NOT_A_FILE,
            "apps/module": Code.EDIT_NOT_A_FILE,
            "apps/module/x.yaml": Code.EDIT_NOT_A_FILE,
            "apps": Code.EDIT_NOT_A_FILE,
            "secret/values.yaml": Code.EDIT_FILTERED,
        }.items():
            with pytest.raises(Refused) as caught:
                await repository.commit(proposal(path, tag("v2", path)))
            assert caught.value.code is code
        with pytest.raises(Refused):
            await repository.commit(proposal("put", PutFile("secret/new.txt", "x")))

    scenario(find("http"), main)


def test_a_large_file_is_not_downloaded_for_a_key(find):
    async def main(scene):
        host = scene.host
        repository = scene.open()
        with pytest.raises(Refused) as caught:
            await repository.commit(proposal("a", tag("v2", "big/values.yaml")))
        assert caught.value.code is Code.EDIT_TOO_LARGE
        assert not any(obj.data[:3] == b"aaa" for obj in repository._reader.store.values())
        await repository.commit(proposal("b", PutFile("big/values.yaml", b"b" * (9 << 20))))
        assert await scene.git("cat-file", "-s", "main:big/values.yaml") == f"{9 << 20}"
        assert host.server.calls

    scenario(find("http"), main, FILES | {"big/values.yaml": b"a" * (50 << 20)})


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
def test_a_connection_that_breaks_in_a_push_is_resolved(find, cut):
    async def main(scene):
        repository = scene.open()
        base = await repository.tip()
        scene.host.server.faults.append(GitFault(service="git-receive-pack", cut=cut))
        landed = await repository.commit(proposal("a", tag("v2"), base=base))
        assert landed.revision == await scene.tip()
        assert await scene.count() == 2

    scenario(find("http"), main)


def key_of(kind, folder):
    """Secrets with a signing key, which of the signer's options names it, and how git verifies what it signed."""
    if kind == "ssh":
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", folder / "key"], check=True)
        (folder / "allowed").write_text(f"bot@example.com {(folder / 'key.pub').read_text()}")
        secrets = Known({"key": Credential(Secret((folder / "key").read_text()))})
        verify = ["-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={folder / 'allowed'}"]
        return secrets, verify, None
    home = folder / "gnupg"
    home.mkdir(mode=0o700)
    environment = {"GNUPGHOME": f"{home}", "PATH": "/usr/bin:/bin"}
    gpg = ["gpg", "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"]
    subprocess.run([*gpg, "--quick-gen-key", "bot@example.com", "ed25519", "sign"], check=True, env=environment)
    key = subprocess.run([*gpg, "--armor", "--export-secret-keys"], check=True, env=environment, capture_output=True)
    subprocess.run(["gpgconf", "--kill", "all"], check=True, env=environment)  # the agent that making a key has started
    secrets = Known({"key": Credential(Secret(key.stdout.decode()))})
    return secrets, [], environment


def verified(repository, verify, environment, revisions):
    """What `git verify-commit` says."""
    command = ["git", "-C", f"{repository}", *verify, "verify-commit", *revisions]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", ["ssh", "openpgp"])
def test_every_commit_of_a_chain_verifies_with_git(find, tmp_path, kind):
    if kind == "openpgp" and not shutil.which("gpg"):
        pytest.skip("needs the Debian package gpg")

    secrets, verify, environment = key_of(kind, tmp_path)

    async def main(scene):
        repository = scene.open(signer=await open_signer(secrets=secrets, **{kind: "key"}))
        base = await repository.tip()
        asked = [proposal(f"{n}", PutFile(f"many/{n}", f"{n}"), base=base) for n in range(20)]
        landed = await asyncio.gather(*(repository.commit(one) for one in asked))
        ended = verified(scene.host.server.root / scene.name, verify, environment, [one.revision for one in landed])
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr.count("Good") == 20
        assert all(one.signed for one in await repository.log())
        assert [one.level for one in await repository.check()] == []

    scenario(find("http"), main)


def test_trailers_are_what_git_reads(find):
    reason = "Argocd-gpg-seal: yes\n\nLoopseal-Change: forged\n---\nSigned-off-by: nobody <x@y>\n\nArgocd-gpg-seal: yes"

    async def main(scene):
        repository = scene.open()
        labels = (("dag", "a\nArgocd-gpg-seal: yes"), ("change", "forged"))
        asked = proposal("a", tag("v2"), reason=reason, labels=labels)
        await repository.commit(asked)
        message = await scene.git("log", "-1", "--format=%B", "main")
        told = await scene.git("interpret-trailers", "--parse", "--no-divider", data=message.encode() + b"\n")
        patient = await scene.git("interpret-trailers", "--parse", data=message.encode() + b"\n")
        names = [line.partition(":")[0] for line in told.splitlines()]
        assert told == patient
        assert all(name.startswith("Loopseal-") for name in names)
        assert names.count("Loopseal-Change") == 1
        assert f"Loopseal-Change: {asked.id}" in told
        (logged,) = await repository.log()
        assert [f"{name}: {value}" for name, value in logged.trailers] == told.splitlines()

    scenario(find("http"), main)
