"""Trees edited as values give the very bytes that git would write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.errors import Unreachable
from loopseal.git import delta, tree
from loopseal.git.objects import EXECUTABLE, FILE, FOLDER, SUBMODULE, SYMLINK, make, tree_bytes
from loopseal.git.remote import ObjectKind
from loopseal.git.tree import EMPTY, Child

NAMES = st.binary(min_size=1, max_size=4).filter(lambda name: not set(name) & {0, ord("/")})
MODES = st.sampled_from([FILE, EXECUTABLE, FOLDER, SYMLINK, SUBMODULE])
OIDS = st.binary(min_size=20, max_size=20).map(bytes.hex)
CHILDREN = st.builds(Child, MODES, OIDS)
CONTENTS = st.dictionaries(NAMES, CHILDREN, max_size=12)


def made(content):
    data = tree_bytes((child.mode, name, child.oid) for name, child in content.items())
    return tree.parse(make(ObjectKind.TREE, data))


@given(CONTENTS, st.dictionaries(NAMES, st.none() | CHILDREN, max_size=6), st.data())
def test_an_edited_tree_is_the_tree_of_the_edited_entries(content, changes, data) -> None:
    some = data.draw(st.lists(st.sampled_from(sorted(content)), unique=True) if content else st.just([]))
    changes |= {name: data.draw(st.none() | CHILDREN) for name in some}
    changes = {
        name: child
        for name, child in changes.items()
        if not (child and name in content and content[name].is_folder != child.is_folder)
    }
    before = made(content)

    after, moves = tree.edited(before, changes)

    wanted = {name: child for name, child in {**content, **changes}.items() if child is not None}
    assert after.object.data == made(wanted).object.data
    assert {name: after.child(name) for name in wanted} == wanted
    assert len(after) == len(wanted)
    told = delta.splices(len(before.object.data), moves)
    assert delta.apply(before.object.data, told, limit=1 << 20) == after.object.data


def test_replacing_in_place_shares_the_shape() -> None:
    content = {b"%04d" % n: Child(FILE, "ab" * 20) for n in range(2000)}
    before = made(content)
    after, moves = tree.edited(before, {b"0700": Child(FILE, "cd" * 20)})
    assert after.entries is before.entries
    assert len(delta.splices(len(before.object.data), moves)) < 50
    assert after.child(b"0700").oid == "cd" * 20
    assert before.child(b"0700").oid == "ab" * 20


def test_no_change_is_the_same_tree() -> None:
    before = made({b"a": Child(FILE, "ab" * 20)})
    assert tree.edited(before, {b"a": Child(FILE, "ab" * 20), b"b": None}) == (before, ())
    assert tree.edited(EMPTY, {b"b": None})[0] is EMPTY


def test_folders_sort_as_if_they_ended_in_a_slash() -> None:
    after, _ = tree.edited(
        EMPTY, {b"a": Child(FOLDER, "ab" * 20), b"a.b": Child(FILE, "cd" * 20), b"a0": Child(FILE, "ef" * 20)}
    )
    assert list(after.entries) == [b"a.b", b"a", b"a0"]


def test_a_file_and_a_folder_do_not_trade_places() -> None:
    before = made({b"a": Child(FILE, "ab" * 20)})
    with pytest.raises(ValueError, match="trade places"):
        tree.edited(before, {b"a": Child(FOLDER, "cd" * 20)})


def test_modes() -> None:
    assert Child(b"040000", "").is_folder
    assert [Child(mode, "").is_file for mode in (FILE, EXECUTABLE, b"100664", SYMLINK, SUBMODULE, FOLDER)] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


def test_bytes_that_are_no_tree() -> None:
    with pytest.raises(Unreachable):
        tree.parse(make(ObjectKind.TREE, b"100644 a\0short"))
