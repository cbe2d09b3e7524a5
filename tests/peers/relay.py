"""A TCP relay between a client of ours and a peer: it can be cut, it can fall silent, and it counts requests.

What goes through is not looked into, so TLS works as before (the address stays 127.0.0.1). Only plain HTTP/1.1 can be
counted. Runs on an event loop in a thread of its own; all methods may be called from any thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

from loopseal.testing.background import Background

_PIECE = 1 << 16
_REQUEST = b" HTTP/1.1\r\n"


class Relay:
    """One way to one peer. `url` is the peer's address with this relay in place of its host and port."""

    def __init__(self, background: Background, url: str) -> None:
        self._background, self._target = background, urlsplit(url)
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.requests = 0
        """Requests that went through so far, of plain HTTP/1.1."""

    @property
    def url(self) -> str:
        """Where clients connect."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return urlunsplit(self._target._replace(netloc=f"127.0.0.1:{port}"))

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        """Close every connection."""
        if self._server is not None:
            self._server.close()
        self._flowing.set()
        self._break()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    def cut(self) -> None:
        """Break every connection there is, without a word (TCP reset)."""
        self._background.call(self._break)

    def freeze(self, *, on: bool) -> None:
        """Half-open: connections stay, nothing goes through any more. What was held back is lost with `on=False`."""
        self._background.call(self._flowing.clear if on else self._thaw)

    def _thaw(self) -> None:
        self._break()  # what was swallowed would be missing in the middle of a stream
        self._flowing.set()

    def _break(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        for pipe in self._pipes:
            pipe.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            up_reader, up_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(up_writer)
        pipes = {
            asyncio.create_task(self._pump(reader, up_writer, counted=True)),
            asyncio.create_task(self._pump(up_reader, writer, counted=False)),
        }
        self._pipes |= pipes
        await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
        for pipe in pipes:
            pipe.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)
        self._pipes -= pipes
        for one in (writer, up_writer):
            self._writers.discard(one)
            one.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(_PIECE):
                if counted:
                    self.requests += piece.count(_REQUEST)
                await self._flowing.wait()
                writer.write(piece)
                await writer.drain()


@contextmanager
def relay(background: Background, url: str) -> Iterator[Relay]:
    """A running relay to the peer at `url`."""
    made = Relay(background, url)
    background.run(made.start())
    try:
        yield made
    finally:
        background.run(made.stop())
