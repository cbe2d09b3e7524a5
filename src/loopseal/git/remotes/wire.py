"""A remote spoken to in Git's own protocol, whatever carries the bytes.

Asks straight away, as version 2 with filters; only a host that does not understand is asked once what it can do, and
from then on spoken to as it can: without tree filters, without filters, or in version 0. Prose is never parsed for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import IntEnum
from typing import Final, TypeVar

from loopseal.errors import Code, ConfigError, LoopsealError, Unreachable
from loopseal.git import protocol
from loopseal.git.pack import LIMITS, Limits, read_pack
from loopseal.git.protocol import Advertisement, PeerError, Service
from loopseal.git.remote import AmbiguousPush, Fetch, GitObject, PushReport, RefUpdate
from loopseal.git.remotes.channel import Channel
from loopseal.git.updates import ask_updates, report
from loopseal.net import clean

T = TypeVar("T")

BIG: Final = 1024 * 1024
"""Bytes from which on an answer is unpacked in a thread, so that the event loop goes on."""

_NOT_UNDERSTOOD: Final = frozenset({Code.GIT_PROTOCOL, Code.GIT_NOT_FOUND})


class Filters(IntEnum):
    """Which partial-clone filters a host honours, as far as is known."""

    NONE = 0
    BLOBS = 1
    COMMITS = 2
    TREES = 3

    def allowed(self, wanted: str) -> str:
        """The filter nearest to `wanted`. The answer may then hold more or less; what lacks is asked for by id."""
        if self is Filters.NONE or not wanted:
            return ""
        if not wanted.startswith("tree:") or self is Filters.TREES:
            return wanted
        return "tree:0" if self is Filters.COMMITS else "blob:none"

    def below(self, wanted: str) -> Filters | None:
        """What to try when `allowed(wanted)` was refused by a host that has filters; None when that is all."""
        if not wanted.startswith("tree:") or self <= Filters.BLOBS:
            return None
        return Filters.COMMITS if self is Filters.TREES and wanted != "tree:0" else Filters.BLOBS


class WireRemote:
    """`loopseal.git.remote.Remote` over a channel. `tree_filters=False` never asks for trees to be left out."""

    def __init__(self, channel: Channel, *, tree_filters: bool = True, limits: Limits = LIMITS) -> None:
        self._channel, self._limits = channel, limits
        self._filters = Filters.TREES if tree_filters else Filters.BLOBS
        self._known: dict[Service, Advertisement] = {}
        self._learning = asyncio.Lock()

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return self._channel.url

    @property
    def filters(self) -> bool:
        """Whether trees can be left out and fetched one by one; True until the host shows otherwise."""
        return self._filters >= Filters.COMMITS

    async def refs(self, *prefixes: str) -> Mapping[str, str]:
        """Refs below these prefixes and where they point."""
        return protocol.wanted(await self._understood(lambda: self._refs(prefixes)), prefixes)

    async def fetch(self, request: Fetch, have: Mapping[str, GitObject]) -> Sequence[GitObject]:
        """The objects asked for. A host that refuses the filter is asked again with the next wider one."""
        stance: Filters = self._filters
        while True:
            try:
                answer = await self._understood(lambda stance=stance: self._objects(request, stance))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            except PeerError as error:
                lower = stance.below(request.filter)
                if lower is None or self._filters is Filters.NONE:
                    raise self._missing(error) from error
                stance = lower
            else:
                self._filters = min(self._filters, stance)
                return await self._unpacked(answer, request, have)

    async def push(self, updates: Sequence[RefUpdate], pack: bytes) -> PushReport:
        """Send a pack and update all refs or none."""
        if len(updates) > 1 and not (await self._learnt(Service.RECEIVE)).atomic:
            raise ConfigError(
                Code.GIT_PROTOCOL,
                "the host cannot update several refs at once",
                where=self.url,
                hint="Leave `change_refs` empty for this repository.",
            )
        body = ask_updates(updates, pack)
        try:
            answer = await self._channel.ask(Service.RECEIVE, body, 0)
        except LoopsealError as error:
            if Service.RECEIVE in self._known or error.code not in _NOT_UNDERSTOOD:
                raise
            await self._learnt(Service.RECEIVE)
            answer = await self._channel.ask(Service.RECEIVE, body, 0)
        try:
            told = report(answer, updates)
        except Unreachable as error:
            with suppress(Unreachable):
                await self._learnt(Service.RECEIVE)  # raises where the host certainly cannot have acted
            raise AmbiguousPush(self._channel.redact(f"{self.url}: {error.message}")) from error
        return PushReport({ref: (outcome, self._channel.redact(words)) for ref, (outcome, words) in told.refs.items()})

    async def aclose(self) -> None:
        """Let go of the channel."""
        await self._channel.aclose()

    async def _refs(self, prefixes: Sequence[str]) -> Mapping[str, str]:
        if self._version == 2:  # noqa: PLR2004 - of the protocol
            return protocol.refs(await self._channel.ask(Service.UPLOAD, protocol.ask_refs(prefixes), 2))
        return (await self._channel.advertise(Service.UPLOAD)).refs

    async def _objects(self, request: Fetch, stance: Filters) -> bytes:
        sent = replace(request, filter=min(stance, self._filters).allowed(request.filter))
        if self._version == 2:  # noqa: PLR2004 - of the protocol
            answer = await self._channel.ask(Service.UPLOAD, protocol.ask_objects(sent), 2)
            return await _off_loop(answer, protocol.objects, answer)
        offered = self._known[Service.UPLOAD].capabilities
        answer = await self._channel.ask(Service.UPLOAD, protocol.ask_objects_v0(sent, offered), 0)
        return await _off_loop(answer, protocol.objects_v0, answer, sent, offered)

    async def _unpacked(self, pack: bytes, request: Fetch, have: Mapping[str, GitObject]) -> Sequence[GitObject]:
        lenient = bool(request.haves)
        return await _off_loop(pack, lambda: read_pack(pack, have, lenient=lenient, limits=self._limits))

    @property
    def _version(self) -> int:
        known = self._known.get(Service.UPLOAD)
        return 2 if known is None else known.version

    async def _understood(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try; where the answer is not Git's, learn what the host speaks and try once more."""
        try:
            return await attempt()
        except LoopsealError as error:
            if Service.UPLOAD in self._known or error.code not in _NOT_UNDERSTOOD:
                raise
            await self._learnt(Service.UPLOAD)
            return await attempt()

    async def _learnt(self, service: Service) -> Advertisement:
        """What the service can do, asked once. Raises ConfigError for a repository that is not SHA-1."""
        async with self._learning:
            if service in self._known:
                return self._known[service]
            told = await self._channel.advertise(service)
            if told.object_format != "sha1" or any(len(oid) != 40 for oid in told.refs.values()):  # noqa: PLR2004 - of SHA-1
                raise ConfigError(
                    Code.GIT_OBJECT_FORMAT,
                    f"the repository's object format is {clean(told.object_format, 20)}; loopseal writes sha1",
                    where=self.url,
                    hint="Nothing was written. Use a SHA-1 repository.",
                )
            if service is Service.UPLOAD and not told.filters:
                self._filters = Filters.NONE
            self._known[service] = replace(told, refs={})
            return self._known[service]

    def _missing(self, error: PeerError) -> Unreachable:
        return Unreachable(
            Code.GIT_OBJECT_MISSING,
            self._channel.redact(f"the host would not hand out what was asked: {error.message}"),
            where=self.url,
            hint="The branch may have been rewritten; it is read anew on the next attempt.",
        )


async def _off_loop(data: bytes, work: Callable[..., T], *arguments: object) -> T:
    """Do the work here, or in a thread when `data` is big."""
    return await asyncio.to_thread(work, *arguments) if len(data) > BIG else work(*arguments)
