"""How a value is written as one scalar, and what a scalar means to those who read it.

Readers disagree: `yes` is true in YAML 1.1 and a text in 1.2, `1e3` is a text in PyYAML and a number in Go, `12:30:45`
is 45045 in 1.1. So a text is written plain only if everybody reads a text, and a number only as everybody writes it.
Sources: yaml.org/type (1.1), YAML 1.2.2 §10.3 (core schema), resolve.go of go-yaml v2 and v3.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from enum import Enum
from typing import Any, Final

import yaml

from loopseal.domain.proposal import Scalar
from loopseal.errors import Code, Refused

MAX_TEXT: Final = 64 * 1024
"""Characters of one value."""
MAX_INTEGER: Final = 2**53 - 1
"""What every JSON reader keeps exactly (RFC 8785)."""


class Style(Enum):
    """How a scalar is written."""

    PLAIN = "plain"
    DOUBLE = '"'
    SINGLE = "'"
    EMPTY = "empty"


_SAFE_PLAIN: Final = re.compile(r"(?!---|\.\.\.)(?:[\w/+~$(^.]|-(?=\S))(?:[\w./:@+=%~$()^<>;*!&?,'-]| (?=\S))*")
"""Texts that no indicator of YAML begins, ends or breaks. The pairs `: ` and ` #` are looked for beside it."""
_SAFE_FLOW: Final = re.compile(r"[^:,?\[\]{}]*")
"""…and within a flow collection, where old readers stumble over colons."""

_AMBIGUOUS: Final = re.compile(
    r"""(?ix)
      ~ | null | y | n | yes | no | on | off | true | false | = | <<
    | [-+]? [0-9][0-9_,]* (\.[0-9_]*)? (e[-+]?[0-9_]*)?            # decimal numbers, octal by a leading 0
    | [-+]? \.[0-9_]+ (e[-+]?[0-9_]*)?
    | [-+]? 0 [xob] [0-9a-f_]* (\.[0-9a-f_]*)? (p[-+]?[0-9]*)?     # other bases, Go's hexadecimal floats
    | [-+]? \.? (inf | infinity | nan)
    | [-+]? [0-9][0-9_]* (:[0-9]+)+ (\.[0-9_]*)?                   # base 60
    | [0-9]{1,4} - [0-9]{1,2} - [0-9]{1,2} ([t\ ].*)?              # dates
    """
)

_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LONGEST_NUMBER: Final = 400
"""Characters; no finite number needs more, and arithmetic on longer ones is an attack."""


def check(value: Scalar, where: str) -> None:
    """Raise Refused (`edit.value`) unless `value` can stand in one line and mean the same to every reader."""
    problem = _problem(value)
    if problem:
        raise Refused(
            Code.EDIT_VALUE, problem, where=where, hint="A value is one line of text, a number, true, false or null."
        )


def _problem(value: Scalar) -> str:
    match value:
        case None | bool():
            return ""
        case int():
            return "" if abs(value) <= MAX_INTEGER else "the integer is beyond ±(2**53 - 1)"
        case float():
            return "" if math.isfinite(value) else "the number is not finite"
        case str():
            return _text_problem(value)


def _text_problem(text: str) -> str:
    if len(text) > MAX_TEXT:
        return f"the text has more than {MAX_TEXT} characters"
    for char in text:
        if not char.isprintable() and (
            unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} or ord(char) & 0xFFFE == 0xFFFE  # noqa: PLR2004 - the last two code points of a plane are no characters
        ):
            return f"the text holds U+{ord(char):04X}, which nobody can see"
    return ""


def is_ambiguous(text: str) -> bool:
    """Whether some reader takes the plain scalar `text` for something else than this text."""
    return not text or bool(_AMBIGUOUS.fullmatch(text)) or meaning(text) != text or meaning_1_1(text) != text


def yaml_text(value: Scalar, style: Style = Style.PLAIN, *, flow: bool = False) -> str:
    """`value` as YAML, in the style of the scalar it replaces where that keeps its type."""
    match value:
        case str():
            return _yaml_string(value, style, flow=flow)
        case float():
            return _yaml_float(value)
        case None | bool() | int():
            return json.dumps(value)


def _yaml_string(text: str, style: Style, *, flow: bool) -> str:
    if style is Style.SINGLE:
        return "'" + text.replace("'", "''") + "'"
    if style is Style.DOUBLE or not _plain(text, flow=flow):
        return json.dumps(text, ensure_ascii=False)
    return text


def _plain(text: str, *, flow: bool) -> bool:
    return (
        bool(_SAFE_PLAIN.fullmatch(text))
        and not text.endswith(":")
        and ": " not in text
        and not (flow and not _SAFE_FLOW.fullmatch(text))
        and not is_ambiguous(text)
    )


def _yaml_float(value: float) -> str:
    text = repr(value)
    if "." not in text:  # YAML 1.1 wants the point: 1e+22 would be a text
        text = text.replace("e", ".0e")
    return text


def json_text(value: Scalar) -> str:
    """`value` as JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def unquote(text: str, style: Style) -> str:
    """What a scalar of one line says, without its quotes. Raises ValueError for an escape that YAML does not know."""
    match style:
        case Style.PLAIN | Style.EMPTY:
            return text
        case Style.SINGLE:
            return text[1:-1].replace("''", "'")
        case Style.DOUBLE:
            return _ESCAPE.sub(_unescaped, text[1:-1])


_ESCAPE: Final = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.?))", re.DOTALL)
_ESCAPES: Final = dict(zip('0abtnvfre "/\\N_LP\t', '\0\a\b\t\n\v\f\r\x1b "/\\\x85\xa0\u2028\u2029\t', strict=True))


def _unescaped(found: re.Match[str]) -> str:
    number = found[1] or found[2] or found[3]
    if number is None:
        if found[4] not in _ESCAPES:
            raise ValueError(found[0])
        return _ESCAPES[found[4]]
    if 0xD800 <= int(number, 16) <= 0xDFFF:  # noqa: PLR2004 - surrogates are no characters
        raise ValueError(found[0])
    return chr(int(number, 16))


def value_of(text: str, style: Style) -> Scalar:
    """What a scalar means to those who apply manifests; `text` is without quotes.

    That is Go's reading: the core schema of 1.2, but `yes` and `on` are true, `0644` is octal, `1_000` is a number.
    What is no `Scalar` (dates, infinities, integers beyond 2**53) stays the text it is.
    """
    if style in {Style.DOUBLE, Style.SINGLE}:
        return text
    old = meaning_1_1(text)
    if isinstance(old, bool) or (type(old) is int and ":" not in text):
        return old if abs(old) <= MAX_INTEGER else text
    return meaning(text)


def readings(text: str, style: Style) -> tuple[Any, ...]:
    """All that a scalar may be taken for: what an expectation may name. `text` is without quotes."""
    if style in {Style.DOUBLE, Style.SINGLE}:
        return (text,)
    return (meaning(text), meaning_1_1(text), value_of(text, style), text)


def is_written(value: Scalar, text: str, style: Style) -> bool:
    """Whether the scalar means `value` already, to every reader and in its own type."""
    if style in {Style.DOUBLE, Style.SINGLE}:
        return value == text and isinstance(value, str)
    if style is Style.EMPTY:
        return value is None
    return all(type(found) is type(value) and found == value for found in (meaning(text), meaning_1_1(text)))


def meaning(text: str) -> Scalar:
    """What the plain scalar `text` means by the core schema of YAML 1.2; numbers that are no `Scalar` stay text."""
    if text in {"", "~", "null", "Null", "NULL"}:
        return None
    if text in {"true", "True", "TRUE", "false", "False", "FALSE"}:
        return text[0] in "tT"
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        number = int(text, 0) if text[1:2] in {"o", "x"} else int(text)
        return number if abs(number) <= MAX_INTEGER else text
    if _FLOAT.fullmatch(text) and math.isfinite(found := float(text)):
        return found
    return text


_resolver: Final = yaml.resolver.Resolver()


def meaning_1_1(text: str) -> Any:
    """What the plain scalar `text` means to PyYAML, which reads YAML 1.1: also dates, and odd numbers."""
    tag = _resolver.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]  # as typeshed has it
    if tag == "tag:yaml.org,2002:str":
        return text
    if len(text) > _LONGEST_NUMBER:
        return None
    try:
        return yaml.constructor.SafeConstructor().construct_object(yaml.ScalarNode(tag, text))
    except (ValueError, OverflowError, yaml.YAMLError):
        return None  # 2001-99-99, =, <<: certainly no text to it


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of one kind: 1 is 1.0, but neither True nor "1"."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    return type(one) is type(other) and bool(one == other)
