"""Packs: many objects in one stream, whole or as deltas.

Source: gitformat-pack(5), version 2. Reading trusts nothing: the checksum, every count, size, offset and delta is
checked, output is bounded before it is made, and an object's id is computed here, never taken from the peer.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from loopseal.git import delta
from loopseal.git.objects import RAW, make
from loopseal.git.pktline import malformed
from loopseal.git.remote import GitObject, ObjectKind

_HEADER: Final = 12
_TRAILER: Final = 20
_OFS_DELTA: Final = 6
_REF_DELTA: Final = 7
_KINDS: Final = {1: ObjectKind.COMMIT, 2: ObjectKind.TREE, 3: ObjectKind.BLOB, 4: ObjectKind.TAG}
_NUMBERS: Final = {kind: number for number, kind in _KINDS.items()}
_LEVEL: Final = 1
"""zlib level of packs we send: they are small, and the time to make them counts."""
SMALL: Final = 4096
"""Bytes of an object that is sent whole though a delta were shorter: for a delta the server has to find the base,
unpack it and store it once more (`git index-pack --fix-thin`), which takes longer than some hundred bytes on their way.
"""
_TINY: Final = 64
"""Bytes that are sent as they are: most deltas, and mostly object ids, which no compression makes smaller."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one pack may make of itself."""

    objects: int = 500_000
    """Objects in it."""
    object_bytes: int = 64 * 1024 * 1024
    """Bytes of one object, unpacked."""
    total_bytes: int = 512 * 1024 * 1024
    """Bytes of all objects and deltas, unpacked."""


LIMITS: Final = Limits()

Base: TypeAlias = int | str
"""What a delta leans on: an offset in the same pack, or an object id."""


@dataclass(frozen=True, slots=True)
class _Delta:
    offset: int
    base: Base
    data: bytes


@dataclass(slots=True)
class _Budget:
    limits: Limits
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.limits.total_bytes

    def take(self, size: int) -> None:
        """Before `size` bytes are made: whether they may be."""
        if size > self.limits.object_bytes or size > self.left:
            raise malformed(f"a pack unpacks to more than is accepted (an object of {size} bytes)")
        self.left -= size


def read_pack(
    pack: bytes, have: Mapping[str, GitObject], *, lenient: bool = True, limits: Limits = LIMITS
) -> list[GitObject]:
    """The objects of a pack, each once. Deltas may lean on objects in `have` (a thin pack).

    A delta whose base is nowhere is left out, and so is what leans on it: the server believes that we have more than we
    kept. With `lenient=False` that is an error. Raises Unreachable (`git.protocol`) for anything malformed.
    """
    count = _checked_count(pack, limits)
    body = memoryview(pack)[: len(pack) - _TRAILER]
    budget = _Budget(limits)
    whole: dict[int, GitObject] = {}
    deltas: list[_Delta] = []
    at = _HEADER
    for _ in range(count):
        offset = at
        kind, size, at = _entry_header(body, offset)
        base: Base | None = None
        if kind == _OFS_DELTA:
            base, at = _base_offset(body, at, offset)
        elif kind == _REF_DELTA:
            base, at = _base_id(body, at)
        budget.take(size)
        data, at = _inflated(body, at, size)
        if base is None:
            whole[offset] = make(_KINDS[kind], data)
        else:
            deltas.append(_Delta(offset, base, data))
    if at != len(body):
        raise malformed("a pack holds more than it declares")
    return _resolved(whole, deltas, have, budget, lenient=lenient)


def _checked_count(pack: bytes, limits: Limits) -> int:
    """How many objects the pack declares, once its frame is proven."""
    if len(pack) < _HEADER + _TRAILER or pack[:4] != b"PACK":
        raise malformed("there is no pack")
    version, count = struct.unpack(">II", pack[4:_HEADER])
    if version not in {2, 3}:
        raise malformed(f"a pack has version {version}")
    if count > limits.objects:
        raise malformed(f"a pack declares {count} objects; at most {limits.objects} are accepted")
    digest = hashlib.sha1(memoryview(pack)[:-_TRAILER], usedforsecurity=False).digest()
    if digest != pack[-_TRAILER:]:
        raise malformed("a pack's checksum is wrong")
    return int(count)


def _byte(body: memoryview, at: int) -> int:
    if at >= len(body):
        raise malformed("a pack ends in the middle of an object")
    return body[at]


def _entry_header(body: memoryview, at: int) -> tuple[int, int, int]:
    """Type and unpacked size of the entry at `at`, and where the rest begins."""
    byte = _byte(body, at)
    kind, size, shift = byte >> 4 & 7, byte & 0xF, 4
    at += 1
    while byte & 0x80:
        byte = _byte(body, at)
        size |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if shift > 63:  # noqa: PLR2004 - no object has 2^63 bytes
            raise malformed("a pack declares an impossible size")
    if kind not in _KINDS and kind not in {_OFS_DELTA, _REF_DELTA}:
        raise malformed(f"a pack holds an object of the unknown type {kind}")
    return kind, size, at


def _base_offset(body: memoryview, at: int, offset: int) -> tuple[int, int]:
    """Where the base of an OFS_DELTA begins: a distance backwards from `offset`."""
    byte = _byte(body, at)
    at, distance = at + 1, byte & 0x7F
    while byte & 0x80 and distance < offset:
        byte = _byte(body, at)
        at, distance = at + 1, (distance + 1) << 7 | byte & 0x7F
    if not 0 < distance <= offset - _HEADER:
        raise malformed("a delta's base lies outside the pack")
    return offset - distance, at


def _base_id(body: memoryview, at: int) -> tuple[str, int]:
    """Object id of the base of a REF_DELTA."""
    _byte(body, at + RAW)
    return body[at : at + RAW].hex(), at + RAW


def _inflated(body: memoryview, at: int, size: int) -> tuple[bytes, int]:
    """Exactly `size` unpacked bytes from `at`, and where the next entry begins. Never makes more than `size` + 1."""
    stream = zlib.decompressobj()
    step = size + size // 1000 + 64
    pieces: list[bytes] = []
    left = size
    try:
        while not stream.eof:
            window = body[at : at + step]
            if not window:
                raise malformed("a pack ends in the middle of an object")
            piece = stream.decompress(window, left + 1)
            if len(piece) > left:
                raise malformed("an object is larger than its pack declares")
            at, left = at + len(window), left - len(piece)
            pieces.append(piece)
    except zlib.error as error:
        raise malformed(f"a pack holds broken compressed data: {error}") from error
    if left:
        raise malformed("an object is smaller than its pack declares")
    return b"".join(pieces), at - len(stream.unused_data)


def _resolved(
    whole: dict[int, GitObject],
    deltas: list[_Delta],
    have: Mapping[str, GitObject],
    budget: _Budget,
    *,
    lenient: bool,
) -> list[GitObject]:
    """All objects, deltas applied from the bases upwards. A cycle has no base, so it is left out or an error."""
    starts = {*whole, *(one.offset for one in deltas)}
    if any(isinstance(one.base, int) and one.base not in starts for one in deltas):
        raise malformed("a delta's base is not an object of the pack")
    leaning: dict[Base, list[_Delta]] = {}
    for one in deltas:
        leaning.setdefault(one.base, []).append(one)
    found: dict[str, GitObject] = {}
    pending: list[tuple[int | None, GitObject]] = [*reversed(whole.items())]
    outside = [base for base in leaning if isinstance(base, str) and base in have]
    pending = [(None, have[base]) for base in outside] + pending
    done = 0
    while pending:
        offset, base = pending.pop()
        if offset is not None:
            found.setdefault(base.oid, base)
        ready = leaning.pop(base.oid, []) + (leaning.pop(offset, []) if offset is not None else [])
        for one in ready:
            done += 1
            budget.take(delta.sizes(one.data)[1])
            data = delta.apply(base.data, one.data, limit=budget.limits.object_bytes)
            pending.append((one.offset, make(base.kind, data)))
    if done < len(deltas) and not lenient:
        raise malformed(f"{len(deltas) - done} deltas of a pack have no base")
    return list(found.values())


class PackBuilder:
    """A pack to send: objects whole, or as deltas against objects that the server has or that are in the pack.

    An object used as a base before it was added is taken to be at the server, and is never sent: a chain that returns
    to an old state would otherwise lean on itself.
    """

    def __init__(self) -> None:
        self._entries: dict[str, bytes] = {}
        self._at_server: set[str] = set()

    def add(self, obj: GitObject) -> None:
        """Send `obj` whole."""
        if obj.oid not in self:
            self._entries[obj.oid] = _entry(_NUMBERS[obj.kind], obj.data)

    def add_delta(self, obj: GitObject, base: GitObject, made: bytes | None = None) -> None:
        """Send `obj` as a delta against `base` (`made` by `loopseal.git.delta`, or one splice), if that is worth it."""
        if base.oid not in self._entries:
            self._at_server.add(base.oid)
        if obj.oid in self:
            return
        if len(obj.data) <= SMALL or base.kind is not obj.kind:
            self.add(obj)
            return
        told = delta.between(base.data, obj.data) if made is None else made
        if len(told) + RAW >= len(obj.data):
            self.add(obj)
        else:
            self._entries[obj.oid] = _entry(_REF_DELTA, told, bytes.fromhex(base.oid))

    def __contains__(self, oid: object) -> bool:
        return oid in self._entries or oid in self._at_server

    def __len__(self) -> int:
        return len(self._entries)

    def build(self) -> bytes:
        """The whole pack."""
        body = struct.pack(">4sII", b"PACK", 2, len(self._entries)) + b"".join(self._entries.values())
        return body + hashlib.sha1(body, usedforsecurity=False).digest()


def _entry(kind: int, data: bytes, base: bytes = b"") -> bytes:
    size, code = len(data) >> 4, kind << 4 | len(data) & 0xF
    head = bytearray()
    while size:
        head.append(code | 0x80)
        code, size = size & 0x7F, size >> 7
    head.append(code)
    return bytes(head) + base + (_deflated(data) if len(data) > _TINY else _stored(data))


def _deflated(data: bytes) -> bytes:
    return zlib.compress(data, _LEVEL)


def _stored(data: bytes) -> bytes:
    """The zlib stream of one stored block (RFC 1950, RFC 1951 section 3.2.4): zlib takes 20 us to begin its own."""
    size = len(data)
    return b"\x78\x01\x01" + struct.pack("<HH", size, size ^ 0xFFFF) + data + struct.pack(">I", zlib.adler32(data))
