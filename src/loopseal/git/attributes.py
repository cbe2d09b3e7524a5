"""`.gitattributes`, as far as it tells that a file's bytes in Git are not those of a checkout.

Source: gitattributes(5) and gitignore(5) of Git 2.39. Files under `filter` (LFS, git-crypt) or `working-tree-encoding`
are rewritten by programs that only a checkout runs: editing their stored bytes would break them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

_REWRITING: Final = ("filter", "working-tree-encoding")
_MACRO: Final = "[attr]"
_BLANKS: Final = re.compile(r"[ \t\r]+")
_LINE_LIMIT: Final = 2048
"""Bytes of one line: Git ignores longer ones."""


def rewriting(path: str, files: Mapping[str, bytes]) -> str:
    """The attribute that rewrites `path` on checkout, as `name=value`, or an empty string.

    `files` are the `.gitattributes` on the way, by folder (the root is the empty string). The nearest file wins, and in
    one file the last line.
    """
    state: dict[str, str] = {}
    macros = {"binary": ["-diff", "-merge", "-text"], **_macros(files.get("", b""))}
    for folder in sorted(files, key=lambda name: name.count("/") + bool(name)):
        within = path.removeprefix(f"{folder}/") if folder else path
        for pattern, words in _rules(files[folder]):
            if not pattern.startswith(_MACRO) and _matches(pattern, within):
                _assign(state, words, macros, depth=0)
    return next((f"{name}={state[name]}" for name in _REWRITING if state.get(name)), "")


def _macros(data: bytes) -> dict[str, list[str]]:
    """The names that the root's file gives to sets of attributes; they hold wherever they stand."""
    return {
        pattern.removeprefix(_MACRO).strip(): words for pattern, words in _rules(data) if pattern.startswith(_MACRO)
    }


def _rules(data: bytes) -> Iterator[tuple[str, list[str]]]:
    """Pattern and attributes of each line that has both."""
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    for line in (one.strip(" \t\r") for one in text.split("\n")):
        if not line or line.startswith("#") or len(line) > _LINE_LIMIT:
            continue
        pattern, rest = _pattern(line)
        if pattern and not pattern.startswith("!"):
            yield pattern, _BLANKS.split(rest.strip(" \t\r"))


def _pattern(line: str) -> tuple[str, str]:
    if line.startswith(_MACRO):
        name, _, rest = line.removeprefix(_MACRO).replace("\t", " ").lstrip().partition(" ")
        return _MACRO + name, rest
    if line.startswith('"') and (found := re.match(r'"((?:[^"\\]|\\.)*)"', line)):
        return _unquoted(found[1]), line[found.end() :]
    words = _BLANKS.split(line, 1)
    return words[0], "".join(words[1:])


def _unquoted(text: str) -> str:
    """C-style quotes, as Git writes unusual names."""
    names = dict(zip(b"abfnrtv", b"\a\b\f\n\r\t\v", strict=True))

    def one(found: re.Match[bytes]) -> bytes:
        code = found[1]
        return bytes([int(code, 8) if code.isdigit() else names.get(code[0], code[0])])

    return re.sub(rb"\\([0-3][0-7]{2}|[^0-9])", one, text.encode("utf-8", "surrogateescape")).decode(
        "utf-8", "surrogateescape"
    )


def _assign(state: dict[str, str], words: list[str], macros: Mapping[str, list[str]], *, depth: int) -> None:
    for word in words:
        name, has_value, value = word.partition("=")
        if name[:1] in {"-", "!"}:
            state[name[1:]] = ""
            continue
        state[name] = value if has_value else "set"
        if name in macros and not has_value and depth < len(macros):
            _assign(state, macros[name], macros, depth=depth + 1)


def _matches(pattern: str, path: str) -> bool:
    """Whether `path`, relative to the pattern's file, is meant. Takes no more than their lengths multiplied."""
    if pattern.endswith("/"):
        return False
    if "/" not in pattern:
        return _component(pattern).fullmatch(path.rpartition("/")[2]) is not None
    names, parts = path.split("/"), pattern.removeprefix("/").split("/")
    reached = {0}
    for number, part in enumerate(parts):
        if part == "**":
            least = number == len(parts) - 1
            reached = set(range(min(reached, default=len(names) + 1) + least, len(names) + 1))
        else:
            wanted = _component(part)
            reached = {at + 1 for at in reached if at < len(names) and wanted.fullmatch(names[at])}
    return len(names) in reached


@lru_cache(maxsize=512)
def _component(pattern: str) -> re.Pattern[str]:
    """The regular expression for one name. What is between two stars is taken where it first fits, once and for all."""
    chunks, at = [""], 0
    while at < len(pattern):
        char = pattern[at]
        if char == "*":
            chunks.append("")
            at += 1
        elif char == "[" and (found := re.match(r"\[([!^]?)(\]?[^\]]*)\]", pattern[at:])):
            chunks[-1] += _class(found[1], found[2])
            at += found.end()
        else:
            at += char == "\\" and at + 1 < len(pattern)
            chunks[-1] += "." if char == "?" else re.escape(pattern[at])
            at += 1
    first, *rest = chunks
    told = first + "".join(f"(?>.*?{chunk})" for chunk in rest[:-1]) + (f".*{rest[-1]}" if rest else "")
    return re.compile(told, re.DOTALL)


def _class(negated: str, members: str) -> str:
    kept = re.sub(r"([\\\[\]^&~|])", r"\\\1", members)
    try:
        re.compile(f"[{kept}]")
    except re.error:
        return "(?!)"
    return f"[{'^' if negated else ''}{kept}]"
