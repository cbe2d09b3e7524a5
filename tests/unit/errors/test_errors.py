"""The tree of errors: stable codes, texts that help, and the same error on the other side of a process."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

from loopseal.errors import Code, ConfigError, Conflict, LoopsealError, Refused, Unreachable

KINDS = [ConfigError, Refused, Conflict, Unreachable]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_says_what_where_and_what_to_do(kind: type[LoopsealError]):
    error = kind(Code.EDIT_ALIAS, "the value is shared", where="a.yaml: x", hint="Edit the anchor.")
    assert str(error) == "a.yaml: x: the value is shared [edit.alias]"
    assert error.diagnostics() == "a.yaml: x: the value is shared [edit.alias]\n  hint: Edit the anchor."
    assert isinstance(error, LoopsealError)


def test_without_place_and_hint():
    error = Refused(Code.EDIT_ALIAS, "the value is shared")
    assert str(error) == error.diagnostics() == "the value is shared [edit.alias]"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_it_crosses_processes(kind: type[LoopsealError], protocol: int):
    error = kind(Code.NET_TIMEOUT, "m", where="w", hint="h")
    error.add_note("seen twice")
    for back in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):
        assert type(back) is kind
        assert (back.code, back.message, back.where, back.hint) == (Code.NET_TIMEOUT, "m", "w", "h")
        assert (str(back), back.args, back.__notes__) == (str(error), error.args, ["seen twice"])


def test_the_pause_that_a_peer_asked_for_crosses_processes_too():
    error = Unreachable(Code.NET_RATE_LIMITED, "m", retry_after=7.5)
    assert pickle.loads(pickle.dumps(error)).retry_after == 7.5
    assert pickle.loads(pickle.dumps(Unreachable(Code.NET_TIMEOUT, "m"))).retry_after is None


def test_codes_are_room_and_reason_and_never_the_same():
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+", code) for code in Code)
    assert len({code.value for code in Code}) == len(Code.__members__)


def test_names_of_codes_are_their_values():
    assert {code.name.lower() for code in Code} == {code.value.replace(".", "_", 1) for code in Code}


def test_our_errors_can_be_told_from_all_others():
    assert all(issubclass(kind, LoopsealError) for kind in KINDS)
    assert LoopsealError.__mro__[1] is Exception
