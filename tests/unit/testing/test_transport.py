from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest

from loopseal.testing.asgi import Answer, Dropped, Request, Service, as_json, dispatch, encode, route
from loopseal.testing.clock import run
from loopseal.testing.transport import AppTransport

Handle = Callable[[Request], Awaitable[Answer]]


def calling(handle: Handle, work: Callable[[httpx2.AsyncClient], Awaitable[Any]], timeout: float = 5.0) -> Any:
    async def main() -> Any:
        transport = AppTransport(Service(handle))
        async with httpx2.AsyncClient(transport=transport, base_url="http://x", timeout=timeout) as client:
            return await work(client)

    return run(main)


async def ticking() -> AsyncIterator[bytes]:
    for number in range(1000):
        yield f"{number}\n".encode()
        await asyncio.sleep(1)


def test_a_request_arrives_whole_and_an_answer_comes_back() -> None:
    async def handle(request: Request) -> Answer:
        told = [request.method, request.path, dict(request.query), request.bearer, request.json()]
        return as_json(told, 201, {"x-own": "1"})

    async def work(client: httpx2.AsyncClient) -> None:
        answer = await client.post("/a/b?q=1&e=", json={"x": 1}, headers={"authorization": "Bearer t"})
        assert answer.status_code == 201
        assert answer.headers["x-own"] == "1"
        assert answer.json() == ["POST", "/a/b", {"q": "1", "e": ""}, "t", {"x": 1}]
        empty = await client.get("/")
        assert empty.json() == ["GET", "/", {}, "", {}]

    calling(handle, work)


def test_pieces_arrive_as_they_are_sent() -> None:
    async def handle(_: Request) -> Answer:
        return Answer(200, chunks=ticking())

    async def work(client: httpx2.AsyncClient) -> None:
        async with client.stream("GET", "/") as answer:
            lines = answer.aiter_lines()
            for number in range(3):
                assert await anext(lines) == str(number)
                assert round(asyncio.get_running_loop().time()) == number

    calling(handle, work)


def test_silence_is_a_timeout_before_the_head_and_after_it() -> None:
    async def handle(request: Request) -> Answer:
        if request.path == "/late":
            await asyncio.sleep(10)
        return Answer(200, chunks=_once_then_silence())

    async def _once_then_silence() -> AsyncIterator[bytes]:
        yield b"once"
        await asyncio.sleep(10)

    async def work(client: httpx2.AsyncClient) -> None:
        with pytest.raises(httpx2.ReadTimeout):
            await client.get("/late")
        assert asyncio.get_running_loop().time() == 5
        with pytest.raises(httpx2.ReadTimeout):
            await client.get("/")

    calling(handle, work)


@pytest.mark.parametrize(("path", "error"), [("/head", httpx2.ConnectError), ("/body", httpx2.RemoteProtocolError)])
def test_a_dropped_connection_is_what_a_client_sees_of_a_killed_server(path: str, error: type[Exception]) -> None:
    async def handle(request: Request) -> Answer:
        if request.path == "/head":
            raise Dropped
        return Answer(200, chunks=_broken())

    async def _broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise Dropped("gone")

    async def work(client: httpx2.AsyncClient) -> None:
        with pytest.raises(error):
            await client.get(path)

    calling(handle, work)


def test_an_application_is_told_when_its_caller_leaves() -> None:
    ended: list[str] = []

    async def handle(_: Request) -> Answer:
        return Answer(200, chunks=_noting())

    async def _noting() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
                await asyncio.sleep(1)
        finally:
            ended.append("told")

    async def work(client: httpx2.AsyncClient) -> None:
        async with client.stream("GET", "/") as answer:
            await anext(answer.aiter_raw())
        await asyncio.sleep(0.1)

    calling(handle, work)
    assert ended == ["told"]


def test_what_does_not_end_by_itself_is_stopped_with_the_transport() -> None:
    stopped: list[float] = []

    async def handle(_: Request) -> Answer:
        try:
            await asyncio.sleep(1000)
        finally:
            stopped.append(asyncio.get_running_loop().time())
        return Answer(200)

    async def work(client: httpx2.AsyncClient) -> None:
        with pytest.raises(httpx2.ReadTimeout):
            await client.get("/")

    calling(handle, work)
    assert stopped == [6.0]


def test_a_cancelled_call_leaves_nothing_behind() -> None:
    async def handle(_: Request) -> Answer:
        await asyncio.sleep(1000)
        return Answer(200)

    async def work(client: httpx2.AsyncClient) -> int:
        task = asyncio.create_task(client.get("/", timeout=None))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.aclose()
        return len(asyncio.all_tasks())

    assert calling(handle, work) == 1


def test_routes_take_parts_of_the_path() -> None:
    async def handle(request: Request, name: str, rest: str = "") -> Answer:
        return as_json([request.method, name, rest])

    routes = (route("GET", "/a/{name}", handle), route("*", "/b/{name}/{rest...}", handle))

    async def main() -> None:
        def asked(method: str, path: str) -> Request:
            return Request(method, path, {}, (), {}, b"")

        assert (await dispatch(routes, asked("GET", "/a/x"))) == as_json(["GET", "x", ""])
        assert (await dispatch(routes, asked("PUT", "/b/x/y/z"))) == as_json(["PUT", "x", "y/z"])
        assert await dispatch(routes, asked("POST", "/a/x")) is None
        assert await dispatch(routes, asked("GET", "/a/x/y")) is None

    run(main)


def test_a_server_starts_and_stops_what_runs_beside_it() -> None:
    told: list[str] = []

    async def main() -> list[str]:
        async def start() -> None:
            told.append("start")

        async def stop() -> None:
            told.append("stop")

        async def handle(_: Request) -> Answer:
            return Answer(200)

        messages = iter(({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}))
        sent: list[str] = []

        async def receive() -> Any:
            return next(messages)

        async def send(message: Any) -> None:
            sent.append(message["type"])

        service = Service(handle, start=start, stop=stop)
        await service({"type": "lifespan"}, receive, send)
        with pytest.raises(ValueError, match="websocket"):
            await service({"type": "websocket"}, receive, send)
        return sent

    assert run(main) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert told == ["start", "stop"]


def test_json_is_compact() -> None:
    assert encode({"a": [1, 2]}) == b'{"a":[1,2]}'
