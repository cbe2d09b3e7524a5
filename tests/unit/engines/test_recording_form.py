"""The form of recordings: what is refused, with the place; what is tolerated; a file that broke off."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.engines import recording
from loopseal.engines.recording import Event, Recording, Want, dumps, loads, parse, read
from loopseal.errors import Code, ConfigError
from tests.unit.engines.built_objects import P, X

SMALL = {
    "scenario": "small",
    "started": "2026-11-21T11:29:11.115+00:00",
    "system": "argocd",
    "targets": {"application": ["argocd", "a"]},
    "wants": [{"sha": X, "from": 1, "until": 9, "state": "SUCCEEDED", "reason": "HEALTHY"}],
    "graph": {X: [P], P: []},
    "events": [{"t": 0.5, "channel": "argo-sse", "body": {}}, {"t": 2, "channel": "later", "body": {"x": 1}}],
    "seconds_to_healthy": 1.5,
}


def test_what_is_read():
    found = parse(SMALL)
    assert found.started == pytest.approx(1795260551.115)
    assert found.targets == {"application": ("argocd", "a")}
    assert found.wants == (Want(X, 1.0, 9.0, "SUCCEEDED", "HEALTHY"),)
    assert found.graph == {X: (P,), P: ()}
    assert found.events[1] == Event(2.0, "later", {"x": 1})
    assert found.facts == {"seconds_to_healthy": 1.5}
    assert list(found.bodies("later")) == [(2.0, {"x": 1})]
    assert loads(dumps(found)) == found


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"system": "spinnaker"}, "system"),
        ({"started": "yesterday"}, "started"),
        ({"started": None}, "started"),
        ({"events": None}, "events"),
        ({"events": [7]}, "events[0].t"),
        ({"events": [{"t": "1", "channel": "x", "body": {}}]}, "events[0].t"),
        ({"events": [{"t": -1, "channel": "x", "body": {}}]}, "events[0].t"),
        ({"events": [{"t": float("nan"), "channel": "x", "body": {}}]}, "events[0].t"),
        ({"events": [{"t": 1, "channel": "", "body": {}}]}, "events[0]"),
        ({"events": [{"t": 1, "channel": "x", "body": []}]}, "events[0]"),
        ({"events": [{"t": 2, "channel": "x", "body": {}}, {"t": 1, "channel": "x", "body": {}}]}, "events[1].t"),
        ({"targets": []}, "targets"),
        ({"targets": {"application": "a"}}, "targets.application"),
        ({"targets": {"application": ["a", 1]}}, "targets.application"),
        ({"graph": []}, "graph"),
        ({"graph": {X: [1]}}, f"graph.{X}"),
        ({"wants": {}}, "wants"),
        ({"wants": [{"sha": "abc"}]}, "wants[0].sha"),
        ({"wants": [{"sha": X, "from": 1, "until": 2, "state": "GOOD"}]}, "wants[0].state"),
        ({"wants": [{"sha": X, "from": None, "until": 2}]}, "wants[0].from"),
        ({"wants": [{"sha": X, "from": 3, "until": 2}]}, "wants[0].until"),
    ],
)
def test_what_is_refused_says_where(change, place):
    with pytest.raises(ConfigError) as caught:
        parse(SMALL | change, where="bug.json")
    assert caught.value.code is Code.RECORDING_INVALID
    assert caught.value.where == f"bug.json: {place}"
    assert "--record" in caught.value.hint


@pytest.mark.parametrize("written", ["", "[]", "{", '{"events": [', "null", "[" * 100_000])
def test_what_is_no_recording_at_all(written):
    with pytest.raises(ConfigError) as caught:
        loads(written, where="bug.json")
    assert caught.value.code is Code.RECORDING_INVALID


def test_a_file_that_broke_off_is_read_up_to_its_last_whole_line():
    written = dumps(parse(SMALL))
    lines = written.splitlines(keepends=True)
    whole = next(number for number, one in enumerate(lines) if '"later"' in one)
    for cut in range(len("".join(lines[: whole + 1])) - 2, len("".join(lines[:whole])), -7):
        found = loads(written[:cut])
        assert found.broken_off
        assert len(found.events) in {1, 2}
    assert not loads(written).broken_off


def test_files(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(dumps(parse(SMALL)))
    assert read(path) == parse(SMALL)
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / "none.json")
    assert caught.value.code is Code.CONFIG_UNREADABLE
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        read(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "MAX_BYTES", 100)
    path = tmp_path / "r.json"
    path.write_text(dumps(parse(SMALL)))
    with pytest.raises(ConfigError, match="larger than 100 bytes"):
        read(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(st.text(max_size=8), json_values, max_size=3)


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.text(min_size=1, max_size=10), bodies), max_size=6),
    st.text(max_size=20),
    st.integers(0, 2_000_000_000_000),
)
def test_writing_and_reading_keep_everything(events, scenario, started):
    in_order = sorted(events, key=lambda one: one[0])
    whole = Recording(
        "flux",
        started / 1000,
        tuple(Event(at / 1000, channel, body) for at, channel, body in in_order),
        scenario=scenario,
    )
    written = dumps(whole)
    assert loads(written) == whole
    assert len([one for one in written.split("\n") if one.startswith('{"t"')]) == len(events)


@given(st.dictionaries(st.sampled_from([*SMALL, "x"]), json_values))
def test_any_document_is_a_recording_or_a_configuration_error(document):
    try:
        parse(SMALL | document)
    except ConfigError as error:
        assert error.code is Code.RECORDING_INVALID  # noqa: PT017 - either outcome is right


@given(st.text(max_size=200))
def test_any_text_is_a_recording_or_a_configuration_error(written):
    with pytest.raises(ConfigError):
        loads(json.dumps(written) if written.startswith("{") else written)
