"""A TCP proxy on loopback between us and one real peer, whose connections can be broken, frozen or refused.

It does not look into what goes through, so TLS works as without it. Runs on the event loop of the scenario. What is
frozen stays so for ever; connections that come later work: that is what half-open means.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit, urlunsplit

_PIECE = 1 << 16


class Proxy:
    """One way to the peer at `target`. Use it as `async with`."""

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._server: asyncio.Server | None = None
        self._pipes: dict[asyncio.Task[None], asyncio.Event] = {}
        self._refusing = False

    @property
    def url(self) -> str:
        """The peer's address with this proxy in place of host and port."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return urlunsplit(self._target._replace(netloc=f"127.0.0.1:{port}"))

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    def cut(self) -> None:
        """Break every connection that is open now, the frozen ones too."""
        for pipe in self._pipes:
            pipe.cancel()

    def freeze(self) -> None:
        """Connections that are open now carry nothing any more, and stay."""
        for flowing in self._pipes.values():
            flowing.clear()

    def refuse(self, on: bool) -> None:
        """Break new connections at once, or let them through again."""
        self._refusing = on

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        flowing = self._pipes[task] = asyncio.Event()
        flowing.set()
        try:
            if not self._refusing:
                await self._carry(reader, writer, flowing)
            writer.close()
        except asyncio.CancelledError:  # of `cut`: nobody else cancels it, and asyncio would complain of it
            writer.transport.abort()
        finally:
            del self._pipes[task]

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
        try:
            its_reader, its_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        except OSError:
            return
        ways = {
            asyncio.create_task(_pump(reader, its_writer, flowing)),
            asyncio.create_task(_pump(its_reader, writer, flowing)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            its_writer.close()
            await asyncio.gather(*ways, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
    with suppress(OSError):
        while piece := await reader.read(_PIECE):
            await flowing.wait()
            writer.write(piece)
            await writer.drain()
