"""What a commit of ours says: subject, body and trailers, and the trailers read back.

Source: git-interpret-trailers(1). Argo CD trusts some trailers (`Argocd-gpg-seal`) and we trust our own, so no value
may add a line or a trailer: every value is one line, and the block of trailers is the last paragraph and ours alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from itertools import dropwhile
from typing import Any, Final

from loopseal.domain.proposal import ABSENT, Expect, Proposal, Scalar
from loopseal.errors import Code, ConfigError
from loopseal.git.edits import Difference

PREFIX: Final = "Loopseal-"
CHANGE: Final = "Loopseal-Change"
TARGET: Final = "Loopseal-Target"
DIGEST: Final = "Loopseal-Digest"
ACTOR: Final = "Loopseal-Actor"
EDIT: Final = "Loopseal-Edit"
REVERTS: Final = "Loopseal-Reverts"

SUBJECT: Final = 72
"""Characters of a subject: what `git log --oneline` and forges show whole."""
BODY: Final = 8192
"""Characters of the body."""
VALUE: Final = 1024
"""Characters of one trailer's value, except for edits: those are read back."""
EDIT_VALUE: Final = 200
"""Characters of a value inside an edit's trailer; a longer one is named by its SHA-256."""

_OWN: Final = frozenset(name.lower() for name in (CHANGE, TARGET, DIGEST, ACTOR, EDIT, REVERTS))
_TRAILER: Final = re.compile(r"([A-Za-z0-9-]+)[ \t]*:[ \t]*(.*)")
_RISKY: Final = re.compile(r"---|#|\(cherry picked from|[^\s:]+\s*[:=]|From ")
_IDENTITY: Final = re.compile(r"([^<>\n]*[^<>\s])\s*<([^<>\s]+)>")
_CRUD: Final = " \t.,:;<>\"\\'"


def compose(proposal: Proposal, digest: str, differences: Sequence[Difference]) -> str:
    """The whole message of the commit that carries `proposal`, which changed `differences`."""
    subject, body = _told(proposal.reason)
    trailers = [
        (CHANGE, proposal.id),
        (TARGET, proposal.target.name),
        (DIGEST, digest),
        (ACTOR, str(proposal.actor)),
        *((label(name), value) for name, value in proposal.labels),
    ]
    if proposal.actor.on_behalf_of:
        trailers.append((f"{ACTOR}-On-Behalf-Of", str(proposal.actor.on_behalf_of)))
    if proposal.reverts:
        trailers.append((REVERTS, proposal.reverts))
    lines = [f"{name}: {value}" for name, told in trailers if (value := one_line(told, VALUE))]
    lines += [f"{EDIT}: {edit_value(one)}" for one in differences]
    return "\n\n".join(filter(None, (subject, body, "\n".join(lines)))) + "\n"


def one_line(text: str, limit: int) -> str:
    """`text` as one line: whatever could end a line, hide or reorder text becomes a blank; cut at `limit`."""
    plain = text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
    line = " ".join(plain.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def label(name: str) -> str:
    """The trailer's name for a label: `map_index` is `Loopseal-Map-Index`. None can pass for one of our own."""
    words = re.findall(r"[A-Za-z0-9]+", name)[:8] or ["Label"]
    made = PREFIX + "-".join(word[:40].capitalize() for word in words)
    return f"{PREFIX}Label-{made.removeprefix(PREFIX)}" if made.lower().startswith(tuple(_OWN)) else made


def _told(reason: str) -> tuple[str, str]:
    """Subject and body. The body is there only when the subject could not say it all."""
    lines = [one_line(line, BODY) for line in reason[: 4 * BODY].splitlines()]
    lines = list(dropwhile(lambda line: not line, lines)) or ["change"]
    subject = one_line(lines[0], SUBJECT)
    rest = lines[1:] if subject == lines[0] else lines
    body = "\n".join(_harmless(line) for line in rest).strip("\n")[:BODY]
    return _subject(subject), re.sub(r"\n{3,}", "\n\n", body).rstrip()


def _subject(text: str) -> str:
    """A subject that no reader takes for a comment or the end of the message."""
    return text if not text.startswith(("#", "---")) else f"· {text}"


def _harmless(line: str) -> str:
    """A line that no reader takes for a trailer, a comment, or the end of the message: indented where it could be."""
    return f"    {line}" if _RISKY.match(line) else line


def edit_value(one: Difference) -> str:
    """One edit as compact JSON in ASCII. `old` or `new` is left out where there was or is nothing."""
    told: dict[str, Any] = {"path": one.path}
    if one.key:
        told["key"] = one.key
    told |= {name: _cut(value) for name, value in (("old", one.old), ("new", one.new)) if value is not ABSENT}
    return json.dumps(told, separators=(",", ":"), ensure_ascii=True, allow_nan=False).replace("\x7f", "\\u007f")


def _cut(value: Scalar | Expect) -> Any:
    if isinstance(value, str) and len(value) > EDIT_VALUE:
        return {"sha256": hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()}
    return value


def trailers(message: str) -> tuple[tuple[str, str], ...]:
    """Our trailers in a commit message, in order. Only the last paragraph counts, and only whole lines of ours.

    What others wrote above, quoted or copied, is no trailer of this commit.
    """
    paragraphs = re.split(r"\n[ \t]*\n", message.replace("\r\n", "\n").strip("\n"))
    if len(paragraphs) < 2:  # noqa: PLR2004 - the first paragraph is the subject
        return ()
    found = (_TRAILER.fullmatch(line) for line in paragraphs[-1].split("\n"))
    return tuple((one[1], one[2].strip()) for one in found if one and one[1].lower().startswith(PREFIX.lower()))


def first(found: Iterable[tuple[str, str]], name: str) -> str:
    """The first trailer of that name, or an empty string."""
    return next((value for key, value in found if key.lower() == name.lower()), "")


def edits(found: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """(path, key) of each edit that the trailers tell of; no key means the whole file. Broken ones are left out."""
    out = []
    for name, value in found:
        if name.lower() != EDIT.lower():
            continue
        try:
            told = json.loads(value)
        except (ValueError, RecursionError):
            continue
        if isinstance(told, dict) and isinstance(told.get("path"), str) and isinstance(told.get("key", ""), str):
            out.append((told["path"], told.get("key", "")))
    return tuple(dict.fromkeys(out))


def subject(message: str) -> str:
    """The first line, fit to be shown."""
    return one_line(message.lstrip("\n").partition("\n")[0], VALUE)


def identity(text: str, *, where: str) -> str:
    """`Name <email>` as it may stand in a commit. Raises ConfigError."""
    found = _IDENTITY.fullmatch(text.strip())
    name = one_line(found[1], 200).strip(_CRUD) if found else ""
    email = one_line(found[2], 200).strip(_CRUD) if found else ""
    if not name or not email or not text.isprintable():
        raise ConfigError(
            Code.CONFIG_INVALID,
            f"not a name and address: {one_line(text, 80)!r}",
            where=where,
            hint="Write it as `Name <email>`, in one line: `deploy bot <deploy-bot@example.com>`.",
        )
    return f"{name} <{email}>"
