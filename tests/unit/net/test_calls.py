"""The record of calls over transports within the process: two lines an attempt, before and after, and nothing secret."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal import net
from loopseal.errors import Code, Refused, Unreachable
from loopseal.net import calls
from loopseal.net.calls import CallLog, Meaning
from loopseal.ports import Behalf, behalf, on_behalf_of
from tests.calls import Record, attached, listening
from tests.unit.usecases.scene import StillClock

SERVER = "https://kube.example.com"
ADA = Behalf("person:ada@https://id.test", "01CHANGE")


def meaning(method: str, _target: str) -> Meaning:
    return Meaning(method.lower(), "pods", "team", "web", method != "GET")


def log() -> CallLog:
    return CallLog("kubernetes", SERVER, meaning, StillClock())


def ask(
    handler: Callable[[httpx2.Request], httpx2.Response], method: str = "GET", path: str = "/x", **options: Any
) -> net.Response:
    async def main() -> net.Response:
        http = net.Http(SERVER, peer="Kubernetes", transport=httpx2.MockTransport(handler), calls=log())
        try:
            return await http.request(method, path, **options)
        finally:
            await http.aclose()

    return asyncio.run(main())


def good(_request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, content=b"{}")


def fields(event: str) -> set[str]:
    return {name for name, events, _ in calls.FIELDS if event in events.split(", ")}


def test_two_lines_with_the_fields_that_are_documented():
    with listening() as heard, on_behalf_of(ADA):
        ask(good, "PATCH", "/pods/web", params={"force": "true"})
    call, answer = heard.lines
    assert (set(call), set(answer)) == (fields("call"), fields("answer"))
    assert call["object"] == {"kind": "pods", "namespace": "team", "name": "web"}
    assert (call["actor"], call["change"], call["shared"]) == (ADA.actor, ADA.change, False)
    assert (call["peer"], call["server"], call["verb"], call["writes"]) == ("kubernetes", SERVER, "patch", True)
    assert (call["method"], call["path"]) == ("PATCH", "/pods/web?force=true")
    assert call["at"] == "2026-01-02T03:04:05.000000+00:00"
    assert (answer["id"], answer["change"]) == (call["id"], ADA.change)
    assert (answer["status"], answer["outcome"], answer["seconds"]) == (200, "answered", 0.0)


def test_the_id_goes_along_and_is_recorded_before_anything_is_sent():
    seen: list[tuple[str, str, list[str]]] = []
    with listening() as heard:

        def peer(request: httpx2.Request) -> httpx2.Response:
            seen.append((request.headers["audit-id"], request.headers["user-agent"], [x["event"] for x in heard.lines]))
            return httpx2.Response(200)

        ask(peer)
        ask(peer)
    assert [one[0] for one in seen] == [call["id"] for call in heard.sent]
    assert len({UUID(one[0]) for one in seen}) == 2, "one for each attempt"
    assert [one[2] for one in seen] == [["call"], ["call", "answer", "call"]]
    assert all(one[1] == calls.user_agent() for one in seen)
    assert calls.user_agent().startswith("loopseal/0.")


@pytest.mark.parametrize("status", [200, 401, 403, 404, 409, 500])
def test_a_status_is_an_answer(status: int):
    with listening() as heard:
        ask(lambda _: httpx2.Response(status))
    assert [(one["status"], one["outcome"]) for one in heard.answers.values()] == [(status, "answered")]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (httpx2.ConnectError("no"), Code.NET_UNREACHABLE),
        (httpx2.ReadTimeout("late"), Code.NET_TIMEOUT),
        (httpx2.ConnectError("certificate verify failed"), Code.NET_TLS),
    ],
)
def test_no_answer_is_told_by_its_code(error: Exception, code: Code):
    def peer(_request: httpx2.Request) -> httpx2.Response:
        raise error

    with listening() as heard, pytest.raises(Unreachable):
        ask(peer)
    assert [(one["status"], one["outcome"]) for one in heard.answers.values()] == [(0, code)]


def stream(body: AsyncIterator[bytes], reader: Callable[[net.Stream], Any]) -> Record:
    """The record of one stream that `reader` reads; what that raises is left aside."""

    class Body(httpx2.AsyncByteStream):
        def __aiter__(self) -> AsyncIterator[bytes]:
            return body

    async def main() -> None:
        transport = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=Body()))
        http = net.Http(SERVER, peer="Kubernetes", transport=transport, calls=log())
        try:
            async with http.stream("GET", "/watch") as answer:
                await reader(answer)
        except (Unreachable, Refused):
            pass
        finally:
            await http.aclose()

    with listening() as heard:
        asyncio.run(main())
    return heard


async def pieces(*parts: bytes | Exception) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part


async def whole(answer: net.Stream) -> None:
    async for _ in answer.chunks:
        pass


async def refusing(answer: net.Stream) -> None:
    raise Refused(Code.ENGINE_FORBIDDEN, "what the answer means, not what became of the call")


def test_how_a_stream_ends():
    ends = {
        "read to its end": stream(pieces(b"a", b"b"), whole),
        "broken": stream(pieces(b"a", httpx2.ReadError("cut")), whole),
        "refused by its reader": stream(pieces(b"a"), refusing),
    }
    outcomes = {name: [(x["status"], x["outcome"]) for x in one.answers.values()] for name, one in ends.items()}
    assert outcomes == {
        "read to its end": [(200, "answered")],
        "broken": [(200, Code.NET_UNREACHABLE)],
        "refused by its reader": [(200, "answered")],
    }


def test_a_call_that_is_given_up():
    reading = asyncio.Event()

    async def never() -> AsyncIterator[bytes]:
        reading.set()
        await asyncio.Event().wait()
        yield b""

    class Body(httpx2.AsyncByteStream):
        def __aiter__(self) -> AsyncIterator[bytes]:
            return never()

    async def main() -> None:
        transport = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=Body()))
        http = net.Http(SERVER, peer="Kubernetes", transport=transport, calls=log())
        task = asyncio.create_task(http.request("GET", "/slow"))
        await reading.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await http.aclose()

    with listening() as heard:
        asyncio.run(main())
    assert [one["outcome"] for one in heard.answers.values()] == ["interrupted"]


def test_git_is_not_recorded_here_and_carries_no_header():
    seen: list[httpx2.Headers] = []

    async def main() -> None:
        def peer(request: httpx2.Request) -> httpx2.Response:
            seen.append(request.headers)
            return httpx2.Response(200)

        http = net.Http(SERVER, peer="git", transport=httpx2.MockTransport(peer))
        await http.request("GET", "/x")
        await http.aclose()

    with listening() as heard:
        asyncio.run(main())
    assert not heard.lines
    assert "audit-id" not in seen[0]


def test_what_writes_is_louder_than_what_reads():
    with listening(logging.INFO) as heard:
        ask(good, "GET")
        ask(good, "PATCH")
    assert heard.verbs() == ["patch"]


class Full(logging.Handler):
    """A disk without room, for as long as `full`."""

    full = True

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.kept.append(json.loads(record.getMessage()))


def test_what_cannot_be_recorded_is_not_changed_but_read(caplog: pytest.LogCaptureFixture):
    sent: list[str] = []

    def peer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.method)
        return httpx2.Response(200)

    disk = Full()
    with attached(disk):
        with pytest.raises(Unreachable) as caught:
            ask(peer, "PATCH")
        assert ask(peer, "GET").status == 200
        disk.full = False
        assert ask(peer, "PATCH").status == 200
    assert sent == ["GET", "PATCH"]
    assert caught.value.code is Code.NET_UNRECORDED
    assert caught.value.where == SERVER
    assert "calls" in caught.value.hint
    assert [line["event"] for line in disk.kept] == ["call", "answer"]
    assert "not recorded" in caplog.text


def test_a_full_disk_is_told_once_and_again_after_it_was_mended(caplog: pytest.LogCaptureFixture):
    disk, record = Full(), log()

    def reads(times: int) -> int:
        caplog.clear()
        for _ in range(times):
            with record.call("GET", "/x"):
                pass
        return len(caplog.records)

    with attached(disk):
        assert reads(5) == 1
        disk.full = False
        assert reads(5) == 0
        disk.full = True
        assert reads(5) == 1


def test_an_answer_that_cannot_be_recorded_takes_nothing_back():
    disk = Full()
    disk.full = False

    def peer(_request: httpx2.Request) -> httpx2.Response:
        disk.full = True
        return httpx2.Response(200)

    with attached(disk):
        assert ask(peer, "PATCH").status == 200
    assert [line["event"] for line in disk.kept] == ["call"]


SECRETS = st.sampled_from(
    ["hunter2-S3cr3t", "ghp_abcdefghijklmnopqrstuvwxyz0123", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIi.c2ln"]
)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=1, max_size=40)


@given(SECRETS, NAMES, st.sampled_from(["token", "password", "access_token", "client_secret"]))
def test_nothing_secret_is_in_it(secret: str, name: str, parameter: str):
    with listening() as heard, on_behalf_of(Behalf("dag:etl", name)):
        for method in ("GET", "PATCH"):
            ask(
                good,
                method,
                f"/pods/{name}",
                params={parameter: secret, "watch": "true"},
                headers={"authorization": f"Bearer {secret}", "cookie": f"argocd.token={secret}"},
                content=f'{{"password": "{secret}"}}'.encode(),
            )
    assert len(heard.lines) == 4
    assert secret not in json.dumps(heard.lines)


@given(st.text(max_size=200), st.text(max_size=50), st.text(max_size=50))
def test_a_line_is_one_line_whatever_is_in_it(path: str, actor: str, change: str):
    lines: list[str] = []

    class Raw(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    with attached(Raw()), on_behalf_of(Behalf(actor, change)), log().call("GET", "/" + path * 30):
        pass
    assert len(lines) == 2
    for line in lines:
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["change"] == change
        assert len(json.loads(line).get("path", "")) <= calls.MAX_PATH


def test_on_whose_behalf_follows_tasks_and_ends_with_its_block():
    async def whose() -> str:
        return behalf().change

    async def main() -> list[str]:
        with on_behalf_of(ADA):
            task = asyncio.create_task(whose())
            with on_behalf_of(Behalf(change="other")):
                inner = await whose()
        return [await task, inner, await whose()]

    assert asyncio.run(main()) == ["01CHANGE", "other", ""]
