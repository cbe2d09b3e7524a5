"""What Git's peers say to each other, as pure functions from values to bytes and back.

Sources: gitprotocol-v2(5) for `ls-refs` and `fetch`, gitprotocol-pack(5) and gitprotocol-capabilities(5) for the older
fetch; pushes stand in `updates`, who carries the bytes in `remotes`. Every answer that is cut off or not as documented
raises Unreachable (`git.protocol`), never an error of Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from loopseal.errors import Code, Unreachable
from loopseal.git.objects import is_oid
from loopseal.git.pktline import DELIMITER, END, FLUSH, Marker, Packet, Reader, decode, encode, malformed
from loopseal.git.remote import Fetch
from loopseal.net import clean

AGENT: Final = "agent=loopseal"
MAX_REFS: Final = 1_000_000
WORDS: Final = 300
"""Characters of a host's words that are kept."""


class Service(StrEnum):
    """The two programs at the other end."""

    UPLOAD = "git-upload-pack"
    RECEIVE = "git-receive-pack"


class PeerError(Unreachable):
    """The host answered with an error in words (an `ERR` packet, or side-band 3) instead of a result."""


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What a service says of itself. Version 0 and 1 also tell all refs; version 2 does not."""

    version: int
    capabilities: Mapping[str, str]
    refs: Mapping[str, str]

    @property
    def object_format(self) -> str:
        """The hash of its object ids; a host that does not say is SHA-1."""
        return self.capabilities.get("object-format", "sha1")

    @property
    def filters(self) -> bool:
        """Whether it fetches by version 2 with partial-clone filters."""
        return self.version == 2 and "filter" in self.capabilities.get("fetch", "").split(" ")  # noqa: PLR2004

    @property
    def atomic(self) -> bool:
        """Whether it can update several refs or none."""
        return "atomic" in self.capabilities


def advertisement(data: bytes) -> Advertisement:
    """The advertisement of either service, with or without smart HTTP's `# service=…` line before it."""
    return _advertised(list(decode(data)))


def split_advertisement(data: bytes) -> tuple[Advertisement, bytes]:
    """The advertisement that an answer begins with where each connection has one (OpenSSH), and what follows."""
    reader, packets, at = Reader(), [], 0
    for packet in reader.feed(data):
        packets.append(packet)
        at += 4 if isinstance(packet, Marker) else len(packet) + 4
        if packet is FLUSH:
            return _advertised(packets), data[at:]
        text_of(packet)
    raise malformed("the host's greeting is cut off")


def _advertised(packets: list[Packet]) -> Advertisement:
    if packets and isinstance(packets[0], bytes) and packets[0].startswith(b"# service="):
        packets = packets[2:] if packets[1:2] == [FLUSH] else packets[1:]
    if not packets or packets[-1] is not FLUSH:
        raise malformed("the host's greeting is cut off")
    lines = [text_of(packet) for packet in packets[:-1]]
    if lines and lines[0] == "version 2":
        return Advertisement(2, dict(pair(text, "=") for text in lines[1:]), {})
    version = 1 if lines and lines[0] == "version 1" else 0
    return _old_advertisement(version, lines[version:])


def _old_advertisement(version: int, lines: list[str]) -> Advertisement:
    capabilities: dict[str, str] = {}
    refs: dict[str, str] = {}
    for number, text in enumerate(lines):
        told, null, features = text.partition("\0")
        if null and not number:
            capabilities = dict(pair(feature, "=") for feature in features.split())
        oid, name = pair(told, " ")
        if oid in {"shallow", "unshallow"}:
            continue
        if not name or not oid.isalnum():
            raise malformed("the host's greeting names no refs")
        if name != "capabilities^{}" and not name.endswith("^{}"):
            refs[name] = oid
    if not lines:
        raise malformed("the host's greeting is empty")
    return Advertisement(version, capabilities, refs)


# --- version 2, command ls-refs


def ask_refs(prefixes: Sequence[str]) -> bytes:
    """A request for the refs below these prefixes."""
    asked = [f"ref-prefix {one_line(prefix)}\n" for prefix in prefixes]
    return encode(["command=ls-refs\n", AGENT, "object-format=sha1", DELIMITER, *asked, FLUSH])


def refs(answer: bytes) -> dict[str, str]:
    """Refs and where they point. Unborn ones are left out."""
    out: dict[str, str] = {}
    for packet in until_flush(answer):
        oid, rest = pair(text_of(packet), " ")
        name = rest.partition(" ")[0]
        if oid == "unborn":
            continue
        if not is_oid(oid) or not name or len(out) >= MAX_REFS:
            raise malformed("the host's list of refs is not readable")
        out[name] = oid
    return out


def wanted(refs: Mapping[str, str], prefixes: Sequence[str]) -> dict[str, str]:
    """Those below one of the prefixes (all, if none is named): hosts may answer more than asked."""
    return {name: oid for name, oid in refs.items() if not prefixes or name.startswith(tuple(prefixes))}


# --- fetch


def ask_objects(request: Fetch) -> bytes:
    """A version 2 request for objects, in one round: all haves at once, then `done`."""
    options = ["no-progress", "ofs-delta", *(["thin-pack"] if request.haves and request.thin else [])]
    return encode(
        [
            "command=fetch\n",
            AGENT,
            "object-format=sha1",
            DELIMITER,
            *options,
            *([f"filter {one_line(request.filter)}"] if request.filter else []),
            *(f"shallow {checked_oid(oid)}" for oid in request.shallow),
            *([f"deepen {request.depth:d}"] if request.depth else []),
            *(f"want {checked_oid(oid)}\n" for oid in request.wants),
            *(f"have {checked_oid(oid)}\n" for oid in request.haves),
            "done\n",
            FLUSH,
        ]
    )


def objects(answer: bytes) -> bytes:
    """The pack in a version 2 answer; other sections are checked and passed over."""
    pack: list[bytes] = []
    section = ""
    for packet in until_flush(answer):
        if packet is DELIMITER:
            section = ""
        elif isinstance(packet, Marker):
            raise malformed("the answer to a fetch has a marker out of place")
        elif section == "packfile":
            pack += _pack_band(packet)
        elif not section:
            section = text_of(packet)
            if section not in _SECTIONS:
                raise malformed(f"the answer to a fetch has an unknown section {section[:40]!r}")
        else:
            text_of(packet)
    if section != "packfile":
        raise malformed("the answer to a fetch holds no pack")
    return b"".join(pack)


_SECTIONS: Final = {"acknowledgments", "shallow-info", "wanted-refs", "packfile-uris", "packfile"}


def ask_objects_v0(request: Fetch, offered: Mapping[str, str]) -> bytes:
    """The same by version 0, with those capabilities that the host offered; it knows no filters here."""
    thin = bool(request.haves) and request.thin
    features = " ".join(name for name in _FEATURES if name in offered and (name != "thin-pack" or thin))
    first, *others = (f"want {checked_oid(oid)}" for oid in request.wants)
    wants = [f"{first} {features} {AGENT}\n", *(f"{other}\n" for other in others)]
    return encode(
        [
            *wants,
            *(f"shallow {checked_oid(oid)}\n" for oid in request.shallow),
            *([f"deepen {request.depth:d}\n"] if request.depth else []),
            FLUSH,
            *(f"have {checked_oid(oid)}\n" for oid in request.haves),
            "done\n",
        ]
    )


_FEATURES: Final = ("side-band-64k", "ofs-delta", "thin-pack", "no-progress", "shallow")


def objects_v0(answer: bytes, request: Fetch, offered: Mapping[str, str]) -> bytes:
    """The pack in a version 0 answer: shallow lines if depth was asked, one ACK or NAK, then the pack."""
    reader = Reader()
    pack: list[bytes] = []
    acknowledged, shallows, at = False, not request.depth, 0
    for packet in reader.feed(answer):
        at += 4 if isinstance(packet, Marker) else len(packet) + 4
        if acknowledged and isinstance(packet, bytes):
            pack += _pack_band(packet)
        elif acknowledged:
            return b"".join(pack)
        elif packet is FLUSH and not shallows:
            shallows = True
        else:
            text = text_of(packet)
            acknowledged = shallows and text.startswith(("NAK", "ACK "))
            if not acknowledged and not text.startswith(("shallow ", "unshallow ")):
                raise malformed("the answer to a fetch is not readable")
            if acknowledged and "side-band-64k" not in offered:
                return answer[at:]
    raise malformed("the answer to a fetch is cut off")


def _pack_band(packet: bytes) -> Iterator[bytes]:
    """The pack's bytes in one side-band packet: band 1; band 2 is progress, band 3 the host giving up."""
    match packet[:1]:
        case b"\x01":
            yield packet[1:]
        case b"\x02":
            return
        case b"\x03":
            raise peer_error(packet[1:])
        case _:
            text_of(packet)
            raise malformed("the answer has an unknown side band")


# --- what they share


def peer_error(words: bytes) -> PeerError:
    """The error for what a host said instead of answering."""
    text = clean(words.decode("utf-8", "replace"), WORDS)
    return PeerError(Code.GIT_PROTOCOL, f"the host answered with an error: {text}", hint="See what the host says.")


def until_flush(answer: bytes) -> Iterator[Packet]:
    """The packets before the flush that ends an answer; without it the answer was cut off."""
    for packet in decode(answer):
        if packet is FLUSH:
            return
        if packet is not END:
            yield packet
    raise malformed("the answer is cut off")


def text_of(packet: Packet) -> str:
    """The text of one line. Raises what an ERR packet says."""
    if isinstance(packet, Marker):
        raise malformed("the answer has a marker out of place")
    if packet.startswith(b"ERR "):
        raise peer_error(packet[4:])
    return packet.decode("utf-8", "replace").removesuffix("\n")


def pair(text: str, separator: str) -> tuple[str, str]:
    """`text` before and after the first `separator`."""
    first, _, second = text.partition(separator)
    return first, second


def checked_oid(text: str) -> str:
    """`text`, if it is an object id. Raises ValueError: nothing else may reach a request."""
    if not is_oid(text):
        message = f"not an object id: {text[:80]!r}"
        raise ValueError(message)
    return text


def one_line(text: str) -> str:
    """`text`, if it fits one line of a request. Raises ValueError."""
    if any(char in text for char in "\n\0\r") or not text:
        message = f"not sendable in one line: {text[:80]!r}"
        raise ValueError(message)
    return text
