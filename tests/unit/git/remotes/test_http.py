"""Smart HTTP in one process and in virtual time: the same server as in the contract tests, without a socket."""

import asyncio
import base64

import httpx2
import pytest

from loopseal.errors import Code, ConfigError, Refused, Unreachable
from loopseal.git.remote import ZERO, AmbiguousPush, Fetch, RefUpdate
from loopseal.git.remotes import open_remote
from loopseal.git.remotes.access import Access
from loopseal.git.remotes.http import refusal
from loopseal.net import Response
from loopseal.ports import Credential, Secret
from loopseal.testing import clock
from loopseal.testing.git_server import Cut, GitFault, GitServer, Quirks
from loopseal.testing.transport import AppTransport

MAIN = "refs/heads/main"
TOKEN = "tok-0123456789abcdef"


class Fixed:
    forgotten = 0

    async def resolve(self, reference):
        return Credential(Secret(TOKEN))

    def forget(self, reference):
        self.forgotten += 1


def scene(tmp_path, work, **quirks):
    """Run `work(server, remote)` in virtual time on a repository with one file."""

    async def main():
        server = GitServer(tmp_path, {"loopseal": TOKEN})
        await server.create("a.git", {"a": b"1\n"}, quirks=Quirks(**quirks))
        transport = AppTransport(server)
        remote = open_remote("http://localhost/a.git", secrets=Fixed(), credential="x", transport=transport)
        try:
            await work(server, remote)
        finally:
            await remote.aclose()

    clock.run(main)


@pytest.mark.parametrize("quirks", [{}, {"info_refs_first": True}, {"v2": False}])
def test_reading(tmp_path, quirks):
    async def work(server, remote):
        tip = (await remote.refs(MAIN))[MAIN]
        got = await remote.fetch(Fetch((tip,), depth=1), {})
        assert {one.data for one in got} >= {b"1\n"}

    scene(tmp_path, work, **quirks)


def test_time_limits_are_in_the_loops_time(tmp_path):
    async def work(server, remote):
        server.faults += [GitFault("git-upload-pack", hang=True), GitFault("git-receive-pack", hang=True)]
        before = asyncio.get_running_loop().time()
        with pytest.raises(Unreachable) as caught:
            await remote.refs(MAIN)
        assert caught.value.code is Code.NET_TIMEOUT
        with pytest.raises(AmbiguousPush):
            await remote.push([RefUpdate(MAIN, "1" * 40, ZERO)], b"")
        assert asyncio.get_running_loop().time() - before >= 60
        server.faults.append(GitFault(hold=20.0))
        assert MAIN in await remote.refs(MAIN)

    scene(tmp_path, work)


def test_a_push_cut_off_in_process(tmp_path):
    async def work(server, remote):
        tip = (await remote.refs(MAIN))[MAIN]
        server.faults.append(GitFault("git-receive-pack", cut=Cut.AFTER))
        with pytest.raises(AmbiguousPush) as caught:
            await remote.push([RefUpdate(MAIN, tip, ZERO), RefUpdate("refs/x", ZERO, tip)][:1], b"")
        assert TOKEN not in str(caught.value)

    scene(tmp_path, work)


def remote_to(handler, **options):
    transport = httpx2.MockTransport(handler)
    return open_remote("https://git.example.com/a.git", transport=transport, **options)


def test_a_host_that_drips_bytes_is_given_up():
    async def main():
        async def drip(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await asyncio.sleep(20)
                await send({"type": "http.response.body", "body": b"0", "more_body": True})

        for what in ("refs", "push"):
            remote = open_remote("http://localhost/a.git", transport=AppTransport(drip))
            with pytest.raises(Unreachable if what == "refs" else AmbiguousPush):
                await (remote.refs(MAIN) if what == "refs" else remote.push([RefUpdate(MAIN, "1" * 40, ZERO)], b""))
            await remote.aclose()

    clock.run(main)


def test_what_is_sent_and_what_is_not():
    seen = []

    def handler(request):
        seen.append(request)
        kind = "application/x-git-upload-pack-result"
        return httpx2.Response(200, headers={"content-type": kind}, content=b"0000")

    async def main():
        remote = remote_to(handler, secrets=Fixed(), credential="x")
        assert await remote.refs(MAIN) == {}
        await remote.aclose()

    asyncio.run(main())
    (request,) = seen
    assert (request.method, request.url) == ("POST", "https://git.example.com/a.git/git-upload-pack")
    assert request.headers["git-protocol"] == "version=2"
    assert request.headers["content-type"] == "application/x-git-upload-pack-request"
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode() == f"loopseal:{TOKEN}"
    assert request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "error",
    [
        httpx2.ConnectError("refused"),
        httpx2.ConnectTimeout("late"),
        httpx2.PoolTimeout("full"),
        httpx2.ProxyError("no"),
    ],
)
def test_a_push_that_was_not_sent(error):
    def handler(request):
        raise error

    async def main():
        with pytest.raises(Unreachable):
            await remote_to(handler).push([RefUpdate(MAIN, "1" * 40, ZERO)], b"")

    asyncio.run(main())


@pytest.mark.parametrize(
    "error",
    [httpx2.ReadError("cut"), httpx2.WriteError("cut"), httpx2.ReadTimeout("late"), httpx2.RemoteProtocolError("gone")],
)
def test_a_push_that_may_have_been_sent(error):
    def handler(request):
        raise error

    async def main():
        with pytest.raises(AmbiguousPush):
            await remote_to(handler).push([RefUpdate(MAIN, "1" * 40, ZERO)], b"")

    asyncio.run(main())


REFUSALS = [
    (401, {}, Refused, Code.GIT_AUTHENTICATION),
    (403, {}, Refused, Code.GIT_FORBIDDEN),
    (404, {}, ConfigError, Code.GIT_NOT_FOUND),
    (410, {}, ConfigError, Code.GIT_NOT_FOUND),
    (302, {"location": "https://u:p@x.example.com/login"}, ConfigError, Code.GIT_MOVED),
    (308, {}, ConfigError, Code.GIT_MOVED),
    (429, {}, Unreachable, Code.GIT_RATE_LIMITED),
    (503, {"retry-after": "3"}, Unreachable, Code.GIT_RATE_LIMITED),
    (503, {}, Unreachable, Code.GIT_UNREACHABLE),
    (500, {}, Unreachable, Code.GIT_UNREACHABLE),
    (400, {}, Unreachable, Code.GIT_PROTOCOL),
    (413, {}, Unreachable, Code.GIT_PROTOCOL),
    (204, {}, Unreachable, Code.GIT_PROTOCOL),
]


@pytest.mark.parametrize(("status", "headers", "kind", "code"), REFUSALS)
def test_what_a_status_means(status, headers, kind, code):
    error = refusal(Response(status, headers, b"<html>no</html>"), "https://h/a.git", Access(None))
    assert type(error) is kind
    assert error.code is code
    assert error.hint
    assert "<html>" not in error.message
    assert "u:p" not in error.message


def test_a_refusal_repeats_what_the_host_says():
    error = refusal(Response(403, {}, b"You are not allowed to push."), "https://h/a.git", Access(None))
    assert error.message == "the host answered 403: You are not allowed to push."
