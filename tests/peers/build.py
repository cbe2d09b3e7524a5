"""Build the real peers from their pinned sources, once, into a cache.

    python -m tests.peers.build [--list|--check] [PEER…]        etcd k8s kwok source kustomize argocd kustomize-cli; all by default

A program is built again only when its go.mod, go.sum, flags or the Go version change. What is interrupted goes on
where it was (Go keeps what it compiled); two at once wait for each other. Exit codes: 0 all is there, 1 a build
failed, 2 wrong usage, 3 Go is absent or too old.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.peers import pins
from tests.peers.pins import Program

OK, FAILED, USAGE, NO_GO = 0, 1, 2, 3

EVERY: Final = 15.0
"""Seconds between two lines of progress."""

Say = Callable[[str], None]


class BuildError(Exception):
    """Something could not be built; `code` is the exit code that says so."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Progress:
    """What Go says while it works, counted: it names each module that it downloads and each package it compiles."""

    downloaded: int = 0
    compiled: int = 0
    words: list[str] = field(default_factory=list)
    """Everything else, which is what went wrong."""

    def hear(self, line: str) -> None:
        """One line of `go build -v`."""
        line = line.rstrip()
        if line.startswith("go: downloading "):
            self.downloaded += 1
        elif line and " " not in line and not line.startswith("#"):
            self.compiled += 1
        elif line:
            self.words = [*self.words, line][-40:]

    def __str__(self) -> str:
        return f"{self.downloaded} modules downloaded, {self.compiled} packages compiled"


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds into `cache` with the compiler of version `go`, and says how it goes."""

    cache: Path
    go: str
    say: Say

    def __call__(self, program: Program) -> Path:
        """The built program, now or from before. Raises BuildError."""
        there = program.built(self.cache, self.go)
        if there.is_file():
            self.say(f"{program.name} {program.version}: is there")
            return there
        begun = time.monotonic()
        self.say(f"{program.name} {program.version}: building {program.package}")
        there.parent.mkdir(parents=True, exist_ok=True)
        made = there.with_suffix(".new")
        try:
            self._run(program, made, begun)
            made.replace(there)  # whoever looks for it finds the whole program or none
        finally:
            made.unlink(missing_ok=True)
        size = there.stat().st_size / 2**20
        self.say(f"{program.name} {program.version}: built in {elapsed(begun)}, {size:.0f} MiB")
        return there

    def _run(self, program: Program, made: Path, begun: float) -> None:
        progress = Progress()
        with _group(build_command(program, made), program.folder) as process:
            listener = threading.Thread(target=_listen, args=(process, progress), daemon=True)
            listener.start()
            while listener.is_alive():
                listener.join(EVERY)
                if listener.is_alive():
                    self.say(f"{program.name}: {progress}, {elapsed(begun)}")
            if process.wait():
                raise BuildError(
                    f"{program.name}: go build ended with {process.returncode}\n" + "\n".join(progress.words)
                )

    def definitions(self, peer: str) -> None:
        """Copy the CustomResourceDefinitions of a peer out of Go's module cache: tests then run without it."""
        folder = pins.definitions(self.cache, peer)
        if folder.is_dir():
            return
        module, inside = pins.DEFINITIONS[peer]
        source = module_folder(module, pins.MODULES / peer) / inside
        new = folder.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        for file in sorted(source.glob("*.yaml")):
            if file.name != "kustomization.yaml":
                (new / file.name).write_bytes(file.read_bytes())
        new.replace(folder)


def build_command(program: Program, made: Path) -> list[str]:
    """The call of Go that builds a program, to be run in the folder of its module."""
    return ["go", "build", "-v", *pins.FLAGS, "-ldflags", program.ldflags, "-o", str(made), program.package]


def build(peers: Sequence[str], cache: Path, say: Say) -> None:
    """Build every program of these peers, and copy their definitions. Raises BuildError."""
    versions = {peer: go_version(pins.MODULES / peer) for peer in peers}
    cache.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with locked(cache / "lock", lambda: say(f"somebody else builds into {cache}: waiting")):
        for program in (one for one in pins.PROGRAMS if one.peer in peers):
            Builder(cache, versions[program.peer], say)(program)
        for peer in (one for one in pins.DEFINITIONS if one in peers):
            Builder(cache, versions[peer], say).definitions(peer)
    say(f"everything is in {cache} ({elapsed(begun)})")


def module_folder(module: str, folder: Path) -> Path:
    """Where Go keeps the sources of `module`, which the go.mod in `folder` requires. Raises BuildError."""
    return Path(_go("mod", "download", "-json", module, parse="Dir", folder=folder))


def go_version(module: Path) -> str:
    """The compiler that builds this module, such as `go1.26.8`. Raises BuildError when there is none, or it is too old."""
    if shutil.which("go") is None:
        wanted = _wanted(module)
        raise BuildError(
            f"there is no Go: the real peers are built from source and need Go {wanted} or later (https://go.dev/dl/)",
            NO_GO,
        )
    try:
        return _go("env", "GOVERSION", folder=module)
    except BuildError as error:  # GOTOOLCHAIN=local, or no newer one could be fetched
        raise BuildError(
            f"this Go cannot build {module.name}: it needs Go {_wanted(module)}\n{error}", NO_GO
        ) from error


def _wanted(module: Path) -> str:
    lines = (module / "go.mod").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("go "))


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock; the kernel gives it back however we end. `waiting` is called when somebody else has it."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def elapsed(begun: float) -> str:
    """Since then, for people: `4 min 05 s`."""
    minutes, seconds = divmod(int(time.monotonic() - begun), 60)
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def listing(cache: Path) -> Iterator[str]:
    """One line per program: name, version, and where it is."""
    for program in pins.PROGRAMS:
        found = program.found(cache)
        size = f"{found.stat().st_size / 2**20:.0f} MiB  {found}" if found else "not built"
        yield f"{program.peer:10} {program.name:24} {program.version:10} {size}"


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.peers.build", description=__doc__.splitlines()[0])
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(pins.PEERS)}; all by default")
    parser.add_argument("--list", action="store_true", help="what is there, and leave it at that")
    parser.add_argument("--check", action="store_true", help="whether this machine's Go can build them, and no more")
    options = parser.parse_args(argv)
    if unknown := set(options.peers) - set(pins.PEERS):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    if options.list:
        print(*listing(pins.cache()), sep="\n")  # noqa: T201 - a program
        return OK
    try:
        if options.check:
            say(", ".join(f"{peer}: {go_version(pins.MODULES / peer)}" for peer in options.peers or pins.PEERS))
            return OK
        build(options.peers or pins.PEERS, pins.cache(), say)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a program
        return error.code
    return OK


def say(line: str) -> None:
    """To standard output, at once: builds are followed through pipes too."""
    print(line, flush=True)  # noqa: T201 - a program


def _go(*arguments: str, folder: Path, parse: str = "") -> str:
    command = ["go", *arguments]
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(done.stderr.strip() or done.stdout.strip())
    return json.loads(done.stdout)[parse] if parse else done.stdout.strip()


def _environment() -> dict[str, str]:
    """The user's, but for a workspace that our modules are no part of."""
    return {**os.environ, "GOWORK": "off"}


@contextmanager
def _group(argv: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with all that it starts: when it is left early, nothing goes on behind our back."""
    process = subprocess.Popen(argv, cwd=folder, env=_environment(), stderr=subprocess.PIPE, text=True, process_group=0)
    try:
        yield process
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        if process.stderr:
            process.stderr.close()


def _listen(process: subprocess.Popen[str], progress: Progress) -> None:
    for line in process.stderr or ():
        progress.hear(line)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that what we started ends with us
    sys.exit(main())
