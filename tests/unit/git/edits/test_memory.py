"""What is kept of the files read last: bounded by bytes, oldest out first, failures never."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal.git.edits.memory import LARGEST, Memory


def test_what_was_read_last_is_not_made_again():
    made: list[bytes] = []
    memory = Memory(lambda key: made.append(key) or key.upper(), len, budget=4)
    assert [memory(one) for one in (b"a", b"b", b"a")] == [b"A", b"B", b"A"]
    assert made == [b"a", b"b"]


def test_the_oldest_goes_when_the_budget_is_used():
    made: list[bytes] = []
    memory = Memory(made.append, len, budget=4)
    for one in (b"aa", b"bb", b"aa", b"cc", b"aa", b"bb"):
        memory(one)
    assert made == [b"aa", b"bb", b"cc", b"bb"]


def test_a_large_file_is_not_kept_and_a_failure_neither():
    made: list[int] = []
    large = Memory(lambda key: made.append(len(key)), len)
    big = b"x" * (LARGEST + 1)
    large(big)
    large(big)
    assert made == [LARGEST + 1] * 2
    failing = Memory(lambda key: 1 // key, lambda key: 1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            failing(0)


@given(st.lists(st.binary(max_size=6), max_size=40), st.integers(0, 20))
def test_it_answers_as_if_it_kept_nothing_and_never_holds_more_than_its_budget(keys, budget):
    memory = Memory(lambda key: key[::-1], len, budget=budget)
    for key in keys:
        assert memory(key) == key[::-1]
        assert sum(map(len, memory._values)) == memory._used <= max(budget, 0)


def test_several_threads_may_ask_at_once():
    memory = Memory(lambda key: key[::-1], len, budget=8)
    keys = [bytes([65 + number % 7]) * (1 + number % 3) for number in range(600)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(memory, keys)) == [key[::-1] for key in keys]
    assert sum(map(len, memory._values)) == memory._used <= 8
