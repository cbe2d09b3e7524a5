"""Git's objects as values: ids, commits, trees, and their exact bytes.

Source: gitformat-pack(5), git-hash-object(1), git-commit-tree(1), and `fsck.c` of git 2.39 for what is malformed. No
object store lives here and nothing is fetched; SHA-1 repositories only (others are refused before anything is read).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from loopseal.git.pktline import malformed
from loopseal.git.remote import GitObject, ObjectKind

FILE: Final = b"100644"
EXECUTABLE: Final = b"100755"
SYMLINK: Final = b"120000"
FOLDER: Final = b"40000"
SUBMODULE: Final = b"160000"

RAW: Final = 20
"""Bytes of an object id inside a tree or a pack."""

_OID: Final = re.compile(r"[0-9a-f]{40}")
_MODE: Final = re.compile(rb"[0-7]{5,6}")
_TIME: Final = re.compile(r" (\d{1,11}) [+-]\d{4}$")


def is_oid(text: str) -> bool:
    """Whether this is a whole SHA-1 object id in lower-case hex."""
    return _OID.fullmatch(text) is not None


def oid_of(kind: ObjectKind, data: bytes) -> str:
    """The object id: hex SHA-1 over kind, length and content."""
    digest = hashlib.sha1(b"%s %d\0" % (kind.value.encode(), len(data)), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()


def make(kind: ObjectKind, data: bytes) -> GitObject:
    """The object with this content."""
    return GitObject(oid_of(kind, data), kind, data)


class Entry(NamedTuple):
    """One entry of a tree, as offsets into its bytes: `start` of the mode, `at` of the 20 raw bytes of the id.

    The id itself is not kept: a tree edited in place keeps the offsets of the one it was made from.
    """

    mode: bytes
    name: bytes
    start: int
    at: int

    @property
    def end(self) -> int:
        """Offset after this entry."""
        return self.at + RAW

    @property
    def is_folder(self) -> bool:
        """Whether it is a tree."""
        return self.mode.lstrip(b"0") == FOLDER

    def oid(self, tree: bytes) -> str:
        """The object id that stands here in `tree`."""
        return tree[self.at : self.at + RAW].hex()


def tree_entries(data: bytes) -> dict[bytes, Entry]:
    """The entries of a tree by name, in order. Raises Unreachable (`git.protocol`) for bytes that are no tree."""
    entries: dict[bytes, Entry] = {}
    at, end = 0, len(data)
    while at < end:
        space = data.find(b" ", at, at + 7)
        null = data.find(b"\0", space + 1) if space > 0 else -1
        if null < 0 or null + 1 + RAW > end:
            raise malformed("a tree ends in the middle of an entry")
        mode, name = data[at:space], data[space + 1 : null]
        if not _MODE.fullmatch(mode) or not name or b"/" in name or name in entries:
            raise malformed(f"a tree has an impossible entry: mode {mode[:8]!r}, name {name[:80]!r}")
        entries[name] = Entry(mode, name, at, null + 1)
        at = null + 1 + RAW
    return entries


def sort_key(mode: bytes, name: bytes) -> bytes:
    """Git's order of tree entries: bytewise, a folder as if its name ended in a slash."""
    return name + b"/" if mode == FOLDER else name


def tree_bytes(entries: Iterable[tuple[bytes, bytes, str]]) -> bytes:
    """The tree with these (mode, name, object id), put in Git's order."""
    ordered = sorted(entries, key=lambda entry: sort_key(entry[0], entry[1]))
    return b"".join(b"%s %s\0%s" % (mode, name, bytes.fromhex(oid)) for mode, name, oid in ordered)


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit. `author` and `committer` are whole: `Name <email> 1700000000 +0000`.

    Texts are UTF-8 with surrogate escapes, so that every byte survives. `headers` are those after the committer
    (`encoding`, `gpgsig`, …), in order; a value of several lines holds plain newlines. `message` is all after the
    empty line.
    """

    tree: str
    parents: tuple[str, ...]
    author: str
    committer: str
    message: str
    headers: tuple[tuple[str, str], ...] = ()

    def header(self, name: str) -> str:
        """The first header of that name, or an empty string."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def signed(self) -> bool:
        """Whether a signature stands there; whose, nobody has checked."""
        return bool(self.header("gpgsig"))

    @property
    def at(self) -> datetime:
        """When it was committed, in UTC; the epoch where the commit does not say it readably."""
        found = _TIME.search(self.committer)
        return datetime.fromtimestamp(int(found[1]) if found else 0, UTC)

    def serialise(self) -> bytes:
        """The exact bytes of the object. Raises ValueError for an identity or header that would add lines."""
        lines = [f"tree {self.tree}", *(f"parent {parent}" for parent in self.parents)]
        lines += [f"author {self.author}", f"committer {self.committer}"]
        lines += [f"{name} {value.replace(chr(10), chr(10) + ' ')}" for name, value in self.headers]
        plain = (self.author, self.committer, *(name for name, _ in self.headers))
        if any("\n" in text or "\0" in text for text in plain) or any(" " in name for name, _ in self.headers):
            message = "an identity or a header's name holds a line break"
            raise ValueError(message)
        return _bytes("\n".join(lines) + "\n\n" + self.message)

    def object(self) -> GitObject:
        """The commit as an object."""
        return make(ObjectKind.COMMIT, self.serialise())


def commit_of(data: bytes) -> Commit:
    """The commit in these bytes. Raises Unreachable (`git.protocol`) when there is none."""
    head, _, message = data.partition(b"\n\n")
    lines = _unfolded(_text(head).removesuffix("\n").split("\n"))
    tree, parents = lines[0], [value for name, value in lines[1:] if name == "parent"]
    rest = [pair for pair in lines[1:] if pair[0] != "parent"]
    known = dict(reversed(rest))
    if tree[0] != "tree" or not all(map(is_oid, (tree[1], *parents))):
        raise malformed("a commit does not begin with its tree and parents")
    if not {"author", "committer"} <= known.keys():
        raise malformed("a commit has no author or committer")
    return Commit(
        tree=tree[1],
        parents=tuple(parents),
        author=known["author"],
        committer=known["committer"],
        message=_text(message),
        headers=tuple(pair for pair in rest if pair[0] not in {"author", "committer"}),
    )


def _unfolded(lines: list[str]) -> list[tuple[str, str]]:
    """Header lines as (name, value), continuation lines joined to the value they continue."""
    out: list[tuple[str, str]] = []
    for text in lines:
        if text.startswith(" ") and out:
            name, value = out[-1]
            out[-1] = (name, f"{value}\n{text[1:]}")
        else:
            name, _, value = text.partition(" ")
            out.append((name, value))
    return out


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
