"""What was made of the files that were read last, as long as those files together stay small.

An edit, its description and the next edit of the same file read the same bytes: what one change wrote is what the next
one finds. What is made of a file takes some ninety times its bytes, so the budget is one of bytes, not of files: 45 MB
when several hundred files are being changed again and again, and next to nothing before.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

BUDGET: Final = 512 * 1024
"""Bytes of the files whose trees are kept."""
LARGEST: Final = 64 * 1024
"""A larger file is not kept: it would push all others out."""


class Memory(Generic[Key, Value]):
    """The values of the keys used last. Large files are edited in threads, so several may ask at once."""

    def __init__(self, make: Callable[[Key], Value], size: Callable[[Key], int], budget: int = BUDGET) -> None:
        self._make, self._size, self._budget = make, size, budget
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._used = 0
        self._turn = threading.Lock()

    def __call__(self, key: Key) -> Value:
        """The value of `key`, made if it is not at hand. What `make` raises is not kept."""
        size = self._size(key)
        if size > LARGEST:
            return self._make(key)
        with self._turn:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = self._make(key)
        with self._turn:
            self._keep(key, value, size)
        return value

    def _keep(self, key: Key, value: Value, size: int) -> None:
        if key not in self._values:
            self._used += size
        self._values[key] = value
        while self._values and self._used > self._budget:
            gone, _ = self._values.popitem(last=False)
            self._used -= self._size(gone)
