"""A Git host in memory, and a remote that speaks to it: the meaning of Git's protocol without its bytes.

Filters, depth, haves, compare-and-swap and connectivity are those of gitprotocol-v2(5) and git-receive-pack(1); faults are
put in by tests. Packs are real: what is pushed is unpacked and checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any

from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import Edit, Proposal, Target, change_id
from loopseal.errors import Code, Unreachable
from loopseal.git.objects import FILE, FOLDER, Commit, commit_of, make, tree_bytes, tree_entries
from loopseal.git.pack import read_pack
from loopseal.git.remote import (
    ZERO,
    AmbiguousPush,
    Fetch,
    GitObject,
    ObjectKind,
    Outcome,
    PushReport,
    RefUpdate,
)
from loopseal.git.repository import Repository
from loopseal.testing.clock import LoopClock, run

BRANCH = "refs/heads/main"
TARGET = Target("staging", "apps", "main", ("**",))
ACTOR = Actor("deploy", "airflow", ActorKind.DAG)


def proposal(name: str, *edits: Edit, base: str = "", **more: Any) -> Proposal:
    """A proposal under the change id of `name`."""
    more = {"reason": f"because of {name}", "actor": ACTOR, "target": TARGET} | more
    return Proposal(id=change_id(name), base=base, edits=edits, **more)


class Host:
    """All objects and refs of one repository."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.objects: dict[str, GitObject] = {}
        self.refs: dict[str, str] = {}
        self.clock = 1_700_000_000
        if files is not None:
            self.push(files, "Begin")

    @property
    def tip(self) -> str:
        return self.refs[BRANCH]

    def put(self, kind: ObjectKind, data: bytes) -> str:
        obj = make(kind, data)
        self.objects[obj.oid] = obj
        return obj.oid

    def tree(self, entries: Mapping[str, tuple[bytes, str]]) -> str:
        """The tree of these paths: (mode, object id)."""
        own = [(mode, path.encode(), oid) for path, (mode, oid) in entries.items() if "/" not in path]
        for folder in dict.fromkeys(path.split("/")[0] for path in entries if "/" in path):
            inner = {path[len(folder) + 1 :]: entry for path, entry in entries.items() if path.startswith(f"{folder}/")}
            own.append((FOLDER, folder.encode(), self.tree(inner)))
        return self.put(ObjectKind.TREE, tree_bytes(own))

    def commit(
        self, files: Mapping[str, bytes | None], message: str = "Foreign", parents: Sequence[str] = (), **modes: bytes
    ) -> str:
        """A commit that changes `files` in its first parent; no ref moves."""
        entries = dict(self.entries(parents[0])) if parents else {}
        for path, data in files.items():
            entries.pop(path, None)
            if data is not None:
                entries[path] = (modes.get("mode", FILE), self.put(ObjectKind.BLOB, data))
        self.clock += 60
        who = f"Somebody <somebody@example.com> {self.clock} +0000"
        return self.add(Commit(self.tree(entries), tuple(parents), who, who, message))

    def add(self, commit: Commit) -> str:
        return self.put(ObjectKind.COMMIT, commit.serialise())

    def push(self, files: Mapping[str, bytes | None], message: str = "Foreign", **modes: bytes) -> str:
        """Somebody else pushes to the branch."""
        parents = [self.refs[BRANCH]] if BRANCH in self.refs else []
        self.refs[BRANCH] = self.commit(files, message, parents, **modes)
        return self.refs[BRANCH]

    def commits(self, tip: str = "") -> list[tuple[str, Commit]]:
        """First parents from the tip down."""
        out, oid = [], tip or self.tip
        while oid:
            commit = commit_of(self.objects[oid].data)
            out.append((oid, commit))
            oid = next(iter(commit.parents), "")
        return out

    def entries(self, revision: str = "") -> Iterator[tuple[str, tuple[bytes, str]]]:
        """(path, (mode, object id)) of all files of a commit."""

        def below(oid: str, prefix: str) -> Iterator[tuple[str, tuple[bytes, str]]]:
            data = self.objects[oid].data
            for name, entry in tree_entries(data).items():
                if entry.is_folder:
                    yield from below(entry.oid(data), f"{prefix}{name.decode()}/")
                else:
                    yield prefix + name.decode(), (entry.mode, entry.oid(data))

        yield from below(commit_of(self.objects[revision or self.tip].data).tree, "")

    def files(self, revision: str = "") -> dict[str, bytes]:
        return {path: self.objects[oid].data for path, (_, oid) in self.entries(revision)}

    def ancestors(self, *tips: str) -> set[str]:
        seen: set[str] = set()
        stack = [tip for tip in tips if tip in self.objects]
        while stack:
            oid = stack.pop()
            if oid not in seen:
                seen.add(oid)
                stack += commit_of(self.objects[oid].data).parents
        return seen


class MemoryRemote:
    """`loopseal.git.remote.Remote` onto a Host. `filters` and `deep` say what the host allows.

    `before_push` is called as each push arrives: it may change the host, or answer an error to raise or a text to
    reject with. `lose_acks` pushes land and their answer is lost.
    """

    def __init__(self, host: Host, *, filters: bool = True, deep: bool = True) -> None:
        self.host, self.filters, self.deep = host, filters, deep
        self.url = "https://git.example.com/apps.git"
        self.calls: list[str] = []
        self.fetched: list[tuple[Fetch, list[GitObject]]] = []
        self.packs: list[bytes] = []
        self.before_push: Callable[[], Exception | str | None] = lambda: None
        self.lose_acks = 0
        self.down: list[Exception] = []
        self.closed = False
        self.pushing = asyncio.Event()

    async def refs(self, *prefixes: str) -> Mapping[str, str]:
        await self._called("refs")
        return {name: oid for name, oid in self.host.refs.items() if name.startswith(prefixes)}

    async def fetch(self, request: Fetch, have: Mapping[str, GitObject]) -> Sequence[GitObject]:
        await self._called("fetch")
        if any(want not in self.host.objects for want in request.wants):
            raise Unreachable(Code.GIT_OBJECT_MISSING, "not our ref")
        if not self.deep and request.filter not in {"", "tree:0", "blob:none"}:
            raise Unreachable(Code.GIT_OBJECT_MISSING, "filter not allowed")
        if not self.filters and any(self.host.objects[want].kind is not ObjectKind.COMMIT for want in request.wants):
            raise Unreachable(Code.GIT_OBJECT_MISSING, "only commits are handed out")
        got = self._answer(request)
        self.fetched.append((request, got))
        return got

    async def push(self, updates: Sequence[RefUpdate], pack: bytes) -> PushReport:
        await self._called("push")
        self.packs.append(pack)
        trouble = self.before_push()
        if isinstance(trouble, Exception):
            raise trouble
        moved = [one for one in updates if self.host.refs.get(one.ref, ZERO) != one.old]
        if moved or trouble:
            words = trouble or "fetch first"
            return PushReport({one.ref: (Outcome.REJECTED, words) for one in updates})
        for obj in read_pack(pack, self.host.objects, lenient=False):
            self.host.objects[obj.oid] = obj
        for one in updates:
            self._check(one.new)
            self.host.refs[one.ref] = one.new
        if self.lose_acks:
            self.lose_acks -= 1
            raise AmbiguousPush("connection reset")
        return PushReport({one.ref: (Outcome.OK, "") for one in updates})

    async def aclose(self) -> None:
        self.closed = True

    async def _called(self, what: str) -> None:
        self.calls.append(what)
        if what == "push":
            self.pushing.set()
        await asyncio.sleep(0.03)
        if self.down:
            raise self.down.pop(0)

    def _check(self, tip: str) -> None:
        """Every object that the commit needs is here: else a server refuses it."""
        for oid in self.host.ancestors(tip):
            list(self.host.files(oid))

    def _answer(self, request: Fetch) -> list[GitObject]:
        wanted_filter = request.filter if self.filters else ""
        known = self._below(self.host.ancestors(*request.haves), "")
        out: dict[str, GitObject] = {}
        for want in request.wants:
            obj = self.host.objects[want]
            if obj.kind is ObjectKind.COMMIT:
                if want in known:
                    continue
                walk = self._walk(want, request.depth, self.host.ancestors(*request.haves))
                out |= {oid: self.host.objects[oid] for oid in walk}
                out |= {oid: self.host.objects[oid] for oid in self._below(walk, wanted_filter) if oid not in known}
            else:
                out[want] = obj
                if obj.kind is ObjectKind.TREE:
                    out |= {oid: self.host.objects[oid] for oid in self._under(want, 0, wanted_filter)}
        return list(out.values())

    def _walk(self, tip: str, depth: int, stop: set[str]) -> set[str]:
        level, seen = {tip} - stop, set[str]()
        steps = 0
        while level and (not depth or steps < depth):
            seen |= level
            level = {p for oid in level for p in commit_of(self.host.objects[oid].data).parents} - stop - seen
            steps += 1
        return seen

    def _below(self, commits: set[str], wanted_filter: str) -> set[str]:
        out = set(commits)
        for oid in commits:
            root = commit_of(self.host.objects[oid].data).tree
            if _lets(wanted_filter, 0, self.host.objects[root]):
                out |= {root, *self._under(root, 1, wanted_filter)}
        return out

    def _under(self, tree: str, depth: int, wanted_filter: str) -> set[str]:
        out: set[str] = set()
        data = self.host.objects[tree].data
        for entry in tree_entries(data).values():
            oid = entry.oid(data)
            if oid in self.host.objects and _lets(wanted_filter, depth, self.host.objects[oid]):
                out.add(oid)
                if entry.is_folder:
                    out |= self._under(oid, depth + 1, wanted_filter)
        return out


def _lets(wanted_filter: str, depth: int, obj: GitObject) -> bool:
    """Whether the filter lets this object through at this depth (git-rev-list(1), --filter)."""
    for one in wanted_filter.removeprefix("combine:").split("+"):
        if one.startswith("tree:") and depth >= int(one[5:]):
            return False
        if one == "blob:none" and obj.kind is ObjectKind.BLOB:
            return False
        if one.startswith("blob:limit=") and obj.kind is ObjectKind.BLOB and len(obj.data) >= int(one[11:]):
            return False
    return True


class World:
    """A host, a remote and a repository in virtual time."""

    def __init__(self, files: Mapping[str, bytes], **options: Any) -> None:
        self.host = Host(files)
        self.remote = MemoryRemote(self.host, filters=options.pop("filters", True), deep=options.pop("deep", True))
        self.clock = LoopClock()
        options = {"branch": "main", "author": "bot <bot@example.com>", "random": lambda: 0.5} | options
        self.repository = Repository(self.remote, clock=self.clock, **options)


def living(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run in virtual time."""
    return run(main)
