"""The store keeps what was used last, within its bound."""

from __future__ import annotations

from loopseal.git.objects import FILE, make, tree_bytes
from loopseal.git.remote import ObjectKind
from loopseal.git.store import Store
from loopseal.git.tree import EMPTY


def blob(number: int):
    return make(ObjectKind.BLOB, b"%04d" % number * 25)


def test_the_least_recently_used_goes_first() -> None:
    store = Store(limit=1000)
    store.put(blob(number) for number in range(20))
    assert store.size == 2000
    assert store[blob(3).oid] == blob(3)
    store.trim()
    assert store.size == 1000
    assert set(store) == {blob(number).oid for number in (3, *range(11, 20))}
    assert blob(0).oid not in store
    assert store.get(blob(0).oid) is None


def test_putting_twice_counts_once() -> None:
    store = Store()
    store.put([blob(1), blob(1)])
    assert (len(store), store.size) == (1, 100)
    store.discard([blob(1).oid, "unknown"])
    assert (len(store), store.size) == (0, 0)


def test_trees_are_parsed_once() -> None:
    store = Store()
    obj = make(ObjectKind.TREE, tree_bytes([(FILE, b"a", "ab" * 20)]))
    assert store.tree(obj.oid) is None
    store.put([obj])
    assert store.tree(obj.oid).entries is store.tree(obj.oid).entries
    tree = store.tree(obj.oid)
    store.clear()
    assert store.tree(obj.oid) is None
    store.put_tree(tree)
    assert store.tree(obj.oid).entries is tree.entries


def test_git_knows_the_empty_tree_without_having_it() -> None:
    assert Store().tree("4b825dc642cb6eb9a060e54bf8d69288fbee4904") is EMPTY
