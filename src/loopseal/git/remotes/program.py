"""The `git` program itself, on a private bare repository: the last resort.

For hosts that only git understands. Slow and without filters, but with the same meaning: refs, objects, and a push that
is a compare-and-swap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from loopseal.errors import Code, ConfigError, Unreachable
from loopseal.git.objects import is_oid, make
from loopseal.git.pktline import malformed
from loopseal.git.protocol import wanted
from loopseal.git.remote import ZERO, AmbiguousPush, Fetch, GitObject, ObjectKind, Outcome, PushReport, RefUpdate
from loopseal.git.remotes.access import Access
from loopseal.git.remotes.cache import PrivateGit
from loopseal.git.remotes.process import Bounds, Finished
from loopseal.git.remotes.ssh import Identity, address_of

_CERTAIN: Final = frozenset(
    {Code.GIT_AUTHENTICATION, Code.GIT_FORBIDDEN, Code.GIT_NOT_FOUND, Code.GIT_HOST_KEY, Code.GIT_OBJECT_FORMAT}
)
"""Failures of a push after which nothing can have landed: the host did not let us in."""


class ProgramRemote:
    """`loopseal.git.remote.Remote` by running git. One command at a time."""

    def __init__(self, url: str, access: Access, bounds: Bounds, *, ca: str = "", known_hosts: str = "") -> None:
        identity = Identity(access, known_hosts, bounds.silence) if address_of(url) else None
        self._git = PrivateGit(url, access, identity, bounds, ca)
        self._turn = asyncio.Lock()

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return self._git.url

    @property
    def filters(self) -> bool:
        """Never: everything below a wanted commit is downloaded."""
        return False

    async def refs(self, *prefixes: str) -> Mapping[str, str]:
        """Refs below these prefixes and where they point."""
        async with self._turn:
            ended = await self._git.contact("ls-remote", "--quiet", "--", self.url)
        found: dict[str, str] = {}
        for text in ended.out.decode("utf-8", "replace").splitlines():
            oid, _, name = text.partition("\t")
            if len(oid) != len(ZERO):
                raise ConfigError(
                    Code.GIT_OBJECT_FORMAT,
                    "the repository's object format is not sha1",
                    where=self.url,
                    hint="Nothing was written. Use a SHA-1 repository.",
                )
            if not is_oid(oid) or not name:
                raise malformed("git's list of refs is not readable")
            if not name.endswith("^{}"):
                found[name] = oid
        return wanted(found, prefixes)

    async def fetch(self, request: Fetch, have: Mapping[str, GitObject]) -> Sequence[GitObject]:  # noqa: ARG002 - git resolves bases itself
        """The objects asked for; the filter saves memory here, not traffic."""
        async with self._turn:
            present = await self._present([*request.wants, *request.haves])
            lacking = [oid for oid in request.wants if present.get(oid, ObjectKind.COMMIT) is ObjectKind.COMMIT]
            await self._download(lacking, request.depth, whole=not request.haves)
            listed = await self._list(request, [oid for oid in request.haves if oid in present])
            answer = await self._git.local("cat-file", "--batch", "--buffer", data=listed)
        return await asyncio.to_thread(lambda: list(_batch(answer)))

    async def push(self, updates: Sequence[RefUpdate], pack: bytes) -> PushReport:
        """Send a pack and update all refs or none."""
        async with self._turn:
            bases = [one.old for one in updates if one.old != ZERO]
            present = await self._present(bases)
            await self._download([oid for oid in bases if oid not in present], 1, whole=False)
            if any(one.new != ZERO for one in updates):
                await self._git.local("index-pack", "--fix-thin", "--stdin", data=pack)
            leases = [f"--force-with-lease={one.ref}:{one.old if one.old != ZERO else ''}" for one in updates]
            moves = [f"{one.new if one.new != ZERO else ''}:{one.ref}" for one in updates]
            atomic = ["--atomic"] if len(updates) > 1 else []
            try:
                ended = await self._git.run(
                    "push", "--porcelain", "--no-verify", *atomic, *leases, "--", self.url, *moves
                )
            except Unreachable as error:
                raise AmbiguousPush(str(error)) from error
        return self._report(ended, updates)

    async def aclose(self) -> None:
        """Remove the repository and the credential."""
        await self._git.aclose()

    async def _present(self, oids: Sequence[str]) -> dict[str, ObjectKind]:
        """Those that are in the private repository, and what they are."""
        if not oids:
            return {}
        out = await self._git.local("cat-file", "--batch-check", "--buffer", data=_lines(oids))
        words = [line.split(" ") for line in out.decode().splitlines()]
        return {word[0]: ObjectKind(word[1]) for word in words if len(word) == 3}  # noqa: PLR2004 - oid, kind, size

    async def _download(self, oids: Sequence[str], depth: int, *, whole: bool) -> None:
        """Bring commits, and what is below them, into the private repository. `whole`: with all their history."""
        if not oids:
            return
        deepen = [f"--depth={depth}"] if depth else ["--unshallow"] if whole and self._git.shallow else []
        options = ["--quiet", "--no-tags", "--no-write-fetch-head", "--force", *deepen]
        refspecs = [f"{oid}:refs/held/{number}" for number, oid in enumerate(oids)]
        await self._git.contact("fetch", *options, "--", self.url, *refspecs)

    async def _list(self, request: Fetch, haves: Sequence[str]) -> bytes:
        """The ids that a server would send for this request, one per line."""
        options = [f"--filter={request.filter}"] if request.filter else []
        if request.depth == 1:
            options.append("--no-walk")
        known = [f"^{oid}" for oid in haves]
        return await self._git.local(
            "rev-list", "--objects", "--no-object-names", *options, "--stdin", data=_lines([*request.wants, *known])
        )

    def _report(self, ended: Finished, updates: Sequence[RefUpdate]) -> PushReport:
        """What `git push --porcelain` says of each ref: flag, from:to, summary."""
        told: dict[str, tuple[Outcome, str]] = {}
        for line in ended.out.decode("utf-8", "replace").splitlines():
            flag, _, rest = line.partition("\t")
            move, _, summary = rest.partition("\t")
            ref = move.rpartition(":")[2]
            if len(flag) == 1 and ref:
                done = flag not in "!="
                told[ref] = (Outcome.OK, "") if done else (Outcome.REJECTED, f"{summary} {self._git.words(ended)}")
        if all(one.ref in told for one in updates):
            return PushReport({one.ref: told[one.ref] for one in updates})
        error = self._git.failure(ended)
        if error.code in _CERTAIN:
            raise error
        raise AmbiguousPush(str(error))


def _lines(oids: Sequence[str]) -> bytes:
    return "".join(f"{oid}\n" for oid in oids).encode()


def _batch(answer: bytes) -> Iterator[GitObject]:
    """The objects in the output of `git cat-file --batch`."""
    at = 0
    while at < len(answer):
        end = answer.find(b"\n", at)
        words = answer[at:end].decode("ascii", "replace").split(" ")
        if end < 0 or len(words) != 3 or not words[2].isdecimal():  # noqa: PLR2004 - oid, kind, size
            raise malformed("git did not hand out an object that it listed")
        at = end + 1 + int(words[2])
        found = make(ObjectKind(words[1]), answer[end + 1 : at])
        if found.oid != words[0]:
            raise malformed("git handed out an object under a wrong id")
        at += 1
        yield found
