"""The Git server itself: it is real git, what it counts, and how it breaks."""

import asyncio
import subprocess

import httpx2
import pytest

from loopseal.testing.git_server import Call, Cut, GitFault, GitServer, Quirks, config_text, fast_import, git
from loopseal.testing.transport import AppTransport

INFO = "/team/a.git/info/refs?service=git-upload-pack"


def scene(tmp_path, work, **options):
    async def main():
        server = GitServer(tmp_path, **options)
        await server.create("team/a.git", {"dir/a.txt": b"one\n"})
        async with httpx2.AsyncClient(transport=AppTransport(server), base_url="http://localhost") as client:
            await work(server, client)

    asyncio.run(main())


def test_a_repository_is_made_with_its_files(tmp_path):
    async def work(server, client):
        folder = tmp_path / "team" / "a.git"
        assert (await git("-C", f"{folder}", "show", "main:dir/a.txt")) == b"one\n"
        await git("-C", f"{folder}", "fsck", "--strict")

    scene(tmp_path, work)


def test_the_same_files_make_the_same_commit(tmp_path):
    async def main():
        tips = set()
        for name in ("a.git", "b.git"):
            folder = await GitServer(tmp_path).create(name, {"a": b"1"}, branch="trunk", config={"a.b": "c"})
            tips.add(await git("-C", f"{folder}", "rev-parse", "trunk"))
            assert await git("-C", f"{folder}", "config", "a.b") == b"c\n"
        assert len(tips) == 1

    asyncio.run(main())


def test_git_answers(tmp_path):
    async def work(server, client):
        old = await client.get(INFO)
        assert old.status_code == 200
        assert old.headers["content-type"] == "application/x-git-upload-pack-advertisement"
        assert b"refs/heads/main" in old.content
        new = await client.get(INFO, headers={"Git-Protocol": "version=2"})
        assert b"version 2" in new.content
        server.quirks["/team/a.git"] = Quirks(v2=False)
        assert b"version 2" not in (await client.get(INFO, headers={"Git-Protocol": "version=2"})).content
        assert (await client.get("/team/none.git/info/refs?service=git-upload-pack")).status_code == 404
        assert (await client.get("/team/../../etc/passwd")).status_code in {403, 404, 500}

    scene(tmp_path, work)


def test_what_comes_in_is_counted(tmp_path):
    async def work(server, client):
        await client.get(INFO)
        await client.post("/team/a.git/git-receive-pack", content=b"0000")
        assert [(call.method, call.repository, call.service) for call in server.calls] == [
            ("GET", "/team/a.git", "git-upload-pack"),
            ("POST", "/team/a.git", "git-receive-pack"),
        ]

    scene(tmp_path, work)


def test_who_may_come_in(tmp_path):
    async def work(server, client):
        refused = await client.get(INFO)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic")
        assert (await client.get(INFO, auth=("me", "wrong"))).status_code == 401
        assert (await client.get(INFO, auth=("me", "password"))).status_code == 200
        assert (await client.get(INFO, headers={"Authorization": "Bearer bear"})).status_code == 200

    scene(tmp_path, work, users={"me": "password"}, tokens=["bear"])


def test_a_call_does_not_show_its_authorization():
    assert "secret" not in repr(Call("GET", "/a.git", "git-upload-pack", "Basic secret"))


def test_a_host_that_wants_info_refs_first(tmp_path):
    async def work(server, client):
        server.quirks["/team/a.git"] = Quirks(info_refs_first=True)
        body = {"content": b"0000", "headers": {"content-type": "application/x-git-upload-pack-request"}}
        assert (await client.post("/team/a.git/git-upload-pack", **body)).status_code == 404
        await client.get(INFO)
        assert (await client.post("/team/a.git/git-upload-pack", **body)).status_code == 200

    scene(tmp_path, work)


def test_faults_come_as_often_as_said_and_where_they_fit(tmp_path):
    async def work(server, client):
        server.faults.append(
            GitFault("git-upload-pack", "GET", times=2, status=503, headers={"retry-after": "4"}, body=b"busy")
        )
        assert (await client.get("/team/a.git/info/refs?service=git-receive-pack")).status_code == 200
        for _ in range(2):
            answer = await client.get(INFO)
            assert (answer.status_code, answer.headers["retry-after"], answer.content) == (503, "4", b"busy")
        assert (await client.get(INFO)).status_code == 200

    scene(tmp_path, work)


@pytest.mark.parametrize("fault", [GitFault(cut=Cut.BEFORE), GitFault(cut=Cut.AFTER), GitFault(truncate=10)])
def test_a_broken_connection(tmp_path, fault):
    async def work(server, client):
        server.faults.append(fault)
        with pytest.raises(httpx2.TransportError):
            await client.get(INFO)

    scene(tmp_path, work)


def test_a_hung_connection(tmp_path):
    async def work(server, client):
        server.faults.append(GitFault(hang=True))
        with pytest.raises(httpx2.ReadTimeout):
            await client.get(INFO, timeout=0.2)

    scene(tmp_path, work)


def test_a_git_command_that_fails_says_why():
    with pytest.raises(RuntimeError, match="not a git command"):
        asyncio.run(git("no-such-command"))


def test_settings_as_git_reads_them(tmp_path):
    settings = {"uploadpack.allowFilter": "true", "uploadpackfilter.blob:none.allow": "false", "a.b": "x y"}
    (tmp_path / "config").write_text(config_text(settings))
    shown = subprocess.run(["git", "config", "--file", tmp_path / "config", "--list"], capture_output=True, check=True)
    assert shown.stdout.decode().splitlines() == [
        "uploadpack.allowfilter=true",
        "uploadpackfilter.blob:none.allow=false",
        "a.b=x y",
    ]


def test_a_stream_for_fast_import():
    assert (
        fast_import({"a b": b"x"}, "main", "ü", 5)
        == (
            "commit refs/heads/main\ncommitter Somebody <somebody@example.com> 5 +0000\ndata 2\nü\n"
            'M 100644 inline "a b"\ndata 1\nx\n'
        ).encode()
    )
