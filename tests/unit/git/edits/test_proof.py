"""A proof is worth what it refuses: results that a wrong edit would have made."""

import pytest

from loopseal.errors import Code, Refused
from loopseal.git.edits import selector, yaml_path, yaml_tree
from loopseal.git.edits.events import events, place_of
from loopseal.git.edits.proof import Change, Claim, middle, prove

BEFORE = "# top\na:\n  b: old # why\n  c: 1\nl:\n- x: &x 1\n- y: *x\n"


def check(change, key, value, after, *, before=BEFORE, trail=None):
    tree = yaml_tree.parse("f.yaml", before.encode())
    steps = selector.parse(key)
    place = yaml_path.find(tree, steps)
    prove(Claim(change, steps, trail or place.trail, value), tree, after.encode())


ADDED = ((0, None), (0, "a"), (2, "d"))

GOOD = [
    (Change.SET, "a.b", "new", BEFORE.replace("old", "new"), None),
    (Change.SET, "a.b", "new", BEFORE.replace("old", '"new"'), None),
    (Change.SET, "a.b", 5, BEFORE.replace("old", "5"), None),
    (Change.REMOVE, "a.b", None, BEFORE.replace("  b: old # why\n", ""), None),
    (Change.ADD, "a.d", "new", BEFORE.replace("c: 1\n", "c: 1\n  d: new\n"), ADDED),
]


@pytest.mark.parametrize(("change", "key", "value", "after", "trail"), GOOD)
def test_right_results_are_proved(change, key, value, after, trail):
    check(change, key, value, after, trail=trail)


BAD = {
    "another value": (Change.SET, "a.b", "new", BEFORE.replace("old", "other"), None),
    "another type": (Change.SET, "a.b", "5", BEFORE.replace("old", "5"), None),
    "a text for a number": (Change.SET, "a.b", 5, BEFORE.replace("old", "'5'"), None),
    "a text of 1.2 only": (Change.SET, "a.b", "yes", BEFORE.replace("old", "yes"), None),
    "a text of 1.1 only": (Change.SET, "a.b", "1e3", BEFORE.replace("old", "1e3"), None),
    "two values": (Change.SET, "a.b", "new", BEFORE.replace("old", "new").replace("c: 1", "c: 2"), None),
    "a comment lost": (Change.SET, "a.b", "new", BEFORE.replace("old # why", "new"), None),
    "a comment grown": (Change.SET, "a.b", "new", BEFORE.replace("old", "new # x"), None),
    "the wrong place": (Change.SET, "a.b", "new", BEFORE.replace("c: 1", "c: new"), None),
    "a key changed": (Change.SET, "a.b", "old", BEFORE.replace("  c:", "  d:"), None),
    "a collection": (Change.SET, "a.b", "new", BEFORE.replace("old", "[new]"), None),
    "an anchor": (Change.SET, "a.b", "new", BEFORE.replace("old", "&n new"), None),
    "a tag": (Change.SET, "a.b", "new", BEFORE.replace("old", "!t new"), None),
    "broken": (Change.SET, "a.b", "new", BEFORE.replace("old", '"new'), None),
    "a document more": (Change.SET, "a.b", "new", BEFORE.replace("old", "new") + "---\n", None),
    "not removed": (Change.REMOVE, "a.b", None, BEFORE, None),
    "another removed": (Change.REMOVE, "a.b", None, BEFORE.replace("  c: 1\n", ""), None),
    "two removed": (Change.REMOVE, "a.b", None, BEFORE.replace("  b: old # why\n  c: 1\n", "  x:\n"), None),
    "too much removed": (
        Change.REMOVE,
        "a.b",
        None,
        BEFORE.replace("# top\n", "").replace("  b: old # why\n", ""),
        None,
    ),
    "not added": (Change.ADD, "a.d", "new", BEFORE, ADDED),
    "two added": (Change.ADD, "a.d", "new", BEFORE.replace("c: 1\n", "c: 1\n  d: new\n  e: new\n"), ADDED),
    "added elsewhere": (Change.ADD, "a.d", "new", BEFORE + "d: new\n", ADDED),
    "added with another value": (Change.ADD, "a.d", "new", BEFORE.replace("c: 1\n", "c: 1\n  d: old\n"), ADDED),
    "added as another's value": (Change.ADD, "a.d", "new", BEFORE.replace("c: 1\n", "c: 1\n    d: new\n"), ADDED),
    "filled twice": (Change.FILL, "a.b", "new", BEFORE.replace("old", "new"), None),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_results_are_refused(case):
    change, key, value, after, trail = BAD[case]
    with pytest.raises(Refused) as caught:
        check(change, key, value, after, trail=trail)
    assert caught.value.code is Code.EDIT_UNPROVEN
    assert caught.value.where == f"f.yaml: {key}"


def test_the_second_parser_must_agree():
    """tree-sitter takes what libyaml refuses, such as a tab before a comment: then the result is not proved."""
    with pytest.raises(Refused, match="libyaml rejects the result"):
        check(Change.SET, "a", "1", 'a: "1"\n\t# x\n', before="a: 2\n\n# x\n".replace("\n\n", "\n "))


def test_without_the_second_parser_the_first_proof_stands():
    before = "a: old\n\t# tab\nb: 1\n"
    assert events(before.encode()) is None
    check(Change.SET, "a", "new", before.replace("old", "new"), before=before)
    with pytest.raises(Refused):
        check(Change.SET, "a", "new", before.replace("old", "new").replace("b: 1", "b: 2"), before=before)


@pytest.mark.parametrize(
    ("text", "trail", "value"),
    [
        ("a: {b: [x, y]}\n", ((0, None), (0, "a"), (0, "b"), (1, None)), "y"),
        ("a: 1\n---\nb: 2\n", ((1, None), (0, "b")), "2"),
        ("? [k]\n: v\n", ((0, None), (0, None)), "v"),
        ("a: &x 1\nb: *x\nc: 3\n", ((0, None), (2, "c")), "3"),
    ],
)
def test_places_of_libyaml(text, trail, value):
    stream = events(text.encode())
    assert stream is not None
    at = place_of(stream, trail)
    assert at is not None
    assert stream[at][-1] == value


def test_a_place_that_is_not_there():
    stream = events(b"a: 1\n")
    assert stream is not None
    assert place_of(stream, ((0, None), (0, "b"))) is None
    assert place_of(stream, ((1, None), (0, "a"))) is None


@pytest.mark.parametrize(
    ("old", "new", "left"),
    [
        ("abc", "abc", ("", "")),
        ("abc", "axc", ("b", "x")),
        ("ac", "abc", ("", "b")),
        ("aa", "aaa", ("", "a")),
        ("", "x", ("", "x")),
    ],
)
def test_middle(old, new, left):
    assert middle(old, new) == left
