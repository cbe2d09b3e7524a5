"""One run of `git http-backend`: the CGI program that is git's own smart-HTTP server.

Who may call it, and how the connection breaks, stands in `git_server`; here are only its streams (RFC 3875).
"""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from loopseal.git.remotes.process import end, kill, start
from loopseal.testing.asgi import Receive

CHUNK: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answering:
    """An answer whose head is read and whose body is still coming."""

    status: int
    headers: list[tuple[bytes, bytes]]
    process: Process

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as git makes it."""
        stdout = self.process.stdout
        assert stdout is not None  # noqa: S101 - it is a pipe
        while chunk := await stdout.read(CHUNK):
            yield chunk

    async def whole(self) -> bytes:
        """The body, once git is done with all that was asked."""
        body = b"".join([chunk async for chunk in self.chunks()])
        await self.process.wait()
        return body


@asynccontextmanager
async def http_backend(variables: Mapping[str, str], receive: Receive) -> AsyncIterator[Answering]:
    """Git's answer to the request that `variables` and the body from `receive` make. A client that leaves ends it."""
    process = await start(["git", "http-backend"], variables, PIPE)
    tasks = [asyncio.create_task(_feed(process, receive)), asyncio.create_task(_ignored(process))]
    try:
        yield await _head(process)
    finally:
        await end(process, *tasks)


async def _head(process: Process) -> Answering:
    stdout, status = process.stdout, 200
    assert stdout is not None  # noqa: S101 - it is a pipe
    headers: list[tuple[bytes, bytes]] = []
    while text := (await stdout.readline()).strip():
        name, _, value = text.partition(b":")
        if name.lower() == b"status":
            status = int(value.split()[0])
        else:
            headers.append((name.lower(), value.strip()))
    return Answering(status if headers else 500, headers, process)


async def _feed(process: Process, receive: Receive) -> None:
    """The request's body to git; a client that goes away takes git with it."""
    stdin, more = process.stdin, True
    assert stdin is not None  # noqa: S101 - it is a pipe
    with suppress(BrokenPipeError, ConnectionResetError):
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                kill(process)  # with the service that it has started, which would wait for the rest for ever
                return
            stdin.write(message.get("body", b""))
            await stdin.drain()
            more = message.get("more_body", False)
        stdin.close()


async def _ignored(process: Process) -> None:
    """Read what git complains about, so that it never waits for us."""
    stderr = process.stderr
    assert stderr is not None  # noqa: S101 - it is a pipe
    while await stderr.read(CHUNK):
        pass
