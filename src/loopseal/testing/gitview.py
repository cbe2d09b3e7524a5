"""How the simulated controllers read Git: refs, and the files below a path at one commit.

`Repositories` reads real bare repositories through the `git` program; `MemoryRepositories` holds commits in memory, for
random schedules and for replaying recordings. Neither writes for the controllers; people (and tests) push.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Protocol
from urllib.parse import urlsplit

from loopseal.git.objects import commit_of
from loopseal.git.signing.issuer import signing
from loopseal.ports import Signing, SigningFormat
from loopseal.testing.clock import outside

SHA: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class GitFailure(Exception):
    """The repository cannot be read, or does not hold what is asked for."""


class GitView(Protocol):
    """What a controller needs of Git."""

    async def resolve(self, url: str, ref: str) -> str:
        """The commit that a branch, tag or commit id names now. Raises GitFailure."""
        ...

    async def files(self, url: str, revision: str, path: str) -> Mapping[str, str] | None:
        """Text files below `path`, by path relative to it; None when there is no such folder. Raises GitFailure."""
        ...

    async def signer(self, url: str, revision: str) -> str:
        """The key that the commit's signature names (an id, or `ssh-ed25519 AAAA…`); empty when it is not signed."""
        ...


class Repositories:
    """Bare repositories below one folder; the path of a URL is the path below it (`/platform/apps.git`)."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._cache: dict[tuple[str, str, str], Mapping[str, str] | None] = {}

    async def resolve(self, url: str, ref: str) -> str:
        """See GitView."""
        if SHA.fullmatch(ref):
            return ref  # as Argo CD does: whether it exists shows when its files are wanted
        for name in ["HEAD"] if ref == "HEAD" else [f"refs/heads/{ref}", f"refs/tags/{ref}"]:
            code, out = await self._git(url, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
            if code == 0:
                return out.decode().strip()
        raise GitFailure(f"unable to resolve '{ref}' to a commit SHA")

    async def files(self, url: str, revision: str, path: str) -> Mapping[str, str] | None:
        """See GitView. Answers are kept: what a commit holds never changes."""
        key = (url, revision, _folder(path))
        if key not in self._cache:
            if len(self._cache) > 256:  # noqa: PLR2004 - enough for a demo, and bounded
                self._cache.clear()
            if (await self._git(url, "cat-file", "-e", f"{revision}^{{commit}}"))[0]:
                raise GitFailure(f"failed to checkout revision {revision}: reference is not a tree")
            code, out = await self._git(url, "archive", "--format=tar", f"{revision}:{key[2]}" if key[2] else revision)
            self._cache[key] = _untar(out) if code == 0 else None
        return self._cache[key]

    async def signer(self, url: str, revision: str) -> str:
        """See GitView: as the signature itself says; nothing is verified. An OpenPGP key by its long id."""
        code, out = await self._git(url, "cat-file", "commit", revision)
        signature = commit_of(out).header("gpgsig") if code == 0 else ""
        told = signing(signature) if signature else Signing()
        return told.key[-16:] if told.format is SigningFormat.OPENPGP else told.key

    async def _git(self, url: str, *arguments: str) -> tuple[int, bytes]:
        folder = (self._root / urlsplit(url).path.lstrip("/")).resolve()
        if not folder.is_relative_to(self._root.resolve()) or not folder.is_dir():
            raise GitFailure("repository not found: ")
        with outside():
            process = await asyncio.create_subprocess_exec(
                "git", "-C", str(folder), *arguments,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            out, _ = await process.communicate()
        return process.returncode or 0, out


def _folder(path: str) -> str:
    """`./apps/a/` and `apps/a` are the same folder; `.` is the root, an empty string."""
    folder = str(PurePosixPath(path.lstrip("/")))
    return "" if folder == "." else folder


def _untar(data: bytes) -> Mapping[str, str]:
    out = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            found = archive.extractfile(member) if member.isfile() else None
            if found is not None:
                out[member.name] = found.read().decode("utf-8", "replace")
    return out


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit in memory: all files of its tree."""

    sha: str
    parents: tuple[str, ...]
    files: Mapping[str, str]
    message: str = ""
    signer: str = ""


class MemoryRepository:
    """Commits and branches of one repository, in memory. Also tells ancestry, so it can be a test's oracle."""

    def __init__(self, branch: str = "main") -> None:
        self.branch = branch
        self.refs: dict[str, str] = {}
        self.commits: dict[str, Commit] = {}
        self.parents: dict[str, Sequence[str]] = {}
        """Commit id -> parent ids: what `loopseal.domain.revision.relation` wants."""

    def commit(
        self,
        changes: Mapping[str, str | None],
        message: str = "",
        *,
        signer: str = "",
        onto: str | None = None,
        sha: str = "",
    ) -> str:
        """Commit on top of the branch (or of `onto`: a force push); None deletes a file. Returns the new id."""
        parent = self.refs.get(self.branch, "") if onto is None else onto
        files = dict(self.commits[parent].files) if parent else {}
        for path, text in changes.items():
            if text is None:
                files.pop(path, None)
            else:
                files[path] = text
        parents = (parent,) if parent else ()
        seed = f"{parents}{message}{sorted(files.items())}{signer}{len(self.commits)}"
        name = sha or hashlib.sha1(seed.encode()).hexdigest()  # noqa: S324 - the shape of a commit id, no protection
        self.commits[name] = Commit(name, parents, files, message, signer)
        self.parents[name] = parents
        self.refs[self.branch] = name
        return name

    @property
    def tip(self) -> str:
        """What the branch points at."""
        return self.refs[self.branch]


class MemoryRepositories:
    """Several repositories in memory, by URL."""

    def __init__(self, repositories: Mapping[str, MemoryRepository]) -> None:
        self._repositories = dict(repositories)

    async def resolve(self, url: str, ref: str) -> str:
        """See GitView."""
        repository = self._find(url)
        if SHA.fullmatch(ref):
            return ref
        if ref not in repository.refs and ref != "HEAD":
            raise GitFailure(f"unable to resolve '{ref}' to a commit SHA")
        return repository.refs.get(ref) or repository.tip

    async def files(self, url: str, revision: str, path: str) -> Mapping[str, str] | None:
        """See GitView."""
        commit = self._find(url).commits.get(revision)
        if commit is None:
            raise GitFailure(f"failed to checkout revision {revision}: reference is not a tree")
        folder = _folder(path)
        prefix = f"{folder}/" if folder else ""
        found = {name[len(prefix) :]: text for name, text in commit.files.items() if name.startswith(prefix)}
        return found or None

    async def signer(self, url: str, revision: str) -> str:
        """See GitView."""
        return self._find(url).commits[revision].signer

    def _find(self, url: str) -> MemoryRepository:
        if url not in self._repositories:
            raise GitFailure("repository not found: ")
        return self._repositories[url]
