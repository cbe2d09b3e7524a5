"""Time for simulators and tests: one clock on top of the event loop, and an event loop whose time jumps.

Under `run` nothing ever really waits: when no task can go on, time jumps to the next timer. A schedule of twenty
minutes takes milliseconds and gives the same result every time. In real time the same `LoopClock` tells real time.
"""

from __future__ import annotations

import asyncio
import re
import selectors
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

T = TypeVar("T")

EPOCH: Final = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
"""When virtual time begins, unless said otherwise."""

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PATIENCE: Final = 5.0
"""Real seconds to wait for something outside (a thread, a program) when no timer is left."""


def seconds(text: str) -> float:
    """A Go duration such as `1h30m`, in seconds."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|[smhd])", text))


class Stuck(RuntimeError):
    """Virtual time cannot go on: every task waits for something that nothing will bring about."""


class _JumpingSelector(selectors.DefaultSelector):
    """Polls instead of waiting, and tells its loop how far time may jump."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.loop.holds:
            return super().select(timeout if timeout is None else min(timeout, 0.01))
        if timeout is not None:
            self.loop.jump(timeout)
            return ready
        ready = super().select(_PATIENCE)
        if not ready:
            raise Stuck("no task can go on, and no timer is set")
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time starts at 0 and jumps to the next timer whenever nothing else is to be done."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        selector.loop = self
        self._virtual = 0.0
        self.holds = 0
        super().__init__(selector)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual

    def jump(self, seconds: float) -> None:
        """Let `seconds` have passed."""
        self._virtual += seconds

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Time stands still while something real (a program, a socket) is waited for."""
        self.holds += 1
        try:
            yield
        finally:
            self.holds -= 1


@contextmanager
def outside() -> Iterator[None]:
    """Wait for the real world: virtual time stands still meanwhile; without virtual time this does nothing."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualLoop):
        with loop.hold():
            yield
    else:
        yield


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `main()` in virtual time, with all that it started ended afterwards. Raises Stuck instead of hanging."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


class LoopClock:
    """`ports.Clock` on the running event loop, virtual or real. `epoch` is the time at which the loop's time was 0."""

    def __init__(self, epoch: datetime = EPOCH) -> None:
        self._epoch = epoch

    @classmethod
    def real(cls) -> LoopClock:
        """A clock that tells the time of day. To be called while the loop runs."""
        return cls(datetime.now(UTC) - timedelta(seconds=asyncio.get_running_loop().time()))

    def now(self) -> datetime:
        """The time, in UTC."""
        return self._epoch + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """The loop's own time, in seconds."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        await asyncio.sleep(seconds)

    def stamp(self) -> str:
        """Now as Kubernetes writes it: RFC 3339, whole seconds, cut and not rounded."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")
