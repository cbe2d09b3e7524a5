"""The flight recorder: keeps what an engine answered, as a recording that anybody may look at.

Lives here: the `Tap` that writes. Every event is appended to `FILE.partial` at once, so that a crash loses at most one
line, and `loopseal replay FILE.partial` reads it; closing writes `FILE` in one step. Does not: judge.

Writing is done in place, on the event loop: one line to a local file, in a command that a person runs to record.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from loopseal.domain.revision import Relation
from loopseal.engines.fields import mapping, text
from loopseal.engines.recording import END, Event, begin, line
from loopseal.engines.scrub import Scrubber
from loopseal.errors import Code, ConfigError
from loopseal.ports import Ancestry, Clock, Wait

LIMIT: Final = 64 * 1024 * 1024
"""Bytes of one recording: what comes after is not kept, and the file says so."""


class Recorder:
    """A `ports.Tap` that writes a recording. Use it in a `with` block, or call `close`."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        system: str,
        targets: Mapping[str, tuple[str, str]] | None = None,
        scenario: str = "",
        versions: Mapping[str, str] | None = None,
        limit: int = LIMIT,
    ) -> None:
        self.path, self.partial = path, path.with_name(f"{path.name}.partial")
        self._clock, self._began, self._limit = clock, clock.monotonic(), limit
        self._head: dict[str, Any] = {
            "scenario": scenario or path.stem,
            "description": "",
            "started": clock.now().isoformat(timespec="milliseconds"),
            "system": system,
            "wants": [],
            "targets": {kind: list(target) for kind, target in (targets or {}).items()},
            "versions": dict(versions or {}),
            "graph": {},
        }
        self._scrub, self._last = Scrubber(secrets.token_bytes(32)), dict[str, str]()
        self._written, self._full = 0, False
        self._file: IO[str] | None = self._open()

    def _open(self) -> IO[str]:
        try:
            self.partial.unlink(missing_ok=True)
            self.partial.touch(mode=0o600)
            file = self.partial.open("w", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                Code.CONFIG_UNREADABLE,
                f"cannot write a recording: {error.strerror}",
                where=str(self.partial),
                hint="Name a file in a folder that this process may write to.",
            ) from error
        file.write(begin(self._head))
        file.flush()
        return file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, channel: str, body: Mapping[str, Any]) -> None:
        """Keep one answer, secrets removed. One that says nothing new on its channel is left out."""
        if self._file is None or self._full:
            return
        kept = self._scrub(body)
        if self._repeats(channel, kept):
            return
        written = line(Event(self._clock.monotonic() - self._began, channel, kept)) + ",\n"
        if self._written + len(written) > self._limit:
            self._full = True
            return
        self._written += len(written)
        self._file.write(written)
        self._file.flush()

    def waits(self, wait: Wait, positions: tuple[int, ...] = ()) -> None:
        """Keep what is waited for, so that a replay knows without being told."""
        tolerance = asdict(wait.tolerance)
        application = asdict(wait.application)
        body = {"sha": wait.revision, "application": application, "tolerance": tolerance, "positions": list(positions)}
        self("wait", {**body, "source": {"url": wait.source.url, "branch": wait.source.branch}})

    def listening(self, ancestry: Ancestry) -> Ancestry:
        """The same ancestry, with its answers kept: a replay has no repository to ask."""
        return _Listening(ancestry, self)

    def close(self) -> Path:
        """Write the file in one step. Calling it again changes nothing."""
        if self._file is None:
            return self.path
        self._file.write(line(Event(self._clock.monotonic() - self._began, "end", {})) + ",\n")
        self._file.close()
        self._file = None
        whole = self.path.with_name(f".{self.path.name}.new")
        head = self._head | ({"cut": f"more than {self._limit} bytes"} if self._full else {})
        with self.partial.open(encoding="utf-8") as events, whole.open("w", encoding="utf-8") as file:
            whole.chmod(0o600)
            events.seek(len(begin(self._head).encode()))
            file.write(begin(head))
            previous = ""
            for one in events:
                file.write(previous)
                previous = one
            file.write(previous.removesuffix("\n").removesuffix(",") + END)
        whole.replace(self.path)
        self.partial.unlink()
        return self.path

    def _repeats(self, channel: str, body: Mapping[str, Any]) -> bool:
        """Whether an object comes again unchanged but for its version: watches and polls repeat themselves."""
        place = next((one for one in (body, mapping(body, "result")) if "object" in one or "application" in one), body)
        shown = mapping(place, "object") or mapping(place, "application") or mapping(body, "body")
        metadata = mapping(shown, "metadata")
        if not metadata or "refresh=" in text(body, "path") or text(place, "type") in {"ADDED", "DELETED"}:
            return False
        bare = {**shown, "metadata": {key: one for key, one in metadata.items() if key != "resourceVersion"}}
        name = f"{channel}/{text(metadata, 'namespace')}/{text(metadata, 'name')}"
        now = json.dumps(bare, sort_keys=True)
        if self._last.get(name) == now:
            return True
        self._last[name] = now
        return False


class _Listening:
    """An ancestry whose answers are recorded."""

    def __init__(self, ancestry: Ancestry, recorder: Recorder) -> None:
        self._ancestry, self._recorder = ancestry, recorder

    async def relation(self, observed: str, wanted: str) -> Relation:
        """What the repository says, kept."""
        found = await self._ancestry.relation(observed, wanted)
        self._recorder("ancestry", {"observed": observed, "wanted": wanted, "relation": found.value})
        return found
