"""Recordings made while scenarios run on the real peers: what our engines were answered, and what they made of it.

A `Tape` is one scenario's recording in the form of `tests/recorded`: everything that the engine heard, each wait, each
answer about ancestry, and as `wants` how each wait ended, so that a replay has to come to the same verdicts. It carries
the versions of the peers and the date; addresses are replaced by names. Used by the conformance suite with `--record`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from loopseal.domain.revision import Verdict
from loopseal.engines import replay
from loopseal.engines.recorder import Recorder
from loopseal.engines.recording import Want, dumps, loads
from loopseal.ports import Ancestry, Clock, Tap, Wait
from tests.peers import pins

FOLDER = Path(__file__).parents[1] / "recorded" / "conformance"
"""Below it one folder per way of looking, in it one file per scenario."""

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
    """One recording. `names` maps addresses to what stands for them (`http://127.0.0.1:20001` -> `http://git.test`)."""

    def __init__(self, path: Path, clock: Clock, *, system: str, scenario: str, names: Mapping[str, str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._clock, self._names = path, clock, names
        self._recorder = Recorder(path, clock, system=system, scenario=scenario, versions=versions(system))
        self._start, self._date = clock.monotonic(), f"{clock.now():%Y-%m-%d}"
        self._wants: list[Want] = []

    @property
    def tap(self) -> Tap:
        """For the engine: `Workshop(…, tap=tape.tap)`."""
        return self._recorder

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

    def close(self) -> bool:
        """Write it, if a replay comes to what the waits came to; otherwise, or with no wait that ended, leave no file."""
        self._recorder.close()
        text = self.path.read_text(encoding="utf-8")
        for address, name in self._names.items():
            text = text.replace(address, name)
        found = loads(text)
        made = replace(found, wants=tuple(self._wants), facts={**found.facts, "date": self._date})
        faithful = bool(self._wants) and replay.replay(made).ok
        if faithful:
            self.path.write_text(dumps(made), encoding="utf-8")
            self.path.chmod(0o644)
        else:
            self.path.unlink()
        return faithful
