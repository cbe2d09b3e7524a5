"""Bodies of answers without their compression, a bounded piece at a time."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import httpx2

_PIECE: Final = 64 * 1024
"""Bytes that are decompressed at once: a small answer can stand for a thousand times its size."""


async def plain(raw: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    """The body without its compression, in pieces of bounded size, whatever the peer packed into it."""
    if encoding.strip().lower() in {"", "identity"}:
        async for data in raw:
            yield data
        return
    if encoding.strip().lower() != "gzip":
        raise httpx2.DecodingError("the answer has an encoding that was not asked for")
    unzip = zlib.decompressobj(wbits=31)
    async for data in raw:
        for piece in _inflated(unzip, data):
            yield piece
    if not unzip.eof:
        raise httpx2.DecodingError("the compressed answer ends too early")


def _inflated(unzip: Any, data: bytes) -> Iterator[bytes]:
    while True:
        try:
            piece = unzip.decompress(data, _PIECE)
        except zlib.error:
            raise httpx2.DecodingError("the answer is not compressed as it says") from None
        if unzip.unused_data:
            raise httpx2.DecodingError("the compressed answer goes on after its end")
        if piece:
            yield piece
        data = unzip.unconsumed_tail
        if not data and len(piece) < _PIECE:
            return
