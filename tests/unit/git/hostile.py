"""What malformed bytes may do: nothing, or be refused in one way."""

from collections.abc import Iterator
from contextlib import contextmanager

from loopseal.errors import Code, Unreachable


@contextmanager
def hostile() -> Iterator[None]:
    """The block may succeed or raise Unreachable (`git.protocol`); anything else is a failure."""
    try:
        yield
    except Unreachable as error:
        if error.code is not Code.GIT_PROTOCOL:
            raise
