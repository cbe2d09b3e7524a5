"""Recordings that the conformance suite made of the real peers: a replay comes to what the waits came to then."""

from __future__ import annotations

import re

import pytest

from loopseal.engines import replay
from loopseal.engines.recording import dumps, read
from tests.peers.taping import FOLDER

FILES = sorted(FOLDER.glob("*/*.json"))
IDS = [f"{path.parent.name}-{path.stem}" for path in FILES]


def test_every_way_of_looking_is_recorded():
    assert {path.parent.name for path in FILES} == {"argocd", "argocd-objects", "flux"}


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_a_replay_comes_to_the_same(path):
    recording = read(path)
    assert recording.wants
    report = replay.replay(recording)
    assert report.ok, [(one.expected, one.timeline[-3:]) for one in report.outcomes if not one.ok]


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_it_says_when_and_of_what_it_was_made(path):
    recording = read(path)
    assert recording.scenario == path.stem
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", recording.facts["date"])
    named = {"source-controller", "kustomize-controller"} if recording.system == "flux" else {"argo-cd"}
    assert set(recording.versions) == {*named, "kubernetes", "kwok"}
    assert all(re.fullmatch(r"v\d+\.\d+\.\d+", one) for one in recording.versions.values())


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_it_holds_no_address_and_no_token(path):
    text = path.read_text()
    assert "127.0.0.1" not in text
    assert not re.search(r"eyJ[\w-]{20,}\.[\w-]{20,}\.", text)  # a JSON Web Token
    assert dumps(read(path)) == text
