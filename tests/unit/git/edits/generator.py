"""Writes random YAML together with the bytes of every value in it, so that no parser is the judge of an edit.

`Writer(seed)` puts a file together piece by piece and remembers where each scalar begins and ends, how it is quoted and
which selector means it; also values that must be refused, and why. What it writes is valid YAML 1.2 by construction.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from loopseal.errors import Code

PLAIN, DOUBLE, SINGLE, EMPTY = "plain", "double", "single", "empty"


@dataclass(frozen=True)
class Target:
    """One value: its selector, its bytes, how it is written; `refused` says with which code, if it must be."""

    selector: str
    start: int
    end: int
    style: str
    flow: bool
    refused: Code | None = None


@dataclass(frozen=True)
class Value:
    """A new value and how a careful person would write it in each place."""

    value: object
    block: str
    flow: str
    double: str
    single: str

    def written(self, target: Target) -> str:
        by_style = {DOUBLE: self.double, SINGLE: self.single}
        plain = self.flow if target.flow else self.block
        text = by_style.get(target.style, plain)
        return " " + text if target.style == EMPTY else text


def _text(text: str, *, plain: bool, flow: bool) -> Value:
    double = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    single = "'" + text.replace("'", "''") + "'"
    return Value(text, text if plain else double, text if plain and flow else double, double, single)


def _other(value: object, text: str) -> Value:
    return Value(value, text, text, text, text)


VALUES = [
    *(
        _text(text, plain=True, flow=True)
        for text in ("v2.0.1", "1.2.3", "main", "a/b", "new-name_9", "two words", "é")
    ),
    *(_text(text, plain=True, flow=False) for text in ("repo/app:1.25", "http://h:80/x", "a,b", "sha256:0a1b")),
    *(
        _text(text, plain=False, flow=False)
        for text in (
            *(
                "yes",
                "No",
                "on",
                "y",
                "NULL",
                "~",
                "true",
                "1e3",
                "1.10",
                "0o7",
                "0644",
                "1_000",
                "12:30:45",
                "=",
                "<<",
            ),
            *("2001-01-01", ".inf", ".5", "+1", "-0", "0x1F", "", " x", "x ", "- x", "a: b", "a #b", "#", "!t", "&a"),
            *(
                "*a",
                "{}",
                "[x]",
                '"q"',
                "'",
                "it's: #1",
                "\\n",
                "%x",
                "@x",
                "`x",
                "| x",
                "> x",
                "? x",
                ": x",
                "x:",
                "---",
            ),
        )
    ),
    _other(5, "5"),
    _other(-7, "-7"),
    _other(0, "0"),
    _other(1.5, "1.5"),
    _other(1e22, "1.0e+22"),
    _other(1e-7, "1.0e-07"),
    _other(True, "true"),
    _other(False, "false"),
    _other(None, "null"),
]

_PLAIN_ANYWHERE = [
    "v1.0.0",
    "1.2",
    "7",
    "true",
    "null",
    "0644",
    "old",
    "it's",
    "two words",
    "ünï",
    "日本語",
    "a-b",
    "-1",
    "x#y",
]
_PLAIN_IN_BLOCKS = [
    "repo/app:1.0",
    "http://h/p?q=1#f",
    "a, b",
    "x{y}",
    "key:value",
    '5"',
    "a - b",
    "x[0]",
    "-dash",
    "a ? b",
]
_DOUBLE = ['"old"', '""', '"a: b"', '"a # b"', '"\\u0041\\t\\"q\\""', '"é 日"', '"[]"', '"it\'s"', '"{x}"']
_SINGLE = ["'old'", "''", "'it''s'", "'# no'", "'a: b'", "'{}'", "'\"'", "'\\n'"]
_TRAILING = [
    "",
    "",
    "",
    " ",
    " # why",
    "  #x",
    "\t# by tab",
    ' # {"$imagepolicy": "flux:app:tag"}',
    " # {{ x }} ]}'\"",
    "\t",
]
_COMMENTS = ["# key: value", "#- x", "# 'open", '# "open', "# {{ .Values.x }}", "#", "# & * ! | >", "# ünï"]
_ODD_KEYS = [
    '"dotted.key/{n}"',
    "'single {n}'",
    "my key {n}",
    "k-{n}",
    "{n}",
    "schlüssel{n}",
    "k{n}/x",
    "$k{n}",
    '"q\\"{n}"',
]


class Writer:
    """One file. `body` is its bytes, `targets` all values it knows."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.newline = "\r\n" if self.random.random() < 0.15 else "\n"
        self.parts: list[str] = []
        self.size = 0
        self.names = 0
        self.anchors = 0
        self.targets: list[Target] = []
        self.tabs = self.random.random() < 0.3
        self._file()
        self.body = "".join(self.parts).encode()

    # --- pieces

    def put(self, text: str) -> None:
        text = text.replace("\n", self.newline)
        self.parts.append(text)
        self.size += len(text.encode())

    def pick(self, options):
        return options[self.random.randrange(len(options))]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def end_line(self) -> None:
        trailing = self.pick(_TRAILING)
        self.put(trailing if self.tabs or "\t" not in trailing else "")
        self.put("\n")
        while self.chance(0.1):
            self.put("\n")

    def comments(self, indent: int) -> None:
        while self.chance(0.12):
            self.put(" " * indent + self.pick(_COMMENTS) + "\n")

    def key(self) -> tuple[str, str]:
        """A key as it is written, and as a selector names it; never the same twice in a file."""
        self.names += 1
        if self.chance(0.75):
            name = f"{self.pick(['image', 'tag', 'spec', 'x', 'replicas'])}{self.names}"
            return name, name
        written = self.pick(_ODD_KEYS).format(n=self.names)
        bare = written[1:-1] if written[0] in "\"'" else written.replace('"', '\\"')
        return written, f'"{bare}"'

    # --- the file

    def _file(self) -> None:
        if self.chance(0.1):
            self.put("\ufeff")
            self.parts[0], self.size = "\ufeff", 3
        documents = self.pick([1, 1, 1, 2, 3])
        if self.chance(0.1):
            self.put("%YAML 1.2\n---\n")
        elif self.chance(0.3):
            self.put("---\n" if self.chance(0.7) else "--- # first\n")
        for number in range(documents):
            if number:
                self.put(self.pick(["---\n", "...\n---\n", "--- # next\n"]))
            self.comments(0)
            self.anchors = 0
            if self.chance(0.1):
                self.flow_mapping("", 2)
                self.end_line()
            else:
                self.mapping(0, "", 3)
        if self.chance(0.15) and self.parts[-1] == self.newline and len(self.parts) > 2:
            self.parts.pop()

    def mapping(self, indent: int, path: str, depth: int, *, first_inline: bool = False) -> None:
        step = self.pick([2, 2, 2, 4, 1])
        for number in range(self.random.randint(1, 4)):
            if number or not first_inline:
                self.comments(indent)
                self.put(" " * indent)
            self.pair(indent, path, depth, step)

    def pair(self, indent: int, path: str, depth: int, step: int) -> None:
        written, name = self.key()
        here = f"{path}.{name}" if path else name
        self.put(written + ":")
        kind = self.random.random()
        if depth and kind < 0.2:
            self.end_line()
            self.mapping(indent + step, here, depth - 1)
        elif depth and kind < 0.35:
            self.end_line()
            self.sequence(indent + self.pick([0, 0, step]), here, depth - 1)
        elif kind < 0.42:
            self.special(indent, here)
        else:
            if kind < 0.5:
                self.put(" ")
                self.pick([self.flow_mapping, self.flow_sequence])(here, 2)
            elif kind < 0.56:
                self.targets.append(Target(here, self.size, self.size, EMPTY, flow=False))
            else:
                self.put(self.pick([" ", " ", " ", "   "]))
                self.scalar(here, flow=False)
            self.end_line()

    def sequence(self, indent: int, path: str, depth: int) -> None:
        named = self.chance(0.5)
        for number in range(self.random.randint(1, 3)):
            self.comments(indent)
            self.put(" " * indent + "-")
            if named:
                self.names += 1
                name = f"item{self.names}"
                self.put(f" name: {self.pick([name, repr(name), chr(34) + name + chr(34)])}")
                self.end_line()
                by = self.pick([f"[{number}]", f"[name={name}]", f'[name="{name}"]'])
                self.put(" " * (indent + 2))
                self.mapping(indent + 2, path + by, max(depth, 0), first_inline=True)
            elif depth and self.chance(0.3):
                self.put(" ")
                self.mapping(indent + 2, f"{path}[{number}]", depth - 1, first_inline=True)
            elif self.chance(0.1):
                self.targets.append(Target(f"{path}[{number}]", self.size, self.size, EMPTY, flow=False))
                self.end_line()
            else:
                self.put(" ")
                self.scalar(f"{path}[{number}]", flow=False)
                self.end_line()

    # --- values

    def scalar(self, path: str, *, flow: bool, refused: Code | None = None) -> None:
        style = self.pick([PLAIN, PLAIN, DOUBLE, SINGLE])
        texts = {
            PLAIN: _PLAIN_ANYWHERE if flow else _PLAIN_ANYWHERE + _PLAIN_IN_BLOCKS,
            DOUBLE: _DOUBLE,
            SINGLE: _SINGLE,
        }
        start = self.size
        self.put(self.pick(texts[style]))
        self.targets.append(Target(path, start, self.size, style, flow, refused))

    def flow_value(self, path: str, depth: int) -> None:
        if depth and self.chance(0.2):
            self.pick([self.flow_mapping, self.flow_sequence])(path, depth - 1)
        else:
            self.scalar(path, flow=True)

    def flow_mapping(self, path: str, depth: int) -> None:
        space = self.pick(["", " "])
        self.put("{" + space)
        for number in range(self.random.randint(0 if path else 1, 3)):
            if number:
                self.put(self.pick([", ", ",", " , "]))
            self.names += 1
            name = f"f{self.names}"
            self.put(self.pick([f"{name}: ", f'"{name}": ', f"{name}:  "]))
            self.flow_value(f"{path}.{name}" if path else name, depth)
        self.put(space + "}")

    def flow_sequence(self, path: str, depth: int) -> None:
        self.put("[")
        for number in range(self.random.randint(0, 3)):
            if number:
                self.put(self.pick([", ", ","]))
            self.flow_value(f"{path}[{number}]", depth)
        self.put("]")

    def special(self, indent: int, path: str) -> None:
        """Values that must be refused: they stand among the others all the same."""
        deeper = " " * (indent + 2)
        kind = self.random.randrange(6)
        if kind == 0:
            self.put(f" {self.pick(['|', '|-', '>', '>-'])}{self.pick(['', ' # block'])}\n")
            for line in self.random.sample(
                ["text", "key: value", "# no comment", "- x", "", "{{ .Values.x }}", "it's"], 3
            ):
                self.put(f"{deeper}{line}\n" if line else "\n")
            self.put(f"{deeper}end\n")
            self.refuse(path, Code.EDIT_MULTILINE)
        elif kind == 1:
            self.put(f' "over\n{deeper}several # lines\n{deeper}x: y"')
            self.refuse(path, Code.EDIT_MULTILINE)
            self.end_line()
        elif kind == 2:
            self.put(f" over\n{deeper}several\n")
            self.refuse(path, Code.EDIT_MULTILINE)
        elif kind == 3:
            self.put(" !!str ")
            self.scalar(path, flow=False, refused=Code.EDIT_TAG)
            self.end_line()
        elif kind == 4 or not self.anchors:
            self.anchors += 1
            self.put(f" &a{self.anchors} ")
            self.scalar(path, flow=False, refused=Code.EDIT_ANCHOR)
            self.end_line()
        else:
            self.put(f" *a{self.anchors}")
            self.refuse(path, Code.EDIT_ALIAS)
            self.end_line()

    def refuse(self, path: str, code: Code) -> None:
        self.targets.append(Target(path, self.size, self.size, PLAIN, flow=False, refused=code))
