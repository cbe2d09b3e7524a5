"""A push in the words of `git-receive-pack`: what is asked, and the report on each ref.

Sources: gitprotocol-pack(5), "Pushing Data To a Server", and gitprotocol-capabilities(5) (`report-status`, `atomic`,
`side-band-64k`). The reasons that hosts give are kept for people and never decide anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from loopseal.git.pktline import FLUSH, Marker, encode, malformed
from loopseal.git.protocol import AGENT, WORDS, checked_oid, one_line, pair, text_of, until_flush
from loopseal.git.remote import ZERO, Outcome, PushReport, RefUpdate
from loopseal.net import clean


def ask_updates(updates: Sequence[RefUpdate], pack: bytes) -> bytes:
    """A push: one compare-and-swap per ref, all or none of them. Deletions alone carry no pack."""
    features = f"report-status side-band-64k {'atomic ' if len(updates) > 1 else ''}{AGENT}"
    lines = [
        f"{checked_oid(one.old)} {checked_oid(one.new)} {one_line(one.ref)}{'' if number else chr(0) + features}"
        for number, one in enumerate(updates)
    ]
    only_deletes = all(one.new == ZERO for one in updates)
    return encode([*lines, FLUSH]) + (b"" if only_deletes else pack)


def report(answer: bytes, updates: Sequence[RefUpdate]) -> PushReport:
    """The server's report. A ref it does not name was not updated as far as it says, so the answer is malformed."""
    told, words = _reported(answer)
    lines = [text_of(packet) for packet in until_flush(told)]
    if not lines or not lines[0].startswith("unpack "):
        raise malformed("the report of a push is not readable")
    unpacked = lines[0] == "unpack ok"
    why = clean(" ".join(filter(None, (lines[0] if not unpacked else "", words))), WORDS)
    out: dict[str, tuple[Outcome, str]] = {}
    for text in lines[1:]:
        status, rest = pair(text, " ")
        if status == "ok" and unpacked:
            out[rest] = (Outcome.OK, "")
        elif status in {"ng", "ok"}:
            ref, reason = pair(rest, " ")
            out[ref] = (Outcome.REJECTED, clean(f"{reason} {why}".strip(), WORDS))
        elif status != "option":
            raise malformed("the report of a push is not readable")
    if not unpacked:
        return PushReport({one.ref: out.get(one.ref, (Outcome.REJECTED, why)) for one in updates})
    if missing := [one.ref for one in updates if one.ref not in out]:
        raise malformed(f"the report of a push does not name {missing[0]!r}")
    return PushReport({one.ref: out[one.ref] for one in updates})


def _reported(answer: bytes) -> tuple[bytes, str]:
    """The report inside the side band, and what the host said beside it (hooks speak on band 2)."""
    told: list[bytes] = []
    words: list[bytes] = []
    for packet in until_flush(answer):
        if isinstance(packet, Marker):
            raise malformed("the report of a push has a marker out of place")
        match packet[:1]:
            case b"\x01":
                told.append(packet[1:])
            case b"\x02" | b"\x03":
                words.append(packet[1:])
            case _:
                text_of(packet)
                return answer, ""
    return b"".join(told), b"".join(words).decode("utf-8", "replace").strip()
