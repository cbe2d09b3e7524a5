"""The repo-server's part: refs with their shared cache, manifests of a commit, signatures; errors in its words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loopseal.testing import manifests
from loopseal.testing.argocd import compare
from loopseal.testing.argocd.watched import Level, Pace, Watched
from loopseal.testing.clock import LoopClock
from loopseal.testing.faults import Faults
from loopseal.testing.gitview import SHA, GitFailure, GitView
from loopseal.testing.store import Object


class Unloadable(Exception):
    """The manifests cannot be had; the text is Argo CD's."""


class RepoServer:
    """Reads Git for the controller. `refs` is the ref cache that all applications share: (url, ref) -> (sha, when)."""

    def __init__(self, git: GitView, clock: LoopClock, faults: Faults, pace: Pace) -> None:
        self.refs: dict[tuple[str, str], tuple[str, float]] = {}
        self._git, self._clock, self._faults, self._pace = git, clock, faults, pace

    def poison(self, url: str, ref: str, sha: str) -> None:
        """Another application's late listing lands in the shared cache: unforced comparisons now see `sha`."""
        self.refs[(url, ref)] = (sha, self._clock.monotonic())

    async def load(
        self, watched: Watched, app: Object, level: Level, revision: str = ""
    ) -> tuple[str, tuple[Object, ...]]:
        """The commit (that of `revision`, or of the tracked ref) and its objects. Raises Unloadable."""
        source = app["spec"]["source"]
        try:
            sha = revision if SHA.fullmatch(revision) else await self._resolve(source, level)
            if sha in watched.loaded and not self._faults.fetch_error:
                return sha, watched.loaded[sha]
            await self._clock.sleep(self._pace.fetch + self._faults.fetch_delay)
            if self._faults.fetch_error:
                raise Unloadable(_generation(self._faults.fetch_error))
            files = await self._git.files(source["repoURL"], sha, source["path"])
        except GitFailure as error:
            raise Unloadable(_generation(f"rpc error: code = Unknown desc = failed to list refs: {error}")) from error
        if files is None:
            missing = f"rpc error: code = Unknown desc = {source['path']}: app path does not exist"
            raise Unloadable(_generation(missing))
        wanted = tuple(compare.own(item, app) for item in _rendered(files, app))
        if len(watched.loaded) > 50:  # noqa: PLR2004 - a bounded cache
            watched.loaded.clear()
        watched.loaded[sha] = wanted
        return sha, wanted

    async def refused(self, app: Object, project: Mapping[str, Any], revision: str) -> str:
        """Why the commit's signature is not good enough for the project; empty when it is."""
        keys = {key["keyID"] for key in project.get("signatureKeys") or ()}
        if not keys:
            return ""
        signer = await self._git.signer(app["spec"]["source"]["repoURL"], revision)
        if signer in keys:
            return ""
        if not signer:
            return f"Target revision {revision} in Git is not signed, but a signature is required"
        if " " in signer:  # an SSH key, of which GnuPG knows nothing
            return f"Could not verify commit signature on revision '{revision}', check logs for more information."
        why = "but verification result was invalid: 'gpg: Can't check signature: No public key'"
        return f"Found signature made with EDDSA key {signer}, {why}"

    async def _resolve(self, source: Mapping[str, Any], level: Level) -> str:
        key = (source["repoURL"], source["targetRevision"])
        cached = self.refs.get(key)
        if level is not Level.RESOLVE and cached and self._clock.monotonic() - cached[1] < self._pace.ref_cache:
            return cached[0]
        if self._faults.fetch_error:
            raise Unloadable(_generation(self._faults.fetch_error))
        await self._clock.sleep(self._pace.refs)
        sha = await self._git.resolve(*key)
        self.refs[key] = (sha, self._clock.monotonic())
        return sha


def _generation(why: str) -> str:
    return f"Failed to load target state: failed to generate manifest for source 1 of 1: {why}"


def _rendered(files: Mapping[str, str], app: Object) -> list[Object]:
    name = app["spec"]["source"]["path"].rstrip("/").rpartition("/")[2] or app["metadata"]["name"]
    recurse = bool((app["spec"]["source"].get("directory") or {}).get("recurse"))
    try:
        return manifests.render(files, name, recurse=recurse)
    except manifests.Unreadable as error:
        what = (
            f'Failed to unmarshal "{error.file}": failed to unmarshal manifest: error converting YAML to JSON: {error}'
        )
        raise Unloadable(_generation(f"rpc error: code = FailedPrecondition desc = {what}")) from error
