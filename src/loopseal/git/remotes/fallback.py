"""The `git` program as the last resort: where a host does not understand us, but may understand git."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from loopseal.errors import Code, LoopsealError
from loopseal.git.remote import Fetch, GitObject, PushReport, RefUpdate, Remote

T = TypeVar("T")


class Fallback:
    """`first`, until it fails to make itself understood before it ever did; from then on what `second` makes.

    A push is never repeated over another way: it comes after something was read, and by then the way is settled.
    """

    def __init__(self, first: Remote, second: Callable[[], Remote]) -> None:
        self._remote, self._second = first, second
        self._settled = False
        self._switching = asyncio.Lock()

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return self._remote.url

    @property
    def filters(self) -> bool:
        """As the remote in use says."""
        return self._remote.filters

    async def refs(self, *prefixes: str) -> Mapping[str, str]:
        """Refs below these prefixes and where they point."""
        return await self._try(lambda remote: remote.refs(*prefixes))

    async def fetch(self, request: Fetch, have: Mapping[str, GitObject]) -> Sequence[GitObject]:
        """The objects asked for."""
        return await self._try(lambda remote: remote.fetch(request, have))

    async def push(self, updates: Sequence[RefUpdate], pack: bytes) -> PushReport:
        """Send a pack and update all refs or none."""
        return await self._remote.push(updates, pack)

    async def aclose(self) -> None:
        """Let go of the remote in use."""
        await self._remote.aclose()

    async def _try(self, question: Callable[[Remote], Awaitable[T]]) -> T:
        used = self._remote
        try:
            answer = await question(used)
        except LoopsealError as error:
            if self._settled or error.code is not Code.GIT_PROTOCOL:
                raise
            await self._switch(used)
            answer = await question(self._remote)
        self._settled = True
        return answer

    async def _switch(self, used: Remote) -> None:
        async with self._switching:
            if self._remote is used:
                self._remote = self._second()
                await used.aclose()
