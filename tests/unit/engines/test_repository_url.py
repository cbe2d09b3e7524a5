"""One repository, however its URL is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.engines.repository_url import is_git, normal, same_repository

SAME = [
    "https://git.example.com/org/repo",
    "https://git.example.com/org/repo.git",
    "https://GIT.Example.COM/org/repo/",
    "https://user@git.example.com/org/repo.git/",
    "https://user:secret@git.example.com:8443/org/repo",
    "http://git.example.com/org/repo",
    "ssh://git@git.example.com/org/repo.git",
    "ssh://git@git.example.com:2222/org/repo.git",
    "git@git.example.com:org/repo.git",
    "git.example.com:org/repo",
    "git@git.example.com:/org/repo",
    "  https://git.example.com/org/repo\n",
    "https://git.example.com/org%2Frepo",
]


@pytest.mark.parametrize("url", SAME)
def test_the_same_repository(url):
    assert normal(url) == "git.example.com/org/repo"
    assert same_repository(url, SAME[0])


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.com/org/other",
        "https://git.example.com/Org/repo",
        "https://evil.example.com/org/repo",
        "https://git.example.com.evil.com/org/repo",
        "https://evil.com/git.example.com/org/repo",
        "https://evil.com@other.com/org/repo",
        "file:///git.example.com/org/repo",
        "",
        "org/repo",
    ],
)
def test_another_repository(url):
    assert not same_repository(url, SAME[0])


def test_paths_of_one_machine():
    assert same_repository("file:///srv/git/apps.git", "/srv/git/apps")
    assert not same_repository("file:///srv/git/apps.git", "/srv/git/other")


def test_nothing_is_the_same_as_nothing():
    assert not same_repository("", "")


def test_addresses_of_version_six():
    assert same_repository("https://[2001:DB8::1]:8443/r", "ssh://git@[2001:db8::1]/r.git")


def test_registries_are_no_git():
    assert not is_git("oci://registry.example.com/charts")
    assert not is_git("OCI://registry.example.com/charts")
    assert not is_git("")
    assert is_git(SAME[0])


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_answered(one, other):
    assert same_repository(one, other) == same_repository(other, one)
    assert normal(normal(one)) == normal(one) or "%" in one or ":" in one or "." in one
