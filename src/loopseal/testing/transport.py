"""An httpx2 transport into an ASGI application of the same process that passes streams on as they come.

The library's own ASGITransport collects the whole body first, so a stream that never ends would never begin. This one
also keeps time limits (in the loop's time, so virtual ones too) and breaks connections as a killed server does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2

from loopseal.testing.asgi import App, Dropped, Message

_END: Final = b""
_GRACE: Final = 1.0
"""Seconds that an application has to end a call whose caller went away."""


class AppTransport(httpx2.AsyncBaseTransport):
    """Speaks to `app` without a socket. `Dropped` out of the application becomes a broken connection."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._calls: set[_Call] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One call: returns with the head of the answer, its body still coming."""
        body = await request.aread()
        call = _Call(self._app, request, body)
        self._calls.add(call)
        call.task.add_done_callback(lambda _: self._calls.discard(call))
        status, headers = await call.head()
        return httpx2.Response(status, headers=headers, stream=_Body(call), request=request)

    async def aclose(self) -> None:
        """Leave every call that is still open; what does not end by itself then is stopped."""
        calls = tuple(self._calls)
        await asyncio.gather(*(call.leave() for call in calls))
        tasks = {call.task for call in calls if not call.task.done()}
        if tasks:
            await asyncio.wait(tasks, timeout=_GRACE)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Call:
    """One request inside the application, run as a task of its own."""

    def __init__(self, app: App, request: httpx2.Request, body: bytes) -> None:
        self.request = request
        self._limits: dict[str, float | None] = request.extensions.get("timeout") or {}
        self._body: bytes | None = body
        self._head: asyncio.Future[tuple[int, list[tuple[bytes, bytes]]]] = asyncio.get_running_loop().create_future()
        self._chunks: asyncio.Queue[bytes | Exception] = asyncio.Queue(maxsize=16)
        self._left = asyncio.Event()
        self._whole = False
        self.task = asyncio.ensure_future(self._run(app))

    async def head(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        try:
            async with asyncio.timeout(self._limits.get("read")):
                return await asyncio.shield(self._head)
        except TimeoutError:
            await self.leave()
            raise httpx2.ReadTimeout("no answer in time", request=self.request) from None
        except BaseException:
            await self.leave()
            raise

    async def chunk(self) -> bytes:
        try:
            async with asyncio.timeout(self._limits.get("read")):
                got = await self._chunks.get()
        except TimeoutError:
            raise httpx2.ReadTimeout("the stream fell silent", request=self.request) from None
        if isinstance(got, Exception):
            raise got
        return got

    async def leave(self) -> None:
        """The caller goes away. The application is told; one that has answered whole is let to tidy up."""
        self._left.set()
        if not self._head.done():
            self._head.cancel()
        while not self._chunks.empty():  # nobody reads any more: nothing may block on a full queue
            self._chunks.get_nowait()
        if self._whole and self.task is not asyncio.current_task():
            await asyncio.wait({self.task})

    async def _run(self, app: App) -> None:
        try:
            await app(self._scope(), self._receive, self._send)
        except Dropped as error:
            await self._break(str(error) or "connection refused")

    async def _break(self, why: str) -> None:
        if not self._head.done():
            self._head.set_exception(httpx2.ConnectError(why, request=self.request))
        else:
            await self._chunks.put(httpx2.RemoteProtocolError(why, request=self.request))

    def _scope(self) -> dict[str, Any]:
        url = self.request.url
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self.request.method,
            "headers": [(name.lower(), value) for name, value in self.request.headers.raw],
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.split(b"?")[0],
            "query_string": url.query,
            "server": (url.host, url.port),
            "client": ("127.0.0.1", 1),
            "root_path": "",
        }

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if not self._head.done():
                self._head.set_result((message["status"], list(message.get("headers", []))))
            return
        if self._left.is_set():
            return
        if message.get("body"):
            await self._chunks.put(bytes(message["body"]))
        if not message.get("more_body"):
            self._whole = True
            await self._chunks.put(_END)


class _Body(httpx2.AsyncByteStream):
    """The body of one answer, piece by piece."""

    def __init__(self, call: _Call) -> None:
        self._call = call

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await self._call.chunk()) != _END:
            yield chunk

    async def aclose(self) -> None:
        await self._call.leave()
