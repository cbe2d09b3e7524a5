"""A Kubernetes cluster in memory: its objects, its API as an ASGI application, and a make-believe kubelet.

The API speaks what the engines need: get, list, watch with resource versions and bookmarks, create, merge patch,
update, delete, SelfSubjectAccessReview, pod logs, and refusals in the words of the real API server (v1.36). Not there:
discovery, server-side apply, strategic merge, admission.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, Self

from loopseal.testing.asgi import Answer, Request, Service, as_json, encode
from loopseal.testing.clock import LoopClock
from loopseal.testing.faults import Faults
from loopseal.testing.store import KINDS, Change, Kind, Object, Rejected, Store
from loopseal.testing.transport import AppTransport
from loopseal.testing.workloads import Workloads

BOOKMARK: Final = 60.0
"""Seconds between bookmarks of a watch that asked for them."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may call the API. A rule is `verb group/plural namespace`, each a glob (`get apps/* team-*`)."""

    name: str
    rules: tuple[str, ...] = ("* * *",)

    def may(self, verb: str, resource: str, namespace: str) -> bool:
        """Whether a rule allows it; `resource` is `group/plural`."""
        asked = (verb, resource, namespace)
        return any(all(map(fnmatchcase, asked, rule.split())) for rule in self.rules)


@dataclass(frozen=True, slots=True)
class _Target:
    """What a path names."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    sub: str = ""


@dataclass(slots=True)
class Cluster:
    """One cluster. `users` maps bearer tokens to who they are; nobody else is let in.

    Use it as `async with`: the kubelet runs inside.
    """

    clock: LoopClock = field(default_factory=LoopClock)
    users: dict[str, User] = field(default_factory=lambda: {"admin-token": User("admin")})
    faults: Faults = field(default_factory=Faults)
    store: Store = field(init=False)
    asgi: Service = field(init=False)
    _workloads: Workloads | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.store = Store(self.clock)
        self.asgi = Service(self.handle, start=self.start, stop=self.stop)

    async def start(self) -> None:
        """Let the kubelet run. Safe to call again."""
        if self._workloads is None:
            self._workloads = Workloads(self.store, self.clock)

    async def stop(self) -> None:
        """Stop the kubelet and every watch."""
        workloads, self._workloads = self._workloads, None
        if workloads is not None:
            await workloads.aclose()
        self.faults.cut_streams()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def transport(self) -> AppTransport:
        """An httpx2 transport to the Kubernetes API within this process."""
        return AppTransport(self.asgi)

    async def handle(self, request: Request) -> Answer:
        """One call of the API, faults included."""
        if (fault := await self.faults.before()) is not None:
            return fault
        try:
            return self.faults.after(await self._serve(request))
        except Rejected as error:
            return _refusal(error)

    async def _serve(self, request: Request) -> Answer:
        user = None if request.bearer in self.faults.revoked else self.users.get(request.bearer)
        if user is None:
            raise Rejected(401, "Unauthorized", "Unauthorized")
        if request.path == "/version":
            return as_json({"major": "1", "minor": "36", "gitVersion": "v1.36.3"})
        if request.path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
            return _review(user, request.json())
        target = _target(request.path)
        if target is None:
            raise Rejected(404, "NotFound", "the server could not find the requested resource")
        verb = _verb(request, target)
        if not user.may(verb, f"{target.kind.group}/{target.kind.plural}", target.namespace):
            raise Rejected(403, "Forbidden", _forbidden(user, verb, target))
        return await self._act(verb, request, target)

    async def _act(self, verb: str, request: Request, target: _Target) -> Answer:
        kind, namespace, name = target.kind.kind, target.namespace, target.name
        match verb:
            case "watch":
                return self._watch(request, target)
            case "list":
                return self._list(request, target)
            case "get" if target.sub == "log":
                self.store.need(kind, namespace, name)
                return Answer(200, b"", {"content-type": "text/plain"})
            case "get":
                return as_json(self.store.need(kind, namespace, name))
            case "create":
                manifest = request.json()
                manifest["metadata"] = {**manifest["metadata"], **({"namespace": namespace} if namespace else {})}
                return as_json(self.store.create({"kind": kind, **manifest}), 201)
            case "patch":
                if request.headers.get("content-type") != "application/merge-patch+json":
                    raise Rejected(415, "UnsupportedMediaType", "only merge patches are known here")
                return as_json(self.store.patch(kind, namespace, name, request.json()))
            case "update":
                return as_json(self.store.update({"kind": kind, "apiVersion": target.kind.api, **request.json()}))
            case _:
                return as_json(self.store.delete(kind, namespace, name))

    def _list(self, request: Request, target: _Target) -> Answer:
        items = [item for item in self.store.list(target.kind.kind, target.namespace) if _chosen(item, request)]
        # objects are encoded once per version: a list of a thousand costs no more than joining it
        body = b",".join(map(self.store.encoded, items))
        head = encode({"apiVersion": target.kind.api, "kind": f"{target.kind.kind}List"})
        version = encode({"resourceVersion": str(self.store.version)})
        whole = head[:-1] + b',"metadata":' + version + b',"items":[' + body + b"]}"
        return Answer(200, whole, {"content-type": "application/json"})

    def _watch(self, request: Request, target: _Target) -> Answer:
        since = request.query.get("resourceVersion", "")
        if since and self.faults.gone:
            self.faults.gone -= 1
            raise Rejected(410, "Expired", f"too old resource version: {since} ({self.store.version})")
        chunks = self._events(request, target, int(since) if since not in {"", "0"} else None)
        return Answer(200, b"", {"content-type": "application/json"}, chunks)

    async def _events(self, request: Request, target: _Target, since: int | None) -> AsyncIterator[bytes]:
        if since is None:  # "get state and start at any": what is there comes first
            since = self.store.version
            for item in self.store.list(target.kind.kind, target.namespace):
                if _chosen(item, request):
                    yield self._frame("ADDED", item)
        changes = self.store.watch(target.kind.kind, target.namespace, since)
        bookmarks = request.query.get("allowWatchBookmarks") in {"true", "1"}
        limit = float(request.query.get("timeoutSeconds") or 1800)
        try:
            async for change in _until(self.clock, changes, limit, BOOKMARK if bookmarks else limit):
                if change is None:
                    mark = {"apiVersion": target.kind.api, "kind": target.kind.kind}
                    metadata = {"resourceVersion": str(self.store.version), "creationTimestamp": None}
                    yield encode({"type": "BOOKMARK", "object": {**mark, "metadata": metadata}}) + b"\n"
                elif _chosen(change.object, request):
                    yield self._frame(change.type, change.object)
        except Rejected as error:
            yield encode({"type": "ERROR", "object": _status(error)}) + b"\n"

    def _frame(self, kind: str, item: Object) -> bytes:
        return b'{"type":"' + kind.encode() + b'","object":' + self.store.encoded(item) + b"}\n"


async def _until(
    clock: LoopClock, changes: AsyncIterator[Change], limit: float, pause: float
) -> AsyncIterator[Change | None]:
    """`changes`, and None whenever `pause` went by without one; ends after `limit` seconds."""
    end = clock.monotonic() + limit
    following = asyncio.ensure_future(_next(changes))
    try:
        while (left := end - clock.monotonic()) > 0:
            done, _ = await asyncio.wait({following}, timeout=min(pause, left))
            if not done:
                yield None
                continue
            yield following.result()
            following = asyncio.ensure_future(_next(changes))
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def _next(changes: AsyncIterator[Change]) -> Change:
    return await anext(changes)


def _target(path: str) -> _Target | None:
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:  # noqa: PLR2004 - api/v1/…
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:  # noqa: PLR2004 - apis/group/version/…
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:  # noqa: PLR2004 - namespaces/NAME/plural
        namespace, rest = rest[1], rest[2:]
    asked = (group, version, rest[0])
    kind = next((one for one in KINDS.values() if (one.group, one.version, one.plural) == asked), None)
    if kind is None:
        return None
    name, sub = [*rest[1:], "", ""][:2]
    return _Target(kind, namespace, name, sub)


def _verb(request: Request, target: _Target) -> str:
    if request.method == "GET" and not target.name:
        return "watch" if request.query.get("watch") in {"true", "1"} else "list"
    verbs = {"GET": "get", "POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}
    if request.method not in verbs:
        raise Rejected(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    return verbs[request.method]


def _chosen(item: Object, request: Request) -> bool:
    """Whether the field and label selectors of the request fit; only `=` is known."""
    metadata = item["metadata"]
    known = {"metadata.name": metadata["name"], "metadata.namespace": metadata.get("namespace", "")}
    known |= {f"involvedObject.{key}": value for key, value in (item.get("involvedObject") or {}).items()}
    fields = _pairs(request.query.get("fieldSelector", ""))
    labels = metadata.get("labels") or {}
    wanted = _pairs(request.query.get("labelSelector", ""))
    return all(known.get(key) == value for key, value in fields) and all(labels.get(k) == v for k, v in wanted)


def _pairs(selector: str) -> list[tuple[str, str]]:
    found = (term.partition("=") for term in selector.split(",") if term)
    return [(key, value.lstrip("=")) for key, _, value in found]


def _review(user: User, review: dict[str, Any]) -> Answer:
    asked = review["spec"].get("resourceAttributes") or {}
    resource = f"{asked.get('group', '')}/{asked.get('resource', '')}"
    allowed = user.may(asked.get("verb", ""), resource, asked.get("namespace", ""))
    return as_json({**review, "status": {"allowed": allowed}}, 201)


def _forbidden(user: User, verb: str, target: _Target) -> str:
    named = f' "{target.name}"' if target.name else ""
    where = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    what = f'cannot {verb} resource "{target.kind.plural}" in API group "{target.kind.group}" {where}'
    return f'{target.kind}{named} is forbidden: User "{user.name}" {what}'


def _status(error: Rejected) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
        "reason": error.reason,
        "code": error.code,
    }


def _refusal(error: Rejected) -> Answer:
    return as_json(_status(error), error.code)
