"""Is this a file whose keys can be set at all? Size, encoding, encryption: what is asked before anything is parsed."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from loopseal.errors import Code, Refused

MAX_BYTES: Final = 10 * 1024 * 1024
"""Of one file. Nobody's manifest; and a second of work for every MiB."""
MAX_DEPTH: Final = 100
"""Collections in one another."""

_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_BREAKS: Final = re.compile("[\x85\u2028\u2029]|\r(?!\n)")
_SOPS: Final = re.compile(rb"\bENC\[AES256_GCM,data:")
_BINARY_MARKS: Final = ((b"\x00GITCRYPT\x00", "git-crypt"), (b"$ANSIBLE_VAULT;", "Ansible Vault"))


class Format(Enum):
    """How a file is read."""

    YAML = "YAML"
    JSON = "JSON"


def format_of(path: str) -> Format:
    """What a file of this name holds. Raises Refused for files without keys."""
    name = path.rpartition("/")[2]
    if name.lower().endswith(".json"):
        return Format.JSON
    if name.lower().endswith((".yaml", ".yml")) or name == "Kustomization":
        return Format.YAML
    raise Refused(
        Code.EDIT_SYNTAX,
        "keys can be set in files named *.yaml, *.yml or *.json only",
        where=path,
        hint="Write the whole file with PutFile.",
    )


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was found fit: its bytes without the byte order mark, as text too. Offsets count from there."""

    path: str
    mark: bytes
    body: bytes
    text: str

    @property
    def newline(self) -> str:
        """How its first line ends; a line feed where there is none."""
        first = self.body.find(b"\n")
        return "\r\n" if first > 0 and self.body[first - 1] == ord("\r") else "\n"

    def splice(self, start: int, end: int, piece: str) -> bytes:
        """The whole file with `piece` instead of the bytes from `start` to `end`."""
        return self.mark + self.body[:start] + piece.encode() + self.body[end:]


def read(path: str, data: bytes) -> Source:
    """The file as text. Raises Refused: too large, not UTF-8, encrypted, or with bytes that no parser agrees on."""
    if len(data) > MAX_BYTES:
        raise Refused(
            Code.EDIT_TOO_LARGE,
            f"the file has {len(data)} bytes, keys are set in files of at most {MAX_BYTES}",
            where=path,
            hint="Split the file, or write it whole with PutFile.",
        )
    _refuse_filtered(path, data)
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    body = data[len(mark) :]
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _encoding(path, body, error.start, "the file is not UTF-8") from error
    if found := _FORBIDDEN.search(text):
        raise _encoding(path, text, found.start(), f"the file holds the control character U+{ord(found[0]):04X}")
    if found := _BREAKS.search(text):
        name = f"U+{ord(found[0]):04X}"
        raise _encoding(path, text, found.start(), f"parsers disagree whether {name} ends a line")
    return Source(path, mark, body, text)


def _refuse_filtered(path: str, data: bytes) -> None:
    for start, tool in _BINARY_MARKS:
        if data.startswith(start):
            raise encrypted(path, tool)
    if b"ENC[" in data and _SOPS.search(data):
        raise encrypted(path, "SOPS")
    if data.startswith(b"version https://git-lfs.github.com/spec/"):
        raise Refused(
            Code.EDIT_FILTERED,
            "the file lives in Git LFS; here is only its pointer",
            where=path,
            hint="Keep it in Git.",
        )


def too_deep(path: str) -> Refused:
    """The refusal for a file that is nested more deeply than anybody nests by hand."""
    return Refused(
        Code.EDIT_TOO_LARGE, "the file is nested too deeply", where=path, hint="Write it whole with PutFile."
    )


def encrypted(path: str, tool: str) -> Refused:
    """The refusal for a file that `tool` encrypted."""
    return Refused(
        Code.EDIT_ENCRYPTED,
        f"the file is encrypted by {tool}: a changed byte would break its seal",
        where=path,
        hint="Keep the key that changes in a file of its own that is not encrypted.",
    )


def _encoding(path: str, data: bytes | str, at: int, message: str) -> Refused:
    newline: bytes | str = b"\n" if isinstance(data, bytes) else "\n"
    line = data.count(newline, 0, at) + 1  # type: ignore[arg-type]  # both are bytes or both are text
    return Refused(Code.EDIT_ENCODING, f"{message} (line {line})", where=path, hint="Save it as plain UTF-8 text.")
