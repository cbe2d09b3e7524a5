"""Whole files, images, descriptions, and the bounds of it all."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.domain.proposal import ABSENT, DeleteFile, PutFile, RemoveKey, SetImage, SetValue
from loopseal.errors import Code, Conflict, Refused
from loopseal.git.edits import apply, describe, read_value
from loopseal.git.edits.source import MAX_BYTES

HELLO = "ce013625030ba8dba906f756967f9e9ca394464a"  # printf 'hello\n' | git hash-object --stdin


def test_put():
    assert apply(PutFile("f", "hello\n"), None) == b"hello\n"
    assert apply(PutFile("f", b"\xff\0"), b"old") == b"\xff\0"
    assert apply(PutFile("f", "é", expect=ABSENT), None) == "é".encode()
    assert apply(PutFile("f", "new", expect=HELLO), b"hello\n") == b"new"
    assert apply(PutFile("f", "new", expect="f" * 64), b"hello\n", blob="f" * 64) == b"new"


def test_put_where_something_is():
    with pytest.raises(Conflict) as caught:
        apply(PutFile("f", "new", expect=ABSENT), b"old")
    assert caught.value.code is Code.EDIT_FILE_EXISTS


@pytest.mark.parametrize(("before", "found"), [(b"other", "found 1"), (None, "found no file")])
@pytest.mark.parametrize("edit", [PutFile("a/f", "new", expect=HELLO), DeleteFile("a/f", expect=HELLO)])
def test_another_blob_than_expected(edit, before, found):
    blob = "1" * 40 if before else ""
    with pytest.raises(Conflict, match=f"expected blob {HELLO}, {found}") as caught:
        apply(edit, before, blob=blob)
    assert (caught.value.code, caught.value.where) == (Code.EDIT_EXPECTATION, "a/f")


def test_delete():
    assert apply(DeleteFile("f"), b"x") is None
    assert apply(DeleteFile("f", expect=HELLO), b"hello\n") is None
    assert apply(DeleteFile("f", expect=ABSENT), None) is None
    with pytest.raises(Conflict):
        apply(DeleteFile("f", expect=ABSENT), b"x")


@pytest.mark.parametrize(
    "edit",
    [
        DeleteFile("f.yaml"),
        SetValue("f.yaml", "a", 1, create=True),
        RemoveKey("f.yaml", "a"),
        SetImage("kustomization.yaml", "x", tag="1"),
    ],
)
def test_no_such_file(edit):
    with pytest.raises(Refused) as caught:
        apply(edit, None)
    assert caught.value.code is Code.EDIT_FILE_MISSING
    assert caught.value.where == edit.path


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (PutFile("f", "\ud800"), Code.EDIT_VALUE),
        (PutFile("f", b"x" * (MAX_BYTES + 1)), Code.EDIT_TOO_LARGE),
        (SetValue("f.txt", "a", 1), Code.EDIT_SYNTAX),
        (SetValue("yaml", "a", 1), Code.EDIT_SYNTAX),
        (SetValue("f.yaml", "a", "x\ny"), Code.EDIT_VALUE),
        (SetValue("f.json", "a", float("nan")), Code.EDIT_VALUE),
    ],
)
def test_what_cannot_be_written(edit, code):
    with pytest.raises(Refused) as caught:
        apply(edit, b"a: 1\n")
    assert caught.value.code is code


@pytest.mark.parametrize("name", ["a.yml", "A.YAML", "x/Kustomization", "v.json"])
def test_names_of_files_with_keys(name):
    assert read_value(name, b'{"a": 1}', "a") == 1


@pytest.mark.parametrize("name", ["f.yaml", "f.json"])
def test_large_files(name):
    with pytest.raises(Refused) as caught:
        apply(SetValue(name, "a", 1), b'{"a": 1}' + b" " * MAX_BYTES)
    assert caught.value.code is Code.EDIT_TOO_LARGE


# --- bounds of the YAML grammar ---------------------------------------------------------------------------------------

DANGEROUS = {
    "lines": b"a: 1\n" * 32_768,
    "columns": b"a: '" + b"x" * 40_000 + b"'\n",
    "nested mappings": b"".join(b" " * depth + b"a:\n" for depth in range(400)),
    "nested lists": b"- " * 400 + b"x\n",
    "lists below lists": b"".join(b"  " * depth + b"-\n" for depth in range(400)),
    "nested keys": b"? " * 400 + b"x\n",
    "empty keys": b": " * 16_000,
    "nested flow": b"a: " + b"[" * 400 + b"]" * 400 + b"\n",
    "nested flow mappings": b"{a: " * 400 + b"}" * 400,
    "broken line, then nesting": b"''''" + b"- " * 400 + b"x\n",
    "nesting in several broken lines": b"".join(b" " * (200 * n) + b"''''" + b"- " * 100 + b"\n" for n in range(6)),
    "a document start, then nesting": b"--- " + b"- " * 400,
    "properties, then nesting": b"!t " + b"- !t &a " * 300,
}


@pytest.mark.parametrize("shape", DANGEROUS)
def test_files_that_would_break_the_parser_are_refused_before(shape):
    with pytest.raises(Refused) as caught:
        apply(SetValue("f.yaml", "a", 1), DANGEROUS[shape])
    assert caught.value.code in {Code.EDIT_TOO_LARGE, Code.EDIT_SYNTAX}


FINE = {
    "many lines": b"".join(b"k%d: v\n" % number for number in range(8_000)) + b"a: old\n",
    "a long line": b"x: '" + b'{"k": "v", ' * 2500 + b"'\na: old\n",
    "wide prose": b"".join(b"# " + b"word " * 15 + b"- more: of it - and: on\n" for _ in range(200)) + b"a: old\n",
    "deep": b"".join(b"  " * depth + b"a:\n" for depth in range(25)) + b"  " * 25 + b"x: 1\nb: old\n",
    "deep flow": b"x: " + b"[" * 90 + b"]" * 90 + b"\na: old\n",
    "many documents": b"b: 1\n---\n" * 3000 + b"a: old\n",
    "many anchors": b"".join(b"k%d: &k%d v\nl%d: *k%d\n" % ((number,) * 4) for number in range(3000)) + b"a: old\n",
    "many quoted templates": b"x: '" + b"{{" * 10_000 + b"'\na: old\n",
    "many tabs": b"x: |\n" + b"  \t\ty: 1\n" * 10_000 + b"a: old\n",
}


@pytest.mark.parametrize("shape", FINE)
def test_large_but_honest_files(shape):
    body = FINE[shape]
    key = "b" if shape == "deep" else "a"
    assert apply(SetValue("f.yaml", key, "new"), body) == body[:-4] + b"new\n"


def test_a_wide_file_with_tabs_is_refused_when_only_one_parser_reads_it():
    body = b"a: old\n\t# tab\nx: '" + b'{"k": "v", ' * 500 + b"'\n"
    with pytest.raises(Refused) as caught:
        apply(SetValue("f.yaml", "a", "new"), body)
    assert caught.value.code is Code.EDIT_SYNTAX


# --- images -----------------------------------------------------------------------------------------------------------

KUSTOMIZATION = b"""\
resources: [app.yaml]
images:
- name: ghcr.io/acme/web  # the web
  newTag: 1.0.0
- name: ghcr.io/acme/api
  newName: mirror/api
  digest: sha256:aa
- name: bare
"""
PATH = "apps/web/kustomization.yaml"


@pytest.mark.parametrize(
    ("edit", "old", "new"),
    [
        (SetImage(PATH, "ghcr.io/acme/web", tag="1.0.1"), b"newTag: 1.0.0", b"newTag: 1.0.1"),
        (SetImage(PATH, "ghcr.io/acme/web", tag="1.10"), b"newTag: 1.0.0", b'newTag: "1.10"'),
        (SetImage(PATH, "ghcr.io/acme/web", tag="1.0.1", expect="1.0.0"), b"newTag: 1.0.0", b"newTag: 1.0.1"),
        (SetImage(PATH, "ghcr.io/acme/web", digest="sha256:bb"), b"newTag: 1.0.0", b"digest: sha256:bb"),
        (
            SetImage(PATH, "ghcr.io/acme/web", digest="sha256:bb", expect="1.0.0"),
            b"newTag: 1.0.0",
            b"digest: sha256:bb",
        ),
        (SetImage(PATH, "ghcr.io/acme/web", new_name="m/w"), b"newTag: 1.0.0", b"newTag: 1.0.0\n  newName: m/w"),
        (SetImage(PATH, "ghcr.io/acme/api", digest="sha256:bb"), b"sha256:aa", b"sha256:bb"),
        (SetImage(PATH, "ghcr.io/acme/api", tag="2"), b"digest: sha256:aa", b'newTag: "2"'),
        (SetImage(PATH, "ghcr.io/acme/api", new_name="x", expect="mirror/api"), b"mirror/api", b"x"),
        (
            SetImage(PATH, "ghcr.io/acme/api", new_name="x", tag="v2"),
            b"newName: mirror/api\n  digest: sha256:aa",
            b"newName: x\n  newTag: v2",
        ),
        (SetImage(PATH, "bare", tag="v1", expect=ABSENT), b"- name: bare\n", b"- name: bare\n  newTag: v1\n"),
    ],
)
def test_images(edit, old, new):
    after = apply(edit, KUSTOMIZATION)
    assert after == KUSTOMIZATION.replace(old, new)
    changes = describe(edit, KUSTOMIZATION, after)
    assert all(change.key.startswith("images[name=") for change in changes)
    assert len(changes) == 1 + (edit.digest is not None and "web" in edit.image) + (
        edit.tag is not None and "api" in edit.image
    ) + (edit.new_name == "x" and edit.tag is not None)


def test_an_image_that_is_so_already():
    edit = SetImage(PATH, "ghcr.io/acme/web", tag="1.0.0")
    assert apply(edit, KUSTOMIZATION) == KUSTOMIZATION
    assert describe(edit, KUSTOMIZATION, KUSTOMIZATION) == ()


@pytest.mark.parametrize(
    ("edit", "kind", "code"),
    [
        (SetImage(PATH, "nowhere", tag="1"), Refused, Code.EDIT_KEY_MISSING),
        (SetImage(PATH, "bare"), Refused, Code.EDIT_VALUE),
        (SetImage(PATH, "bare", tag="1", digest="sha256:a"), Refused, Code.EDIT_VALUE),
        (SetImage(PATH, "bare", tag=""), Refused, Code.EDIT_VALUE),
        (SetImage(PATH, "", tag="1"), Refused, Code.EDIT_VALUE),
        (SetImage("values.yaml", "bare", tag="1"), Refused, Code.EDIT_VALUE),
        (SetImage(PATH, "bare", tag="a\nb"), Refused, Code.EDIT_VALUE),
        (SetImage(PATH, "bare", tag="1", expect="0"), Conflict, Code.EDIT_EXPECTATION),
        (SetImage(PATH, "ghcr.io/acme/web", tag="2", expect=ABSENT), Conflict, Code.EDIT_EXPECTATION),
        (SetImage(PATH, "ghcr.io/acme/api", tag="2", expect="1"), Conflict, Code.EDIT_EXPECTATION),
    ],
)
def test_images_that_are_refused(edit, kind, code):
    with pytest.raises(kind) as caught:
        apply(edit, KUSTOMIZATION)
    assert caught.value.code is code
    assert caught.value.hint


def test_an_entry_twice():
    with pytest.raises(Refused) as caught:
        apply(SetImage(PATH, "x", tag="1"), b"images:\n- name: x\n- name: x\n")
    assert caught.value.code is Code.EDIT_AMBIGUOUS


def test_an_image_with_an_odd_name():
    body = b'images:\n- name: "a,b"\n'
    assert apply(SetImage(PATH, "a,b", tag="v1"), body) == body + b"  newTag: v1\n"


# --- descriptions -----------------------------------------------------------------------------------------------------


def test_descriptions():
    before, after = b"a: 1\n", b"a: two\n"
    assert describe(SetValue("f.yaml", "a", "two"), before, after) == (("f.yaml", "a", 1, "two"),)
    assert describe(SetValue("f.yaml", '"a"', "two"), before, after) == (("f.yaml", "a", 1, "two"),)
    assert describe(SetValue("f.yaml", "b", 2), before, before + b"b: 2\n") == (("f.yaml", "b", ABSENT, 2),)
    assert describe(RemoveKey("f.yaml", "b"), before + b"b: 2\n", before) == (("f.yaml", "b", 2, ABSENT),)
    assert describe(SetValue("f.yaml", "a", 1), before, before) == ()


def test_descriptions_of_files():
    assert describe(PutFile("f", "hello\n"), None, b"hello\n") == (("f", "", ABSENT, HELLO),)
    assert describe(DeleteFile("f"), b"hello\n", None) == (("f", "", HELLO, ABSENT),)
    assert describe(PutFile("f", "hello\n"), b"hello\n", b"hello\n") == ()


@given(st.binary(max_size=200))
def test_blob_ids_are_those_of_git(data):
    ((_, _, old, new),) = describe(PutFile("f", data), None, data)
    assert old is ABSENT
    assert new == hashlib.sha1(b"blob " + str(len(data)).encode() + b"\0" + data).hexdigest()


@given(
    st.sampled_from([1, -5, 2.5, True, None, "x", "yes", "1.10", "two words", ""]),
    st.sampled_from(["old", "'old'", '"old"', "7", "true", ""]),
)
def test_an_edit_can_be_undone_by_its_description(value, text):
    before = f"a: {text} # c\nb: 1\n".encode() if text else b"a: # c\nb: 1\n"
    edit = SetValue("f.yaml", "a", value)
    after = apply(edit, before)
    for change in describe(edit, before, after):
        back = apply(SetValue("f.yaml", change.key, change.old, expect=change.new), after)
        assert read_value("f.yaml", back, "a") == read_value("f.yaml", before, "a")
