"""What can go wrong on purpose, and when: one object per simulator, changed by a test while it runs.

`edge` wraps the simulator's API (the way to it); the other fields are read by the controllers (what goes on behind).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

from loopseal.testing.asgi import Answer, Dropped, as_json


@dataclass(slots=True)
class Faults:
    """All off by default. Seconds where times are meant."""

    # the way to the API
    down: bool = False
    """The API server is killed: connections are refused, open streams break off without a frame."""
    slow: float = 0.0
    """Every request takes this much longer."""
    burst: list[int] = field(default_factory=list)
    """Statuses that the next requests get instead of an answer, such as [503, 503, 429]."""
    silent: bool = False
    """Half-open: streams stay open and say nothing any more, not even keepalives."""
    revoked: set[str] = field(default_factory=set)
    """Tokens that are not accepted any more; open streams outlive that."""
    gone: int = 0
    """Kubernetes: the next watches that name a resource version are answered with 410 Gone."""
    # behind the API
    paused: bool = False
    """The controllers stand still (being restarted): nothing is reconciled, requests for it stay."""
    fetch_delay: float = 0.0
    """Reading from Git takes this much longer."""
    fetch_error: str = ""
    """Reading from Git fails with this text: repository gone, repo-server down."""
    lost_refreshes: int = 0
    """Argo CD: the next requests for a refresh vanish: their annotation is removed and nothing is done."""
    cuts: asyncio.Event = field(default_factory=asyncio.Event)

    def cut_streams(self) -> None:
        """End every open stream now, without a frame: what a load balancer or a stopped server does."""
        self.cuts.set()
        self.cuts = asyncio.Event()

    def kill(self) -> None:
        """SIGKILL of the API server."""
        self.down = True
        self.cut_streams()

    def restart(self) -> None:
        """The API server answers again."""
        self.down = False

    async def before(self) -> Answer | None:
        """The answer that a fault gives instead of the real one, or None. Raises Dropped while the server is down."""
        if self.down:
            raise Dropped("connection refused")
        if self.slow:
            await asyncio.sleep(self.slow)
        if self.down:
            raise Dropped("connection closed without response")
        if self.burst:
            status = self.burst.pop(0)
            retry = {"retry-after": "1"} if status in {429, 503} else {}
            text = "upstream connect error or disconnect/reset before headers"
            return as_json({"code": 14, "error": text, "message": text}, status, retry)
        return None

    def after(self, answer: Answer) -> Answer:
        """`answer` with its stream under the influence of these faults."""
        return answer if answer.chunks is None else replace(answer, chunks=self._cuttable(answer.chunks))

    async def _cuttable(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        cut: asyncio.Future[Any] = asyncio.ensure_future(self.cuts.wait())
        following: asyncio.Future[Any] = asyncio.ensure_future(_next(chunks))
        try:
            while True:
                await asyncio.wait({following, cut}, return_when=asyncio.FIRST_COMPLETED)
                if cut.done():
                    raise Dropped("peer closed the connection without a frame")
                chunk = following.result()
                if not chunk:
                    return
                if not self.silent:
                    yield chunk
                following = asyncio.ensure_future(_next(chunks))
        finally:
            for task in (cut, following):
                task.cancel()
            await asyncio.gather(cut, following, return_exceptions=True)


async def _next(chunks: AsyncIterator[bytes]) -> bytes:
    return await anext(chunks, b"")
