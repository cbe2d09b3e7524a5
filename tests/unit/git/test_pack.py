"""Packs: read what git packs, write what git unpacks, and survive every damaged byte in between."""

import hashlib
import random
import struct
import subprocess
import tracemalloc
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.errors import Code, Unreachable
from loopseal.git import delta
from loopseal.git.objects import make
from loopseal.git.pack import SMALL, Limits, PackBuilder, read_pack
from loopseal.git.remote import GitObject, ObjectKind
from tests.unit.git.hostile import hostile

BLOB, TREE = ObjectKind.BLOB, ObjectKind.TREE


class Repository:
    """A real repository with history, through the git program."""

    def __init__(self, folder):
        self.folder = folder
        self.git("init", "-q", "--initial-branch=main", ".")
        for turn in range(12):
            for name in ("a/values.yaml", "b/values.yaml", "big.txt"):
                path = folder / name
                path.parent.mkdir(exist_ok=True)
                lines = [f"key{i}: value {i * 7919 % 1000}\n" for i in range(300)]
                lines[turn * 3] = f"changed: {turn} {name}\n"
                path.write_text("".join(lines))
            self.git("add", ".")
            self.git("-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qm", f"turn {turn}")
        self.git("-c", "user.name=A", "-c", "user.email=a@b", "tag", "-am", "a tag", "v1")
        self.oids = self.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").decode().split()

    def git(self, *arguments, data=b""):
        return subprocess.run(["git", *arguments], cwd=self.folder, input=data, capture_output=True, check=True).stdout

    def pack(self, *options, revs="main\nv1"):
        return self.git("pack-objects", "--stdout", "-q", "--revs", "--window=50", *options, data=f"{revs}\n".encode())

    def objects(self):
        out = {}
        for oid in self.oids:
            kind = self.git("cat-file", "-t", oid).decode().strip()
            out[oid] = GitObject(oid, ObjectKind(kind), self.git("cat-file", kind, oid))
        return out


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return Repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def everything(repository):
    return repository.objects()


@pytest.mark.parametrize("options", [[], ["--delta-base-offset"], ["--depth=0"], ["--depth=1"]])
def test_what_git_packs_is_read_whole(repository, everything, options):
    found = read_pack(repository.pack(*options), {}, lenient=False)
    reachable = set(repository.git("rev-list", "--objects", "--no-object-names", "--all").decode().split())
    assert {one.oid: one for one in found} == {oid: everything[oid] for oid in reachable}
    assert {one.kind for one in found} == set(ObjectKind)


def test_a_thin_pack_leans_on_what_we_have(repository, everything):
    revs = "main\n^main~1"
    thin = repository.pack("--thin", revs=revs)
    wanted = set(repository.git("rev-list", "--objects", "--no-object-names", "main", "^main~1").decode().split())
    assert {one.oid for one in read_pack(thin, everything, lenient=False)} == wanted
    left = read_pack(thin, {})
    assert {one.oid for one in left} < wanted
    with pytest.raises(Unreachable, match="have no base"):
        read_pack(thin, {}, lenient=False)


def test_an_empty_pack_is_a_pack(repository):
    assert read_pack(repository.pack(revs="main\n^main"), {}) == []
    assert read_pack(PackBuilder().build(), {}) == []


@pytest.mark.parametrize("sealed", [True, False])
def test_damage_is_one_kind_of_error(repository, everything, sealed):
    """Bytes flipped, cut out and doubled; `sealed` repairs the checksum, so that the damage gets past it."""
    dice = random.Random(sealed)
    packs = [
        repository.pack("--delta-base-offset", revs="main\n^main~3"),
        repository.pack("--thin", revs="main\n^main~2"),
    ]
    read = 0
    for _ in range(1500):
        raw = bytearray(dice.choice(packs)[:-20])
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(raw))
            match dice.randrange(4):
                case 0:
                    raw[at] ^= 1 << dice.randrange(8)
                case 1:
                    del raw[at : at + dice.randint(1, 40)]
                case 2:
                    raw[at:at] = raw[at : at + dice.randint(1, 40)]
                case 3:
                    raw[at : at + 4] = dice.randbytes(4)
        whole = bytes(raw) + (hashlib.sha1(raw).digest() if sealed else b"\0" * 20)
        with hostile():
            found = read_pack(whole, everything, limits=Limits(total_bytes=1 << 24))
            assert all(make(one.kind, one.data) == one for one in found)
            read += 1
    assert read < 500
    assert sealed or not read


@given(st.binary(max_size=200))
def test_random_bytes_are_one_kind_of_error(raw):
    body = b"PACK\0\0\0\2\0\0\0\3" + raw
    for data in (raw, body + hashlib.sha1(body).digest()):
        with pytest.raises(Unreachable):
            read_pack(data, {})


# --- packs made by hand


def entry(kind, size, data, base=b"", level=9):
    head, rest = [kind << 4 | size & 15], size >> 4
    while rest:
        head[-1] |= 0x80
        head.append(rest & 0x7F)
        rest >>= 7
    return bytes(head) + base + zlib.compress(data, level)


def pack_of(*entries, count=None, version=2):
    body = struct.pack(">4sII", b"PACK", version, len(entries) if count is None else count) + b"".join(entries)
    return body + hashlib.sha1(body).digest()


def ref_delta(base, result, base_oid=None):
    made = delta.between(base, result)
    return entry(7, len(made), made, bytes.fromhex(base_oid or make(BLOB, base).oid))


HELLO = make(BLOB, b"hello, world")


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "no pack"),
        (b"JACK" + bytes(40), "no pack"),
        (pack_of(version=4), "version 4"),
        (pack_of(count=600_000), "at most 500000"),
        (pack_of(count=1), "in the middle"),
        (pack_of(entry(3, 12, HELLO.data), count=2), "in the middle"),
        (pack_of(entry(3, 12, HELLO.data), b"x", count=1), "more than it declares"),
        (pack_of(entry(3, 11, HELLO.data)), "larger than"),
        (pack_of(entry(3, 13, HELLO.data)), "smaller than"),
        (pack_of(entry(0, 12, HELLO.data)), "type 0"),
        (pack_of(entry(5, 12, HELLO.data)), "type 5"),
        (pack_of(b"\xbc" + b"\x80" * 12 + b"\x01"), "impossible size"),
        (pack_of(b"\xbc"), "in the middle"),
        (pack_of(b"\x3cgarbage"), "broken compressed"),
        (pack_of(entry(3, 12, HELLO.data)[:-3]), "in the middle"),
        (pack_of(entry(6, 5, b"aaaaa", b"\x00")), "outside the pack"),
        (pack_of(entry(6, 5, b"aaaaa", b"\x7f")), "outside the pack"),
        (pack_of(entry(6, 5, b"aaaaa", b"\xff\xff\xff\x7f")), "outside the pack"),
        (pack_of(entry(3, 12, HELLO.data), entry(6, 5, b"aaaaa", b"\x03")), "not an object of the pack"),
        (pack_of(b"\x75" + b"x" * 10), "in the middle"),
        (pack_of(entry(3, 12, HELLO.data)) + b"x", "checksum"),
    ],
)
def test_packs_that_none_can_be(raw, why):
    with pytest.raises(Unreachable, match=why) as caught:
        read_pack(raw, {})
    assert caught.value.code is Code.GIT_PROTOCOL


def test_a_bomb_is_not_unpacked():
    huge = 200 * 1024 * 1024
    told_small = entry(3, 1000, bytes(huge // 10))
    told_huge = entry(3, huge, b"x")
    tracemalloc.start()
    for bomb in (told_small, told_huge):
        with pytest.raises(Unreachable, match=r"larger than|more than is accepted"):
            read_pack(pack_of(bomb), {})
    assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    tracemalloc.stop()


def test_a_delta_bomb_is_not_unpacked():
    """Each delta doubles: 40 small entries would make terabytes."""
    entries, data = [entry(3, 1 << 16, bytes(1 << 16))], bytes(1 << 16)
    base, size = make(BLOB, data).oid, 1 << 16
    for _ in range(4):
        made = delta._size(size) + delta._size(size * 16) + delta._copies(0, size) * 16
        entries.append(entry(7, len(made), made, bytes.fromhex(base)))
        size *= 16
        if size <= 1 << 24:
            base = make(BLOB, bytes(size)).oid
    with pytest.raises(Unreachable, match="more than is accepted"):
        read_pack(pack_of(*entries), {}, limits=Limits(object_bytes=1 << 24, total_bytes=1 << 26))


def test_limits_hold_for_all_objects_together():
    many = [entry(3, 1000, bytes([number]) * 1000) for number in range(20)]
    assert len(read_pack(pack_of(*many), {}, limits=Limits(total_bytes=20_000))) == 20
    with pytest.raises(Unreachable, match="more than is accepted"):
        read_pack(pack_of(*many), {}, limits=Limits(total_bytes=19_999))


def test_deltas_that_lean_on_each_other_have_no_base():
    one, two = ref_delta(b"one one", b"two two"), ref_delta(b"two two", b"one one")
    assert read_pack(pack_of(one, two), {}) == []
    with pytest.raises(Unreachable, match="2 deltas"):
        read_pack(pack_of(one, two), {}, lenient=False)


def test_a_long_chain_in_any_order_is_no_recursion():
    states = [b"state %05d, and what stays the same" % number for number in range(3000)]
    chain = [ref_delta(old, new) for old, new in pairwise(states)]
    first = entry(3, len(states[0]), states[0])
    for entries in ([first, *chain], [*reversed(chain), first]):
        assert {one.data for one in read_pack(pack_of(*entries), {}, lenient=False)} == set(states)


def test_an_object_that_comes_twice_is_there_once():
    twice = pack_of(
        entry(3, 12, HELLO.data),
        entry(3, 12, HELLO.data),
        ref_delta(HELLO.data, b"hello, there"),
        ref_delta(HELLO.data, b"hello, there"),
    )
    assert [one.data for one in read_pack(twice, {})] == [b"hello, world", b"hello, there"]


def test_an_object_without_bytes():
    assert read_pack(pack_of(entry(3, 0, b"")), {}) == [make(BLOB, b"")]


def test_stored_blocks_that_grow_are_read():
    """An encoder may need more bytes than it is given."""
    data = random.Random(1).randbytes(200_000)
    assert read_pack(pack_of(entry(3, len(data), data, level=0)), {}) == [make(BLOB, data)]
    slow = zlib.compressobj(0)
    pieces = (
        b"".join(slow.compress(data[at : at + 1]) + slow.flush(zlib.Z_FULL_FLUSH) for at in range(300)) + slow.flush()
    )
    raw = entry(3, 300, b"")[:-8] + pieces
    assert read_pack(pack_of(raw), {}) == [make(BLOB, data[:300])]


# --- packs we send


LEAD = b"-" * SMALL
"""What makes an object large enough for a delta to be worth it."""


def test_git_takes_what_we_build(repository, everything, tmp_path):
    subprocess.run(["git", "clone", "-q", "--bare", repository.folder, tmp_path / "copy.git"], check=True)
    tree = everything[repository.git("rev-parse", "main^{tree}").decode().strip()]
    blob = everything[repository.git("rev-parse", "main:big.txt").decode().strip()]
    new_blob = make(BLOB, blob.data.replace(b"key7:", b"KEY7:"))
    new_tree = make(TREE, tree.data.replace(bytes.fromhex(blob.oid), bytes.fromhex(new_blob.oid)))
    commit = make(
        ObjectKind.COMMIT, f"tree {new_tree.oid}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx\n".encode()
    )
    builder = PackBuilder()
    assert len(blob.data) > SMALL, "it goes as a delta, the tree as it is"
    builder.add_delta(new_blob, blob)
    builder.add_delta(new_tree, tree)
    builder.add(commit)
    assert len(builder) == 3
    raw = builder.build()
    assert len(raw) < 300
    copy = ["git", "-C", tmp_path / "copy.git"]
    subprocess.run(
        [*copy, "index-pack", "--strict", "--fix-thin", "--stdin"], input=raw, capture_output=True, check=True
    )
    subprocess.run([*copy, "update-ref", "refs/heads/new", commit.oid], check=True)
    subprocess.run([*copy, "fsck", "--strict"], capture_output=True, check=True)
    shown = subprocess.run([*copy, "show", "new:big.txt"], capture_output=True, check=True).stdout
    assert shown == new_blob.data
    assert {one.oid for one in read_pack(raw, everything, lenient=False)} == {new_blob.oid, new_tree.oid, commit.oid}


@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=300)), max_size=8))
def test_what_we_build_we_read(pairs):
    builder, have, sent = PackBuilder(), {}, {}
    for old, new in pairs:
        base, obj = make(BLOB, LEAD + old * 3), make(BLOB, LEAD + old * 3 + new)
        if base.oid not in sent:
            have[base.oid] = base
        builder.add_delta(obj, base)
        if obj.oid in builder and obj.oid not in have:
            sent[obj.oid] = obj
    found = {one.oid: one for one in read_pack(builder.build(), {**have, **sent}, lenient=False)}
    assert len(found) == len(builder)
    assert all(found[oid] == sent.get(oid, found[oid]) for oid in found)


def test_what_the_server_has_is_not_sent_again():
    one, two = make(BLOB, b"state one " * 500), make(BLOB, b"state two " * 500)
    builder = PackBuilder()
    builder.add_delta(two, one)
    builder.add_delta(one, two)  # back to where it was
    builder.add(one)
    assert len(builder) == 1
    assert one.oid in builder
    assert [found.oid for found in read_pack(builder.build(), {one.oid: one})] == [two.oid]


def test_small_objects_and_other_kinds_are_sent_whole():
    builder = PackBuilder()
    builder.add_delta(make(BLOB, LEAD), make(BLOB, LEAD + b"x"))
    builder.add_delta(make(TREE, LEAD + b"x"), make(BLOB, LEAD + b"xx"))
    assert len(read_pack(builder.build(), {}, lenient=False)) == 2


def test_a_delta_made_elsewhere_is_sent_as_it_is():
    base = make(BLOB, LEAD + bytes(range(200)))
    made = delta.splices(len(base.data), [(10, 1, b"x"), (150, 1, b"y")])
    obj = make(BLOB, delta.apply(base.data, made, limit=10_000))
    builder = PackBuilder()
    builder.add_delta(obj, base, made)
    assert len(builder.build()) < 120
    assert read_pack(builder.build(), {base.oid: base}, lenient=False) == [obj]
