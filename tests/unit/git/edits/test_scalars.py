"""How values are written, and what the readers of the world make of it."""

import json
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from loopseal.errors import Code, Refused
from loopseal.git.edits import scalars
from loopseal.git.edits.scalars import Style

integers = st.integers(-scalars.MAX_INTEGER, scalars.MAX_INTEGER)
floats = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Cn"]), max_size=40)
nasty = st.text(alphabet="yntrueno0123456789_.+-eExXobn:~ #'\"{}[],&*!|>%@`=<\\TZ", max_size=12)
values = st.one_of(st.none(), st.booleans(), integers, floats, texts, nasty)


@given(values, st.sampled_from(list(Style)), st.booleans())
def test_everybody_reads_back_what_was_written(value, style, flow):
    text = scalars.yaml_text(value, style, flow=flow)
    told = yaml.safe_load(f"[{text}]" if flow else f"k: {text}\n")
    read = told[0] if flow else told["k"]
    assert scalars.same(read, value)
    assert "\n" not in text


@given(values)
def test_json_reads_back_what_was_written(value):
    assert scalars.same(json.loads(scalars.json_text(value)), value)


@given(nasty)
def test_a_plain_text_is_a_text_to_both_readers(text):
    if scalars.yaml_text(text) == text:
        assert scalars.meaning(text) == text
        assert scalars.meaning_1_1(text) == text


@given(texts, st.sampled_from([Style.DOUBLE, Style.SINGLE]))
def test_quoting_comes_back(text, style):
    assert scalars.unquote(scalars.yaml_text(text, style), style) == text


@pytest.mark.parametrize(
    ("text", "kubernetes", "core", "old"),
    [
        ("yes", True, "yes", True),
        ("Off", False, "Off", False),
        ("true", True, True, True),
        ("y", "y", "y", "y"),
        ("", None, None, None),
        ("~", None, None, None),
        ("null", None, None, None),
        ("12", 12, 12, 12),
        ("0644", 420, 644, 420),
        ("0o7", 7, 7, "0o7"),
        ("0x1F", 31, 31, 31),
        ("0b11", 3, "0b11", 3),
        ("1_000", 1000, "1_000", 1000),
        ("1e3", 1000.0, 1000.0, "1e3"),
        ("1.10", 1.1, 1.1, 1.1),
        (".5", 0.5, 0.5, 0.5),
        ("08", 8, 8, "08"),
        ("12:30:45", "12:30:45", "12:30:45", 45045),
        ("+1", 1, 1, 1),
        ("9007199254740993", "9007199254740993", "9007199254740993", 9007199254740993),
        ("0x20000000000001", "0x20000000000001", "0x20000000000001", 9007199254740993),
        (".inf", ".inf", ".inf", math.inf),
        ("1e999", "1e999", "1e999", "1e999"),
        ("2001-99-99", "2001-99-99", "2001-99-99", None),
        ("=", "=", "=", None),
        ("v1.2", "v1.2", "v1.2", "v1.2"),
        ("1" * 500, "1" * 500, "1" * 500, None),
    ],
)
def test_readings(text, kubernetes, core, old):
    style = Style.PLAIN if text else Style.EMPTY
    assert (scalars.value_of(text, style), scalars.meaning(text), scalars.meaning_1_1(text)) == (kubernetes, core, old)
    assert scalars.value_of(text, Style.DOUBLE) == text


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "Yes", "YES", "no", "on", "OFF", "y", "N", "true", "False", "null", "Null", "~", "", "=", "<<"),
        *(
            "1",
            "-1",
            "+1",
            "1.",
            "1.5",
            ".5",
            "1e3",
            "1E+3",
            "1e",
            "1_000",
            "1,000",
            "0644",
            "08",
            "0o7",
            "0x1F",
            "0b1",
        ),
        *(
            "0x1p-2",
            ".inf",
            "-.INF",
            ".nan",
            "inf",
            "NaN",
            "12:30",
            "12:30:45.6",
            "2001-01-01",
            "2001-1-1",
            "2001-12-14t21:59:43.10-05:00",
        ),
    ],
)
def test_ambiguous_texts_are_quoted(text):
    assert scalars.is_ambiguous(text)
    assert scalars.yaml_text(text) == f'"{text}"'
    assert scalars.yaml_text(text, Style.SINGLE) == f"'{text}'"


@pytest.mark.parametrize(
    "text", ["v1", "1.2.3", "1.2.3-rc1", "a b", "main", "10.0.0.1", "deadbeef", "1a", "-x", "--flag=1", ".x", "é"]
)
def test_clear_texts_stay_plain(text):
    assert scalars.yaml_text(text) == text


@pytest.mark.parametrize(
    ("number", "text"), [(1e22, "1.0e+22"), (1e-7, "1.0e-07"), (1.5, "1.5"), (2.0, "2.0"), (-0.0, "-0.0"), (5, "5")]
)
def test_numbers(number, text):
    assert scalars.yaml_text(number) == text
    assert scalars.yaml_text(number, Style.DOUBLE) == text


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("a\nb", "U+000A"),
        ("a\rb", "U+000D"),
        ("\t", "U+0009"),
        ("\x00", "U+0000"),
        ("\x7f", "U+007F"),
        ("\x85", "U+0085"),
        ("\u2028", "U+2028"),
        ("\u202e", "U+202E"),
        ("\u200b", "U+200B"),
        ("\ufeff", "U+FEFF"),
        ("\ud800", "U+D800"),
        ("\uffff", "U+FFFF"),
        ("\U0001fffe", "U+1FFFE"),
        ("x" * (scalars.MAX_TEXT + 1), "more than"),
        (2**53, "beyond"),
        (-(2**53), "beyond"),
        (math.inf, "not finite"),
        (math.nan, "not finite"),
    ],
)
def test_values_that_are_refused(value, problem):
    with pytest.raises(Refused, match=problem.replace("+", r"\+")) as caught:
        scalars.check(value, "f.yaml: k")
    assert caught.value.code is Code.EDIT_VALUE
    assert caught.value.where == "f.yaml: k"


@pytest.mark.parametrize(
    "value", [None, True, 0, 2**53 - 1, 1.5, "", "x" * scalars.MAX_TEXT, "a\u00a0b", "日本", "\U0001f680", "\ue000"]
)
def test_values_that_are_fine(value):
    scalars.check(value, "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (r'"\x41\u00e9\U0001F680"', "Aé\U0001f680"),
        (r'"\0\a\b\t\n\v\f\r\e\ \"\/\\\N\_\L\P"', '\0\a\b\t\n\v\f\r\x1b "/\\\x85\xa0\u2028\u2029'),
    ],
)
def test_escapes(text, said):
    assert scalars.unquote(text, Style.DOUBLE) == said == yaml.safe_load(text)


@pytest.mark.parametrize("text", [r'"\q"', r'"\x4"', r'"\ud83d\ude00"', r'"\U00110000"', '"\\'])
def test_unknown_escapes(text):
    with pytest.raises(ValueError, match=r".+"):
        scalars.unquote(text + '"' * (not text.endswith('"')), Style.DOUBLE)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (1, "1", False),
        (None, None, True),
        ("a", "a", True),
        (True, True, True),
        (None, "", False),
    ],
)
def test_same(one, other, alike):
    assert scalars.same(one, other) is alike
    assert scalars.same(other, one) is alike
