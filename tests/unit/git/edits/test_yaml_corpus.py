"""Edits of YAML written down by hand: the file, the key, the value, and the very bytes that must come out."""

import pytest

from loopseal.domain.proposal import ABSENT, RemoveKey, SetValue
from loopseal.errors import Code, Conflict, Refused
from loopseal.git.edits import apply, read_value

VALUES = """\
# Chart values
replicaCount: 1  # keep in step with the HPA

image:
  repository: ghcr.io/acme/web   # {"$imagepolicy": "flux-system:web:name"}
  tag: "1.0.0" # {"$imagepolicy": "flux-system:web:tag"}
  pullPolicy:   'IfNotPresent'
  digest:
resources: {limits: {cpu: 100m, memory: 128Mi}, requests: {}}
env:
  - name: LOG_LEVEL
    value: info
  - name: "DEBUG"
    value: false
  - {name: INLINE, value: "x"}
args: [--port=80, '--host', "a, b"]
nodeSelector: {}
"app.kubernetes.io/name": web
script: |
  image:
    tag: not this one
last: end
"""

EXACT = [
    ("plain to plain", "a: old\n", "a", "new", "a: new\n"),
    ("plain keeps its comment", "a: old # why\n", "a", "new", "a: new # why\n"),
    ("comment by tab", "a: old\t# why\n", "a", "new", "a: new\t# why\n"),
    ("setter comment", 'a: 1.0.0 # {"$imagepolicy": "x:y"}\n', "a", "1.0.1", 'a: 1.0.1 # {"$imagepolicy": "x:y"}\n'),
    ("double stays double", 'a: "old"\n', "a", "new", 'a: "new"\n'),
    ("single stays single", "a: 'old'\n", "a", "it's", "a: 'it''s'\n"),
    ("double escapes", 'a: "old"\n', "a", 'q"\\', 'a: "q\\"\\\\"\n'),
    ("ambiguous text gets quotes", "a: old\n", "a", "yes", 'a: "yes"\n'),
    ("version that looks like a number", "tag: 1.10\n", "tag", "1.20", 'tag: "1.20"\n'),
    ("same text, other type", "tag: 1.10\n", "tag", "1.10", 'tag: "1.10"\n'),
    ("number for text", "a: old\n", "a", 5, "a: 5\n"),
    ("number for quoted text", 'a: "5"\n', "a", 5, "a: 5\n"),
    ("text for number", "a: 5\n", "a", "5", 'a: "5"\n'),
    ("boolean", "a: 'x'\n", "a", True, "a: true\n"),
    ("null", "a: x\n", "a", None, "a: null\n"),
    ("float", "a: x\n", "a", 0.25, "a: 0.25\n"),
    ("boolean of 1.1", "a: yes\n", "a", False, "a: false\n"),
    ("octal number", "mode: 0644\n", "mode", 420, "mode: 420\n"),
    ("unchanged value leaves the file", "a:   new   # x\n", "a", "new", "a:   new   # x\n"),
    ("unchanged quoted value", "a: 'new'\n", "a", "new", "a: 'new'\n"),
    ("unchanged number", "a: 0x10\n", "a", 16, "a: 0x10\n"),
    ("unchanged null", "a:\n", "a", None, "a:\n"),
    ("empty value", "a:\nb: 1\n", "a", "new", "a: new\nb: 1\n"),
    ("empty value with blanks", "a:   \nb: 1\n", "a", "new", "a: new   \nb: 1\n"),
    ("empty value with comment", "a: # why\nb: 1\n", "a", "new", "a: new # why\nb: 1\n"),
    ("empty value at the end", "a:", "a", "new", "a: new"),
    ("empty item", "a:\n- \n- x\n", "a[0]", "new", "a:\n- new \n- x\n"),
    ("empty text", "a: ''\n", "a", "x", "a: 'x'\n"),
    ("to the empty text", "a: x\n", "a", "", 'a: ""\n'),
    ("nested", "a:\n  b:\n    c: 1\n", "a.b.c", 2, "a:\n  b:\n    c: 2\n"),
    ("deep indent", "a:\n        b: 1\n", "a.b", 2, "a:\n        b: 2\n"),
    ("one space of indent", "a:\n b:\n  c: 1\n", "a.b.c", 2, "a:\n b:\n  c: 2\n"),
    ("value on its own line", "a:\n  old\nb: 1\n", "a", "new", "a:\n  new\nb: 1\n"),
    ("list item", "a:\n- x\n- y # z\n", "a[1]", "new", "a:\n- x\n- new # z\n"),
    ("list indented", "a:\n  - x\n  - y\n", "a[0]", "new", "a:\n  - new\n  - y\n"),
    ("list in list", "a:\n- - x\n  - y\n", "a[0][1]", "new", "a:\n- - x\n  - new\n"),
    ("root list", "- x\n- y: 1\n", "[1].y", 2, "- x\n- y: 2\n"),
    ("root flow", "{a: 1, b: [2, 3]}\n", "b[1]", 4, "{a: 1, b: [2, 4]}\n"),
    (
        "match",
        "e:\n- name: A\n  value: 1\n- name: B\n  value: 2\n",
        "e[name=B].value",
        3,
        "e:\n- name: A\n  value: 1\n- name: B\n  value: 3\n",
    ),
    ("match by quoted field", 'e:\n- name: "A"\n  value: 1\n', "e[name=A].value", 3, 'e:\n- name: "A"\n  value: 3\n'),
    (
        "match by number",
        "p:\n- port: 80\n  n: a\n- port: 81\n  n: b\n",
        "p[port=81].n",
        "c",
        "p:\n- port: 80\n  n: a\n- port: 81\n  n: c\n",
    ),
    (
        "match by two fields",
        "p:\n- a: 1\n  b: 1\n  v: x\n- a: 1\n  b: 2\n  v: y\n",
        "p[a=1,b=2].v",
        "z",
        "p:\n- a: 1\n  b: 1\n  v: x\n- a: 1\n  b: 2\n  v: z\n",
    ),
    ("flow pair", "a: {b: 1, c: 2}\n", "a.b", 3, "a: {b: 3, c: 2}\n"),
    ("flow without blanks", '{"a":{"b":"c"}}\n', "a.b", "d", '{"a":{"b":"d"}}\n'),
    ("flow quotes colons", "a: {image: x}\n", "a.image", "nginx:1.25", 'a: {image: "nginx:1.25"}\n'),
    ("flow over lines", "a: {\n  b: 1, # one\n  c: 2\n}\n", "a.b", 3, "a: {\n  b: 3, # one\n  c: 2\n}\n"),
    ("flow empty value", "a: {b: , c: 2}\n", "a.b", 3, "a: {b: 3 , c: 2}\n"),
    ("colons stay plain in blocks", "image: nginx:1.24\n", "image", "nginx:1.25", "image: nginx:1.25\n"),
    ("quoted key", '"a.b": 1\n', '"a.b"', 2, '"a.b": 2\n'),
    ("single quoted key", "'a b': 1\n", '"a b"', 2, "'a b': 2\n"),
    ("escaped key", '"a\\u00e9": 1\n', "aé", 2, '"a\\u00e9": 2\n'),
    ("number as key", "80: a\n443: b\n", "443", "c", "80: a\n443: c\n"),
    ("key with blanks before the colon", "a : 1\n", "a", 2, "a : 2\n"),
    ("key like a boolean", "on: push\n", "on", "pull", "on: pull\n"),
    ("explicit key", "? a\n: old\n", "a", "new", "? a\n: new\n"),
    ("carriage returns", "a: 1\r\nb: 2 # x\r\n", "b", 3, "a: 1\r\nb: 3 # x\r\n"),
    ("carriage return, empty", "a:\r\nb: 2\r\n", "a", 3, "a: 3\r\nb: 2\r\n"),
    ("no line feed at the end", "a: 1\nb: 2", "b", 3, "a: 1\nb: 3"),
    ("byte order mark", "\ufeffa: 1\n", "a", 2, "\ufeffa: 2\n"),
    ("unicode before", "ü: é\na: ñ # ß\n", "a", "日本", "ü: é\na: 日本 # ß\n"),
    ("document start", "---\na: 1\n", "a", 2, "---\na: 2\n"),
    ("document end", "a: 1\n...\n", "a", 2, "a: 2\n...\n"),
    ("directive", "%YAML 1.2\n---\na: 1\n", "a", 2, "%YAML 1.2\n---\na: 2\n"),
    ("comment first", "# x: 1\n\na: 1\n", "a", 2, "# x: 1\n\na: 2\n"),
    ("only one document has it", "a: 1\n---\nb: 2\n", "b", 3, "a: 1\n---\nb: 3\n"),
    (
        "document by match",
        "kind: A\nn: 1\n---\nkind: B\nn: 1\n",
        "[kind=B].n",
        2,
        "kind: A\nn: 1\n---\nkind: B\nn: 2\n",
    ),
    (
        "document by nested match",
        "kind: A\nm: {name: x}\nn: 1\n---\nkind: A\nm: {name: y}\nn: 1\n",
        "[kind=A,m.name=y].n",
        2,
        "kind: A\nm: {name: x}\nn: 1\n---\nkind: A\nm: {name: y}\nn: 2\n",
    ),
    ("empty documents around", "---\n---\na: 1\n---\n", "a", 2, "---\n---\na: 2\n---\n"),
    ("anchor elsewhere", "x: &x 1\na: 1\ny: *x\n", "a", 2, "x: &x 1\na: 2\ny: *x\n"),
    ("merge key elsewhere", "b: &b {x: 1}\nc:\n  <<: *b\n  y: 1\n", "c.y", 2, "b: &b {x: 1}\nc:\n  <<: *b\n  y: 2\n"),
    (
        "own key beside a merge",
        "b: &b {x: 1}\nc:\n  <<: *b\n  x: 3\n",
        "c.x",
        2,
        "b: &b {x: 1}\nc:\n  <<: *b\n  x: 2\n",
    ),
    ("tag elsewhere", "a: !!str 1\nb: 1\n", "b", 2, "a: !!str 1\nb: 2\n"),
    ("block scalar before", "a: |\n  b: 1\n\nb: 1\n", "b", 2, "a: |\n  b: 1\n\nb: 2\n"),
    ("block scalar after", "a: 1\nb: >-\n  a: 1\n", "a", 2, "a: 2\nb: >-\n  a: 1\n"),
    ("template in quotes elsewhere", 'a: "{{ .x }}"\nb: 1 # {{ y }}\n', "b", 2, 'a: "{{ .x }}"\nb: 2 # {{ y }}\n'),
    ("template in a block elsewhere", "a: |\n  {{ $labels.x }}\nb: 1\n", "b", 2, "a: |\n  {{ $labels.x }}\nb: 2\n"),
    ("tab within a block", "a: |\n  x:\n  \ty: 1\nb: 1\n", "b", 2, "a: |\n  x:\n  \ty: 1\nb: 2\n"),
    ("duplicate elsewhere", "a: {x: 1, x: 2}\nb: 1\n", "b", 2, "a: {x: 1, x: 2}\nb: 2\n"),
    ("comment like a key", "# b: 9\nb: 1 # b: 8\n", "b", 2, "# b: 9\nb: 2 # b: 8\n"),
    ("hash within", "a: x#y\n", "a", "z", "a: z\n"),
    ("quote within", 'a: it\'s "so"\n', "a", "z", "a: z\n"),
    ("values: tag", VALUES, "image.tag", "2.0.0", VALUES.replace('tag: "1.0.0"', 'tag: "2.0.0"')),
    (
        "values: repository",
        VALUES,
        "image.repository",
        "r.io/x:5000/y",
        VALUES.replace("ghcr.io/acme/web ", "r.io/x:5000/y "),
    ),
    ("values: single quotes", VALUES, "image.pullPolicy", "Always", VALUES.replace("'IfNotPresent'", "'Always'")),
    ("values: nothing yet", VALUES, "image.digest", "sha256:ab", VALUES.replace("digest:", "digest: sha256:ab")),
    ("values: flow", VALUES, "resources.limits.cpu", "250m", VALUES.replace("100m", "250m")),
    ("values: match", VALUES, "env[name=LOG_LEVEL].value", "debug", VALUES.replace("value: info", "value: debug")),
    ("values: match quoted", VALUES, "env[name=DEBUG].value", True, VALUES.replace("value: false", "value: true")),
    ("values: match flow", VALUES, "env[name=INLINE].value", "y", VALUES.replace('"x"}', '"y"}')),
    ("values: flow item", VALUES, "args[2]", "c", VALUES.replace('"a, b"', '"c"')),
    (
        "values: odd key",
        VALUES,
        '"app.kubernetes.io/name"',
        "api",
        VALUES.replace("name: web\n", "name: api\n").replace('name": web', 'name": api'),
    ),
    ("values: first", VALUES, "replicaCount", 3, VALUES.replace("Count: 1 ", "Count: 3 ")),
    ("values: last", VALUES, "last", "fin", VALUES.replace("last: end", "last: fin")),
]


@pytest.mark.parametrize(
    ("before", "key", "value", "after"), [case[1:] for case in EXACT], ids=[case[0] for case in EXACT]
)
def test_set(before, key, value, after):
    got = apply(SetValue("f.yaml", key, value), before.encode())
    assert got is not None
    assert got.decode() == after
    read = read_value("f.yaml", got, key)
    assert read == value
    assert type(read) is type(value)


CREATED = [
    ("last of a mapping", "a:\n  b: 1\nc: 2\n", "a.x", "a:\n  b: 1\n  x: new\nc: 2\n"),
    ("last of the file", "a: 1\n", "x", "a: 1\nx: new\n"),
    ("no line feed at the end", "a: 1", "x", "a: 1\nx: new"),
    ("carriage returns", "a:\r\n  b: 1\r\nc: 2\r\n", "a.x", "a:\r\n  b: 1\r\n  x: new\r\nc: 2\r\n"),
    ("behind a comment", "a:\n  b: 1 # why\n\n# c\nc: 2\n", "a.x", "a:\n  b: 1 # why\n  x: new\n\n# c\nc: 2\n"),
    ("behind a mapping", "a:\n  b:\n    c: 1\n\nd: 1\n", "a.x", "a:\n  b:\n    c: 1\n  x: new\n\nd: 1\n"),
    ("behind a list", "a:\n  b:\n  - 1\n  - 2\nd: 1\n", "a.x", "a:\n  b:\n  - 1\n  - 2\n  x: new\nd: 1\n"),
    ("behind an empty value", "a:\n  b:\nd: 1\n", "a.x", "a:\n  b:\n  x: new\nd: 1\n"),
    (
        "behind flow over lines",
        "a:\n  b: [\n    1\n  ] # c\nd: 1\n",
        "a.x",
        "a:\n  b: [\n    1\n  ] # c\n  x: new\nd: 1\n",
    ),
    ("behind a block", "a:\n  b: |\n    text\n\nd: 1\n", "a.x", "a:\n  b: |\n    text\n  x: new\n\nd: 1\n"),
    ("behind quotes over lines", 'a:\n  b: "x\n    y"\nd: 1\n', "a.x", 'a:\n  b: "x\n    y"\n  x: new\nd: 1\n'),
    ("behind an alias", "a:\n  b: &b 1\n  c: *b\n", "a.x", "a:\n  b: &b 1\n  c: *b\n  x: new\n"),
    ("in an item", "a:\n- b: 1\n- b: 2\n", "a[0].x", "a:\n- b: 1\n  x: new\n- b: 2\n"),
    ("in an item far in", "a:\n  -   b: 1\n", "a[0].x", "a:\n  -   b: 1\n      x: new\n"),
    ("in an item of an item", "- - b: 1\n", "[0][0].x", "- - b: 1\n    x: new\n"),
    ("by match", "a:\n- name: n\n- name: m\n", "a[name=n].x", "a:\n- name: n\n  x: new\n- name: m\n"),
    ("in the right document", "k: A\n---\nk: B\n", "[k=A].x", "k: A\nx: new\n---\nk: B\n"),
    ("in flow", "a: {b: 1}\n", "a.x", "a: {b: 1, x: new}\n"),
    ("in spaced flow", "a: { b: 1 } # c\n", "a.x", "a: { b: 1, x: new } # c\n"),
    ("in empty flow", "a: {}\n", "a.x", "a: {x: new}\n"),
    ("in quoted flow", 'a: {"b": "1"}\n', "a.x", 'a: {"b": "1", "x": "new"}\n'),
    ("in flow over lines", "a: {\n  b: 1 # c\n}\n", "a.x", "a: {\n  b: 1, x: new # c\n}\n"),
    ("with a trailing comma", "a: {b: 1,}\n", "a.x", "a: {b: 1, x: new,}\n"),
    ("in root flow", "{}\n", "x", "{x: new}\n"),
    ("key as its neighbour", '"a": 1\n', "x", '"a": 1\n"x": new\n'),
    ("key that needs quotes", "a: 1\n", '"y"', 'a: 1\n"y": new\n'),
    ("key with a dot", "a: 1\n", '"x.y"', "a: 1\nx.y: new\n"),
    ("document end", "a: 1\n...\n", "x", "a: 1\nx: new\n...\n"),
    ("behind an explicit key", "? a\n: 1\n", "x", "? a\n: 1\nx: new\n"),
    ("comment at the end stays there", "a: 1\n# end\n", "x", "a: 1\nx: new\n# end\n"),
]


@pytest.mark.parametrize(("before", "key", "after"), [case[1:] for case in CREATED], ids=[case[0] for case in CREATED])
def test_create_and_remove(before, key, after):
    assert read_value("f.yaml", before.encode(), key) is ABSENT
    made = apply(SetValue("f.yaml", key, "new", expect=ABSENT, create=True), before.encode())
    assert made is not None
    assert made.decode() == after
    again = apply(RemoveKey("f.yaml", key, expect="new"), made)
    assert again is not None
    assert again.decode() == before


REMOVED = [
    ("first line", "a: 1\nb: 2\n", "a", "b: 2\n"),
    ("with its comment", "a: 1 # x\nb: 2\n", "a", "b: 2\n"),
    ("not the comment above", "# x\na: 1\nb: 2\n", "a", "# x\nb: 2\n"),
    ("value on its own line", "a:\n  x\nb: 2\n", "a", "b: 2\n"),
    ("empty value", "a:\nb: 2\n", "a", "b: 2\n"),
    ("first of flow", "x: {a: 1, b: 2}\n", "x.a", "x: {b: 2}\n"),
    ("middle of flow", "x: {a: 1, b: 2, c: 3}\n", "x.b", "x: {a: 1, c: 3}\n"),
    ("only one of flow", "x: { a: 1 }\n", "x.a", "x: {  }\n"),
    ("second of an item", "- a: 1\n  b: 2\n", "[0].b", "- a: 1\n"),
    ("last without line feed, carriage returns", "a: 1\r\nb: 2", "b", "a: 1"),
]


@pytest.mark.parametrize(("before", "key", "after"), [case[1:] for case in REMOVED], ids=[case[0] for case in REMOVED])
def test_remove(before, key, after):
    got = apply(RemoveKey("f.yaml", key), before.encode())
    assert got is not None
    assert got.decode() == after


REFUSED = [
    ("no key", "a: 1\n", "b", Code.EDIT_KEY_MISSING),
    ("no key below", "a: {}\n", "a.b.c", Code.EDIT_KEY_MISSING),
    ("no index", "a: [1]\n", "a[1]", Code.EDIT_KEY_MISSING),
    ("no match", "a: [{n: 1}]\n", "a[n=2].x", Code.EDIT_KEY_MISSING),
    ("no document", "k: A\n", "[k=B].x", Code.EDIT_KEY_MISSING),
    ("empty file", "", "a", Code.EDIT_KEY_MISSING),
    ("only comments", "# a: 1\n", "a", Code.EDIT_KEY_MISSING),
    ("through a scalar", "a: 1\n", "a.b", Code.EDIT_KEY_MISSING),
    ("through nothing", "a:\n", "a.b", Code.EDIT_KEY_MISSING),
    ("through a block", "a: |\n  b: 1\n", "a.b", Code.EDIT_KEY_MISSING),
    ("key of a list", "a: [1]\n", "a.b", Code.EDIT_KEY_MISSING),
    ("index of a mapping", "a: {b: 1}\n", "a[0]", Code.EDIT_KEY_MISSING),
    ("a mapping", "a: {b: 1}\n", "a", Code.EDIT_NOT_SCALAR),
    ("a list", "a:\n- 1\n", "a", Code.EDIT_NOT_SCALAR),
    ("a whole document", "k: A\n", "[k=A]", Code.EDIT_NOT_SCALAR),
    ("key without colon", "a: {b, c}\n", "a.b", Code.EDIT_NOT_SCALAR),
    ("explicit key without value", "? a\n", "a", Code.EDIT_NOT_SCALAR),
    ("alias as value", "x: &x 1\na: *x\n", "a", Code.EDIT_ALIAS),
    ("alias on the path", "x: &x {b: 1}\na: *x\n", "a.b", Code.EDIT_ALIAS),
    ("alias as a key", "x: &x b\na: {*x : 1, c: 2}\n", "a.c", Code.EDIT_ALIAS),
    ("alias as an item that may match", "x: &x {n: 1}\na: [*x, {n: 2, v: 1}]\n", "a[n=2].v", Code.EDIT_ALIAS),
    ("alias as a field that may match", "x: &x 2\na: [{n: *x, v: 1}]\n", "a[n=2].v", Code.EDIT_ALIAS),
    ("anchor on the value", "a: &x 1\nb: *x\n", "a", Code.EDIT_ANCHOR),
    ("anchor above", "a: &x\n  b: 1\nc: *x\n", "a.b", Code.EDIT_ANCHOR),
    ("anchor on an item", "a:\n- &x\n  b: 1\n", "a[0].b", Code.EDIT_ANCHOR),
    ("anchor on nothing", "a: &x\nb: *x\n", "a", Code.EDIT_ANCHOR),
    ("anchor on the document", "--- &x\na: 1\n", "a", Code.EDIT_ANCHOR),
    ("merged key", "x: &x {b: 1}\na:\n  <<: *x\n", "a.b", Code.EDIT_MERGE_KEY),
    ("merged field that may match", "x: &x {n: 2}\na:\n- <<: *x\n  v: 1\n", "a[n=2].v", Code.EDIT_MERGE_KEY),
    ("duplicate key", "a: 1\na: 2\n", "a", Code.EDIT_DUPLICATE_KEY),
    ("duplicate key above", "a: {b: 1}\na: {c: 1}\n", "a.b", Code.EDIT_DUPLICATE_KEY),
    ("duplicate in two writings", "1: x\n'1': y\n", "1", Code.EDIT_DUPLICATE_KEY),
    ("duplicate field that may match", "a: [{n: 1, n: 2, v: 1}]\n", "a[n=2].v", Code.EDIT_DUPLICATE_KEY),
    ("two matches", "a: [{n: 1, v: 1}, {n: 1, v: 2}]\n", "a[n=1].v", Code.EDIT_AMBIGUOUS),
    ("two documents", "a: 1\n---\na: 2\n", "a", Code.EDIT_AMBIGUOUS),
    ("two documents match", "k: A\na: 1\n---\nk: A\nb: 2\n", "[k=A].b", Code.EDIT_AMBIGUOUS),
    ("block scalar", "a: |\n  text\n", "a", Code.EDIT_MULTILINE),
    ("folded scalar", "a: >-\n  text\n", "a", Code.EDIT_MULTILINE),
    ("empty block scalar", "a: |\nb: 1\n", "a", Code.EDIT_MULTILINE),
    ("plain over lines", "a: x\n  y\n", "a", Code.EDIT_MULTILINE),
    ("quotes over lines", 'a: "x\n  y"\n', "a", Code.EDIT_MULTILINE),
    ("tag", "a: !!str 1\n", "a", Code.EDIT_TAG),
    ("own tag", "a: !vault x\n", "a", Code.EDIT_TAG),
    ("tag on nothing", "a: !!null\n", "a", Code.EDIT_TAG),
    ("tab indents", "a:\n\tb: 1\n", "a.b", Code.EDIT_SYNTAX),
    ("tab indents elsewhere", "a: 1\nb:\n  \t- x\n", "a", Code.EDIT_SYNTAX),
    ("broken", "a: [1\n", "a", Code.EDIT_SYNTAX),
    ("two values", "a: 1\n b: 2\n", "a", Code.EDIT_SYNTAX),
    ("unknown escape", 'a: "\\q"\n', "a", Code.EDIT_SYNTAX),
    ("template as value", "a: {{ .Values.x }}\n", "a", Code.EDIT_TEMPLATE),
    ("template elsewhere", "a: 1\nb: {{ .Values.x }}\n", "a", Code.EDIT_TEMPLATE),
    ("template in a plain value", "a: 1\nb: x-{{ .y }}\n", "a", Code.EDIT_TEMPLATE),
    ("template line", "a: 1\n{{- if .x }}\nb: 2\n{{- end }}\n", "a", Code.EDIT_TEMPLATE),
    ("template in quotes as value", 'a: "{{ .x }}"\nb: 1\n', "a", Code.EDIT_TEMPLATE),
    ("sops", "a: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]\n", "a", Code.EDIT_ENCRYPTED),
    ("sops, key left in clear", "a: 1\nsops:\n  mac: x\n  version: 3\n", "a", Code.EDIT_ENCRYPTED),
    ("ansible vault", "$ANSIBLE_VAULT;1.1;AES256\n6162\n", "a", Code.EDIT_ENCRYPTED),
    ("git-crypt", "\0GITCRYPT\0xxxx", "a", Code.EDIT_ENCRYPTED),
    (
        "lfs pointer",
        "version https://git-lfs.github.com/spec/v1\noid sha256:x\nsize 1\n",
        "version",
        Code.EDIT_FILTERED,
    ),
    ("next line", "a: x\u0085b: 1\n", "a", Code.EDIT_ENCODING),
    ("line separator", "a: x\u2028\nb: 1\n", "b", Code.EDIT_ENCODING),
    ("paragraph separator", "# \u2029\nb: 1\n", "b", Code.EDIT_ENCODING),
    ("lone carriage return", "a: 1\rb: 2\n", "a", Code.EDIT_ENCODING),
    ("null byte", "a: 1\0\n", "a", Code.EDIT_ENCODING),
    ("control character", "a: 1 # \x1b[31m\n", "a", Code.EDIT_ENCODING),
    ("mark in the middle", "a: 1\n\ufeffb: 1\n", "a", Code.EDIT_ENCODING),
    ("key that its own match hangs on", "a: [{n: x, v: {w: 1}}]\n", "a[n=x].n", Code.EDIT_SELECTOR),
    ("field that its own match hangs on", "a: [{n: x, v: {w: 1}}]\n", "a[n=x,v.w=1].v.w", Code.EDIT_SELECTOR),
    ("bad selector", "a: 1\n", "a[", Code.EDIT_SELECTOR),
]


@pytest.mark.parametrize(("before", "key", "code"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refusals(before, key, code):
    for edit in (SetValue("apps/f.yaml", key, "new"), RemoveKey("apps/f.yaml", key)):
        with pytest.raises(Refused) as caught:
            apply(edit, before.encode())
        assert caught.value.code is code
        assert caught.value.where
        assert caught.value.hint


@pytest.mark.parametrize(
    "data", [b"a: \xff\n", "a: ü\n".encode("latin-1"), "a: 1\n".encode("utf-16"), b"a: \xed\xa0\x80\n"]
)
def test_other_encodings_are_refused(data):
    with pytest.raises(Refused) as caught:
        apply(SetValue("f.yaml", "a", 1), data)
    assert caught.value.code is Code.EDIT_ENCODING


NOT_CREATED = [
    ("no such file part", "a: 1\n", "b.c", Code.EDIT_KEY_MISSING),
    ("in an empty value", "a:\n", "a.b", Code.EDIT_KEY_MISSING),
    ("in a scalar", "a: 1\n", "a.b", Code.EDIT_KEY_MISSING),
    ("in a list", "a: []\n", "a.b", Code.EDIT_KEY_MISSING),
    ("an item", "a: []\n", "a[0]", Code.EDIT_KEY_MISSING),
    ("a match", "a: []\n", "a[n=1]", Code.EDIT_KEY_MISSING),
    ("in an empty file", "", "a", Code.EDIT_KEY_MISSING),
    ("over a merged key", "x: &x {b: 1}\na:\n  <<: *x\n", "a.b", Code.EDIT_MERGE_KEY),
    ("in one of two documents", "a: 1\n---\na: 2\n", "b", Code.EDIT_KEY_MISSING),
    ("behind a block that keeps its blank lines", "a:\n  b: |+\n    x\n\nc: 1\n", "a.x", Code.EDIT_UNPROVEN),
    ("in a pair of a list", "a: [b: 1]\n", "a[0].x", Code.EDIT_NOT_SCALAR),
    ("a key nobody sees", "a: 1\n", '"\u200b"', Code.EDIT_VALUE),
]


@pytest.mark.parametrize(
    ("before", "key", "code"), [case[1:] for case in NOT_CREATED], ids=[case[0] for case in NOT_CREATED]
)
def test_what_is_not_created(before, key, code):
    with pytest.raises(Refused) as caught:
        apply(SetValue("f.yaml", key, "new", create=True), before.encode())
    assert caught.value.code is code


NOT_REMOVED = [
    ("the only key", "a: 1\n", "a", Code.EDIT_NOT_SCALAR),
    ("the first key of an item", "- a: 1\n  b: 2\n", "[0].a", Code.EDIT_NOT_SCALAR),
    ("an item", "a: [1, 2]\n", "a[0]", Code.EDIT_NOT_SCALAR),
    ("a pair of a list", "a: [b: 1]\n", "a[0].b", Code.EDIT_NOT_SCALAR),
    ("with a comment between", "a: {\n  b: 1, # b\n  c: 2\n}\n", "a.c", Code.EDIT_NOT_SCALAR),
    ("a mapping", "a: {}\nb: 1\n", "a", Code.EDIT_NOT_SCALAR),
]


@pytest.mark.parametrize(
    ("before", "key", "code"), [case[1:] for case in NOT_REMOVED], ids=[case[0] for case in NOT_REMOVED]
)
def test_what_is_not_removed(before, key, code):
    with pytest.raises(Refused) as caught:
        apply(RemoveKey("f.yaml", key), before.encode())
    assert caught.value.code is code


@pytest.mark.parametrize(
    ("text", "expect"),
    [
        ("1.10", "1.10"),
        ("1.10", 1.1),
        ("yes", True),
        ("yes", "yes"),
        ("0644", 420),
        ("0644", 644),
        ("0644", "0644"),
        ("", None),
        ("null", None),
        ("'x'", "x"),
        ('"1"', "1"),
        ("12:30", "12:30"),
        ("12:30", 750),
    ],
)
def test_expectations_that_are_met(text, expect):
    assert apply(SetValue("f.yaml", "a", "v2", expect=expect), f"a: {text}\nb: 1\n".encode()) is not None


@pytest.mark.parametrize(
    ("text", "expect", "found"),
    [
        ("'1'", 1, "found '1'"),
        ("1", True, "found 1"),
        ("true", 1, "found True"),
        ("x", "y", "found 'x'"),
        ("x", None, "found 'x'"),
        ("x", ABSENT, "expected no such key, found 'x'"),
        ("x" * 500, "y", "found 'x{78}…"),
    ],
)
def test_expectations_that_are_not_met(text, expect, found):
    with pytest.raises(Conflict, match=found) as caught:
        apply(SetValue("f.yaml", "a", "new", expect=expect, create=True), f"a: {text}\n".encode())
    assert caught.value.code is Code.EDIT_EXPECTATION
    assert caught.value.where == "f.yaml: a"


def test_expecting_a_value_where_there_is_no_key():
    for edit in (SetValue("f.yaml", "b", 1, expect=2, create=True), RemoveKey("f.yaml", "b", expect=2)):
        with pytest.raises(Conflict, match="expected 2, found no such key"):
            apply(edit, b"a: 1\n")


def test_removing_what_is_expected_to_be_absent():
    assert apply(RemoveKey("f.yaml", "b", expect=ABSENT), b"a: 1\n") == b"a: 1\n"
    with pytest.raises(Conflict):
        apply(RemoveKey("f.yaml", "a", expect=ABSENT), b"a: 1\n")
