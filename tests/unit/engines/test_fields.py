"""Reading fields of objects of any shape, and the clocks of a memory."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.domain.revision import State, Tolerance
from loopseal.engines import fields

OBJ = {"a": {"b": "text", "n": 3, "t": True, "l": [{"x": 1}, 7, {"y": 2}], "s": ["one", 2]}}


def test_what_is_there():
    assert fields.get(OBJ, "a", "b") == "text"
    assert fields.text(OBJ, "a", "b") == "text"
    assert fields.number(OBJ, "a", "n") == 3.0
    assert fields.flag(OBJ, "a", "t")
    assert fields.items(OBJ, "a", "l") == ({"x": 1}, {"y": 2})
    assert fields.texts(OBJ, "a", "s") == ("one", "")
    assert fields.mapping(OBJ, "a") is OBJ["a"]


@pytest.mark.parametrize("path", [("a", "b", "c"), ("x",), ("a", "l", "x"), ()])
def test_what_is_not(path):
    assert fields.text(OBJ, *path) == ""
    assert fields.number(OBJ, *path) == 0.0
    assert not fields.flag(OBJ, *path)
    assert fields.items(OBJ, *path) == ()
    assert fields.texts(OBJ, *path) == ()


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 10**400, True, "3", None, [], {}])
def test_a_number_is_finite_or_none(odd):
    assert fields.number({"n": odd}, "n") == 0.0


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1970-01-01T00:00:10Z", 10.0),
        ("1970-01-01T00:00:10.5Z", 10.5),
        ("1970-01-01T01:00:10+01:00", 10.0),
        ("1970-01-01T00:00:10", 10.0),
        ("yesterday", None),
        ("", None),
        ("9999-99-99T00:00:00Z", None),
        ("0001-01-01T00:00:00+23:59", -62135683140.0),
    ],
)
def test_times(written, read):
    assert fields.seconds({"at": written}, "at") == read


def test_texts_are_cut():
    assert len(fields.text({"x": "y" * 100_000}, "x")) == fields.MAX_TEXT
    assert len(fields.items({"x": [{}] * 100_000}, "x")) == fields.MAX_ITEMS


def test_a_clock_runs_until_it_is_stopped():
    memory: dict = {}
    clocks = {
        "good": fields.Timer(frozenset({"FINE"}), lambda given: given.settle),
        "bad": fields.Timer(frozenset({"BROKEN", "WORSE"}), lambda given: given.degraded_grace),
    }
    assert fields.since(memory, "good", 10.0) == 0.0
    assert fields.since(memory, "good", 12.0) == 2.0
    fields.stop_others(memory, clocks, "FINE")
    assert fields.since(memory, "good", 13.0) == 3.0
    fields.stop_others(memory, clocks, "WORSE")
    assert fields.since(memory, "good", 14.0) == 0.0


def test_the_clock_that_runs_out_first_says_when_to_look_again():
    timers = {
        "good": fields.Timer(frozenset(), lambda given: given.settle),
        "bad": fields.Timer(frozenset(), lambda given: given.degraded_grace),
    }
    tolerance = Tolerance(settle=10.0, degraded_grace=60.0)
    assert fields.ripens({}, timers, tolerance, 100.0) == math.inf
    assert fields.ripens({"bad": 70.0}, timers, tolerance, 100.0) == 30.0
    assert fields.ripens({"bad": 70.0, "good": 95.0}, timers, tolerance, 100.0) == 5.0
    assert fields.ripens({"bad": 70.0, "good": 90.0}, timers, tolerance, 100.0) == 30.0, "that of `good` has run out"
    assert fields.ripens({"bad": 130.0}, timers, tolerance, 100.0) == 60.0, (
        "the wall clock was set back: it begins anew"
    )


@pytest.mark.parametrize("broken", ["x", None, True, float("nan"), [], 99.0])
def test_a_clock_that_was_spoilt_starts_anew(broken):
    assert fields.since({"good": broken}, "good", 10.0) == 0.0


def test_another_object_of_the_same_name_clears_the_memory():
    memory = {"healthy": 1.0}
    fields.pin(memory, {"metadata": {"uid": "u1"}})
    assert memory == {"healthy": 1.0, "uid": "u1"}
    fields.pin(memory, {})
    assert memory["healthy"] == 1.0
    fields.pin(memory, {"metadata": {"uid": "u2"}})
    assert memory == {"uid": "u2"}


@given(st.text(), st.text(), st.text())
def test_a_verdict_is_bounded_whatever_is_said(reason, message, observed):
    said = fields.verdict(State.PENDING, reason * 50, message * 500, observed=observed * 500)
    assert len(said.reason) <= 100
    assert len(said.message) <= fields.MAX_MESSAGE
    assert len(said.observed) <= fields.MAX_MESSAGE
