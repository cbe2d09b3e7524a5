"""Argo CD with its own pages: the web application is made of the sources in its Go module, and compiled in.

    python -m tests.peers.pages        needs Node.js and Go; some ten minutes, once

The Go module carries the sources of the web application and not what is made of them, so the program of
`tests.peers.build` has the API only. Here the module is copied, the web application is made in the copy as the project's
own image makes it (yarn, from the project's yarn.lock; webpack), and the same program is compiled from it. Besides the Go
module proxy this needs npm's registry, and GitHub for one dependency, which yarn.lock pins by its commit. Packages run no
scripts while they are installed. Exit codes: 0 it is there, 1 something failed, 3 Node.js or Go is absent or too old.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.peers import build, pins
from tests.peers.build import EVERY, NO_GO, BuildError, Say

NODE: Final = 20
"""The oldest Node.js that makes it; the project's own image has 23."""
YARN: Final = "yarn@1.22.22"
TAIL: Final = 30
"""Lines of a step's words that are shown when it fails."""
_WEB: Final = {"NODE_ENV": "production", "NODE_ONLINE_ENV": "online", "NODE_OPTIONS": "--max-old-space-size=4096"}


def found(cache: Path) -> Path | None:
    """The program with pages for the pinned sources, if it was built."""
    there = _folder(cache, "*").parent.glob(f"{_folder(cache, '*').name}/argocd")
    return max((one for one in there if one.is_file()), key=lambda one: one.stat().st_mtime, default=None)


def _folder(cache: Path, go: str) -> Path:
    return cache / "programs/argocd-with-pages" / f"{pins.program('argocd').key}-{go}"


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes it in the folder `work`, step by step; what a step made is kept until all are done."""

    work: Path
    say: Say

    @property
    def module(self) -> Path:
        """The copy of Argo CD's sources."""
        return self.work / "argo-cd"

    @property
    def index(self) -> Path:
        """What the last step of the web application makes."""
        return self.module / "ui/dist/app/index.html"

    def web(self) -> None:
        """The web application, in the copy of the module. Raises BuildError."""
        if not self.module.is_dir():
            self._copy()
        if self.index.is_file():
            return
        ui = self.module / "ui"
        install = [
            "install",
            "--frozen-lockfile",
            "--ignore-scripts",
            "--non-interactive",
            "--network-timeout",
            "200000",
        ]
        self._run("installing the web application's packages", ["npx", "--yes", YARN, *install], ui)
        pack = ["npx", "webpack", "--config", "./src/app/webpack.config.js", "--mode", "production"]
        self._run("making the web application", pack, ui, _WEB)
        if not self.index.is_file():
            raise BuildError(f"webpack ended well and made no {self.index.name}")

    def program(self, made: Path) -> None:
        """The program with it. Raises BuildError."""
        argocd = pins.program("argocd")
        mod = self.work / "mod"
        mod.mkdir(exist_ok=True)
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(argocd.folder / name, mod / name)
        with (mod / "go.mod").open("a", encoding="utf-8") as file:
            file.write(f"\nreplace {argocd.module} => {self.module}\n")
        self._run(
            f"compiling {argocd.name} {argocd.version}", build.build_command(argocd, made), mod, {"GOWORK": "off"}
        )

    def _copy(self) -> None:
        argocd = pins.program("argocd")
        new = self.module.with_suffix(".new")
        if new.exists():
            shutil.rmtree(new)
        shutil.copytree(build.module_folder(argocd.module, argocd.folder), new)
        for path in (new, *new.rglob("*")):  # Go's module cache is read-only
            path.chmod(path.stat().st_mode | 0o200)
        new.replace(self.module)

    def _run(self, what: str, argv: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None) -> None:
        """One step, with a line now and then. Its words go to a file, the last of them into the error."""
        begun, log = time.monotonic(), self.work / "log"
        self.say(what)
        with log.open("wb") as words:
            process = subprocess.Popen(
                argv,
                cwd=folder,
                env={**os.environ, **(variables or {})},
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                process_group=0,
            )
            try:
                while (code := _ended(process)) is None:
                    self.say(f"{what}, {build.elapsed(begun)}")
            finally:
                if process.poll() is None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGTERM)
                    process.wait()
        if code:
            tail = log.read_text(errors="replace").splitlines()[-TAIL:]
            raise BuildError(f"{what}: {argv[0]} ended with {code}\n" + "\n".join(tail))


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(EVERY)
    except subprocess.TimeoutExpired:
        return None


def make(cache: Path, say: Say) -> Path:
    """The program with pages, now or from before. Raises BuildError."""
    _check_node()
    argocd = pins.program("argocd")
    there = _folder(cache, build.go_version(argocd.folder)) / "argocd"
    cache.mkdir(parents=True, exist_ok=True)
    with build.locked(cache / "lock", lambda: say(f"somebody else builds into {cache}: waiting")):
        if not there.is_file():
            work = cache / "pages" / argocd.version
            work.mkdir(parents=True, exist_ok=True)
            maker = Maker(work, say)
            maker.web()
            there.parent.mkdir(parents=True, exist_ok=True)
            made = there.with_suffix(".new")
            maker.program(made)
            made.replace(there)
            shutil.rmtree(work)
    say(f"Argo CD {argocd.version} with its pages is {there}")
    return there


def _check_node() -> None:
    wanted = f"Argo CD's pages are made with Node.js {NODE} or later (https://nodejs.org), and its npx"
    if not (shutil.which("node") and shutil.which("npx")):
        raise BuildError(f"there is no Node.js: {wanted}", NO_GO)
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.", told)
    if version is None or int(version[1]) < NODE:
        raise BuildError(f"this Node.js is {told.strip() or 'broken'}: {wanted}", NO_GO)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.peers.pages",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(argv)
    try:
        make(pins.cache(), build.say)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a program
        return error.code
    return build.OK


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that what we started ends with us
    sys.exit(main())
