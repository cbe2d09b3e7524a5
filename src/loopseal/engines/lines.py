"""Streams of lines, from a peer that is not trusted to end them.

Lives here: cutting bytes into lines, and lines into the JSON objects of a watch or of server-sent events.
Does not: what the objects mean.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Final

from loopseal.engines.fields import Object
from loopseal.errors import Code, Unreachable

MAX_LINE: Final = 8 * 1024 * 1024
"""Bytes of one line: etcd keeps no object of more than 1.5 MiB, Argo CD adds health and history to it."""


async def lines(chunks: AsyncIterator[bytes], where: str) -> AsyncIterator[bytes]:
    """The lines of a stream, without their ends; an unfinished last one is dropped. Raises Unreachable."""
    pending = bytearray()
    async for chunk in chunks:
        begin = max(0, len(pending) - 1)
        pending += chunk
        if pending.find(b"\n", begin) >= 0:
            *whole, rest = pending.split(b"\n")
            pending = bytearray(rest)
            for line in whole:
                yield bytes(line.rstrip(b"\r"))
        if len(pending) > MAX_LINE:
            raise Unreachable(
                Code.NET_TOO_LARGE,
                f"a line of more than {MAX_LINE} bytes",
                where=where,
                hint="No object is that large; is this the right address?",
            )


def parsed(line: bytes, where: str) -> Object:
    """The JSON object that a line is. Raises Unreachable (`engine.protocol`)."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unreachable(
            Code.ENGINE_PROTOCOL,
            "an answer that is not a JSON object",
            where=where,
            hint="Is this the right address, and is no proxy in between that answers itself?",
        )
    return found


async def json_lines(chunks: AsyncIterator[bytes], where: str) -> AsyncIterator[Object]:
    """One JSON object per line; empty lines are skipped."""
    async for line in lines(chunks, where):
        if line.strip():
            yield parsed(line, where)


async def server_sent(chunks: AsyncIterator[bytes], where: str) -> AsyncIterator[Object]:
    """The JSON objects of server-sent events, `data:` of one line each, as grpc-gateway writes them.

    A comment, which is how the server shows that it lives, becomes an empty object.
    """
    async for line in lines(chunks, where):
        if line.startswith(b"data:"):
            yield parsed(line[5:], where)
        elif line.startswith(b":"):
            yield {}
