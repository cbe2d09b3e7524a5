"""Set, add and remove one key of a YAML file, byte by byte: read, locate, splice, prove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tree_sitter import Node

from loopseal.domain.proposal import ABSENT, Expect, Scalar
from loopseal.errors import Code, Refused
from loopseal.git.edits import proof, scalars, yaml_path, yaml_tokens, yaml_tree
from loopseal.git.edits.proof import Change, Claim
from loopseal.git.edits.scalars import Style
from loopseal.git.edits.selector import Key, Step, render
from loopseal.git.edits.yaml_path import Absent, Found


class YamlFile:
    """One YAML file and one selector into it."""

    def __init__(self, path: str, data: bytes, steps: Sequence[Step]) -> None:
        self.tree, self.steps = yaml_tree.parse(path, data), tuple(steps)
        self.source = self.tree.source
        self.place = yaml_path.find(self.tree, self.steps)
        self.where = f"{path}: {render(self.steps)}"

    @property
    def missing(self) -> str:
        """Why the key is not there, empty when it is."""
        return self.place.why if isinstance(self.place, Absent) else ""

    @property
    def value(self) -> Scalar | Expect:
        """What stands under the key, or ABSENT."""
        if isinstance(self.place, Absent):
            return ABSENT
        return scalars.value_of(self.place.text, self.place.style)

    def meets(self, expect: Scalar) -> bool:
        """Whether the value is the expected one, in any of the readings that a plain scalar has."""
        if isinstance(self.place, Absent):
            return False
        return any(scalars.same(expect, reading) for reading in scalars.readings(self.place.text, self.place.style))

    def set(self, value: Scalar) -> bytes:
        """The file with `value` under the key, which must be there."""
        place = self._found()
        if scalars.is_written(value, place.text, place.style):
            return self.source.mark + self.source.body
        piece = scalars.yaml_text(value, place.style, flow=place.flow)
        if place.style is Style.EMPTY:
            piece = " " + piece
        after = self.source.splice(place.start, place.end, piece)
        change = Change.FILL if place.style is Style.EMPTY else Change.SET
        proof.prove(Claim(change, self.steps, place.trail, value), self.tree, after)
        return after

    def _found(self) -> Found:
        if isinstance(self.place, Absent):
            raise self.refusal(Code.EDIT_KEY_MISSING, self.place.why)
        if "{{" in self.place.text:
            raise self.refusal(Code.EDIT_TEMPLATE, "the value is a template: something else will fill it")
        return self.place

    def add(self, value: Scalar) -> bytes:
        """The file with the key added as the last one of its mapping."""
        key = self.steps[-1]
        if not isinstance(self.place, Absent) or not isinstance(key, Key):
            raise self.refusal(Code.EDIT_KEY_MISSING, "only a key can be added, and only one that is not there")
        mapping = self.place.mapping
        if mapping is None or self.place.step != len(self.steps) - 1:
            raise self.refusal(Code.EDIT_KEY_MISSING, self.place.why)
        pairs = yaml_tree.pairs(mapping)
        match mapping.type:
            case "block_mapping":
                at, piece = self._block_line(pairs[-1], key, value)
            case "flow_mapping":
                at, piece = self._flow_piece(mapping, pairs, key, value)
            case _:
                raise self.refusal(Code.EDIT_NOT_SCALAR, "this pair in a list has no room for another key")
        trail = (*self.place.trail, (len(pairs), key.name))
        after = self.source.splice(at, at, piece)
        proof.prove(Claim(Change.ADD, self.steps, trail, value), self.tree, after)
        return after

    def _block_line(self, last: Node, key: Key, value: Scalar) -> tuple[int, str]:
        body = self.source.body
        start = body.rfind(b"\n", 0, last.start_byte) + 1
        lead = body[start : last.start_byte]
        if lead.strip(b" -"):
            raise self.refusal(Code.EDIT_NOT_SCALAR, "the mapping begins in the middle of a line")
        end = _content_end(body, last)
        at = body.find(b"\n", end)
        at = len(body) if at < 0 else at - (body[at - 1] == ord("\r"))
        text = f"{scalars.yaml_text(key.name, _key_style(last))}: {scalars.yaml_text(value)}"
        return at, self.source.newline + " " * len(lead) + text

    def _flow_piece(self, mapping: Node, pairs: list[Node], key: Key, value: Scalar) -> tuple[int, str]:
        style = _key_style(pairs[-1]) if pairs else Style.PLAIN
        value_style = _value_style(pairs[-1]) if pairs else Style.PLAIN
        name = scalars.yaml_text(key.name, style, flow=True)
        text = f"{name}: {scalars.yaml_text(value, value_style, flow=True)}"
        if pairs:
            return pairs[-1].end_byte, ", " + text
        return mapping.start_byte + 1, text

    def remove(self) -> bytes:
        """The file without the key, which must be there with a scalar value."""
        place = self._found()
        if place.pair is None or not isinstance(self.steps[-1], Key):
            raise self.refusal(Code.EDIT_NOT_SCALAR, "only a key of a mapping can be removed")
        mapping = place.pair.parent
        siblings = yaml_tree.pairs(mapping)
        if place.pair.type == "block_mapping_pair":
            start, end = self._own_lines(place, len(siblings))
        else:
            start, end = self._own_share(place.pair, mapping, siblings)
        after = self.source.splice(start, end, "")
        proof.prove(Claim(Change.REMOVE, self.steps, place.trail, None), self.tree, after)
        return after

    def _own_lines(self, place: Found, siblings: int) -> tuple[int, int]:
        body, pair = self.source.body, place.pair
        assert pair is not None  # noqa: S101 - asked by the only caller
        start = body.rfind(b"\n", 0, pair.start_byte) + 1
        if siblings == 1 or body[start : pair.start_byte].strip(b" "):
            raise self.refusal(Code.EDIT_NOT_SCALAR, "the key is the only one, or the first of a list's item")
        end = body.find(b"\n", max(place.end, pair.end_byte)) + 1
        if not end:  # the last line of a file that ends without a line feed: the one before it ends so, then
            start, end = max(start - 1, 0), len(body)
            start -= start > 0 and body[start - 1 : start] == b"\r"
        return start, end

    def _own_share(self, pair: Node, mapping: Node | None, siblings: list[Node]) -> tuple[int, int]:
        if mapping is None or mapping.type != "flow_mapping":
            raise self.refusal(Code.EDIT_NOT_SCALAR, "this pair in a list cannot be removed")
        place = siblings.index(pair)
        start, end = pair.start_byte, pair.end_byte
        if place:
            start = siblings[place - 1].end_byte
        elif len(siblings) > 1:
            end = siblings[1].start_byte
        if b"#" in self.source.body[start : pair.start_byte] + self.source.body[pair.end_byte : end]:
            raise self.refusal(Code.EDIT_NOT_SCALAR, "a comment stands between this key and the next")
        return start, end

    def refusal(self, code: Code, message: str) -> Refused:
        """The refusal to edit this key."""
        return Refused(code, message, where=self.where, hint=_HINTS[code])


_HINTS: Final = {
    Code.EDIT_KEY_MISSING: "Check the path; create=True adds the last key to a mapping that is there.",
    Code.EDIT_NOT_SCALAR: "Name one key with one value, or write the whole file with PutFile.",
    Code.EDIT_TEMPLATE: "Edit the values that the template is rendered from.",
}


def _content_end(body: bytes, node: Node) -> int:
    """Where the last thing within `node` ends that is no comment and no blank line."""
    while True:
        inside = [child for child in node.children if child.type != "comment"]
        if node.type in yaml_tokens.LEAVES or not inside:
            break
        node = inside[-1]
    end = node.end_byte
    while end > node.start_byte and body[end - 1 : end].isspace():
        end -= 1
    return end


def _key_style(pair: Node) -> Style:
    """Keys are written as their neighbour is: in double quotes, or plain."""
    return Style.DOUBLE if yaml_tree.key_of(pair).type == "double_quote_scalar" else Style.PLAIN


def _value_style(pair: Node) -> Style:
    return Style.DOUBLE if yaml_tree.value_of(pair).type == "double_quote_scalar" else Style.PLAIN
