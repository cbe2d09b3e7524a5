"""What the tree of a file holds, and that nothing which breaks its parser ever reaches it.

A failure of the last tests is a crash of the test process: the parser would have written beyond its memory.
"""

import random

import pytest

from loopseal.errors import Code, Refused
from loopseal.git.edits import yaml_tree


def parse(text: str | bytes) -> yaml_tree.Tree:
    return yaml_tree.parse("f.yaml", text if isinstance(text, bytes) else text.encode())


def test_the_leaves_in_order():
    tree = parse("a: 1 # c\nb: [&x 'y', *x]\nc: !t |\n  text\n\n")
    leaves = [token for token in tree.tokens if token[0] not in "<>[]"]
    assert leaves == [
        ("plain_scalar", b"a"),
        ("plain_scalar", b"1"),
        ("plain_scalar", b"b"),
        ("anchor", b"&x"),
        ("single_quote_scalar", b"'y'"),
        ("alias", b"*x"),
        ("plain_scalar", b"c"),
        ("tag", b"!t"),
        ("block_scalar", b"|\n  text"),
    ]
    assert tree.comments == [("comment", b"# c")]


def test_nesting_shows_in_the_tokens():
    one, other = parse("a:\n  b: 1\nc: 2\n"), parse("a:\n  b: 1\n  c: 2\n")
    leaves = [[token for token in tree.tokens if token[0] not in "<>"] for tree in (one, other)]
    assert leaves[0] == leaves[1]
    assert one.tokens != other.tokens


def test_what_is_text_whatever_it_looks_like():
    body = "a: '{{x}}' # {{y}}\nb: |\n  {{z}}\nc: \"{{q}}\"\n"
    spans = [body.encode()[start:end] for start, end in parse(body).texts]
    assert spans == [b"'{{x}}'", b"# {{y}}", b"|\n  {{z}}", b'"{{q}}"']


@pytest.mark.parametrize(
    ("line", "text"), [(1, "{{ x }}\n"), (3, "a: 1\nb:\n- {{ x }}\n"), (2, "a: '{{'\nb: x{{y}}\n")]
)
def test_templates_are_named_by_their_line(line, text):
    with pytest.raises(Refused, match=f"line {line} holds a template") as caught:
        parse(text)
    assert caught.value.code is Code.EDIT_TEMPLATE


def test_tabs_are_named_by_their_line():
    with pytest.raises(Refused, match="line 2 is indented by a tab") as caught:
        parse("a: x\n\ty\nb: 1\n")
    assert caught.value.code is Code.EDIT_SYNTAX


@pytest.mark.parametrize(
    "text",
    [
        "".join(" " * depth + "a:\n" for depth in range(80)),
        "".join("  " * depth + "- a:\n" for depth in range(45)),
        "- " * 95 + "x\n",
        "? " * 60 + "x\n",
        "a: " + "[" * 95 + "]" * 95 + "\n",
        "a: " + "{b: " * 60 + "}" * 60 + "\n",
    ],
    ids=["mappings", "lists", "one line", "keys", "flow lists", "flow mappings"],
)
def test_what_nobody_nests_by_hand_still_parses(text):
    assert not parse(text).root.has_error


OPENERS = [
    "- ",
    "? ",
    ": ",
    "a: ",
    "- a: ",
    "'x': ",
    "!t - ",
    "&a - ",
    "\t- ",
    "a: - ",
    "-\t",
    "[a: ",
    "{a: ",
    "--- ",
    "> ",
]
BROKEN = ["''''", "]", "}", "a: b: c", "'", '"', "@", "%", "*a *b", "x y: z: ", "[", "{", "|", "> x", "'' ''", "x", ""]


def tower(chance: random.Random) -> str:
    """A broken file that would nest as deep as the parser lets it."""
    depth = chance.choice([0, 10, 30, 59, 60, 100])
    lines = [" " * level + "a:" for level in range(depth)]
    for _ in range(chance.randint(1, 8)):
        lead = " " * chance.choice([depth, depth, 0, depth + 1, 60, 100, 200])
        run = chance.choice(OPENERS) * chance.choice([1, 5, 20, 30, 60, 118, 150, 250, 300])
        lines.append(lead + chance.choice(BROKEN) + run + chance.choice(["x", "", chance.choice(BROKEN), "\n---"]))
    return "\n".join(lines)


@pytest.mark.parametrize("chunk", range(4))
def test_no_tower_of_blocks_breaks_the_parser(chunk):
    refused = 0
    for seed in range(chunk * 500, (chunk + 1) * 500):
        try:
            parse(tower(random.Random(seed)))
        except Refused:
            refused += 1
    assert refused > 400
