"""Edits of JSON: by hand, generated, and hostile."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.domain.proposal import ABSENT, RemoveKey, SetValue
from loopseal.errors import Code, Conflict, LoopsealError, Refused
from loopseal.git.edits import apply, describe, read_value

EXACT = [
    ('{"a": 1}', "a", 2, '{"a": 2}'),
    ('{"a":1}', "a", "x", '{"a":"x"}'),
    ('{ "a" : "x" , "b" : 2 }\n', "a", "y", '{ "a" : "y" , "b" : 2 }\n'),
    ('{"a": {"b": [1, {"c": null}]}}', "a.b[1].c", True, '{"a": {"b": [1, {"c": true}]}}'),
    (
        '{"e": [{"name": "A", "v": 1}, {"name": "B", "v": 2}]}',
        "e[name=B].v",
        3,
        '{"e": [{"name": "A", "v": 1}, {"name": "B", "v": 3}]}',
    ),
    ('{"e": [{"p": 80, "v": 1}, {"p": 81, "v": 2}]}', "e[p=81].v", 3, '{"e": [{"p": 80, "v": 1}, {"p": 81, "v": 3}]}'),
    ('{"e": [{"m": {"n": "x"}, "v": 1}]}', "e[m.n=x].v", 3, '{"e": [{"m": {"n": "x"}, "v": 3}]}'),
    ("[1, 2]", "[1]", 3, "[1, 3]"),
    ('{"a": "yes"}', "a", "no", '{"a": "no"}'),
    ('{"a": "x"}', "a", 'q"\\é', '{"a": "q\\"\\\\é"}'),
    ('{"\\u0061": 1}', "a", 2, '{"\\u0061": 2}'),
    ('{"a.b": 1}', '"a.b"', 2, '{"a.b": 2}'),
    ('{\r\n\t"a": 1\r\n}\r\n', "a", 2, '{\r\n\t"a": 2\r\n}\r\n'),
    ('\ufeff{"a": 1}', "a", 2, '\ufeff{"a": 2}'),
    ('{"a": 1.10, "b": 1}', "b", 2, '{"a": 1.10, "b": 2}'),
    ('{"a": 1}', "a", 1, '{"a": 1}'),
    ('{"a": 1E2}', "a", 100.0, '{"a": 1E2}'),
    ('{"a": 1}', "a", 1e22, '{"a": 1e+22}'),
    ('{"a": "{{x}}", "b": 1}', "b", 2, '{"a": "{{x}}", "b": 2}'),
    ('{"a": {"x": 1, "x": 2}, "b": 1}', "b", 2, '{"a": {"x": 1, "x": 2}, "b": 2}'),
    ('{"a": [1, 2], "b": {}}', "a[0]", None, '{"a": [null, 2], "b": {}}'),
]


@pytest.mark.parametrize(("before", "key", "value", "after"), EXACT)
def test_set(before, key, value, after):
    got = apply(SetValue("f.json", key, value), before.encode())
    assert got is not None
    assert got.decode() == after
    assert read_value("f.json", got, key) == value


CREATED = [
    ('{"a": 1}', "x", '{"a": 1, "x": "new"}'),
    ('{"a":1,"b":2}', "x", '{"a":1,"b":2,"x": "new"}'),
    ('{\n  "a": 1\n}\n', "x", '{\n  "a": 1,\n  "x": "new"\n}\n'),
    ('{\n  "a": 1,\n  "b": 2\n}\n', "x", '{\n  "a": 1,\n  "b": 2,\n  "x": "new"\n}\n'),
    ("{}", "x", '{"x": "new"}'),
    ('{"a": { }}', "a.x", '{"a": {"x": "new" }}'),
    ('{"a": [{"n": 1}]}', "a[n=1].x", '{"a": [{"n": 1, "x": "new"}]}'),
    ('{\r\n\t"a": 1\r\n}', "x", '{\r\n\t"a": 1,\r\n\t"x": "new"\r\n}'),
]


@pytest.mark.parametrize(("before", "key", "after"), CREATED)
def test_create_and_remove(before, key, after):
    made = apply(SetValue("f.json", key, "new", create=True, expect=ABSENT), before.encode())
    assert made is not None
    assert made.decode() == after
    assert apply(RemoveKey("f.json", key, expect="new"), made) == before.encode()


@pytest.mark.parametrize(
    ("before", "key", "after"),
    [
        ('{"a": 1, "b": 2}', "a", '{"b": 2}'),
        ('{"a": 1, "b": 2, "c": 3}', "b", '{"a": 1, "c": 3}'),
        ('{\n  "a": 1,\n  "b": 2\n}', "b", '{\n  "a": 1\n}'),
        ('{"x": {"a": 1}}', "x.a", '{"x": {}}'),
        ('[{"a": 1, "b": null}]', "[0].b", '[{"a": 1}]'),
    ],
)
def test_remove(before, key, after):
    assert apply(RemoveKey("f.json", key), before.encode()) == after.encode()


REFUSED = [
    ('{"a": 1}', "b", Code.EDIT_KEY_MISSING),
    ('{"a": 1}', "a.b", Code.EDIT_KEY_MISSING),
    ('{"a": [1]}', "a.b", Code.EDIT_KEY_MISSING),
    ('{"a": [1]}', "a[1]", Code.EDIT_KEY_MISSING),
    ('{"a": {}}', "a[0]", Code.EDIT_KEY_MISSING),
    ('{"a": [{"n": 1}]}', "a[n=2].x", Code.EDIT_KEY_MISSING),
    ('{"a": [{"n": [1]}]}', "a[n=1].x", Code.EDIT_KEY_MISSING),
    ('{"a": [3]}', "a[n=2].x", Code.EDIT_KEY_MISSING),
    ('{"a": {}}', "a", Code.EDIT_NOT_SCALAR),
    ('{"a": []}', "a", Code.EDIT_NOT_SCALAR),
    ('{"a": 1, "a": 2}', "a", Code.EDIT_DUPLICATE_KEY),
    ('{"a": 1, "\\u0061": 2}', "a", Code.EDIT_DUPLICATE_KEY),
    ('{"a": [{"n": 1, "n": 2, "v": 1}]}', "a[n=2].v", Code.EDIT_DUPLICATE_KEY),
    ('{"a": [{"n": 1, "v": 1}, {"n": 1, "v": 2}]}', "a[n=1].v", Code.EDIT_AMBIGUOUS),
    ("", "a", Code.EDIT_SYNTAX),
    ("{", "a", Code.EDIT_SYNTAX),
    ('{"a"}', "a", Code.EDIT_SYNTAX),
    ('{"a": 1', "a", Code.EDIT_SYNTAX),
    ('{"a": 1,}', "a", Code.EDIT_SYNTAX),
    ('{"a": 1 "b": 2}', "a", Code.EDIT_SYNTAX),
    ('{"a": 1} x', "a", Code.EDIT_SYNTAX),
    ('{"a": 01}', "a", Code.EDIT_SYNTAX),
    ('{"a": NaN}', "a", Code.EDIT_SYNTAX),
    ('{"a": "x}', "a", Code.EDIT_SYNTAX),
    ('{"a": "\n"}', "a", Code.EDIT_SYNTAX),
    ('{"a": "\\q"}', "a", Code.EDIT_SYNTAX),
    ("{a: 1}", "a", Code.EDIT_SYNTAX),
    ('// c\n{"a": 1}', "a", Code.EDIT_SYNTAX),
    ('{"a": {{ .x }}}', "a", Code.EDIT_SYNTAX),
    ("[" * 101 + "]" * 101, "a", Code.EDIT_TOO_LARGE),
    ('{"a": "ENC[AES256_GCM,data:x,iv:y]"}', "a", Code.EDIT_ENCRYPTED),
    ('{"a": "{{ x }}"}', "a", Code.EDIT_TEMPLATE),
    ('{"a": "\\ud800"}', "a", Code.EDIT_SYNTAX),
    ('{"a": 1, "sops": {"mac": "x"}}', "a", Code.EDIT_ENCRYPTED),
    ('{"a": [{"n": 1}]}', "a[n=1].n", Code.EDIT_SELECTOR),
]


@pytest.mark.parametrize(("before", "key", "code"), REFUSED)
def test_refusals(before, key, code):
    for edit in (SetValue("f.json", key, "new"), RemoveKey("f.json", key)):
        with pytest.raises(Refused) as caught:
            apply(edit, before.encode())
        assert caught.value.code is code
        assert caught.value.hint


@pytest.mark.parametrize(
    ("before", "key"), [('{"a": 1}', "b.c"), ("[]", "[0]"), ("[]", "a"), ('{"a": 1}', "a.b"), ("[]", "[n=1]")]
)
def test_what_is_not_created(before, key):
    with pytest.raises(Refused) as caught:
        apply(SetValue("f.json", key, "new", create=True), before.encode())
    assert caught.value.code is Code.EDIT_KEY_MISSING


def test_an_item_is_not_removed():
    with pytest.raises(Refused) as caught:
        apply(RemoveKey("f.json", "a[0]"), b'{"a": [1]}')
    assert caught.value.code is Code.EDIT_NOT_SCALAR


@pytest.mark.parametrize(
    ("text", "expect"), [("1", 1), ("1.10", "1.10"), ("1.10", 1.1), ('"x"', "x"), ("true", True), ("null", None)]
)
def test_expectations(text, expect):
    body = f'{{"a": {text}}}'.encode()
    assert apply(SetValue("f.json", "a", "v2", expect=expect), body)
    with pytest.raises(Conflict):
        apply(SetValue("f.json", "a", "v2", expect="other"), body)
    with pytest.raises(Conflict):
        apply(SetValue("f.json", "b", "v2", expect=expect, create=True), body)


class Generated:
    """A random JSON text, and where each scalar of it is."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.text, self.targets, self.names = "", [], 0
        self.value("", 4)
        self.put()

    def put(self, text=""):
        self.text += text + self.random.choice(["", "", " ", "\n  ", "\t", "\r\n"])

    def value(self, path, depth):
        kind = self.random.random()
        if depth and kind < 0.35:
            self.put("{")
            for number in range(self.random.randint(0, 4)):
                if number:
                    self.put(",")
                self.names += 1
                name = self.random.choice(["k{}", "a.b{}", "é{}", 'q"{}', "{}", "sp ace{}"]).format(self.names)
                self.put(json.dumps(name, ensure_ascii=self.random.random() < 0.5))
                self.put(":")
                quoted = '"' + name.replace('"', '\\"') + '"'
                self.value(f"{path}.{quoted}" if path else quoted, depth - 1)
            self.put("}")
        elif depth and kind < 0.6:
            self.put("[")
            for number in range(self.random.randint(0, 3)):
                if number:
                    self.put(",")
                self.value(f"{path}[{number}]", depth - 1)
            self.put("]")
        else:
            start = len(self.text)
            self.text += self.random.choice(
                ['"x"', '""', '"\\u00e9\\n{"', "1", "-0", "1.5e-3", "true", "null", '"é日"', '"],"']
            )
            self.targets.append((path, start, len(self.text)))
            self.put()


@pytest.mark.parametrize("chunk", range(4))
def test_only_the_wanted_characters_change(chunk):
    edited = 0
    for seed in range(chunk * 500, (chunk + 1) * 500):
        file = Generated(seed)
        targets = [target for target in file.targets if target[0]]
        if not targets:
            continue
        path, start, end = file.random.choice(targets)
        value = file.random.choice(["new", 'q"\\', "", 7, -1.5, True, None, "é{}[],:"])
        after = apply(SetValue("f.json", path, value), file.text.encode())
        wanted = file.text[:start] + json.dumps(value, ensure_ascii=False) + file.text[end:]
        unchanged = json.loads(file.text[start:end]) == value and type(json.loads(file.text[start:end])) is type(value)
        assert after == (file.text if unchanged else wanted).encode(), (seed, path)
        edited += 1
    assert edited > 200


@given(
    st.text(alphabet='{}[]":,\\ntrue01.eE-+ \n\t\ud7ffé', max_size=40), st.sampled_from(["a", "[0]", "a[0].b", '""'])
)
def test_any_text_is_edited_or_refused(text, key):
    body = text.encode()
    for edit in (SetValue("f.json", key, 1, create=True), RemoveKey("f.json", key)):
        try:
            after = apply(edit, body)
        except LoopsealError as error:
            told = bool(error.hint)
        else:
            json.loads(after)
            told = len(describe(edit, body, after)) <= 1
        assert told


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=12,
    )
)
def test_whatever_python_writes_is_read(data):
    body = json.dumps({"root": data, "v": 1}, indent=random.Random(0).choice([None, 2])).encode()
    after = apply(SetValue("f.json", "v", 2), body)
    assert json.loads(after) == {"root": data, "v": 2}
