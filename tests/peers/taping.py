"""Recordings made while scenarios run on the real peers: what our engines were answered, and what they made of it.

A `Tape` is one scenario's recording in the form of `tests/recorded`: everything that the engine heard, each wait, each
answer about ancestry, and as `wants` how each wait ended, so that a replay has to come to the same verdicts. It carries
the versions of the peers and the date; addresses are replaced by names. Used by the conformance suite with `--record`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from loopseal.domain.revision import Verdict
from loopseal.engines import replay
from loopseal.engines.fields import mapping, text
from loopseal.engines.recorder import Recorder
from loopseal.engines.recording import Want, dumps, loads
from loopseal.ports import Ancestry, Clock, Wait
from tests.peers import pins

FOLDER = Path(__file__).parents[1] / "recorded" / "conformance"
"""Below it one folder per way of looking, in it one file per scenario."""

_LOOPBACK = re.compile(r"127\.0\.0\.1:\d+")

PROGRAMS = {
    "argocd": {"argo-cd": "argocd"},
    "flux": {"source-controller": "source-controller", "kustomize-controller": "kustomize-controller"},
}


def versions(system: str) -> dict[str, str]:
    """Of the programs that a recording of `argocd` or `flux` is of."""
    chosen = {**PROGRAMS[system], "kubernetes": "kube-apiserver", "kwok": "kwok"}
    return {name: pins.program(program).version for name, program in chosen.items()}


@dataclass(frozen=True, slots=True)
class Open:
    """A wait that goes on."""

    wait: Wait
    began: float


class Tape:
    """One recording. With `only`, of all that watches tell what has this word at the beginning of name or namespace."""

    def __init__(self, path: Path, clock: Clock, *, system: str, scenario: str, only: str = "") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._clock, self._only = path, clock, only
        self._recorder = Recorder(path, clock, system=system, scenario=scenario, versions=versions(system))
        self._start, self._date = clock.monotonic(), f"{clock.now():%Y-%m-%d}"
        self._wants: list[Want] = []

    def tap(self, channel: str, body: Mapping[str, Any]) -> None:
        """For the engine (a `ports.Tap`): `Workshop(…, tap=tape.tap)`."""
        shown = mapping(body, "object") or mapping(body, "result", "application")
        place = (text(shown, "metadata", "name"), text(shown, "metadata", "namespace"))
        if not any(place) or any(one.startswith(self._only) for one in place):
            self._recorder(channel, body)

    def begins(self, wait: Wait, ancestry: Ancestry) -> tuple[Open, Ancestry]:
        """Note a wait that begins now; answers its mark for `ended`, and the ancestry that the engine shall ask."""
        self._recorder.waits(wait)
        return Open(wait, self._clock.monotonic() - self._start), self._recorder.listening(ancestry)

    def ended(self, begun: Open, verdict: Verdict) -> None:
        """Note how it ended: a replay must come to the same."""
        policy = {key: value for key, value in asdict(begun.wait.tolerance).items() if key != "nudge"}
        now = self._clock.monotonic() - self._start
        name = begun.wait.application.name
        self._wants.append(
            Want(begun.wait.revision, begun.began, now, verdict.state.value, verdict.reason, policy, name=name)
        )

    def follow(self, verdicts: AsyncIterator[Verdict], begun: Open) -> AsyncGenerator[Verdict, None]:
        """The same verdicts; the final one is noted."""

        async def followed() -> AsyncGenerator[Verdict, None]:
            async for verdict in verdicts:
                if verdict.state.final:
                    self.ended(begun, verdict)
                yield verdict

        return followed()

    def close(self, names: Mapping[str, str], *, keep: bool = True) -> bool:
        """Write it, if a replay comes to what the waits came to; otherwise, or with no wait that ended, leave no file.

        `names` maps addresses to what stands for them (`http://127.0.0.1:20001` -> `http://git.test`). Answers whether
        it was written; with `keep=False` it is not.
        """
        self._recorder.close()
        written = self.path.read_text(encoding="utf-8")
        for address, name in names.items():
            written = written.replace(address, name)
        written = _LOOPBACK.sub("loopback.test", written)  # of peers among themselves
        found = loads(written)
        made = replace(found, wants=tuple(self._wants), facts={**found.facts, "date": self._date})
        faithful = keep and bool(self._wants) and replay.replay(made).ok
        if faithful:
            self.path.write_text(dumps(made), encoding="utf-8")
            self.path.chmod(0o644)
        else:
            self.path.unlink()
        return faithful
