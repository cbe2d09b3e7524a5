"""Where the lines of `loopseal.calls` go when the settings name a file: appended to it, one write(2) for each line.

Processes of one machine may share the file, and it may be renamed under them (logrotate). It is not synced: a crash of
the machine may take the last lines, one of the process takes none. A line that cannot be written raises.
"""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Final

from loopseal.errors import Code, ConfigError
from loopseal.net.calls import logger

_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class CallsFile(logging.Handler):
    """Appends to `path`, which is made for this user only. Raises OSError when a line is not written whole."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._torn = False
        self._file = -1

    def emit(self, record: logging.LogRecord) -> None:
        """Append the message, as one line. Called under the handler's lock."""
        line = record.getMessage().encode("ascii", "backslashreplace") + b"\n"
        if self._torn:  # end what is left of a line
            line = b"\n" + line
        self._torn = os.write(self._opened(), line) != len(line)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def _opened(self) -> int:
        """The file that bears the name now."""
        if self._file >= 0 and self._renamed():
            self._shut()
        if self._file < 0:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self.path, _FLAGS, 0o600)
        return self._file

    def _renamed(self) -> bool:
        try:
            named = self.path.stat()
        except FileNotFoundError:
            return True
        held = os.fstat(self._file)
        return (named.st_dev, named.st_ino) != (held.st_dev, held.st_ino)

    def _shut(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def close(self) -> None:
        """Let go of the file."""
        self._shut()
        super().close()

    def check(self) -> None:
        """Open the file. Raises ConfigError."""
        try:
            self.acquire()
            try:
                self._opened()
            finally:
                self.release()
        except OSError as error:
            raise ConfigError(
                Code.CONFIG_UNREADABLE,
                f"calls cannot be recorded: {error.strerror}",
                where=str(self.path),
                hint="Name a file that this user may write, in `calls.path`.",
            ) from None


def keep(path: str) -> CallsFile:
    """Append every call of this process to `path` from now on, and to no other log. Raises ConfigError.

    The logger is the whole process's, and so is this: asked for twice, there is one handler; for two files, each gets
    all lines.
    """
    file = Path(path)
    for handler in logger.handlers:
        if isinstance(handler, CallsFile) and handler.path == file:
            return handler
    made = CallsFile(file)
    made.check()
    logger.addHandler(made)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False  # every read of every wait would bury the log of a task
    return made
