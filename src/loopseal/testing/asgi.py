"""The little of a web framework that the simulators need: a request, an answer, a table of routes.

Plain ASGI, so that a simulator runs under any server and, in virtual time, under none.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class Dropped(ConnectionError):
    """The server is gone: the connection breaks instead of being answered or ended."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, its body read."""

    method: str
    path: str
    query: Mapping[str, str]
    pairs: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes

    @property
    def bearer(self) -> str:
        """The token of `Authorization: Bearer`, or an empty string."""
        kind, _, value = self.headers.get("authorization", "").partition(" ")
        return value if kind.lower() == "bearer" else ""

    def json(self) -> Any:
        """The body as JSON; an empty object when there is none. Raises ValueError."""
        return json.loads(self.body) if self.body.strip() else {}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered: `body` at once, or `chunks` as they come.

    With `lazy` the head is sent together with the first chunk, however long that takes.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: AsyncIterator[bytes] | None = None
    lazy: bool = False


def as_json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """`value` as a JSON answer."""
    return Answer(status, encode(value), {"content-type": "application/json", **(headers or {})})


def encode(value: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


Handler: TypeAlias = Callable[..., Awaitable[Answer]]
Route: TypeAlias = tuple[str, re.Pattern[str], Handler]


def route(method: str, path: str, handler: Handler) -> Route:
    """`{name}` stands for one part of the path, `{name...}` for the rest; they become keyword arguments."""
    pattern = re.sub(r"\{(\w+)\.\.\.\}", r"(?P<\1>.*)", path)
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
    return method, re.compile(pattern), handler


async def dispatch(routes: Iterable[Route], request: Request) -> Answer | None:
    """The answer of the first route that fits, or None."""
    for method, pattern, handler in routes:
        found = pattern.fullmatch(request.path) if method in {request.method, "*"} else None
        if found:
            return await handler(request, **found.groupdict())
    return None


class Service:
    """An ASGI application out of one function; `lifespan` may start and stop what runs beside it."""

    def __init__(
        self,
        handle: Callable[[Request], Awaitable[Answer]],
        *,
        start: Callable[[], Awaitable[None]] | None = None,
        stop: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._handle, self._start, self._stop = handle, start, stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the life of the server."""
        match scope["type"]:
            case "http":
                await respond(await self._handle(await read(scope, receive)), receive, send)
            case "lifespan":
                await self._live(receive, send)
            case other:
                raise ValueError(other)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup" and self._start:
                await self._start()
            if message["type"] == "lifespan.shutdown" and self._stop:
                await self._stop()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return


async def read(scope: Scope, receive: Receive) -> Request:
    """The whole request."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    pairs = tuple(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(scope["method"], scope["path"], dict(pairs), pairs, headers, body)


async def respond(answer: Answer, receive: Receive, send: Send) -> None:
    """Send `answer`; a stream ends when the caller goes away."""
    head = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    start = {"type": "http.response.start", "status": answer.status, "headers": head}
    if answer.chunks is None:
        head.append((b"content-length", str(len(answer.body)).encode()))
        await send(start)
        await send({"type": "http.response.body", "body": answer.body})
        return
    pump = asyncio.ensure_future(_pump(answer.chunks, start, send, lazy=answer.lazy))
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
        if pump.done():
            pump.result()
    finally:
        for task in (pump, gone):
            task.cancel()
        await asyncio.gather(pump, gone, return_exceptions=True)


async def _pump(chunks: AsyncIterator[bytes], start: Message, send: Send, *, lazy: bool) -> None:
    started = not lazy
    if started:
        await send(start)
    async for chunk in chunks:
        if not started:
            await send(start)
            started = True
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    if not started:
        await send(start)
    await send({"type": "http.response.body", "body": b""})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
