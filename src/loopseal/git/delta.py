"""Deltas: one object told as copies from another and new bytes.

Source: gitformat-pack(5), "Deltified representation". Applying trusts nothing: every number is checked against the
bytes at hand, so that no delta can read outside its base or grow beyond what it declared.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from loopseal.git.pktline import malformed

MAX_INSERT: Final = 127
MAX_COPY: Final = 0xFFFFFF
_COPY_DEFAULT: Final = 0x10000
_MAX_SIZE_BITS: Final = 63


def sizes(delta: bytes) -> tuple[int, int, int]:
    """Declared (size of the base, size of the result, offset of the first instruction)."""
    base, at = _number(delta, 0)
    result, at = _number(delta, at)
    return base, result, at


def apply(base: bytes, delta: bytes, *, limit: int) -> bytes:
    """The object that `delta` makes of `base`. Raises Unreachable (`git.protocol`); never yields over `limit` bytes."""
    base_size, size, at = sizes(delta)
    if base_size != len(base):
        raise malformed(f"a delta is for a base of {base_size} bytes, not {len(base)}")
    if size > limit:
        raise malformed(f"a delta declares {size} bytes; at most {limit} are accepted")
    pieces: list[bytes] = []
    left, end = size, len(delta)
    while at < end:
        code = delta[at]
        if code & 0x80:
            start, length, at = _copy(delta, at)
            piece = base[start : start + length]
        else:
            length = code
            piece = delta[at + 1 : at + 1 + length]
            at += 1 + length
        if not length or len(piece) != length or length > left:
            raise malformed("a delta reaches outside its base or its result")
        left -= length
        pieces.append(piece)
    if left:
        raise malformed("a delta makes fewer bytes than it declares")
    return b"".join(pieces)


def _copy(delta: bytes, at: int) -> tuple[int, int, int]:
    """Offset and length of the copy instruction at `at`, and where the next one begins."""
    code, at = delta[at], at + 1
    parts = [0] * 7
    for bit in range(7):
        if code >> bit & 1:
            if at >= len(delta):
                raise malformed("a delta ends in the middle of an instruction")
            parts[bit] = delta[at]
            at += 1
    start = int.from_bytes(bytes(parts[:4]), "little")
    length = int.from_bytes(bytes(parts[4:]), "little") or _COPY_DEFAULT
    return start, length, at


def _number(delta: bytes, at: int) -> tuple[int, int]:
    """A size in base 128, lowest digits first, and where it ends."""
    value = shift = 0
    while at < len(delta) and shift < _MAX_SIZE_BITS:
        byte = delta[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
    raise malformed("a delta has no readable size")


def splices(base_size: int, edits: Iterable[tuple[int, int, bytes]]) -> bytes:
    """The delta that replaces, at each (offset, bytes removed, bytes put there), and copies all else.

    Edits are in order and do not overlap; raises ValueError when they do.
    """
    done = grown = 0
    body: list[bytes] = []
    for offset, removed, inserted in edits:
        if offset < done or removed < 0 or offset + removed > base_size:
            message = "edits of a delta overlap or leave the base"
            raise ValueError(message)
        body += [_copies(done, offset - done), _inserts(inserted)]
        done, grown = offset + removed, grown + len(inserted) - removed
    body.append(_copies(done, base_size - done))
    return _size(base_size) + _size(base_size + grown) + b"".join(body)


def between(base: bytes, result: bytes) -> bytes:
    """A delta of one splice from `base` to `result`: what they share at the start and at the end is copied."""
    shared = min(len(base), len(result))
    start = _common(base, result, shared)
    tail = _common_tail(base, result, shared - start)
    return splices(len(base), [(start, len(base) - start - tail, result[start : len(result) - tail])])


def _common(one: bytes, two: bytes, most: int) -> int:
    """How many first bytes are equal, at most `most`; by halving, so that the comparing is done in C."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == two[low:middle] else (low, middle - 1)
    return low


def _common_tail(one: bytes, two: bytes, most: int) -> int:
    """How many last bytes are equal, at most `most`."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        same = one[len(one) - middle : len(one) - low] == two[len(two) - middle : len(two) - low]
        low, high = (middle, high) if same else (low, middle - 1)
    return low


def _copies(offset: int, length: int) -> bytes:
    out = bytearray()
    while length:
        part = min(length, MAX_COPY)
        code, numbers = 0x80, bytearray()
        for bit, byte in enumerate(offset.to_bytes(4, "little") + part.to_bytes(3, "little")):
            if byte:
                code |= 1 << bit
                numbers.append(byte)
        out += bytes([code]) + numbers
        offset, length = offset + part, length - part
    return bytes(out)


def _inserts(data: bytes) -> bytes:
    parts = (data[at : at + MAX_INSERT] for at in range(0, len(data), MAX_INSERT))
    return b"".join(bytes([len(part)]) + part for part in parts)


def _size(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits per byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
