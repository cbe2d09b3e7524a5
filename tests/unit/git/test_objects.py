"""Ids, commits and trees: held to what the git program makes, and to every byte surviving."""

import subprocess
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.errors import Unreachable
from loopseal.git.objects import (
    EXECUTABLE,
    FILE,
    FOLDER,
    SUBMODULE,
    SYMLINK,
    Commit,
    commit_of,
    is_oid,
    make,
    oid_of,
    sort_key,
    tree_bytes,
    tree_entries,
)
from loopseal.git.remote import ObjectKind
from tests.unit.git.hostile import hostile

OID = "257cc5642cb1a054f08cc83f2d943e56fd3ebe99"
oids = st.integers(0, 2**160 - 1).map(lambda value: f"{value:040x}")
names = st.binary(min_size=1, max_size=12).filter(lambda name: b"/" not in name and b"\0" not in name)
modes = st.sampled_from([FILE, EXECUTABLE, SYMLINK, FOLDER, SUBMODULE])
trees = st.dictionaries(names, st.tuples(modes, oids), max_size=12)


def hash_object(kind: str, data: bytes) -> str:
    command = ["git", "hash-object", "--literally", "-t", kind, "--stdin"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout.decode().strip()


@pytest.mark.parametrize("kind", list(ObjectKind))
def test_ids_are_those_of_git(kind):
    data = b"some\0bytes\n" * 50
    assert oid_of(kind, data) == hash_object(kind.value, data)
    assert make(kind, data).oid == oid_of(kind, data)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [(OID, True), (OID.upper(), False), (OID[:-1], False), (OID + "0", False), ("", False), (OID + "\n", False)],
)
def test_what_an_id_looks_like(text, is_one):
    assert is_oid(text) is is_one


def test_trees_are_ordered_as_git_orders_them(tmp_path):
    subprocess.run(["git", "init", "-q", "--bare", tmp_path], check=True)
    entries = [
        (FILE, b"a.b", OID),
        (FOLDER, b"a", OID),
        (FILE, b"a0", OID),
        (FILE, b"a-", OID),
        (EXECUTABLE, b"B", OID),
    ]
    text = b"".join(
        b"%s %s %s\t%s\n" % (m.rjust(6, b"0"), b"tree" if m == FOLDER else b"blob", o.encode(), n)
        for m, n, o in entries
    )
    made = subprocess.run(["git", "-C", tmp_path, "mktree", "--missing"], input=text, capture_output=True, check=True)
    assert oid_of(ObjectKind.TREE, tree_bytes(entries)) == made.stdout.decode().strip()
    assert [name for _, name, _ in sorted(entries, key=lambda e: sort_key(e[0], e[1]))] == [
        b"B",
        b"a-",
        b"a.b",
        b"a",
        b"a0",
    ]


@given(trees)
def test_trees_come_back(tree):
    data = tree_bytes((mode, name, oid) for name, (mode, oid) in tree.items())
    found = tree_entries(data)
    assert {name: (entry.mode, entry.oid(data)) for name, entry in found.items()} == tree
    assert sum(entry.end - entry.start for entry in found.values()) == len(data)
    assert all(data[entry.start :].startswith(entry.mode + b" " + name + b"\0") for name, entry in found.items())


@given(trees.filter(bool), oids, st.data())
def test_an_entry_can_be_replaced_in_place(tree, oid, data):
    raw = tree_bytes((mode, name, old) for name, (mode, old) in tree.items())
    name = data.draw(st.sampled_from(sorted(tree)))
    entry = tree_entries(raw)[name]
    edited = raw[: entry.at] + bytes.fromhex(oid) + raw[entry.end :]
    assert edited == tree_bytes((mode, key, oid if key == name else old) for key, (mode, old) in tree.items())
    assert tree_entries(edited)[name] == entry


@given(trees.filter(bool), st.data())
def test_a_damaged_tree_is_one_kind_of_error(tree, data):
    raw = bytearray(tree_bytes((mode, name, oid) for name, (mode, oid) in tree.items()))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with hostile():
        tree_entries(bytes(raw[: data.draw(st.integers(0, len(raw)))]))


RAW = bytes.fromhex(OID)


@pytest.mark.parametrize(
    "data",
    [
        b"100644 a\0" + RAW[:19],
        b"100644 a" + RAW,
        b"100644 \0" + RAW,
        b"100644 a/b\0" + RAW,
        b"100644 a\0" + RAW + b"40000 a\0" + RAW,
        b"100888 a\0" + RAW,
        b"1 a\0" + RAW,
        b" a\0" + RAW,
        b"10064412345 a\0" + RAW,
    ],
)
def test_trees_that_none_can_be(data):
    with pytest.raises(Unreachable, match="tree"):
        tree_entries(data)


def test_old_trees_with_padded_modes_are_folders_too():
    assert tree_entries(b"040000 a\0" + RAW)[b"a"].is_folder
    assert not tree_entries(b"160000 a\0" + RAW)[b"a"].is_folder


SIGNED = (
    f"tree {OID}\nparent {OID}\nparent {OID[::-1]}\nauthor A U Thor <a@example.com> 1700000000 +0100\n"
    "committer C <c@example.com> 1700000060 -0000\nencoding ISO-8859-1\n"
    "gpgsig -----BEGIN SSH SIGNATURE-----\n AAAA\n \n -----END SSH SIGNATURE-----\n\nSubject\n\nBody "
).encode() + b"\xe9\n\nKey: value\n"


def test_a_signed_merge_with_another_encoding():
    commit = commit_of(SIGNED)
    assert (commit.tree, commit.parents) == (OID, (OID, OID[::-1]))
    assert commit.author == "A U Thor <a@example.com> 1700000000 +0100"
    assert commit.header("encoding") == "ISO-8859-1"
    assert commit.header("gpgsig") == "-----BEGIN SSH SIGNATURE-----\nAAAA\n\n-----END SSH SIGNATURE-----"
    assert commit.signed
    assert commit.at == datetime(2023, 11, 14, 22, 14, 20, tzinfo=UTC)
    assert commit.message.startswith("Subject\n\nBody \udce9\n")
    assert commit.serialise() == SIGNED
    assert commit.object().oid == hash_object("commit", SIGNED)


lines = st.text(st.characters(blacklist_characters="\n\0", blacklist_categories=["Cs"]), max_size=20)
header_names = st.text("abcdefgh-", min_size=1, max_size=8).filter(lambda name: name not in {"parent", "author"})
values = st.lists(lines, min_size=1, max_size=3).map("\n".join)


commits = st.builds(
    Commit,
    tree=oids,
    parents=st.lists(oids, max_size=3).map(tuple),
    author=lines,
    committer=lines,
    message=st.text(st.characters(blacklist_categories=["Cs"])),
    headers=st.lists(st.tuples(header_names, values), max_size=3).map(tuple),
)


@given(commits)
def test_commits_come_back(commit):
    assert commit_of(commit.serialise()) == commit


@given(st.data())
def test_a_damaged_commit_is_one_kind_of_error(data):
    raw = bytearray(SIGNED)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with hostile():
        commit = commit_of(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
        assert commit.at.tzinfo is UTC
        assert is_oid(commit.tree)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"tree x\n\n",
        SIGNED.replace(b"tree ", b"tre ", 1),
        SIGNED.replace(b"author ", b"auth ", 1),
        SIGNED.replace(b"parent 2", b"parent x", 1),
    ],
)
def test_bytes_that_are_no_commit(data):
    with pytest.raises(Unreachable, match="a commit"):
        commit_of(data)


def test_a_time_that_nobody_can_read_is_the_epoch():
    commit = Commit(OID, (), "a", "C <c@example.com> 99999999999999999999 +0000", "")
    assert commit.at == datetime(1970, 1, 1, tzinfo=UTC)
    assert not commit.signed


@pytest.mark.parametrize(
    "changed",
    [{"author": "A\nparent " + OID}, {"committer": "x\0"}, {"headers": (("a b", "c"),)}, {"headers": (("a\nb", "c"),)}],
)
def test_nothing_can_add_a_line_to_a_commit(changed):
    fields = {"tree": OID, "parents": (), "author": "A", "committer": "C", "message": "m", "headers": ()} | changed
    with pytest.raises(ValueError, match="line break"):
        Commit(**fields).serialise()
