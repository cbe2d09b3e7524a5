"""Every way to a repository keeps the contract of `loopseal.git.remote.Remote`, against real git at the other end."""

import logging
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from loopseal.errors import Code, ConfigError, LoopsealError, Refused, Unreachable
from loopseal.git.objects import Commit, commit_of, make, tree_entries
from loopseal.git.pack import PackBuilder
from loopseal.git.remote import ZERO, AmbiguousPush, Fetch, GitObject, ObjectKind, Outcome, RefUpdate
from loopseal.git.remotes import open_remote
from loopseal.testing.git_server import Cut, GitFault, GitServer, fast_import, serve
from tests.contracts import hosts as made
from tests.contracts.hosts import ALL, HTTP, SSH, TOKEN, Known, run, token

MAIN = "refs/heads/main"
WHO = "loopseal <loopseal@example.com> 1700000100 +0000"
FILES = {
    "README.md": b"hello\n",
    **{f"apps/app{number:02}/values.yaml": b"image:\n  tag: v%d\n" % number for number in range(30)},
    **{f"apps/app{number:02}/deep/er/notes.txt": b"note %d\n" % number for number in range(3)},
}
PATH = "apps/app07/values.yaml"


@pytest.fixture(scope="module")
def find(tmp_path_factory):
    with made.hosts(tmp_path_factory.mktemp("hosts")) as find:
        yield find


@pytest.fixture(params=ALL)
def host(request, find):
    return find(request.param)


@pytest.fixture(params=[name for name in HTTP if name != "git-http"])
def web(request, find):
    """Those that speak HTTP themselves."""
    return find(request.param)


@dataclass
class Reader:
    """What stands above a remote, in short: fetches what is missing on a path, by id."""

    remote: object
    have: dict[str, GitObject] = field(default_factory=dict)

    async def fetch(self, *wants, **options):
        got = await self.remote.fetch(Fetch(wants, **options), self.have)
        self.have |= {one.oid: one for one in got}
        return got

    async def need(self, oid, **options):
        if oid not in self.have:
            await self.fetch(oid, **options)
        return self.have[oid]

    async def commit(self, oid):
        found = await self.need(oid, depth=1, filter="tree:2" if self.remote.filters else "")
        return commit_of(found.data)

    async def chain(self, commit, path):
        """The objects on the path, root tree first."""
        chain = [await self.need(commit.tree, filter="tree:0")]
        for part in path.encode().split(b"/"):
            tree = chain[-1].data
            chain.append(await self.need(tree_entries(tree)[part].oid(tree), filter="tree:0"))
        return chain

    async def edited(self, tip, path, content):
        """A commit on `tip` with other bytes at `path`, and its pack."""
        pack, parent = PackBuilder(), await self.commit(tip)
        chain = await self.chain(parent, path)
        new = make(ObjectKind.BLOB, content)
        pack.add_delta(new, chain[-1])
        for tree, part in zip(reversed(chain[:-1]), reversed(path.encode().split(b"/")), strict=True):
            entry = tree_entries(tree.data)[part]
            data = tree.data[: entry.at] + bytes.fromhex(new.oid) + tree.data[entry.end :]
            new = make(ObjectKind.TREE, data)
            pack.add_delta(new, tree)
        commit = Commit(new.oid, (tip,), WHO, WHO, f"Set {path}\n").object()
        pack.add(commit)
        return commit, pack.build()


async def begin(host, **options):
    """A new repository, its remote and its tip."""
    name = await host.repository(FILES, **options)
    remote = host.open(name)
    return name, Reader(remote), (await remote.refs(MAIN))[MAIN]


async def somebody_else(host, name, content, branch="main"):
    """A foreign commit on the branch; its id."""
    stream = fast_import({"README.md": content}, branch, "Elsewhere").decode()
    tip = await host.git(name, "rev-parse", branch)
    stream = stream.replace("\nM 100644", f"\nfrom {tip}\nM 100644", 1)
    await host.git(name, "fast-import", "--quiet", data=stream.encode())
    return await host.git(name, "rev-parse", branch)


# --- reading


def test_refs(host):
    async def main():
        name, reader, tip = await begin(host)
        await host.git(name, "branch", "other", "main")
        await host.git(name, "tag", "v1", "main")
        remote = reader.remote
        assert await remote.refs("refs/heads/") == {MAIN: tip, "refs/heads/other": tip}
        assert await remote.refs(MAIN) == {MAIN: tip}
        assert await remote.refs("refs/nowhere/") == {}
        assert await remote.refs("refs/tags/", "refs/heads/o") == {"refs/tags/v1": tip, "refs/heads/other": tip}
        assert {MAIN, "refs/heads/other", "refs/tags/v1"} <= (await remote.refs()).keys()
        assert remote.url == host.url(name)
        await remote.aclose()

    run(main)


def test_an_empty_repository_has_no_refs(host):
    async def main():
        remote = host.open(await host.repository())
        assert await remote.refs("refs/heads/") == {}
        await remote.aclose()

    run(main)


def test_one_file_without_the_others(host):
    async def main():
        name, reader, tip = await begin(host)
        commit = await reader.commit(tip)
        chain = await reader.chain(commit, PATH)
        assert chain[-1].data == FILES[PATH]
        assert reader.remote.filters is host.filters
        assert commit.parents == ()
        for one in reader.have.values():
            assert make(one.kind, one.data) == one
        blobs = [one for one in reader.have.values() if one.kind is ObjectKind.BLOB]
        if host.filters:
            assert len(blobs) <= 2
        assert await host.git(name, "rev-parse", f"main:{PATH}") == chain[-1].oid
        await reader.remote.aclose()

    run(main)


def test_only_what_is_new(host):
    async def main():
        name, reader, tip = await begin(host)
        await reader.chain(await reader.commit(tip), PATH)
        new = await somebody_else(host, name, b"hello again\n")
        got = await reader.fetch(new, haves=(tip,), shallow=(tip,), filter="blob:none" if host.filters else "")
        assert new in {one.oid for one in got}
        assert commit_of(reader.have[new].data).parents == (tip,)
        assert len(got) <= 3
        assert (await reader.chain(commit_of(reader.have[new].data), "README.md"))[-1].data == b"hello again\n"
        await reader.remote.aclose()

    run(main)


def test_history_by_messages_alone(host):
    async def main():
        name, reader, tip = await begin(host)
        await reader.commit(tip)
        seen = [tip]
        seen += [await somebody_else(host, name, b"turn %d\n" % number) for number in range(5)]
        got = await reader.fetch(seen[-1], haves=(tip,), shallow=(tip,), filter="tree:0")
        commits = {one.oid for one in got if one.kind is ObjectKind.COMMIT}
        assert commits == set(seen[1:])
        if host.filters:
            assert len(got) == 5
        await reader.remote.aclose()

    run(main)


def test_an_object_that_is_not_there(host):
    async def main():
        _, reader, _ = await begin(host)
        with pytest.raises(Unreachable) as caught:
            await reader.fetch("1" * 40, depth=1)
        assert caught.value.code is Code.GIT_OBJECT_MISSING
        await reader.remote.aclose()

    run(main)


# --- pushing


def test_a_push_lands_and_is_sound(host):
    async def main():
        name, reader, tip = await begin(host)
        commit, pack = await reader.edited(tip, PATH, b"image:\n  tag: new\n")
        assert len(pack) < 1500
        report = await reader.remote.push([RefUpdate(MAIN, tip, commit.oid)], pack)
        assert report.ok
        assert report.refs[MAIN] == (Outcome.OK, "")
        assert await host.git(name, "show", f"main:{PATH}") == "image:\n  tag: new"
        assert await host.git(name, "diff", "--name-only", "main~1", "main") == PATH
        await host.git(name, "fsck", "--strict")
        assert await reader.remote.refs(MAIN) == {MAIN: commit.oid}
        await reader.remote.aclose()

    run(main)


def test_several_pushes_in_a_row(host):
    async def main():
        name, reader, tip = await begin(host)
        for number in range(3):
            commit, pack = await reader.edited(tip, PATH, b"turn: %d\n" % number)
            assert (await reader.remote.push([RefUpdate(MAIN, tip, commit.oid)], pack)).ok
            tip = commit.oid
        assert await host.git(name, "rev-list", "--count", "main") == "4"
        await host.git(name, "fsck", "--strict")
        await reader.remote.aclose()

    run(main)


def test_the_host_compares_and_swaps(host):
    async def main():
        name, reader, tip = await begin(host)
        commit, pack = await reader.edited(tip, PATH, b"mine\n")
        theirs = await somebody_else(host, name, b"theirs\n")
        report = await reader.remote.push([RefUpdate(MAIN, tip, commit.oid)], pack)
        assert not report.ok
        assert report.refs[MAIN][0] is Outcome.REJECTED
        assert report.refs[MAIN][1]
        assert await host.git(name, "rev-parse", "main") == theirs
        await reader.remote.aclose()

    run(main)


def test_several_refs_or_none(host):
    async def main():
        name, reader, tip = await begin(host)
        marker = "refs/loopseal/change/abc"
        commit, pack = await reader.edited(tip, PATH, b"one\n")
        both = [RefUpdate(MAIN, tip, commit.oid), RefUpdate(marker, ZERO, commit.oid)]
        assert (await reader.remote.push(both, pack)).ok
        assert await reader.remote.refs("refs/heads/", "refs/loopseal/") == {MAIN: commit.oid, marker: commit.oid}

        again, pack = await reader.edited(commit.oid, PATH, b"two\n")
        both = [RefUpdate(MAIN, commit.oid, again.oid), RefUpdate(marker, ZERO, again.oid)]
        report = await reader.remote.push(both, pack)
        assert report.refs[marker][0] is Outcome.REJECTED
        assert report.refs[MAIN][0] is Outcome.REJECTED
        assert await host.git(name, "rev-parse", "main", marker) == f"{commit.oid}\n{commit.oid}"
        await reader.remote.aclose()

    run(main)


def test_refs_are_made_and_removed(host):
    async def main():
        name, reader, tip = await begin(host)
        ref = "refs/heads/topic/one"
        commit, pack = await reader.edited(tip, PATH, b"topic\n")
        assert (await reader.remote.push([RefUpdate(ref, ZERO, commit.oid)], pack)).ok
        assert await host.git(name, "rev-parse", ref) == commit.oid
        report = await reader.remote.push([RefUpdate(ref, ZERO, commit.oid)], pack)
        assert not report.ok
        stale = await reader.remote.push([RefUpdate(ref, tip, ZERO)], b"")
        assert not stale.ok
        assert await host.git(name, "rev-parse", ref) == commit.oid
        assert (await reader.remote.push([RefUpdate(ref, commit.oid, ZERO)], b"")).ok
        assert ref not in await reader.remote.refs("refs/heads/")
        await reader.remote.aclose()

    run(main)


def test_a_hook_refuses_in_its_own_words(host):
    async def main():
        name, reader, tip = await begin(host)
        hook = host.server.root / name / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\necho 'main is protected: open a merge request' >&2\nexit 1\n")
        hook.chmod(0o755)
        commit, pack = await reader.edited(tip, PATH, b"nope\n")
        report = await reader.remote.push([RefUpdate(MAIN, tip, commit.oid)], pack)
        assert report.refs[MAIN][0] is Outcome.REJECTED
        assert "main is protected: open a merge request" in report.refs[MAIN][1]
        assert await host.git(name, "rev-parse", "main") == tip
        await reader.remote.aclose()

    run(main)


# --- refusals


def test_a_repository_that_is_not_there(host):
    async def main():
        remote = host.open("team/nowhere.git")
        with pytest.raises(ConfigError) as caught:
            await remote.refs(MAIN)
        assert caught.value.code is Code.GIT_NOT_FOUND
        assert caught.value.hint
        with pytest.raises((ConfigError, AmbiguousPush)):
            await remote.push([RefUpdate(MAIN, "1" * 40, ZERO)], b"")
        await remote.aclose()

    run(main)


@pytest.mark.parametrize("first", ["refs", "fetch", "push"])
def test_a_sha256_repository_is_refused_whatever_comes_first(host, first):
    async def main():
        name = await host.repository(FILES, object_format="sha256")
        before = await host.git(name, "rev-parse", "main")
        remote = host.open(name)
        questions = {
            "refs": lambda: remote.refs(MAIN),
            "fetch": lambda: remote.fetch(Fetch(("1" * 40,), depth=1), {}),
            "push": lambda: remote.push([RefUpdate(MAIN, "1" * 40, ZERO)], PackBuilder().build()),
        }
        with pytest.raises(ConfigError) as caught:
            await questions[first]()
        assert caught.value.code is Code.GIT_OBJECT_FORMAT
        assert await host.git(name, "rev-parse", "main") == before
        await remote.aclose()

    run(main)


def wrong_credential(host):
    """One that the host does not know, in the shape that it asks for."""
    if not host.ssh:
        return token("wrong-token-0123456789")
    made_up = subprocess.run(
        ["sh", "-c", "d=$(mktemp -d); ssh-keygen -q -t ed25519 -N '' -C '' -f $d/k && cat $d/k; rm -r $d"],
        capture_output=True,
        check=True,
    )
    return token(made_up.stdout.decode())


def test_a_wrong_credential_is_refused_and_read_anew(host):
    if not (host.http or host.ssh):
        return  # a folder asks for none

    async def main():
        name = await host.repository(FILES)
        secrets = Known({"it": wrong_credential(host)})
        remote = host.open(name, secrets=secrets, credential="it")
        with pytest.raises(Refused) as caught:
            await remote.refs(MAIN)
        assert caught.value.code is Code.GIT_AUTHENTICATION
        assert secrets.forgotten[0] == "it"
        await remote.aclose()

    run(main)


def test_a_rotated_credential_is_picked_up(host):
    if not host.http:
        return  # keys are read for each connection

    async def main():
        name = await host.repository(FILES)
        secrets = Known({"it": token("expired-0123456789")}, rotated={"it": token()})
        remote = host.open(name, secrets=secrets, credential="it")
        assert MAIN in await remote.refs(MAIN)
        assert secrets.forgotten == ["it"]
        await remote.aclose()

    run(main)


def test_a_push_with_an_expired_credential_lands_once(web):
    async def main():
        name, reader, tip = await begin(web)
        commit, pack = await reader.edited(tip, PATH, b"late\n")
        secrets = Known({"it": token("expired-0123456789")}, rotated={"it": token()})
        remote = web.open(name, secrets=secrets, credential="it")
        assert (await remote.push([RefUpdate(MAIN, tip, commit.oid)], pack)).ok
        assert secrets.forgotten == ["it"]
        await remote.aclose()
        await reader.remote.aclose()

    run(main)


# --- a broken world (HTTP)


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
def test_a_push_that_breaks_off_is_ambiguous(web, cut):
    async def main():
        _, reader, tip = await begin(web)
        commit, pack = await reader.edited(tip, PATH, b"perhaps\n")
        web.server.faults.append(GitFault("git-receive-pack", "POST", cut=cut))
        with pytest.raises(AmbiguousPush):
            await reader.remote.push([RefUpdate(MAIN, tip, commit.oid)], pack)
        landed = (await reader.remote.refs(MAIN))[MAIN]
        assert landed == (commit.oid if cut is Cut.AFTER else tip)
        assert [call.service for call in web.server.calls].count("git-receive-pack") <= 3
        await reader.remote.aclose()

    run(main)


@pytest.mark.parametrize(
    "fault", [GitFault("git-receive-pack", "POST", status=502), GitFault("git-receive-pack", "POST", truncate=5)]
)
def test_a_push_with_half_an_answer_is_ambiguous(web, fault):
    async def main():
        _, reader, tip = await begin(web)
        commit, pack = await reader.edited(tip, PATH, b"perhaps\n")
        fault.times = 1
        web.server.faults.append(fault)
        with pytest.raises(AmbiguousPush):
            await reader.remote.push([RefUpdate(MAIN, tip, commit.oid)], pack)
        await reader.remote.aclose()

    run(main)


def test_a_push_to_nobody_certainly_did_not_land(find):
    async def main():
        host = find("http")
        host.base = "http://127.0.0.1:9"
        remote = host.open("a.git", mode="wire")
        with pytest.raises(Unreachable) as caught:
            await remote.push([RefUpdate(MAIN, "1" * 40, ZERO)], b"")
        assert caught.value.code is Code.NET_UNREACHABLE
        await remote.aclose()

    run(main)


STATUSES = [
    (GitFault(status=403, body=b"no write access"), Refused, Code.GIT_FORBIDDEN),
    (GitFault(status=404), ConfigError, Code.GIT_NOT_FOUND),
    (GitFault(status=301, headers={"location": f"https://u:{TOKEN}@new.example.com/x"}), ConfigError, Code.GIT_MOVED),
    (GitFault(status=307), ConfigError, Code.GIT_MOVED),
    (GitFault(status=429, headers={"retry-after": "17"}), Unreachable, Code.GIT_RATE_LIMITED),
    (GitFault(status=503, headers={"retry-after": "17"}), Unreachable, Code.GIT_RATE_LIMITED),
    (GitFault(status=400), Unreachable, Code.GIT_PROTOCOL),
]


@pytest.mark.parametrize("what", ["refs", "push"])
@pytest.mark.parametrize(("fault", "kind", "code"), STATUSES, ids=lambda value: getattr(value, "status", ""))
def test_what_a_status_means(find, fault, kind, code, what):
    async def main():
        host = find("http")
        name = await host.repository(FILES)
        remote = host.open(name, mode="wire")
        tip = await host.git(name, "rev-parse", "main")
        fault.times = 99
        host.server.faults.append(fault)
        with pytest.raises(kind) as caught:
            await (remote.refs(MAIN) if what == "refs" else remote.push([RefUpdate(MAIN, tip, ZERO)], b""))
        assert caught.value.code is code
        assert caught.value.where == host.url(name)
        assert TOKEN not in caught.value.diagnostics()
        assert caught.value.hint
        if code is Code.GIT_RATE_LIMITED:
            assert caught.value.retry_after == 17
        if fault.headers.get("location"):
            assert "new.example.com/x" in caught.value.message
        assert await host.git(name, "rev-parse", "main") == tip
        await remote.aclose()

    run(main)


def test_a_server_error_is_worth_another_try(web):
    async def main():
        name = await web.repository(FILES)
        remote = web.open(name)
        web.server.faults.append(GitFault(status=500, times=1))
        with pytest.raises(Unreachable) as caught:
            await remote.refs(MAIN)
        assert caught.value.code is Code.GIT_UNREACHABLE
        assert MAIN in await remote.refs(MAIN)
        await remote.aclose()

    run(main)


@pytest.mark.parametrize(
    "fault",
    [GitFault("git-upload-pack", truncate=0), GitFault("git-upload-pack", truncate=40), GitFault(cut=Cut.BEFORE)],
)
def test_a_fetch_that_breaks_off_is_worth_another_try(web, fault):
    async def main():
        _, reader, tip = await begin(web)
        fault.times = 1
        web.server.faults.append(fault)
        with pytest.raises(Unreachable):
            await reader.fetch(tip, depth=1)
        assert tip in {one.oid for one in await reader.fetch(tip, depth=1)}
        await reader.remote.aclose()

    run(main)


@pytest.mark.parametrize(
    "fault",
    [
        GitFault(status=200, body=b"<html>Please sign in</html>", headers={"content-type": "text/html"}, times=99),
        GitFault(
            status=200, body=b"garbage", headers={"content-type": "application/x-git-upload-pack-result"}, times=99
        ),
    ],
)
def test_a_host_that_does_not_speak_git(find, fault):
    async def main():
        host = find("http")
        remote = host.open(await host.repository(FILES), mode="wire")
        host.server.faults.append(fault)
        with pytest.raises(Unreachable) as caught:
            await remote.refs(MAIN)
        assert caught.value.code is Code.GIT_PROTOCOL
        await remote.aclose()

    run(main)


def test_a_silent_host_is_given_up(host):
    if host.ssh or not host.http:
        return  # below: a host that accepts and never speaks

    async def main():
        name = await host.repository(FILES)
        remote = host.open(name, timeout=1.0)
        host.server.faults.append(GitFault(hang=True, times=9))
        with pytest.raises(Unreachable) as caught:
            await remote.refs(MAIN)
        assert caught.value.code is Code.NET_TIMEOUT
        await remote.aclose()

    run(main)


def test_a_silent_push_is_ambiguous(web):
    async def main():
        name, reader, tip = await begin(web)
        commit, pack = await reader.edited(tip, PATH, b"perhaps\n")
        remote = web.open(name, timeout=1.0)
        web.server.faults.append(GitFault("git-receive-pack", "POST", hang=True, times=2))
        with pytest.raises(AmbiguousPush):
            await remote.push([RefUpdate(MAIN, tip, commit.oid)], pack)
        await remote.aclose()
        await reader.remote.aclose()

    run(main)


def test_an_answer_that_is_too_large_is_not_taken(host):
    async def main():
        noise = os.urandom(300_000)
        name = await host.repository({"big.bin": noise, **FILES})
        remote = host.open(name, limit=200_000)
        tip = (await remote.refs(MAIN))[MAIN]
        with pytest.raises(Unreachable) as caught:
            await remote.fetch(Fetch((tip,), depth=1), {})
        assert caught.value.code is Code.NET_TOO_LARGE
        await remote.aclose()

    run(main)


@pytest.mark.parametrize(
    "fault", [GitFault(cut=Cut.BEFORE), GitFault(cut=Cut.AFTER), GitFault(status=500), GitFault(hang=True)]
)
def test_gits_own_push_that_breaks_off_is_ambiguous(find, fault):
    async def main():
        host = find("git-http")
        name = await host.repository(FILES)
        reader = Reader(host.open(name, timeout=2.0))
        tip = (await reader.remote.refs(MAIN))[MAIN]
        commit, pack = await reader.edited(tip, PATH, b"perhaps\n")
        fault.service, fault.method, fault.times = "git-receive-pack", "POST", 1
        host.server.faults.append(fault)
        with pytest.raises(AmbiguousPush):
            await reader.remote.push([RefUpdate(MAIN, tip, commit.oid)], pack)
        assert (await reader.remote.refs(MAIN))[MAIN] == (commit.oid if fault.cut is Cut.AFTER else tip)
        await reader.remote.aclose()

    run(main)


# --- TLS and names


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """An https host with a certificate that signs itself: its address, its certificate, its server."""
    folder = tmp_path_factory.mktemp("tls")
    pem, key = folder / "cert.pem", folder / "key.pem"
    made.certificate(pem, key)
    server = GitServer(folder)
    with serve(server, certificate=(pem, key)) as base:
        yield base, pem, server


@pytest.mark.parametrize("mode", ["wire", "git"])
def test_https_with_its_own_authority(secure, mode):
    async def main():
        base, pem, server = secure
        await server.create(f"{mode}.git", {"a": b"1"})
        remote = open_remote(f"{base}/{mode}.git", mode=mode, ca=f"{pem}")
        assert MAIN in await remote.refs(MAIN)
        await remote.aclose()

    run(main)


@pytest.mark.parametrize("mode", ["auto", "wire", "git"])
def test_https_that_nobody_vouches_for(secure, mode):
    async def main():
        remote = open_remote(f"{secure[0]}/a.git", mode=mode)
        with pytest.raises(Unreachable) as caught:
            await remote.refs(MAIN)
        assert caught.value.code is Code.NET_TLS
        await remote.aclose()

    run(main)


def test_a_host_that_nobody_knows():
    async def main():
        remote = open_remote("https://no-such-host.invalid/a.git", mode="wire")
        with pytest.raises(Unreachable) as caught:
            await remote.refs(MAIN)
        assert caught.value.code is Code.NET_UNREACHABLE
        await remote.aclose()

    run(main)


# --- how little is said


def test_the_optimistic_way_is_one_turn(find):
    async def main():
        host = find("http")
        _, reader, tip = await begin(host)
        commit, pack = await reader.edited(tip, PATH, b"quick\n")
        host.server.calls.clear()
        assert (await reader.remote.push([RefUpdate(MAIN, tip, commit.oid)], pack)).ok
        assert [(call.method, call.service) for call in host.server.calls] == [("POST", "git-receive-pack")]
        await reader.remote.aclose()

    run(main)


def test_a_host_is_asked_once_what_it_can_do(find):
    async def main():
        host = find("http-no-filter")
        _, reader, tip = await begin(host)
        for _ in range(3):
            await reader.remote.refs(MAIN)
            await reader.fetch(tip, depth=1, filter="tree:0")
        asked = [call for call in host.server.calls if call.method == "GET"]
        assert len(asked) == 1
        await reader.remote.aclose()

    run(main)


# --- SSH


@pytest.fixture(params=list(SSH))
def shell(request, find):
    return find(request.param)


def test_an_unknown_host_key_is_refused(shell, tmp_path):
    async def main():
        name = await shell.repository(FILES)
        (tmp_path / "known_hosts").write_text("")
        remote = shell.open(name, known_hosts=f"{tmp_path / 'known_hosts'}")
        with pytest.raises(Refused) as caught:
            await remote.refs(MAIN)
        assert caught.value.code is Code.GIT_HOST_KEY
        await remote.aclose()

    run(main)


def test_nobody_at_the_other_end(shell):
    async def main():
        shell.base = "ssh://nobody@127.0.0.1:9"
        remote = shell.open("a.git")
        with pytest.raises(Unreachable) as caught:
            await remote.refs(MAIN)
        assert caught.value.code is Code.GIT_UNREACHABLE
        await remote.aclose()

    run(main)


def test_a_host_that_accepts_and_never_speaks(shell):
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as listening:
            shell.base = f"ssh://nobody@127.0.0.1:{listening.getsockname()[1]}"
            remote = shell.open("a.git", timeout=1.0)
            with pytest.raises(Unreachable) as caught:
                await remote.refs(MAIN)
            assert caught.value.code in {Code.GIT_UNREACHABLE, Code.NET_TIMEOUT}
            await remote.aclose()

    run(main)


def test_the_connection_is_held_and_let_go(find):
    async def main():
        host = find("ssh")
        log = Path(host.known_hosts).parent / "log"
        before = log.read_text().count("Accepted publickey") if log.exists() else 0
        _, reader, tip = await begin(host)
        for _ in range(3):
            await reader.fetch(tip, depth=1)
        assert log.read_text().count("Accepted publickey") == before + 1
        folder = reader.remote._remote._channel._identity._folder
        assert (folder / "key").stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o777 == 0o700
        await reader.remote.aclose()
        assert not folder.exists()

    run(main)


# --- secrets


def arguments_of_all_processes():
    out = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                out.append((folder / "cmdline").read_bytes() + (folder / "environ").read_bytes())
            except OSError:
                continue
    return b"\n".join(out)


def test_no_secret_is_seen_anywhere(host, caplog):
    """Planted in the credential; looked for in arguments and environments of all processes, logs and errors."""
    secret = host.key if host.ssh else TOKEN
    planted = [line for line in secret.splitlines() if len(line) > 12 and "KEY-----" not in line]
    if not (host.http or host.ssh):
        planted = []  # a folder asks for none; what its hooks say is nothing of ours
    caplog.set_level(logging.DEBUG)
    seen = [b""]
    texts = []

    async def watched(work):
        import asyncio

        task = asyncio.ensure_future(work)
        while not task.done():
            seen.append(await asyncio.to_thread(arguments_of_all_processes))
        return await task

    async def main():
        name, reader, tip = await begin(host)
        commit, pack = await reader.edited(tip, PATH, b"secret\n")
        hook = host.server.root / name / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho 'you said: {planted[0]}' >&2\nexit 1\n" if planted else "#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
        await watched(reader.remote.refs(MAIN))
        report = await watched(reader.remote.push([RefUpdate(MAIN, tip, commit.oid)], pack))
        texts.append(repr(report))
        for remote in (host.open("team/none.git"), reader.remote):
            try:
                await watched(remote.fetch(Fetch(("2" * 40,)), {}))
            except LoopsealError as error:
                texts.extend([error.diagnostics(), repr(error), repr(error.__cause__), repr(error.__context__)])
            await remote.aclose()

    run(main)
    assert len(texts) >= 5
    everything = "\n".join([*texts, caplog.text]) + b"\n".join(seen).decode("utf-8", "replace")
    for line in planted:
        assert line not in everything


# --- the server as a program


def test_the_server_is_a_program_too(tmp_path):
    async def read(line):
        base, pair = line.split()
        name, _, password = pair.partition(":")
        secrets = Known({"it": token(password)})
        remote = open_remote(f"{base}/a.git", mode="wire", secrets=secrets, credential="it", username=name)
        assert MAIN in await remote.refs(MAIN)
        await remote.aclose()

    run(lambda: GitServer(tmp_path).create("a.git", {"a": b"1"}))
    command = [sys.executable, "-m", "loopseal.testing.git_server", f"{tmp_path}", "--user", "me"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        line = program.stdout.readline().decode()
        run(lambda: read(line))
        program.send_signal(signal.SIGTERM)
        assert program.wait() == 0
