"""Where a selector leads in a YAML file.

Refuses what cannot be said without doubt: aliases and merge keys on the way, duplicate keys, several documents, and
what is no scalar of one line at the end of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from tree_sitter import Node

from loopseal.errors import Code, Refused
from loopseal.git.edits import yaml_tree
from loopseal.git.edits.events import Trail
from loopseal.git.edits.scalars import Style
from loopseal.git.edits.selector import Index, Key, Match, Step, render
from loopseal.git.edits.yaml_tree import MAPPINGS, SEQUENCES, STYLES, Inner, Tree


@dataclass(frozen=True, slots=True)
class Found:
    """A place for a scalar: `text` is what it says, `start` and `end` are its bytes (equal for an empty value)."""

    start: int
    end: int
    style: Style
    text: str
    flow: bool
    trail: Trail
    pair: Node | None


@dataclass(frozen=True, slots=True)
class Absent:
    """The path ends before `step`. `mapping` is the mapping that lacks just this key, if that is what is wrong."""

    step: int
    why: str
    mapping: Node | None = None
    trail: Trail = ()


def find(tree: Tree, steps: Sequence[Step]) -> Found | Absent:
    """Where `steps` lead, in whichever document they do. Raises Refused where that cannot be said without doubt."""
    return _Path(tree, tuple(steps)).find()


_HINTS: Final = {
    Code.EDIT_ALIAS: "Edit the place that has the anchor, or write the value out here.",
    Code.EDIT_ANCHOR: "Other places may share it: take the anchor away, or edit the file by hand.",
    Code.EDIT_MERGE_KEY: "It comes from a merge key: edit the place that it is merged from, or write the key out here.",
    Code.EDIT_DUPLICATE_KEY: "Readers disagree which one counts: leave one of them.",
    Code.EDIT_TAG: "Take the tag away, or edit the file by hand.",
    Code.EDIT_MULTILINE: "Only values of one line are set: make it one, or write the whole file with PutFile.",
    Code.EDIT_NOT_SCALAR: "Name one key with one value; whole files are written with PutFile.",
    Code.EDIT_AMBIGUOUS: "Name one: [kind=Deployment,metadata.name=web].spec.replicas, or env[name=LOG_LEVEL].value.",
}


class _Path:
    """Follows one selector through one tree."""

    def __init__(self, tree: Tree, steps: tuple[Step, ...]) -> None:
        self.tree, self.steps = tree, steps

    def refusal(self, code: Code, message: str, upto: int | None = None) -> Refused:
        where = render(self.steps[:upto]) or "the document"
        return Refused(code, message, where=f"{self.tree.source.path}: {where}", hint=_HINTS[code])

    def find(self) -> Found | Absent:
        ends = [self.in_document(number, root) for number, root in self.chosen()]
        found = [end for end in ends if isinstance(end, Found)]
        if len(found) > 1:
            raise self.refusal(Code.EDIT_AMBIGUOUS, f"{len(found)} documents of the file have this key")
        if found:
            return found[0]
        absent = [end for end in ends if isinstance(end, Absent)]
        if not absent:
            return Absent(0, "no document matches" if self.filters else "the file is empty")
        furthest = max(absent, key=lambda end: end.step)
        if sum(end.step == furthest.step for end in absent) > 1:
            return replace(furthest, mapping=None, why=f"{furthest.why} in any of {len(absent)} documents")
        return furthest

    @property
    def filters(self) -> bool:
        return isinstance(self.steps[0], Match)

    def chosen(self) -> list[tuple[int, Inner]]:
        """The documents to look into: all, or those mappings that the first step matches."""
        roots = [(number, yaml_tree.unwrap(root)) for number, root in enumerate(self.tree.documents)]
        match self.steps[0]:
            case Match() as first:
                kept = [
                    (number, root)
                    for number, root in roots
                    if root.type not in MAPPINGS or self.matches(root.node, first, 0)
                ]
                if sum(root.type in MAPPINGS for _, root in kept) > 1:
                    raise self.refusal(Code.EDIT_AMBIGUOUS, "several documents match", 1)
                return kept
            case Key() | Index():
                return roots

    def in_document(self, number: int, inner: Inner) -> Found | Absent:
        trail: Trail = ((number, None),)
        shared = inner.anchor
        slot: Node | None = None
        flow = False
        for at, step in enumerate(self.steps):
            if at == 0 and isinstance(step, Match) and inner.type in MAPPINGS:
                continue
            if inner.type == "alias":
                raise self.refusal(Code.EDIT_ALIAS, "the path goes through an alias", at)
            flow = flow or inner.type.startswith("flow_")
            reached = self.follow(step, at, inner)
            if isinstance(reached, Absent):
                return replace(reached, trail=trail)
            slot, inner, ordinal = reached
            shared = shared or inner.anchor
            trail += ((ordinal, step.name if isinstance(step, Key) else None),)
        if shared:
            raise self.refusal(Code.EDIT_ANCHOR, "an anchor stands on the value or above it")
        return self.scalar(slot, inner, trail, flow=flow)

    def follow(self, step: Step, at: int, inner: Inner) -> Absent | tuple[Node, Inner, int]:
        """One step down: (pair or item, its value, its place)."""
        if inner.node is None or inner.type in STYLES or inner.type == "block_scalar":
            return Absent(at, f"{render(self.steps[:at]) or 'the document'} holds no keys")
        match step:
            case Key() if inner.type in MAPPINGS:
                return self.key(step, at, inner.node)
            case Index() | Match() if inner.type in SEQUENCES:
                return self.item(step, at, inner.node)
            case Key():
                return Absent(at, f"{render(self.steps[:at]) or 'the document'} is a list, not a mapping")
            case Index() | Match():
                return Absent(at, f"{render(self.steps[:at]) or 'the document'} is a mapping, not a list")

    def key(self, step: Key, at: int, mapping: Node) -> Absent | tuple[Node, Inner, int]:
        inside = self.tree.mapping(mapping)
        if inside.aliased:
            raise self.refusal(Code.EDIT_ALIAS, "a key of the mapping is an alias", at)
        hits = inside.places.get(step.name, ())
        if len(hits) > 1:
            raise self.refusal(Code.EDIT_DUPLICATE_KEY, f"the key stands there {len(hits)} times", at + 1)
        if not hits:
            if "<<" in inside.places:
                raise self.refusal(Code.EDIT_MERGE_KEY, "the key does not stand there itself", at + 1)
            return Absent(at, f"there is no key {render((step,))!r}", mapping)
        pair = inside.pairs[hits[0]]
        return pair, yaml_tree.value_of(pair), hits[0]

    def item(self, step: Index | Match, at: int, sequence: Node) -> Absent | tuple[Node, Inner, int]:
        items = yaml_tree.items(sequence)
        match step:
            case Index(number):
                if number >= len(items):
                    return Absent(at, f"the list has {len(items)} items")
                hits = [number]
            case Match():
                hits = [
                    place for place, item in enumerate(items) if self.matches(yaml_tree.item_of(item).node, step, at)
                ]
        if len(hits) > 1:
            raise self.refusal(Code.EDIT_AMBIGUOUS, f"{len(hits)} items match", at + 1)
        if not hits:
            return Absent(at, f"no item matches {step}")
        item = items[hits[0]]
        return item, yaml_tree.item_of(item), hits[0]

    def matches(self, node: Node | None, step: Match, at: int) -> bool:
        return all(self.field(node, keys, at) == text for keys, text in step.conditions)

    def field(self, node: Node | None, keys: tuple[str, ...], at: int) -> str | None:
        """The text of one field of an item, None without it."""
        for key in keys:
            if node is not None and node.type == "alias":
                raise self.refusal(Code.EDIT_ALIAS, "whether it matches hangs on an alias", at + 1)
            hits = [pair for pair in yaml_tree.pairs(node) if yaml_tree.key_text(pair) == key]
            if len(hits) > 1:
                raise self.refusal(Code.EDIT_DUPLICATE_KEY, f"an item has the field {key!r} {len(hits)} times", at + 1)
            if not hits and any(yaml_tree.key_text(pair) == "<<" for pair in yaml_tree.pairs(node)):
                raise self.refusal(Code.EDIT_MERGE_KEY, "whether it matches hangs on a merge key", at + 1)
            node = yaml_tree.value_of(hits[0]).node if hits else None
        if node is not None and node.type == "alias":
            raise self.refusal(Code.EDIT_ALIAS, "whether it matches hangs on an alias", at + 1)
        return yaml_tree.scalar_text(node)

    def scalar(self, slot: Node | None, inner: Inner, trail: Trail, *, flow: bool) -> Found:
        """The place of the scalar at the end of the path."""
        if inner.type == "alias":
            raise self.refusal(Code.EDIT_ALIAS, "the value is an alias")
        if inner.tag:
            raise self.refusal(Code.EDIT_TAG, "the value has an explicit tag")
        if inner.type == "block_scalar":
            raise self.refusal(Code.EDIT_MULTILINE, "the value is a block of several lines")
        pair = slot if slot is not None and slot.type in {"block_mapping_pair", "flow_pair"} else None
        if inner.node is None:
            end = self.empty(slot)
            return Found(end, end, Style.EMPTY, "", flow, trail, pair)
        if inner.type not in STYLES:
            raise self.refusal(Code.EDIT_NOT_SCALAR, "the value is a mapping or a list")
        text = yaml_tree.scalar_text(inner.node)
        if text is None:
            raise self.refusal(Code.EDIT_MULTILINE, "the value goes over several lines")
        return Found(inner.node.start_byte, inner.node.end_byte, STYLES[inner.type], text, flow, trail, pair)

    def empty(self, slot: Node | None) -> int:
        """Where a value goes that is not there yet: behind the `:` or the `-`."""
        mark = next((child for child in reversed(slot.children) if child.type != "comment"), None) if slot else None
        if mark is None or mark.type not in {":", "-"} or (slot and slot.children[0].type == "?"):
            raise self.refusal(Code.EDIT_NOT_SCALAR, "there is no plain place for a value")
        return mark.end_byte
