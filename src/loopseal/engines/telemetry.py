"""What the engines tell about themselves: metrics, and one log record for everything they ask a peer to do.

Lives here: the instruments (no-ops until an OpenTelemetry SDK is there) and the audit line. Does not: any decision.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import metrics

from loopseal.errors import LoopsealError

logger: Final = logging.getLogger("loopseal.engines")

_meter = metrics.get_meter("loopseal.engines")
_verdicts = _meter.create_counter("loopseal.engine.verdicts", description="verdicts told, by state and reason")
_nudges = _meter.create_counter("loopseal.engine.nudges", description="refreshes asked for, by outcome")
_reconnects = _meter.create_counter("loopseal.engine.reconnects", description="watches that had to be opened again")
_waits = _meter.create_up_down_counter("loopseal.engine.waits", description="waits going on")


def told(engine: str, state: str, reason: str) -> None:
    """A verdict was handed to a caller."""
    _verdicts.add(1, {"engine": engine, "state": state, "reason": reason})


def reconnected(engine: str) -> None:
    """A watch broke and is opened again."""
    _reconnects.add(1, {"engine": engine})


@contextmanager
def waiting(engine: str) -> Iterator[None]:
    """One wait more, for as long as the block runs."""
    _waits.add(1, {"engine": engine})
    try:
        yield
    finally:
        _waits.add(-1, {"engine": engine})


@contextmanager
def acting(engine: str, verb: str, target: str) -> Iterator[None]:
    """Log one call that changes something at the peer, whatever becomes of it.

    The record carries `engine`, `verb`, `object` and `outcome` (`ok`, an error's code, or `interrupted`).
    """
    outcome = "interrupted"
    try:
        yield
        outcome = "ok"
    except LoopsealError as error:
        outcome = error.code
        raise
    finally:
        if verb == "refresh":
            _nudges.add(1, {"engine": engine, "outcome": outcome})
        logger.info(
            "%s: %s %s: %s",
            engine,
            verb,
            target,
            outcome,
            extra={"engine": engine, "verb": verb, "object": target, "outcome": outcome},
        )
