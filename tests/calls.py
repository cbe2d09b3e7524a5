"""What tests need of the record of calls: to listen to it, and to read it from a file."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loopseal.net import calls, calls_file


@dataclass
class Record:
    """The lines of a record, in order."""

    lines: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def sent(self) -> list[Mapping[str, Any]]:
        return [line for line in self.lines if line["event"] == "call"]

    @property
    def answers(self) -> dict[str, Mapping[str, Any]]:
        return {line["id"]: line for line in self.lines if line["event"] == "answer"}

    def verbs(self, **fields: Any) -> list[str]:
        return [line["verb"] for line in self.sent if all(line[name] == value for name, value in fields.items())]


class _Listener(logging.Handler):
    def __init__(self, record: Record) -> None:
        super().__init__()
        self.record = record

    def emit(self, record: logging.LogRecord) -> None:
        self.record.lines.append(json.loads(record.getMessage()))


@contextmanager
def listening(level: int = logging.DEBUG) -> Iterator[Record]:
    """The record of everything that is called within the block."""
    record = Record()
    with attached(_Listener(record), level):
        yield record


@contextmanager
def attached(handler: logging.Handler, level: int = logging.DEBUG) -> Iterator[None]:
    """`handler` alone on the logger, which is as before afterwards."""
    logger = calls.logger
    before = (logger.level, logger.propagate, logger.handlers[:])
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.propagate, logger.handlers[:] = before[1:]
        logger.setLevel(before[0])
        handler.close()


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """The record goes to `path` within the block, as the setting `calls.path` has it."""
    with attached(logging.NullHandler()):
        handler = calls_file.keep(str(path))
        try:
            yield
        finally:
            handler.close()


def read(*paths: Path) -> Record:
    """The record that these files hold."""
    return Record([json.loads(line) for path in paths if path.exists() for line in path.read_text().splitlines()])
