"""A YAML file as tree-sitter sees it: every byte has its place.

Refuses what is no YAML, or YAML that something else still has to work on: templates, tabs, SOPS. tree-sitter-yaml 0.7.2
counts lines and columns in 16 bits and corrupts memory beyond some 250 nested blocks (its issues 48 and 49), so
`_refuse_dangerous` looks at the text before the parser does.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tree_sitter import Node, Parser

from loopseal.errors import Code, Refused
from loopseal.git.edits.events import events
from loopseal.git.edits.memory import Memory
from loopseal.git.edits.scalars import Style, unquote
from loopseal.git.edits.source import Source, encrypted, read, too_deep
from loopseal.git.edits.yaml_tokens import WRAPPERS, Token, language, tokens_of

MAX_LINES: Final = 32_767
MAX_LINE: Final = 32_767
"""Lines of one file and bytes of one line: what the grammar's scanner can count."""
MAX_COLUMNS: Final = 60
MAX_ENTRIES: Final = 120
"""How far to the right blocks may begin, and how many further: 2 x 60 + 120 fit into the 253 places of its stack."""

STYLES: Final = {
    "plain_scalar": Style.PLAIN,
    "double_quote_scalar": Style.DOUBLE,
    "single_quote_scalar": Style.SINGLE,
}
MAPPINGS: Final = frozenset({"block_mapping", "flow_mapping", "flow_pair"})
SEQUENCES: Final = frozenset({"block_sequence", "flow_sequence"})
_PAIRS: Final = frozenset({"block_mapping_pair", "flow_pair"})


@dataclass(frozen=True, slots=True)
class Mapping:
    """The pairs of a mapping, and the places of each name among its keys (None: a key that is no plain text)."""

    pairs: list[Node]
    places: dict[str | None, list[int]]
    aliased: bool
    """Whether a key is an alias."""


@dataclass(slots=True)
class Tree:
    """A parsed file. `tokens` and `comments` are all it consists of, in order: what a proof compares."""

    source: Source
    root: Node
    tokens: list[Token]
    comments: list[Token]
    texts: list[tuple[int, int]]
    """Bytes that are text whatever they look like: comments, quoted and block scalars."""
    _mappings: dict[int, Mapping] = field(default_factory=dict)

    @property
    def documents(self) -> Iterator[Node | None]:
        """The content of each document, None for an empty one."""
        for child in self.root.named_children:
            if child.type == "document":
                yield next((node for node in child.named_children if node.type in WRAPPERS), None)

    def mapping(self, node: Node) -> Mapping:
        """What is in one of its mappings; read once, however many selectors lead through it."""
        if (known := self._mappings.get(node.id)) is None:
            known = self._mappings[node.id] = _mapping(node)
        return known


def parse(path: str, data: bytes) -> Tree:
    """The tree of a file. Raises Refused when the file is not YAML that can be trusted to be read right."""
    return _remembered((path, data))


def _parsed(file: tuple[str, bytes]) -> Tree:
    source = read(*file)
    _refuse_dangerous(source)
    root = Parser(language()).parse(source.body).root_node
    if root.has_error:
        raise _invalid(source)
    tree = Tree(source, root, *tokens_of(source, root))
    _refuse_templates(tree)
    _refuse_tabs(tree)
    for document in tree.documents if b"sops" in source.body else ():
        if _is_sops(unwrap(document).node):
            raise encrypted(source.path, "SOPS")
    return tree


_remembered: Final = Memory(_parsed, lambda file: len(file[1]))


_ENTRY: Final = re.compile(rb"[-?:](?=\s|$)")
"""What a block entry needs: no nesting without one of these."""
_LEAD: Final = re.compile(rb"^[ \t]*(?:(?:---|[-?:]|[&!*]\S*)[ \t]+)*(?=[-?:](?:\s|$)|[^\n]*:(?:\s|$))", re.MULTILINE)
"""What stands before the first entry of a line, or before the last of those in a row (`- - a: 1`)."""
_GAP: Final = re.compile(rb"[ \t]+")


def _refuse_dangerous(source: Source) -> None:
    """Keep from the scanner what it cannot count.

    Its stack grows by one for an entry of a block further to the right, by two where a list stands at its key's column,
    and lets go when a line begins further to the left. In a valid file entries begin where lines do; in a broken one,
    anywhere. So: few entries far to the right, or else a valid file whose lines begin at few columns.
    """
    lines = source.body.split(b"\n")
    if len(lines) > MAX_LINES or max(map(len, lines)) > MAX_LINE:
        raise Refused(
            Code.EDIT_TOO_LARGE,
            f"keys are set in YAML files of at most {MAX_LINES} lines of at most {MAX_LINE} bytes",
            where=source.path,
            hint="Split the file, or write it whole with PutFile.",
        )
    right = b"\n".join(line[MAX_COLUMNS:] for line in lines if len(line) > MAX_COLUMNS)
    if len(_ENTRY.findall(right)) <= MAX_ENTRIES:
        return
    leads = set(_LEAD.findall(source.body))
    if len({gap.end() for lead in leads for gap in _GAP.finditer(lead)}) > MAX_COLUMNS:
        raise too_deep(source.path)
    if events(source.body) is None:
        raise _invalid(source)


def _invalid(source: Source) -> Refused:
    return Refused(
        Code.EDIT_TEMPLATE if "{{" in source.text else Code.EDIT_SYNTAX,
        "the file is not valid YAML",
        where=source.path,
        hint="If it is a template, edit the values that it is rendered from.",
    )


def _refuse_templates(tree: Tree) -> None:
    body, at = tree.source.body, 0
    while (at := body.find(b"{{", at)) >= 0:
        end = _text_end(tree, at)
        if not end:
            raise Refused(
                Code.EDIT_TEMPLATE,
                f"line {_line(body, at)} holds a template: what it becomes is not known here",
                where=tree.source.path,
                hint="Edit the values that the template is rendered from.",
            )
        at = end


_TAB: Final = re.compile(rb"^ *\t[ \t]*[^\s#]", re.MULTILINE)


def _refuse_tabs(tree: Tree) -> None:
    body = tree.source.body
    for found in _TAB.finditer(body):
        if not _text_end(tree, found.end() - 1):
            raise Refused(
                Code.EDIT_SYNTAX,
                f"line {_line(body, found.start())} is indented by a tab",
                where=tree.source.path,
                hint="YAML indents by spaces.",
            )


def _text_end(tree: Tree, at: int) -> int:
    """The end of the comment, quoted or block scalar that the byte `at` is in; 0 when it is in none."""
    before = bisect_right(tree.texts, (at, 1 << 62)) - 1
    return tree.texts[before][1] if before >= 0 and at < tree.texts[before][1] else 0


def _line(body: bytes, at: int) -> int:
    return body.count(b"\n", 0, at) + 1


def _is_sops(root: Node | None) -> bool:
    for pair in pairs(root):
        if key_text(pair) == "sops":
            return any(key_text(inner) == "mac" for inner in pairs(value_of(pair).node))
    return False


class Inner(NamedTuple):
    """A node without its wrapping; `node` is None where only properties, or nothing, stand."""

    node: Node | None
    anchor: bool = False
    tag: bool = False

    @property
    def type(self) -> str:
        """The grammar's name of the node, empty without one."""
        return self.node.type if self.node else ""


def unwrap(node: Node | None) -> Inner:
    """The node itself, out of `block_node` and `flow_node`, and whether an anchor or a tag stands before it."""
    anchor = tag = False
    while node is not None and node.type in WRAPPERS:
        inside = None
        for child in node.named_children:
            match child.type:
                case "anchor":
                    anchor = True
                case "tag":
                    tag = True
                case "comment":
                    pass
                case _:
                    inside = child
        node = inside
    return Inner(node, anchor, tag)


def pairs(mapping: Node | None) -> list[Node]:
    """The pairs of a mapping, in order; also keys without a value in a flow mapping (`{a, b}`)."""
    if mapping is None or mapping.type not in MAPPINGS:
        return []
    if mapping.type == "flow_pair":
        return [mapping]
    return [child for child in mapping.named_children if child.type != "comment"]


def _mapping(node: Node) -> Mapping:
    entries, places, aliased = pairs(node), dict[str | None, list[int]](), False
    for place, pair in enumerate(entries):
        name = _plain_key(pair)
        if name is None:
            key = key_of(pair).node
            name, aliased = scalar_text(key), aliased or (key is not None and key.type == "alias")
        places.setdefault(name, []).append(place)
    return Mapping(entries, places, aliased)


def _plain_key(pair: Node) -> str | None:
    """The key of a pair if it is a plain one, as nearly all are; None where it has to be looked at more closely.

    What begins with a letter or a digit has no anchor, no tag and no quotes, and is no alias and no collection.
    """
    key = pair.child_by_field_name("key") if pair.type in _PAIRS else None
    text = key.text if key is not None and key.type == "flow_node" else None
    return text.decode() if text and text[:1].isalnum() and b"\n" not in text else None


def items(sequence: Node) -> list[Node]:
    """The items of a sequence, in order: `block_sequence_item`, or the nodes of a flow sequence."""
    return [child for child in sequence.named_children if child.type != "comment"]


def key_of(pair: Node) -> Inner:
    """The key of a pair."""
    return unwrap(pair.child_by_field_name("key") if pair.type in _PAIRS else pair)


def value_of(pair: Node) -> Inner:
    """The value of a pair."""
    return unwrap(pair.child_by_field_name("value") if pair.type in _PAIRS else None)


def item_of(item: Node) -> Inner:
    """The content of an item."""
    if item.type == "block_sequence_item":
        return unwrap(next((node for node in item.named_children if node.type != "comment"), None))
    return unwrap(item)


def key_text(pair: Node) -> str | None:
    """The key's text; None where it is no scalar of one line."""
    return scalar_text(key_of(pair).node)


def scalar_text(node: Node | None) -> str | None:
    """What a scalar of one line says; None for everything else. Raises Refused for an unknown escape."""
    style = STYLES.get(node.type) if node is not None else None
    text = node.text if style is not None and node is not None else None
    if style is None or text is None or b"\n" in text:
        return None
    try:
        return unquote(text.decode(), style)
    except ValueError as error:
        raise Refused(Code.EDIT_SYNTAX, f"unknown escape {error} in a quoted scalar") from error
