"""Proposals: scope, ids, problems."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import (
    ABSENT,
    ANYTHING,
    CHANGE_ID,
    Application,
    DeleteFile,
    Expect,
    Proposal,
    PutFile,
    SetValue,
    Target,
    change_id,
    is_plain,
)
from tests import strategies

ANN = Actor("ann", "idp", ActorKind.PERSON)


def target(*paths: str) -> Target:
    return Target("t", "r", "main", paths)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("apps/a.yaml", "apps/a.yaml"),
        ("apps/*.yaml", "apps/a.yaml"),
        ("apps/*.yaml", "apps/.yaml"),
        ("apps/**", "apps/a"),
        ("apps/**", "apps/a/b/c.yaml"),
        ("**/values.yaml", "values.yaml"),
        ("**/values.yaml", "a/b/values.yaml"),
        ("a/**/b", "a/b"),
        ("a/**/b", "a/x/y/b"),
        ("**/**/**/b", "a/b"),
        ("**", "any/thing"),
        ("a?.yaml", "ab.yaml"),
        ("a[1].yaml", "a[1].yaml"),
        ("apps/größe/*", "apps/größe/ü.yaml"),
        ("with space/*", "with space/a b"),
    ],
)
def test_covered(pattern: str, path: str):
    assert target(pattern).covers(path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("apps/*.yaml", "apps/x/a.yaml"),
        ("apps/*.yaml", "apps/a.yaml.bak"),
        ("apps/*.yaml", "apps/a.yaml\n"),
        ("apps/**", "apps"),
        ("apps/**", "apps2/a"),
        ("apps/**", "x/apps/a"),
        ("a/**/b", "ab"),
        ("a/**/b", "a/xb"),
        ("a?.yaml", "a/.yaml"),
        ("a[1].yaml", "a1.yaml"),
        ("a.yaml", "aXyaml"),
        ("a|b", "a"),
        ("", ""),
        ("apps/é", "apps/e\u0301"),  # composed and decomposed are two files in Git
        ("Apps/**", "apps/a"),
    ],
)
def test_not_covered(pattern: str, path: str):
    assert not target(pattern).covers(path)


HOSTILE = [
    "",
    "/etc/passwd",
    "../x",
    "a/../b",
    "a/./b",
    "./a",
    "a//b",
    "a/",
    "..",
    ".git/config",
    "a/.git/hooks/x",
    ".GIT/config",
    ".Git",
    "a/.git ",
    "a/.git./config",
    ".git::$INDEX_ALLOCATION/config",
    "git~1/config",
    "GIT~1",
    ".g\u200cit/config",
    "a\\b",
    "..\\x",
    "a\0b",
    "a\nb",
    "a\u202eb",
    "\ud800",
    "a\x7f",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_no_scope_covers_what_is_no_plain_path(path: str):
    assert not is_plain(path)
    assert not target("**", "**/*", path).covers(path)


@pytest.mark.parametrize("path", [".gitignore", ".github/workflows/x.yaml", "a.git/x", "git/x", "...", "a b", "-x"])
def test_plain(path: str):
    assert is_plain(path)


def test_no_pattern_covers_nothing():
    assert not target().covers("a")


segments = st.lists(st.text("ab.", min_size=1, max_size=3), min_size=1, max_size=4)
patterns = st.lists(st.sampled_from(["a", "b", "*", "**", "a*", "*b", "?"]), min_size=1, max_size=4)


def naive(pattern: list[str], path: list[str]) -> bool:
    """The meaning of a glob, by recursion over whole segments."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        if len(pattern) == 1:
            return bool(path)
        return naive(pattern[1:], path) or (bool(path) and naive(pattern, path[1:]))
    if not path:
        return False
    regex = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern[0])
    return re.fullmatch(regex, path[0]) is not None and naive(pattern[1:], path[1:])


@given(patterns, segments)
def test_globs_mean_what_the_recursion_says(pattern: list[str], path: list[str]):
    assume(is_plain("/".join(path)))
    assert target("/".join(pattern)).covers("/".join(path)) == naive(pattern, path)


@given(st.text(max_size=20))
def test_what_is_covered_cannot_leave_the_tree(path: str):
    if target("**").covers(path):
        assert not path.startswith("/")
        assert ".." not in path.split("/")
        assert not any(part.lower() == ".git" for part in path.split("/"))


def proposal(**fields) -> Proposal:
    edits = (SetValue("apps/a", "k", 1),)
    base = Proposal(change_id("x"), target("apps/**"), "base", edits, "because", ANN)
    return dataclasses.replace(base, **fields)


def test_a_good_proposal_has_no_problems():
    assert proposal().problems() == ()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"edits": ()}, "at least one edit"),
        ({"reason": " \n"}, "needs a reason"),
        ({"id": "short"}, "no change id"),
        ({"id": change_id("x") + "\n"}, "no change id"),
        ({"edits": (DeleteFile("etc/x"),)}, "'etc/x' is outside the scope of target 't'"),
        ({"edits": (PutFile("apps/../x", "y"),)}, "outside the scope"),
    ],
)
def test_problems(fields: dict[str, object], says: str):
    assert says in "; ".join(proposal(**fields).problems())


def test_paths_are_told_once_in_order():
    edits = (SetValue("apps/b", "k", 1), SetValue("apps/a", "k", 1), PutFile("apps/b", "x"))
    assert proposal(edits=edits).paths == ("apps/b", "apps/a")


@given(strategies.proposals())
def test_generated_proposals_are_good(one: Proposal):
    assert one.problems() == ()


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_change_ids_differ_when_the_parts_differ(left: list[str], right: list[str]):
    assert (change_id(*left) == change_id(*right)) == (left == right)
    assert CHANGE_ID.fullmatch(change_id(*left))


def test_change_ids_are_the_same_on_every_machine():
    assert change_id("dag", "run", "task") == "k3ndjhq5hp3jyw3tevetmxuzdi"


def test_sentinels_are_no_values():
    assert tuple(Expect) == (ANYTHING, ABSENT)
    assert ABSENT != "absent"


def test_an_application_prints_what_it_is():
    assert str(Application("eu1", "web", "apps", kind="HelmRelease")) == "eu1/apps/HelmRelease/web"
    assert str(Application("argo", "web")) == "argo/web"


@pytest.mark.parametrize(("subject", "issuer"), [("", "idp"), ("ann", "")])
def test_an_actor_is_a_subject_at_an_issuer(subject: str, issuer: str):
    with pytest.raises(ValueError, match="subject and an issuer"):
        Actor(subject, issuer, ActorKind.PERSON)


def test_an_actor_prints_both():
    assert str(ANN) == "person:ann@idp"
