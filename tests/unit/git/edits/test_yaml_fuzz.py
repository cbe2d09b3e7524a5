"""Ten thousand generated files: exactly the wanted bytes change, or the edit is refused for the reason there is.

The generator writes the bytes of every value down as it goes, so no parser is the judge. Hostile files may be refused
with any reason, but with one of ours.
"""

import random

import pytest
import yaml

from loopseal.domain.proposal import ABSENT, RemoveKey, SetValue
from loopseal.errors import Code, LoopsealError, Refused
from loopseal.git.edits import apply, describe, read_value, selector
from tests.unit.git.edits.generator import EMPTY, VALUES, Writer

CHUNK = 500


@pytest.mark.parametrize("chunk", range(20))
def test_only_the_wanted_bytes_change(chunk):
    edited = 0
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        file = Writer(seed)
        if not file.targets:
            continue
        target, value = file.pick(file.targets), file.pick(VALUES)
        edit = SetValue("apps/values.yaml", target.selector, value.value)
        if target.refused:
            with pytest.raises(Refused) as caught:
                apply(edit, file.body)
            assert caught.value.code is target.refused, (seed, target)
            continue
        after = apply(edit, file.body)
        wanted = file.body[: target.start] + value.written(target).encode() + file.body[target.end :]
        unchanged = target.style == EMPTY and value.value is None
        assert after == (file.body if unchanged else wanted), (seed, target, value)
        edited += 1
    assert edited > 0.8 * CHUNK


class _Typed(yaml.SafeLoader):
    """Reads everything as text, so that only structure and texts are compared."""


_Typed.yaml_implicit_resolvers = {}


def _data(body: bytes):
    try:
        return list(yaml.load_all(body, Loader=_Typed))
    except yaml.YAMLError:
        return None


@pytest.mark.parametrize("chunk", range(4))
def test_a_key_comes_and_goes_without_a_trace(chunk):
    made = 0
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        file = Writer(1_000_000 + seed)
        parents = sorted({above(one.selector) for one in file.targets if not one.selector.endswith("]")} - {""})
        if not parents:
            continue
        key = f"{file.pick(parents)}.created"
        after = apply(SetValue("f.yaml", key, "1.20", create=True), file.body)
        start = next(at for at, (old, new) in enumerate(zip(file.body + b"\0", after, strict=False)) if old != new)
        end = start + len(after) - len(file.body)
        assert after[end:] == file.body[start:], seed
        assert after[start:end].decode().strip(" ,\r\n") in {'created: "1.20"', '"created": "1.20"'}, seed
        assert read_value("f.yaml", after, key) == "1.20"
        assert apply(RemoveKey("f.yaml", key, expect="1.20"), after) == file.body, seed
        _only_grew(_data(file.body), _data(after), seed)
        made += 1
    assert made > 0.6 * CHUNK


def above(text: str) -> str:
    """The mapping that a key stands in."""
    return selector.render(selector.parse(text)[:-1])


def _only_grew(old, new, seed):
    """Whether `new` is `old` but for the one key `created`."""
    if old is None:
        return
    assert str(new).count("'created': '1.20'") == 1, seed
    assert str(new).replace(", 'created': '1.20'", "").replace("'created': '1.20'", "") == str(old), seed


PIECES = [
    *(
        b"- ",
        b"? ",
        b": ",
        b"[",
        b"]",
        b"{",
        b"}",
        b"&a ",
        b"*a",
        b"!t ",
        b"|\n",
        b">\n",
        b"|+\n",
        b"'",
        b'"',
        b"#",
        b" #",
    ),
    *(
        b"\t",
        b"\n",
        b"\r\n",
        b" ",
        b"  ",
        b"---\n",
        b"...\n",
        b"%YAML 1.2\n",
        b"<<: *a\n",
        b",",
        b"a",
        b"x: ",
        b"{{",
        b"\\",
    ),
    *("é".encode(), b"a:\n", b"- x\n", b"!!str ", b"\xef\xbb\xbf", b"''", b"a: b: ", b"\xff", b"\0", "\u2028".encode()),
]


def hostile(seed: int) -> tuple[bytes, str]:
    """Bytes that nobody should send, and a selector that may fit."""
    chance = random.Random(seed)
    pieces = PIECES[:-3] if chance.random() < 0.9 else PIECES
    if chance.random() < 0.5:
        body = b"".join(chance.choice(pieces) * chance.choice([1, 1, 1, 5, 50]) for _ in range(chance.randint(1, 40)))
        return body, chance.choice(["a", "x", "a[0]", "[0]", "[0].x", "[a=a].x", "a.a.a", '"<<".x'])
    file = Writer(seed)
    body = bytearray(file.body)
    for _ in range(chance.randint(1, 5)):
        at, kind = chance.randrange(len(body) + 1), chance.random()
        if kind < 0.4:
            body[at:at] = chance.choice(pieces)
        elif kind < 0.7:
            del body[at : at + chance.randint(1, 10)]
        else:
            start = chance.randrange(len(body) + 1)
            body[at:at] = body[start : start + chance.randint(1, 40)]
    return bytes(body), chance.choice(file.targets).selector if file.targets else "a"


@pytest.mark.parametrize("chunk", range(4))
def test_hostile_files_raise_only_our_errors(chunk):
    outcomes = set()
    for seed in range(chunk * 1000, (chunk + 1) * 1000):
        body, key = hostile(seed)
        name = "f.json" if seed % 10 == 0 else "f.yaml"
        for edit in (SetValue(name, key, "new", create=seed % 2 == 0), RemoveKey(name, key)):
            try:
                after = apply(edit, body)
                assert after is not None
                (change,) = describe(edit, body, after) or [None]
            except LoopsealError as error:
                outcomes.add(error.code)
                continue
            assert change is None or change.new == (ABSENT if isinstance(edit, RemoveKey) else "new"), seed
            assert (len(after) < len(body)) == isinstance(edit, RemoveKey) or isinstance(edit, SetValue), seed
            outcomes.add("done")
    assert {"done", Code.EDIT_SYNTAX, Code.EDIT_ENCODING, Code.EDIT_KEY_MISSING} <= outcomes
