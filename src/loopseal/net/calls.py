"""The record of every call to Argo CD and Kubernetes: who, for which change, what, and what came of it.

Two lines of JSON per HTTP attempt go to the logger `loopseal.calls`: `call` before it is sent, `answer` when it is over
(`FIELDS`). What writes is logged at INFO, what reads at DEBUG. A call that writes is not sent when its line cannot be
written: a handler that raises says so (`calls_file`). Does not live here: what the addresses of a peer mean, and where
the lines go.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Any, Final, TypeAlias
from uuid import uuid4

from loopseal.errors import Code, Unreachable
from loopseal.net.redaction import clean
from loopseal.ports import Behalf, Clock, behalf

logger: Final = logging.getLogger("loopseal.calls")
_complaints: Final = logging.getLogger("loopseal.net")

FIELDS: Final = (
    ("at", "call, answer", "when, in UTC"),
    ("event", "call, answer", "`call`: about to be sent; `answer`: over"),
    ("id", "call, answer", "a UUID, sent as the header `Audit-ID`; Kubernetes puts it into its own audit log"),
    ("change", "call, answer", "the change it is for; empty where it is for none"),
    ("actor", "call", "who acts, `kind:subject@issuer`; empty where nobody in particular does"),
    ("shared", "call", "whether it serves everybody who waits there: a watch"),
    ("peer", "call", "`argocd` or `kubernetes`"),
    ("server", "call", "its address"),
    ("verb", "call", "as in Kubernetes: `get`, `list`, `watch`, `create`, `patch`; in Argo CD also `refresh`, `sync`"),
    ("writes", "call", "whether it changes something there"),
    ("object", "call", "`kind` (plural, group, subresource), `namespace`, `name`: what the address tells of them"),
    ("method", "call", "of HTTP"),
    ("path", "call", "path and query as they are sent, secrets removed"),
    ("status", "answer", "of HTTP; 0 where none came"),
    ("outcome", "answer", "`answered`, the code of an error, or `interrupted`: we stopped, such as a watch at its end"),
    ("seconds", "answer", "how long it took; of a watch, how long it was open"),
)
"""Name of a field, the events that have it, and what it means: the reference page is made from this."""

MAX_PATH: Final = 2000
"""Characters of an address that are kept."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a request asks of a peer. `kind` is a plural with its group and subresource, such as `pods/log`."""

    verb: str
    kind: str = ""
    namespace: str = ""
    name: str = ""
    writes: bool = False


Read: TypeAlias = Callable[[str, str], Meaning]
"""What (method, path and query) mean to a peer; pure."""


@dataclass(slots=True)
class Call:
    """One HTTP attempt. `status` is set by whoever sends it."""

    headers: dict[str, str]
    status: int = 0


@cache
def user_agent() -> str:
    """How we call ourselves."""
    return f"loopseal/{version('loopseal')}"


@lru_cache(maxsize=512)
def _shown(address: str) -> str:
    """Without secrets; remembered, because a wait asks the same few addresses and looking for secrets is slow."""
    return clean(address, MAX_PATH)


@dataclass(slots=True)
class CallLog:
    """Records the calls to one server. `peer` is its kind, `server` its address."""

    peer: str
    server: str
    read: Read
    clock: Clock
    _deaf: bool = field(default=False, init=False)
    """Whether the last line could not be written: told once, not at every call."""

    @contextmanager
    def call(self, method: str, target: str) -> Iterator[Call]:
        """Record what is done within the block. `target` is path and query as they are sent.

        Raises Unreachable (`net.unrecorded`) before anything is sent, if it writes and its line cannot be written.
        """
        meaning, whose = self.read(method, target), behalf()
        level = logging.INFO if meaning.writes else logging.DEBUG
        call_id, began = str(uuid4()), self.clock.monotonic()
        call, outcome = Call({"audit-id": call_id, "user-agent": user_agent()}), "interrupted"
        if not self._written(level, lambda: self._asked(call_id, whose, meaning, method, target)) and meaning.writes:
            raise Unreachable(
                Code.NET_UNRECORDED,
                f"{meaning.verb} {meaning.kind} {meaning.name}: the call could not be recorded and was not sent",
                where=self.server,
                hint="Make room for the file that `calls` in the settings names, or let this user write to it.",
            )
        try:
            yield call
            outcome = "answered"
        except Unreachable as error:
            outcome = error.code
            raise
        except Exception:  # raised by whoever reads the answer, after it came
            outcome = "answered" if call.status else "interrupted"
            raise
        finally:
            seconds = self.clock.monotonic() - began
            self._written(level, lambda: self._answered(call_id, whose, call.status, outcome, seconds))

    def _asked(self, call_id: str, whose: Behalf, meaning: Meaning, method: str, target: str) -> dict[str, Any]:
        return {
            "at": self._now(),
            "event": "call",
            "id": call_id,
            "change": whose.change,
            "actor": whose.actor,
            "shared": whose.shared,
            "peer": self.peer,
            "server": _shown(self.server),
            "verb": meaning.verb,
            "writes": meaning.writes,
            "object": {"kind": meaning.kind, "namespace": meaning.namespace, "name": meaning.name},
            "method": method,
            "path": _shown(target),
        }

    def _answered(self, call_id: str, whose: Behalf, status: int, outcome: str, seconds: float) -> dict[str, Any]:
        return {
            "at": self._now(),
            "event": "answer",
            "id": call_id,
            "change": whose.change,
            "status": status,
            "outcome": outcome,
            "seconds": round(seconds, 6),
        }

    def _now(self) -> str:
        return self.clock.now().isoformat(timespec="microseconds")

    def _written(self, level: int, line: Callable[[], dict[str, Any]]) -> bool:
        """Whether every handler took the line; the first failure of a row is told where people look."""
        if not logger.isEnabledFor(level):
            return True
        try:
            logger.log(level, "%s", json.dumps(line(), separators=(",", ":")))
        except OSError as error:
            if not self._deaf:
                _complaints.warning("calls are not recorded, and nothing is changed at a peer: %s", error.strerror)
            self._deaf = True
            return False
        self._deaf = False
        return True
