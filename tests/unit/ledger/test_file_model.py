"""The ledger in a file against a model: any sequence of appends, reads, crashes and restarts."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from loopseal.domain.change import Blocked, Event
from loopseal.errors import Conflict
from loopseal.ledger.file import Ledger

AT = datetime(2026, 1, 1, tzinfo=UTC)
CHANGES = ("one", "two", 'odd "name" \\ ü')
objects = st.integers(0, 2)
changes = st.sampled_from(CHANGES)


class LedgerMachine(RuleBasedStateMachine):
    """Three objects on one file stand for three processes; `model` is what was acknowledged."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-"))
        self.path = self.folder / "ledger.jsonl"
        self.ledgers = [Ledger(str(self.path)) for _ in range(3)]
        self.model: dict[str, list[Event]] = {change: [] for change in CHANGES}
        self.written = 0

    @rule(which=objects, change=changes)
    def append(self, which: int, change: str) -> None:
        event = self.event()
        asyncio.run(self.ledgers[which].append(change, len(self.model[change]), event))
        self.model[change].append(event)

    @rule(which=objects, change=changes, off=st.sampled_from([-2, -1, 1, 2]))
    def append_too_late_or_too_early(self, which: int, change: str, off: int) -> None:
        expected = len(self.model[change]) + off
        try:
            asyncio.run(self.ledgers[which].append(change, expected, self.event()))
        except Conflict:
            return
        message = f"{expected} was taken where {len(self.model[change])} belongs"
        raise AssertionError(message)

    @rule(which=objects, change=changes)
    def read(self, which: int, change: str) -> None:
        assert list(asyncio.run(self.ledgers[which].read(change))) == self.model[change]

    @rule(which=objects)
    def restart(self, which: int) -> None:
        self.ledgers[which] = Ledger(str(self.path))

    @rule(change=changes, kept=st.floats(0, 0.99))
    def crash_in_mid_append(self, change: str, kept: float) -> None:
        """Another process wrote the beginning of a line, never its end, and told nobody."""
        whole = self.path.read_bytes() if self.path.exists() else b""
        scratch = self.folder / "scratch.jsonl"
        scratch.write_bytes(whole)
        asyncio.run(Ledger(str(scratch)).append(change, len(self.model[change]), self.event()))
        line = scratch.read_bytes()[len(whole) :]
        torn = line[: int(len(line) * kept)].removesuffix(b"\n").removesuffix(b"}")
        if whole.endswith(b"\n") or not whole:
            self.path.write_bytes(whole + torn)

    @invariant()
    def what_was_acknowledged_is_there(self) -> None:
        fresh = Ledger(str(self.path))
        for change in CHANGES:
            assert list(asyncio.run(fresh.read(change))) == self.model[change]

    def event(self) -> Event:
        self.written += 1
        return Blocked(AT, "R", f"event {self.written} ü\n\u2028")

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=20, stateful_step_count=15)
