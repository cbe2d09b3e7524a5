"""A secret shows itself to nobody but the one who calls `reveal`."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import pprint
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.ports import Credential, Secret

VALUE = "hunter2-S3cr3t"
SECRET = Secret(VALUE)
CREDENTIAL = Credential(SECRET, "bot", {"passphrase": Secret(VALUE + "2")})


@pytest.mark.parametrize(
    "shown",
    [
        repr(SECRET),
        str(SECRET),
        f"{SECRET}",
        f"{SECRET!r:>40}",
        f"{SECRET:>40}",
        "%s %r" % (SECRET, SECRET),  # noqa: UP031 - logging formats this way
        "{}".format(SECRET),  # noqa: UP032 - and many a library this way
        repr([SECRET, {"a": SECRET}]),
        repr(CREDENTIAL),
        pprint.pformat(CREDENTIAL),
        repr(ValueError(SECRET)),
        str(KeyError(SECRET)),
    ],
)
def test_no_text_shows_it(shown: str):
    assert VALUE not in shown


def test_no_log_shows_it(caplog: pytest.LogCaptureFixture):
    logging.getLogger("test").warning("using %s of %r", SECRET, CREDENTIAL)
    assert VALUE not in caplog.text


def test_no_traceback_shows_it():
    def use(secret: Secret, credential: Credential) -> None:
        raise RuntimeError(secret, credential)

    with pytest.raises(RuntimeError) as caught:
        use(SECRET, CREDENTIAL)
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "secret = Secret(***)" in shown
    assert VALUE not in shown


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_does_not_leave_its_process(protocol: int):
    for value in (SECRET, CREDENTIAL):
        with pytest.raises(TypeError, match="does not leave its process"):
            pickle.dumps(value, protocol)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_it_is_not_copied(duplicate):
    with pytest.raises(TypeError, match="does not leave its process"):
        duplicate(SECRET)


def test_it_is_no_json():
    with pytest.raises(TypeError):
        json.dumps({"token": SECRET})


def test_it_has_no_attributes_to_walk_over():
    assert not hasattr(SECRET, "__dict__")


@given(st.text(), st.text())
def test_equal_values_are_equal_secrets(one: str, two: str):
    assert (Secret(one) == Secret(two)) == (one == two)
    assert (len({Secret(one), Secret(two)}) == 1) == (one == two)
    assert bool(Secret(one)) == bool(one)
    assert Secret(one).reveal() == one


def test_a_secret_is_never_equal_to_its_value():
    assert SECRET != VALUE
    assert VALUE != SECRET
