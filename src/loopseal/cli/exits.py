"""Exit codes: what scripts may rely on."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from loopseal.domain.change import Change, Expired, Phase
from loopseal.errors import ConfigError, Conflict, LoopsealError, Refused, Unreachable


class Exit(IntEnum):
    """What the program's end means; the texts stand in `loopseal --help`."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    REFUSED = 4
    CONFLICT = 5
    UNREACHABLE = 6
    LATE = 7
    SUPERSEDED = 8


_OF_ERRORS: Final[tuple[tuple[type[LoopsealError], Exit], ...]] = (
    (ConfigError, Exit.CONFIG),
    (Refused, Exit.REFUSED),
    (Conflict, Exit.CONFLICT),
    (Unreachable, Exit.UNREACHABLE),
)


def exit_of(error: LoopsealError) -> Exit:
    """The exit code of an error."""
    return next((code for kind, code in _OF_ERRORS if isinstance(error, kind)), Exit.FAILED)


def exit_of_change(change: Change) -> Exit:
    """The exit code of a change as it stands when nobody waits for it any more."""
    if isinstance(change.events[-1], Expired):
        return Exit.LATE
    match change.phase:
        case Phase.HEALTHY | Phase.COMMITTED | Phase.RECONCILED:
            return Exit.DONE
        case Phase.FAILED | Phase.WITHDRAWN:
            return Exit.FAILED
        case Phase.SUPERSEDED:
            return Exit.SUPERSEDED
        case Phase.DENIED | Phase.REFUSED:
            return Exit.REFUSED
        case Phase.PROPOSED | Phase.HELD | Phase.CLEARED | Phase.LEASED:
            return Exit.LATE
