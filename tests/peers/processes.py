"""Programs that run beside the tests: started, found ready, killed, started again, and gone at the end.

May live here: everything about processes. May not: which programs, what makes one ready (that is a function).

Each process leads a group of its own and dies with the thread that started it (`setpriv --pdeathsig`, util-linux), which
is one thread that lives as long as this object: not even a killed test run leaves one behind. What escapes the group
(gpg-agent does) is known by a variable that every process here inherits.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MARK: Final = "LOOPSEAL_PEERS_FOLDER"
"""The variable by which descendants are known; its value is the folder of one cluster."""

NAME: Final = "LOOPSEAL_PEERS_PROCESS"
"""The variable that tells of which process of the cluster."""

TAIL: Final = 2000
"""Characters of a log that are shown when something fails."""

_PAUSE: Final = 0.05
_POLITE: Final = 30.0
"""Seconds that a process has to end by itself before it is killed: the grace period of a pod (Kubernetes' default)."""

Probe = Callable[[], object]
"""Truthy when ready. OSError counts as not yet."""


class PeerError(Exception):
    """A peer did not start, did not become ready, or ended. The message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Command:
    """How one process is started, and how it is known to be ready."""

    name: str
    argv: Sequence[str | Path | int]
    ready: Probe
    variables: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 90.0
    """Until it has to be ready."""


class Processes:
    """The processes of one cluster. Safe to use from any thread, for one process by one thread at a time.

    `folder` gets the logs; programs are looked for in `tools` (folder of links) and then in PATH.
    """

    def __init__(self, folder: Path, tools: Path) -> None:
        self.folder, self.tools = folder, tools
        self.ready_seconds: dict[str, float] = {}
        """Name to seconds from its latest start until it was found ready; at first, others were waited for before it."""
        self._commands: dict[str, Command] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._since: dict[str, float] = {}
        # One thread starts them all: a process dies with the *thread* that started it (prctl(2), PR_SET_PDEATHSIG).
        self._starter = ThreadPoolExecutor(1, "peers")
        (folder / "logs").mkdir(parents=True, exist_ok=True)

    @property
    def names(self) -> list[str]:
        """Everything that was started, in that order; what was killed too."""
        return list(self._commands)

    def launch(self, command: Command) -> None:
        """Start a new process; `wait` says when it is ready."""
        self._commands[command.name] = command
        self._begin(command)

    def start(self, name: str) -> None:
        """Start a known process again, with the same arguments; returns when it is ready. Does nothing if it runs."""
        if not self.running(name):
            self._begin(self._commands[name])
        self.wait(name)

    def wait(self, name: str) -> None:
        """Until it is ready. Raises PeerError when it ends instead, or takes too long."""
        command = self._commands[name]
        self.until(command.ready, command.seconds, f"{name} is not ready", name)
        self.ready_seconds.setdefault(name, round(time.monotonic() - self._since[name], 2))

    def revive(self) -> None:
        """Start everything again that does not run."""
        for name in self.names:
            if not self.running(name):
                self.start(name)

    def kill(self, name: str) -> None:
        """SIGKILL it and all that it started, as if its machine had gone; returns when they are gone."""
        self._end(name, signal.SIGKILL)

    def terminate(self, name: str) -> None:
        """Ask it to end, and kill it when it has not after a while; returns when it is gone."""
        self._end(name, signal.SIGTERM)

    def running(self, name: str) -> bool:
        """Whether it runs."""
        process = self._running.get(name)
        return process is not None and process.poll() is None

    def pid(self, name: str) -> int:
        """Of a process that runs. Raises KeyError."""
        return self._running[name].pid

    def log_of(self, name: str) -> Path:
        """Where it writes, over all its starts."""
        return self.folder / "logs" / f"{name}.log"

    def log(self, name: str) -> str:
        """What it wrote."""
        return self.log_of(name).read_text("utf-8", "replace") if self.log_of(name).exists() else ""

    def tails(self, size: int = TAIL) -> dict[str, str]:
        """The end of every log, by name."""
        return {name: self.log(name)[-size:] for name in self.names}

    def memory(self) -> dict[str, float]:
        """MiB of resident memory by name, of those that run (proc(5), VmRSS)."""
        return {name: _resident(self.pid(name)) for name in self.names if self.running(name)}

    def until(self, probe: Probe, seconds: float, what: str, name: str = "") -> None:
        """Until `probe` says so; with `name`, only as long as that process runs. Raises PeerError."""
        end, last = time.monotonic() + seconds, ""
        while True:
            try:
                if probe():
                    return
            except OSError as error:
                last = f" ({error})"
            if name and not self.running(name):
                raise PeerError(f"{name} ended\n{self.log(name)[-TAIL:]}")
            if time.monotonic() > end:
                raise PeerError(f"{what} after {seconds:g} s{last}\n{self.log(name)[-TAIL:]}")
            time.sleep(_PAUSE)

    def close(self) -> None:
        """End every process and whatever they left behind, at once: nothing that they would still write is wanted."""
        for process in self._running.values():
            _signal_group(process.pid, signal.SIGKILL)
        for process in self._running.values():
            process.wait()
        self._running.clear()
        self._sweep()
        self._starter.shutdown()

    def _begin(self, command: Command) -> None:
        program, *arguments = map(str, command.argv)
        path = f"{self.tools}:{os.environ.get('PATH', os.defpath)}"
        found = shutil.which(program, path=path)
        if found is None:
            raise PeerError(f"there is no {program}: build the peers with `make peers-build`, see `make packages`")
        environment = {
            "PATH": path,
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "NO_PROXY": "*",
            MARK: str(self.folder),
            NAME: command.name,
            **command.variables,
        }
        argv = ["setpriv", "--pdeathsig", "KILL", "--", found, *arguments]
        self._since[command.name] = time.monotonic()
        self.ready_seconds.pop(command.name, None)
        with self.log_of(command.name).open("ab") as log:
            self._running[command.name] = self._starter.submit(self._spawn, argv, environment, log.fileno()).result()

    def _spawn(self, argv: list[str], environment: dict[str, str], log: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            env=environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def _end(self, name: str, number: signal.Signals) -> None:
        process = self._running.pop(name, None)
        if process is None:
            return
        process.send_signal(number)  # itself first: what it started is its own affair as long as it ends politely
        with suppress(subprocess.TimeoutExpired):
            process.wait(_POLITE)
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()
        self._sweep(name)

    def _sweep(self, name: str = "") -> None:
        """End what has left the group of its process."""
        left = f"something of {name or 'the cluster'} still runs"
        self.until(lambda: not _kill(descendants(self.folder, name)), _POLITE, left)


def descendants(folder: Path, name: str = "") -> list[int]:
    """Processes of this machine that carry the mark of a cluster in `folder`: its own and what they started (Linux).

    With `name`, those of one of its processes.
    """
    marks = {f"{MARK}={folder}".encode(), *([f"{NAME}={name}".encode()] if name else [])}
    found = []
    for one in Path("/proc").iterdir():
        if one.name.isdigit():
            with suppress(OSError):  # it ended meanwhile, or is somebody else's
                if marks <= set((one / "environ").read_bytes().split(b"\0")):
                    found.append(int(one.name))
    return found


def _kill(pids: Sequence[int]) -> Sequence[int]:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return pids


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, number)


def _resident(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return round(int(line.split()[1]) / 1024, 1)
    return 0.0
