"""The grammar of selectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.errors import Code, Refused
from loopseal.git.edits.selector import MAX_LENGTH, MAX_STEPS, Index, Key, Match, parse, render


def match(**fields):
    return Match(tuple(((name,), text) for name, text in fields.items()))


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("a", (Key("a"),)),
        ("image.tag", (Key("image"), Key("tag"))),
        ("a[0]", (Key("a"), Index(0))),
        ("[2].b", (Index(2), Key("b"))),
        ("a[0][12]", (Key("a"), Index(0), Index(12))),
        ("env[name=LOG_LEVEL].value", (Key("env"), match(name="LOG_LEVEL"), Key("value"))),
        ("a[image=nginx:1.25/x]", (Key("a"), match(image="nginx:1.25/x"))),
        ("a[kind=X,name=y]", (Key("a"), match(kind="X", name="y"))),
        ('a[name="x, ]y"]', (Key("a"), match(name="x, ]y"))),
        ("a[m.n=x]", (Key("a"), Match(((("m", "n"), "x"),)))),
        ('a["m.n".o=x]', (Key("a"), Match(((("m.n", "o"), "x"),)))),
        (
            "[kind=Deployment,metadata.name=web].spec",
            (Match(((("kind",), "Deployment"), (("metadata", "name"), "web"))), Key("spec")),
        ),
        ('"dotted.key".x', (Key("dotted.key"), Key("x"))),
        ('a."app.kubernetes.io/name"', (Key("a"), Key("app.kubernetes.io/name"))),
        (r'"q\"uote\\"', (Key('q"uote\\'),)),
        ('""', (Key(""),)),
        ("a/b-c_d.$x", (Key("a/b-c_d"), Key("$x"))),
        ("0.1", (Key("0"), Key("1"))),
        ("schlüssel.日本", (Key("schlüssel"), Key("日本"))),
        ("it's", (Key("it's"),)),
        ("a[name=it's]", (Key("a"), match(name="it's"))),
        ("a[007]", (Key("a"), Index(7))),
    ],
)
def test_selectors(text, steps):
    assert parse(text) == steps
    assert parse(render(steps)) == steps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a key, at character 1"),
        (".", "expected a key, at character 1"),
        ("a.", "expected a key, at character 3"),
        ("a..b", "expected a key, at character 3"),
        ("a b", "expected '.', '[' or the end, at character 2"),
        (" a", "expected a key, at character 1"),
        ("a[", "expected a key, at character 3"),
        ("a[]", "expected a key, at character 3"),
        ("a[-1]", "counted from the front, at character 2"),
        ("a[-0]", "counted from the front"),
        ("a[x]", "expected '='"),
        ("a[1x]", "expected '='"),
        ("a[9999999999]", "expected '='"),
        ("a[x=]", "expected a text, at character 5"),
        ("a[x=y", "expected ',' or ']', at character 6"),
        ("a[x=y,]", "expected a key"),
        ("a[x=y]]", "expected '.', '[' or the end"),
        ("a]", "expected '.', '[' or the end"),
        ("a=b", "expected '.', '[' or the end"),
        ('"a', "not closed"),
        (r'"a\n"', "not closed, or holds an escape"),
        ('"a"b', "expected '.', '[' or the end"),
        ('a"b"', "expected '.', '[' or the end"),
        ("a\\b", "expected '.', '[' or the end"),
        ("a\n", "expected '.', '[' or the end"),
        ("a" * (MAX_LENGTH + 1), "at most"),
        (".".join("a" * (MAX_STEPS + 1)), "at most 64 steps"),
    ],
)
def test_what_is_no_selector(text, message):
    with pytest.raises(Refused, match=message.replace("[", r"\[").replace("?", r"\?")) as caught:
        parse(text)
    assert caught.value.code is Code.EDIT_SELECTOR


names = st.text(max_size=12)
steps = st.one_of(
    names.map(Key),
    st.integers(0, 10**9 - 1).map(Index),
    st.lists(st.tuples(st.lists(names, min_size=1, max_size=3).map(tuple), names), min_size=1, max_size=3).map(
        lambda conditions: Match(tuple(conditions))
    ),
)


@given(st.lists(steps, min_size=1, max_size=6).map(tuple))
def test_every_selector_can_be_written(path):
    assert parse(render(path)) == path


@given(st.text(alphabet='ab.[]="\\, 0-1\n', max_size=20))
def test_any_text_is_a_selector_or_is_refused_with_its_place(text):
    try:
        path = parse(text)
    except Refused as refused:
        told = (refused.code, bool(refused.hint))
    else:
        told = parse(render(path)) == path
    assert told in (True, (Code.EDIT_SELECTOR, True))
