"""A real Git server for tests and demos: `git http-backend` as an ASGI application, with faults on demand.

Under uvicorn it is a smart-HTTP host on loopback (`serve`, or `python -m loopseal.testing.git_server ROOT`); through
`AppTransport` it answers in the same process, in virtual time too. What git itself does is not imitated; only the way
to it is: who may come in, what a host refuses, and how a connection breaks.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import secrets
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from loopseal.git.remotes.process import Bounds, run
from loopseal.testing.asgi import App, Dropped, Message, Receive, Scope, Send
from loopseal.testing.clock import outside
from loopseal.testing.git_backend import http_backend

SERVICES: Final = ("git-upload-pack", "git-receive-pack")
_HUGE: Final = str(1 << 40)
"""A length that no answer has: a body announced so and ended early is a broken connection to every client."""


class Cut(StrEnum):
    """When the connection breaks."""

    NEVER = ""
    BEFORE = "before"
    """Before git saw the request."""
    AFTER = "after"
    """After git did what was asked, before the answer."""


@dataclass(slots=True)
class GitFault:
    """What happens to the next `times` requests that are let in and fit, instead of or around git's answer."""

    service: str = ""
    """`git-upload-pack`, `git-receive-pack`, or empty for both."""
    method: str = ""
    """`GET` (info/refs), `POST`, or empty for both."""
    times: int = 1
    hold: float = 0.0
    """Seconds until anything is answered."""
    hang: bool = False
    """Never answer."""
    status: int = 0
    """Answer this instead."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: Cut = Cut.NEVER
    truncate: int = -1
    """Send only so many bytes of the answer, then break the connection."""

    def fits(self, call: Call) -> bool:
        """Whether this request is meant."""
        return self.times > 0 and self.service in {"", call.service} and self.method in {"", call.method}


@dataclass(slots=True)
class Quirks:
    """How one repository's host differs from git's own server."""

    v2: bool = True
    """Whether it knows protocol version 2."""
    info_refs_first: bool = False
    """Whether it refuses a POST (404) until somebody asked `info/refs` of that service."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, for tests that count turns."""

    method: str
    repository: str
    service: str
    authorization: str = field(default="", repr=False)


class GitServer:
    """An ASGI application that serves every bare repository below `root`.

    `users` maps names to passwords; when it is empty, everybody may read and write. `faults`, `quirks` and `users` may
    be changed while it runs; `calls` is what came in.
    """

    def __init__(self, root: Path, users: Mapping[str, str] | None = None, tokens: Sequence[str] = ()) -> None:
        self.root = root
        self.users, self.tokens = dict(users or {}), list(tokens)
        self.faults: list[GitFault] = []
        self.quirks: dict[str, Quirks] = {}
        self.calls: list[Call] = []
        self._introduced: set[tuple[str, str]] = set()

    async def create(
        self,
        name: str,
        files: Mapping[str, bytes] | None = None,
        *,
        branch: str = "main",
        config: Mapping[str, str] | None = None,
        object_format: str = "sha1",
        quirks: Quirks | None = None,
    ) -> Path:
        """A new bare repository `name` (such as `team/apps.git`) whose branch holds `files` in one commit."""
        folder = self.root / name
        options = ["--quiet", f"--initial-branch={branch}", f"--object-format={object_format}"]
        await git("init", "--bare", *options, f"{folder}")
        settings = {"uploadpack.allowFilter": "true", "gc.auto": "0", "maintenance.auto": "false", **(config or {})}
        with (folder / "config").open("a") as file:
            file.write(config_text(settings))
        if files:
            await git("-C", f"{folder}", "fast-import", "--quiet", data=fast_import(files, branch))
        self.quirks["/" + name] = quirks or Quirks()
        return folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        call = _call(scope, headers)
        self.calls.append(call)
        if status := self._refusal(call):
            await _plain(send, status, b"", {})
            return
        fault = next((one for one in self.faults if one.fits(call)), GitFault())
        fault.times -= 1
        if fault.hang:
            await _until_left(receive)
            return
        if fault.hold:
            await asyncio.sleep(fault.hold)
        if fault.cut is Cut.BEFORE:
            await _break(send)
        if fault.status:
            await _plain(send, fault.status, fault.body, fault.headers)
            return
        with outside():
            await self._backend(fault, self._variables(scope, headers, call), receive, send)

    def _refusal(self, call: Call) -> int:
        """The status of those that are not let through to git, or 0."""
        if (self.users or self.tokens) and call.authorization not in self._accepted():
            return 401
        key = (call.repository, call.service)
        if call.method == "GET":
            self._introduced.add(key)
        elif self.quirks.get(call.repository, Quirks()).info_refs_first and key not in self._introduced:
            return 404
        return 0

    def _accepted(self) -> set[str]:
        pairs = (f"{name}:{password}" for name, password in self.users.items())
        basic = {"Basic " + base64.b64encode(pair.encode()).decode() for pair in pairs}
        return basic | {f"Bearer {token}" for token in self.tokens}

    async def _backend(self, fault: GitFault, variables: Mapping[str, str], receive: Receive, send: Send) -> None:
        async with http_backend(variables, receive) as answer:
            if fault.cut is Cut.AFTER:
                await answer.whole()
                await _break(send)
            if fault.truncate >= 0:
                await _break(send, answer.headers, (await answer.whole())[: fault.truncate])
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            async for chunk in answer.chunks():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    def _variables(self, scope: Scope, headers: Mapping[str, str], call: Call) -> dict[str, str]:
        """What CGI (RFC 3875) and git-http-backend(1) tell the program."""
        variables = {
            "GIT_PROJECT_ROOT": f"{self.root}",
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": scope["path"],
            "QUERY_STRING": scope["query_string"].decode("latin-1"),
            "REQUEST_METHOD": call.method,
            "CONTENT_TYPE": headers.get("content-type", ""),
            "REMOTE_USER": "somebody",
            "REMOTE_ADDR": "127.0.0.1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
        }
        optional = {"CONTENT_LENGTH": "content-length", "HTTP_CONTENT_ENCODING": "content-encoding"}
        variables |= {name: headers[header] for name, header in optional.items() if header in headers}
        if self.quirks.get(call.repository, Quirks()).v2 and "git-protocol" in headers:
            variables |= {"GIT_PROTOCOL": headers["git-protocol"], "HTTP_GIT_PROTOCOL": headers["git-protocol"]}
        return variables


async def git(*arguments: str, data: bytes = b"") -> bytes:
    """The output of a git command that has to succeed. Raises RuntimeError with what git said."""
    variables = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    with outside():
        ended = await run(["git", *arguments], data, variables=variables, bounds=Bounds(600, 600), where="git")
    if ended.code:
        message = f"git {' '.join(arguments)}: {ended.words}"
        raise RuntimeError(message)
    return ended.out


def fast_import(files: Mapping[str, bytes], branch: str, message: str = "Begin", seconds: int = 1_700_000_000) -> bytes:
    """One commit with these files as a stream for git-fast-import(1). The same input gives the same commit."""
    who = f"Somebody <somebody@example.com> {seconds} +0000"
    head = f"commit refs/heads/{branch}\ncommitter {who}\ndata {len(message.encode())}\n{message}\n"
    parts = [head.encode()]
    for path, content in files.items():
        parts.append(f'M 100644 inline "{path}"\ndata {len(content)}\n'.encode() + content + b"\n")
    return b"".join(parts)


def config_text(settings: Mapping[str, str]) -> str:
    """Settings such as `uploadpack.allowFilter` as lines of a git configuration file."""
    out = ""
    for name, value in settings.items():
        section, _, key = name.rpartition(".")
        first, _, rest = section.partition(".")
        out += f'[{first} "{rest}"]\n' if rest else f"[{first}]\n"
        out += f'\t{key} = "{value}"\n'
    return out


def _call(scope: Scope, headers: Mapping[str, str]) -> Call:
    path, method = scope["path"], scope["method"]
    asked = parse_qs(scope["query_string"].decode("latin-1")).get("service", [""])[0]
    repository, _, last = path.removesuffix("/info/refs").rpartition("/")
    if last in SERVICES:
        return Call(method, repository, last, headers.get("authorization", ""))
    return Call(method, f"{repository}/{last}", asked, headers.get("authorization", ""))


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _break(send: Send, headers: Sequence[tuple[bytes, bytes]] = (), body: bytes = b"") -> None:
    """Break the connection in the middle of an answer. Raises Dropped, always."""
    head = [*headers, (b"content-length", _HUGE.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    raise Dropped("cut on purpose")


async def _plain(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    asking = {"www-authenticate": 'Basic realm="git"'} if status == 401 else {}  # noqa: PLR2004 - HTTP's own number
    head = {"content-type": "text/plain", "content-length": f"{len(body)}", **asking, **headers}
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in head.items()]
    start: Message = {"type": "http.response.start", "status": status, "headers": pairs}
    await send(start)
    await send({"type": "http.response.body", "body": body})


@contextmanager
def serve(app: App, port: int = 0, *, certificate: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Serve on 127.0.0.1 in a thread of its own, and give the base address. `certificate` (PEM, key) makes it https."""
    import uvicorn  # noqa: PLC0415 - of the extra `testing`: not needed for in-process use

    config = uvicorn.Config(
        app,
        log_config=None,
        lifespan="off",
        ws="none",
        loop="asyncio",  # uvloop, where it is installed, may hang for ever when it is closed after git was killed
        timeout_graceful_shutdown=1,
        ssl_certfile=certificate[0] if certificate else None,
        ssl_keyfile=certificate[1] if certificate else None,
    )
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", port))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="git-server", daemon=True)
    thread.start()  # connections wait in the socket's queue until it is up
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def main(argv: Sequence[str] | None = None) -> None:
    """Serve a folder of bare repositories until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m loopseal.testing.git_server", description=main.__doc__)
    parser.add_argument("root", type=Path, help="folder of bare repositories")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--user", default="", help="ask for this user name, with a random password that is shown")
    options = parser.parse_args(argv)
    users = {options.user: secrets.token_urlsafe(18)} if options.user else {}
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job is born with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    with serve(GitServer(options.root, users), options.port) as address:
        print(address, *(f"{name}:{password}" for name, password in users.items()), flush=True)  # noqa: T201 - a program
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
