"""Packet lines: the framing beneath everything Git says on a wire.

Source: gitprotocol-common(5), "pkt-line Format". Four hex digits give the length of the line, themselves included;
0000, 0001 and 0002 are markers. What the lines mean stands in `protocol`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final, TypeAlias

from loopseal.errors import Code, Unreachable

MAX_LINE: Final = 65520
"""Bytes of one line with its length: more than gitprotocol-common(5) allows is hostile."""


class Marker(Enum):
    """A packet without content."""

    FLUSH = b"0000"
    DELIMITER = b"0001"
    END = b"0002"


FLUSH: Final = Marker.FLUSH
DELIMITER: Final = Marker.DELIMITER
END: Final = Marker.END

Packet: TypeAlias = bytes | Marker
"""The content of one line (it may be empty), or a marker."""


def encode(packets: Iterable[Packet | str]) -> bytes:
    """These packets as bytes. Text is sent as UTF-8, without a newline added."""
    return b"".join(line(packet) for packet in packets)


def line(packet: Packet | str) -> bytes:
    """One packet as bytes. Raises ValueError for content that one line cannot hold."""
    if isinstance(packet, Marker):
        return packet.value
    content = packet.encode() if isinstance(packet, str) else packet
    if len(content) > MAX_LINE - 4:
        message = f"a packet line holds at most {MAX_LINE - 4} bytes, not {len(content)}"
        raise ValueError(message)
    return b"%04x" % (len(content) + 4) + content


def decode(data: bytes) -> Iterator[Packet]:
    """The packets of a whole answer. Raises Unreachable (`git.protocol`) where it is malformed or cut off."""
    reader = Reader()
    yield from reader.feed(data)
    reader.close()


class Reader:
    """Takes bytes as they come, gives packets as they are whole. Holds at most one line beyond what it was fed."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that `data` completes. Exhaust it before feeding again."""
        buffer = self._rest + data if self._rest else data
        at, end = 0, len(buffer)
        while end - at >= 4:  # noqa: PLR2004 - the length itself
            size = _size(buffer[at : at + 4])
            if end - at < size:
                break
            if size < 4:  # noqa: PLR2004 - a marker
                yield _MARKERS[size]
                at += 4
            else:
                yield buffer[at + 4 : at + size]
                at += size
        self._rest = buffer[at:]

    @property
    def rest(self) -> bytes:
        """What came after the last whole packet."""
        return self._rest

    def close(self) -> None:
        """No more will come. Raises Unreachable when a packet was begun and not finished."""
        if self._rest:
            raise malformed("the answer ends in the middle of a packet line")


_MARKERS: Final = {0: FLUSH, 1: DELIMITER, 2: END}
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")


def _size(head: bytes) -> int:
    if not _HEX.issuperset(head):
        raise malformed(f"no packet line begins with {head!r}")
    size = int(head, 16)
    if size == 3 or size > MAX_LINE:  # noqa: PLR2004 - 0003 is reserved and has no meaning
        raise malformed(f"a packet line cannot be {size} bytes long")
    return size


def malformed(message: str) -> Unreachable:
    """The error for bytes that are not what Git's documents say a peer sends."""
    return Unreachable(
        Code.GIT_PROTOCOL,
        message,
        hint="Is this address a Git repository, and is a proxy in between that changes answers?",
    )
