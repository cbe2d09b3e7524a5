"""A Git host for the real peers: smart HTTP in a thread, and commits by somebody else, made without a clone.

git itself serves (`loopseal.testing.git_server`); in front of it stands what a test wants to go wrong on the way: a
password, answers that are held back after they were made, connections that break.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from loopseal.testing.asgi import Dropped, Message, Receive, Scope, Send
from loopseal.testing.git_server import GitServer, config_text, serve

Sign = Callable[[bytes], str]
"""From a commit object to the armoured signature for its header `gpgsig`."""

Slow = Callable[[str, str, bytes], float]
"""From method, query and body of a request to the seconds that git's answer, already made, is held back."""

_SETTINGS: Final = {"http.receivepack": "true", "uploadpack.allowFilter": "true", "gc.auto": "0"}
_CLEAN: Final = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


@dataclass(slots=True)
class Git:
    """Bare repositories below `root`, served at `server`. Its methods may be called from any thread."""

    root: Path
    server: str = ""
    slow: dict[str, Slow] = field(default_factory=dict)
    """By repository (`apps.git`)."""
    down: set[str] = field(default_factory=set)
    """Repositories whose connections break before anything is answered."""
    _host: GitServer = field(init=False)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self._host = GitServer(self.root)

    @contextmanager
    def serving(self, port: int) -> Iterator[None]:
        """Serve on this port of loopback until it is left."""
        with serve(_Road(self, self._host), port) as self.server:
            yield

    def url(self, repository: str) -> str:
        """Such as `http://127.0.0.1:20001/apps.git`."""
        return f"{self.server}/{repository}"

    def require(self, user: str, password: str) -> None:
        """From now on this user and nobody else comes in; with an empty user, everybody."""
        self._host.users = {user: password} if user else {}

    def commit(
        self,
        repository: str,
        files: Mapping[str, str | None],
        *,
        branch: str = "main",
        message: str = "Change",
        onto: str = "",
        sign: Sign | None = None,
    ) -> str:
        """Commit as somebody else: texts by path, None deletes. Makes the repository when it is not there yet.

        The parent is the tip of the branch, or `onto`: then the branch is forced to go there.
        """
        folder = self._folder(repository, branch)
        parent = onto or self.tip(repository, branch)
        commit = _signed(_commit(self._tree(folder, parent, files), parent, message), sign)
        made = _git(folder, "hash-object", "-t", "commit", "-w", "--stdin", data=commit)
        _git(folder, "update-ref", f"refs/heads/{branch}", made)
        return made

    def tip(self, repository: str, branch: str = "main") -> str:
        """The commit a branch points at; empty when there is none."""
        return _git(self.root / repository, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")

    def read(self, repository: str, path: str, revision: str = "main") -> str:
        """One file."""
        return _git(self.root / repository, "cat-file", "blob", f"{revision}:{path}", strip=False)

    def _folder(self, repository: str, branch: str) -> Path:
        folder = self.root / repository
        if not folder.exists():
            _git(self.root, "init", "--quiet", "--bare", f"--initial-branch={branch}", str(folder))
            with (folder / "config").open("a") as file:
                file.write(config_text(_SETTINGS))
        return folder

    def _tree(self, folder: Path, parent: str, files: Mapping[str, str | None]) -> str:
        """Write the tree: the parent's with these files, through an index that exists only meanwhile."""
        index = folder / f"index-{os.getpid()}-{time.monotonic_ns()}"
        variables = {"GIT_INDEX_FILE": str(index)}
        try:
            _git(folder, "read-tree", parent or "--empty", variables=variables)
            lines = [self._entry(folder, path, text) for path, text in files.items()]
            _git(folder, "update-index", "--index-info", data="".join(lines).encode(), variables=variables)
            return _git(folder, "write-tree", variables=variables)
        finally:
            index.unlink(missing_ok=True)

    def _entry(self, folder: Path, path: str, text: str | None) -> str:
        if text is None:
            return f"0 {'0' * 40}\t{path}\n"
        return f"100644 {_git(folder, 'hash-object', '-w', '--stdin', data=text.encode())}\t{path}\n"


@dataclass(frozen=True, slots=True)
class _Road:
    """An ASGI application: the way to the server, with what goes wrong on it."""

    git: Git
    host: GitServer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        repository = scope["path"].split(".git/")[0].lstrip("/") + ".git"
        if repository in self.git.down:
            raise Dropped("down on purpose")
        slow = self.git.slow.get(repository)
        if slow is None:
            await self.host(scope, receive, send)
            return
        body, again = await _read(receive)
        kept: list[Message] = []

        async def keep(message: Message) -> None:
            kept.append(message)

        await self.host(scope, again, keep)
        await asyncio.sleep(slow(scope["method"], scope["query_string"].decode("latin-1"), body))
        for message in kept:
            await send(message)


async def _read(receive: Receive) -> tuple[bytes, Receive]:
    """The whole body, and a `receive` that gives it again."""
    messages: list[Message] = []
    while True:
        messages.append(await receive())
        if not messages[-1].get("more_body"):
            break
    rest = iter(messages)

    async def again() -> Message:
        return next(rest, None) or await receive()

    return b"".join(message.get("body", b"") for message in messages), again


def _commit(tree: str, parent: str, message: str) -> bytes:
    who = f"Somebody Else <else@example.com> {int(time.time())} +0000"
    head = [f"tree {tree}", *([f"parent {parent}"] if parent else []), f"author {who}", f"committer {who}"]
    return "\n".join([*head, "", message.rstrip("\n"), ""]).encode()


def _signed(commit: bytes, sign: Sign | None) -> bytes:
    """With the header `gpgsig` after the others, its lines but the first indented by a space (gitformat-signature)."""
    if sign is None:
        return commit
    head, _, text = commit.partition(b"\n\n")
    signature = sign(commit).rstrip("\n").replace("\n", "\n ")
    return head + b"\ngpgsig " + signature.encode() + b"\n\n" + text


def _git(
    folder: Path, *arguments: str, data: bytes = b"", variables: Mapping[str, str] | None = None, strip: bool = True
) -> str:
    environment: dict[str, Any] = {**os.environ, **_CLEAN, **(variables or {})}
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, input=data, env=environment, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode().strip() if strip else done.stdout.decode()
