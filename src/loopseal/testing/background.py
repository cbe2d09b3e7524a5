"""An event loop in a thread of its own, for tests that are plain functions: simulators run there, calls go there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Self, TypeVar

T = TypeVar("T")

_PATIENCE = 30.0


class Background:
    """Use it as `with`: what was entered ends with it, in reverse order."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loopseal-simulators", daemon=True)
        self._stack = AsyncExitStack()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.run(self._stack.aclose())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_PATIENCE)
            self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and give its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    def call(self, function: Callable[[], T]) -> T:
        """Call a plain function there: the simulators are not safe to touch from other threads."""

        async def work() -> T:
            return function()

        return self.run(work())

    def enter(self, manager: AbstractAsyncContextManager[T]) -> T:
        """Enter a context manager there."""
        return self.run(self._stack.enter_async_context(manager))
