"""All that a YAML file consists of, in order, as tree-sitter sees it: what a proof compares.

Lives here: the grammar's kinds of nodes, and the walk over a tree. Does not: what may be edited (`yaml_tree`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple, TypeAlias

import tree_sitter_yaml
from tree_sitter import Language, Node

from loopseal.git.edits.source import MAX_DEPTH, Source, too_deep

Token: TypeAlias = tuple[str, bytes | str]
"""One leaf: (type, bytes); or the beginning or end of a collection or pair: (`<` or `>`, type)."""

WRAPPERS: Final = frozenset({"block_node", "flow_node"})
_TEXTS: Final = frozenset({"comment", "block_scalar", "double_quote_scalar", "single_quote_scalar"})
LEAVES: Final = _TEXTS | {"plain_scalar", "anchor", "alias", "tag", "yaml_directive", "tag_directive"}
_IMPLIED: Final = frozenset({":", "-", ","})  # what every pair, item or list has is no news


class Tokens(NamedTuple):
    """A whole file. `texts` are the bytes of all that is text whatever it looks like: (start, end)."""

    tokens: list[Token]
    comments: list[Token]
    texts: list[tuple[int, int]]


@cache
def language() -> Language:
    """The grammar."""
    return Language(tree_sitter_yaml.language())


@dataclass(frozen=True, slots=True)
class _Kinds:
    """The kinds of nodes by their numbers: asking a node for its number costs half of asking for its name."""

    names: list[str]
    opening: list[Token]
    closing: list[Token]
    """One token for all its occurrences: half of what a parsed file consists of."""
    leaves: frozenset[int]
    wrappers: frozenset[int]
    implied: frozenset[int]
    texts: frozenset[int]


@cache
def _kinds() -> _Kinds:
    names = [language().node_kind_for_id(number) or "" for number in range(language().node_kind_count)]

    def numbers(wanted: frozenset[str]) -> frozenset[int]:
        return frozenset(number for number, name in enumerate(names) if name in wanted)

    return _Kinds(
        names,
        [("<", name) for name in names],
        [(">", name) for name in names],
        leaves=numbers(LEAVES),
        wrappers=numbers(WRAPPERS),
        implied=numbers(_IMPLIED),
        texts=numbers(_TEXTS),
    )


def tokens_of(source: Source, root: Node) -> Tokens:
    """Everything in the tree below `root`. Iterative: a file may be nested deeper than Python's stack."""
    out, kinds, cursor = Tokens([], [], []), _kinds(), root.walk()
    body, take, down, along, up = (
        source.body, out.tokens.append, cursor.goto_first_child, cursor.goto_next_sibling, cursor.goto_parent
    )  # fmt: skip
    open_: list[Token | None] = []
    while True:
        node = cursor.node
        kind = node.kind_id  # type: ignore[union-attr]  # a cursor always stands on a node
        if kind not in kinds.leaves and down():
            if kind in kinds.wrappers:
                open_.append(None)
            else:
                open_.append(kinds.closing[kind])
                take(kinds.opening[kind])
            if len(open_) > 3 * MAX_DEPTH:  # a level is a wrapper, a collection, and a pair or an item
                raise too_deep(source.path)
            continue
        if kind not in kinds.implied:
            start, end = node.byte_range  # type: ignore[union-attr]  # as above
            if kind in kinds.texts:
                _take_text(out, kinds.names[kind], body, start, end)
            else:
                take((kinds.names[kind], body[start:end]))
        while not along():
            if not up():
                return out
            if (closing := open_.pop()) is not None:
                take(closing)


def _take_text(out: Tokens, name: str, body: bytes, start: int, end: int) -> None:
    """Note one comment, quoted or block scalar."""
    text = body[start:end]
    out.texts.append((start, end))
    (out.comments if name == "comment" else out.tokens).append((name, _own(text) if name == "block_scalar" else text))


def _own(text: bytes) -> bytes:
    """The text of a block scalar. Blank lines below it are none of it, unless it keeps them (`|+`)."""
    return text if b"+" in text.partition(b"\n")[0] else text.rstrip()
