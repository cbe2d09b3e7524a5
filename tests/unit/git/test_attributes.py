"""Which files are rewritten on checkout: git-check-attr(1) is the judge."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopseal.git.attributes import rewriting

PARTS = st.sampled_from(["a", "b", "ab", "a.yaml", "x.bin", "[a]", "sub"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
PATTERNS = st.one_of(
    PATHS,
    PATHS.map(lambda path: "/" + path),
    st.lists(
        st.one_of(PARTS, st.sampled_from(["*", "**", "?", "a*", "*.yaml", "[ab]", "[!a]", "[a-c]*", "\\a", "a**b"])),
        min_size=1,
        max_size=4,
    ).map("/".join),
    st.sampled_from(["*", "*.bin", "sub/", "!a", '"a b"', '"a"', "**/a", "a/**", "[", "#x", "/**"]),
)
WORDS = st.sampled_from(
    [
        "filter=lfs",
        "-filter",
        "!filter",
        "filter",
        "lfs",
        "text",
        "working-tree-encoding=UTF-16",
        "binary",
        "filter=x diff=x",
    ]
)
LINES = st.lists(
    st.one_of(
        st.tuples(PATTERNS, WORDS).map(" ".join),
        st.sampled_from(
            ["", "# comment", "[attr]lfs filter=lfs diff=lfs", "[attr]deep lfs", "a deep", "a", "\t a filter=t"]
        ),
    ),
    max_size=6,
).map(lambda lines: "\n".join(lines).encode())


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attributes")
    subprocess.run(["git", "init", "-q", folder], check=True)

    def ask(path: str, files: dict[str, bytes]) -> str:
        for old in folder.rglob(".gitattributes"):
            old.unlink()
        for where, data in files.items():
            file = folder / where / ".gitattributes"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        command = ["git", "-C", folder, "check-attr", "-z", "filter", "working-tree-encoding", "--", path]
        told = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
        values = dict(zip(told[1::3], told[2::3], strict=True))
        return next((f"{n}={v}" for n, v in values.items() if v not in {"unspecified", "unset"}), "")

    return ask


@settings(max_examples=150)
@given(PATHS, LINES, LINES)
def test_as_git_sees_it(judge, path, root, inner) -> None:
    files = {"": root}
    if "/" in path:
        files[path.split("/")[0]] = inner
    assert rewriting(path, files) == judge(path, files)


@pytest.mark.parametrize(
    ("path", "files", "found"),
    [
        ("a.bin", {"": b"*.bin filter=lfs diff=lfs merge=lfs -text\n"}, "filter=lfs"),
        ("secret/x", {"": b"secret/** filter=git-crypt\n"}, "filter=git-crypt"),
        ("secret/x", {"": b"secret/** filter=git-crypt\n", "secret": b"x !filter\n"}, ""),
        ("a/b.yaml", {"": b"b.yaml working-tree-encoding=UTF-16LE\n"}, "working-tree-encoding=UTF-16LE"),
        ("a/b.yaml", {"a": b"/b.yaml filter=x\n"}, "filter=x"),
        ("a/c/b.yaml", {"a": b"/b.yaml filter=x\n"}, ""),
        ("a", {"": b"a " + b"x" * 3000 + b" filter=x\n"}, ""),
        ("a", {"": b"\xff\xfe filter=x\n\xef\xbb\xbfa filter=y\n"}, ""),
        ("a", {"": b"\xef\xbb\xbfa filter=y\n"}, "filter=y"),
        ("a b", {"": b'"a b" filter=y\n'}, "filter=y"),
        ("a\tb", {"": b'"a\\tb" filter=y\n'}, "filter=y"),
        ("é", {"": b'"\\303\\251" filter=y\n'}, "filter=y"),
        ("a", {"": b"[attr]a a\na a\n"}, ""),
        ("a", {"": b""}, ""),
        ("a", {}, ""),
    ],
)
def test_examples(path: str, files: dict[str, bytes], found: str) -> None:
    assert rewriting(path, files) == found


@given(st.binary(max_size=200))
def test_hostile_bytes_are_read_somehow(data) -> None:
    rewriting("a/b", {"": data, "a": data})


@pytest.mark.parametrize(
    "pattern", ["*a" * 900, "**/" * 600 + "x", "*" * 2000 + "b", "[a]*" * 400 + "b", "a/" * 500 + "**"]
)
def test_a_hostile_pattern_takes_no_longer_than_it_is_long(pattern: str) -> None:
    """These are exponential, or polynomial of a high degree, where a regular expression may backtrack."""
    assert not rewriting("a" * 250, {"": f"{pattern} filter=x".encode()})
    assert rewriting("/".join("a" * 120), {"": f"{pattern} filter=x".encode()}) in {"", "filter=x"}
