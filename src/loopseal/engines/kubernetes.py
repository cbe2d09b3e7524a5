"""One cluster's API server: get, annotate, watch, ask for rights. Objects are plain JSON.

Calls go through lightkube on a transport of ours, so that `net.Http` stays the one seam: bounded bodies, spans, our
errors. The watch is ours alone, because lightkube's asks for no bookmarks, bounds no line and never times out.
Does not live here: the way in (`kubernetes_access`), and any knowledge of an engine's kinds.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import httpx2

from loopseal.engines.answers import Gone, Missing, body, failure
from loopseal.engines.bearer import Bearer
from loopseal.engines.fields import Object, flag, get, mapping, text
from loopseal.engines.kubernetes_access import Access, lightkube_missing
from loopseal.engines.lines import json_lines
from loopseal.engines.meanings import of_kubernetes
from loopseal.engines.peer import Peer
from loopseal.engines.watches import OPENED, News
from loopseal.errors import Code, Refused, Unreachable
from loopseal.net import Response
from loopseal.net.calls import CallLog
from loopseal.ports import Clock, Tap, behalf

if TYPE_CHECKING:
    from lightkube import AsyncClient

_WATCH_SECONDS: Final = 240
"""The server ends a watch after this long; it goes on where it ended."""
_SILENCE: Final = 90.0
"""Seconds without a byte after which a watch is broken: bookmarks come every 60 s."""
_BAD: Final = 400
CHANGE: Final = "loopseal.dev/change"
"""The annotation that tells which change asked last: so the cluster's own audit log tells it, too."""


def asking(annotation: str, value: str) -> Mapping[str, Any]:
    """The merge patch that asks a controller to look at an object, in the name of the change we act for, or of none."""
    return {"metadata": {"annotations": {annotation: value, CHANGE: behalf().change or None}}}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of objects, as the API's addresses need it."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "") -> str:
        """Where its objects are, or one of them."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        place = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        return f"{base}{place}/{self.plural}" + (f"/{quote(name, safe='')}" if name else "")


class Cluster:
    """A client of one API server on one event loop. Raises Refused, Conflict and Unreachable."""

    def __init__(
        self,
        access: Access,
        clock: Clock,
        *,
        timeout: float = 15.0,
        tap: Tap | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        parts = urlsplit(access.server)
        self.server, self.namespace = access.server, access.namespace
        self._prefix, self._tap = parts.path.rstrip("/"), tap
        meaning = partial(of_kubernetes, prefix=self._prefix)
        self._peer = Peer(
            f"{parts.scheme}://{parts.netloc}",
            name="Kubernetes",
            bearer=Bearer(access.fetch, clock),
            tls=access.tls,
            timeout=timeout,
            calls=CallLog("kubernetes", access.server, meaning, clock),
            transport=transport,
        )
        self._client = self._lightkube()
        self._resources: dict[Kind, Any] = {}

    def _lightkube(self) -> AsyncClient:
        try:
            from lightkube import AsyncClient, KubeConfig  # noqa: PLC0415 - an extra, loaded where it is needed
            from lightkube.config.models import Cluster as Named  # noqa: PLC0415 - as above
            from lightkube.config.models import User  # noqa: PLC0415 - as above
        except ImportError as error:
            raise lightkube_missing() from error
        # `insecure` concerns a TLS context that nobody uses: the transport is ours and checks certificates. Without it
        # lightkube would read every authority of the system for each engine.
        config = KubeConfig.from_one(cluster=Named(server=self.server, insecure=True), user=User())
        return AsyncClient(config=config, transport=_Seam(self), trust_env=False)

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One object, or None."""
        try:
            found = await self._decoded(self._client.get(self._resource(kind), name, namespace=namespace))
        except Missing:
            return None
        self.heard(kind, "MODIFIED", found)
        return found

    async def patch(self, kind: Kind, namespace: str, name: str, change: Mapping[str, Any]) -> Object:
        """Apply a merge patch; with `metadata.resourceVersion` in it only to that version (else Conflict)."""
        from lightkube.types import PatchType  # noqa: PLC0415 - an extra, loaded where it is needed

        patch = self._client.patch(
            self._resource(kind),
            name,
            dict(change),
            namespace=namespace,
            patch_type=PatchType.MERGE,
            field_manager="loopseal",
        )
        try:
            return await self._decoded(patch)
        except Missing:
            raise Refused(
                Code.ENGINE_NOT_FOUND,
                f"{kind.kind} {namespace}/{name} does not exist",
                where=self.server,
                hint="Is the name right, and the namespace?",
            ) from None

    async def _decoded(self, call: Awaitable[Any]) -> Object:
        """The object that lightkube makes of an answer, or our error when it can make none of it."""
        try:
            found: Object = dict(await call)
            if not isinstance(found["metadata"], Mapping):
                raise TypeError(found)  # noqa: TRY301 - translated with what lightkube raises
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Unreachable(
                Code.ENGINE_PROTOCOL,
                f"an answer that is no object of Kubernetes ({type(error).__name__})",
                where=self.server,
                hint="Is this the API server's address?",
            ) from error
        return found

    def _resource(self, kind: Kind) -> Any:
        """Lightkube's class of a kind: one of our own, because its register is the whole process's."""
        from lightkube import generic_resource as generic  # noqa: PLC0415 - an extra, loaded where it is needed

        if kind not in self._resources:
            info = generic.create_api_info(kind.group, kind.version, kind.kind, kind.plural)
            self._resources[kind] = type(kind.kind, (generic.GenericNamespacedResource,), {"_api_info": info})
        return self._resources[kind]

    async def read(self, path: str, params: Mapping[str, str] | None = None) -> Object | None:
        """The JSON object at any path of the API (a list, discovery, a kind of somebody else), or None."""
        try:
            return body(await self.call("GET", path, params=params), self.server)
        except Missing:
            return None

    async def allowed(self, verb: str, kind: Kind, namespace: str, name: str = "") -> bool:
        """Whether we may (SelfSubjectAccessReview, authorization.k8s.io/v1)."""
        attributes = {
            "verb": verb, "group": kind.group, "resource": kind.plural, "namespace": namespace, "name": name,
        }  # fmt: skip
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = await self.call("POST", path, content=json.dumps(review).encode())
        return flag(body(answer, self.server), "status", "allowed")

    async def log(self, namespace: str, pod: str, *, previous: bool = False, lines: int = 100) -> str:
        """The end of a pod's log; empty when there is none."""
        params = {"tailLines": str(lines), "limitBytes": str(lines * 512), "previous": str(previous).lower()}
        try:
            answer = await self.call("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log", params=params)
        except Missing:
            return ""
        return answer.body.decode("utf-8", "replace") if answer.status < _BAD else ""

    async def call(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, content: bytes | None = None
    ) -> Response:
        """One call to a path of the API. Raises Missing, too."""
        return await self.send(method, self._prefix + path, params=params, content=content)

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        media: str = "application/json",
    ) -> Response:
        """One call to a path of the server."""
        answer = await self._peer.call(method, path, params=params, content=content, media=media)
        if answer.status >= _BAD:
            raise failure(answer, self.server)
        return answer

    async def events(self, kind: Kind, namespace: str, version: str) -> AsyncGenerator[tuple[str, Object], None]:
        """One watch connection: ("", {}) when it is open, then (type, object). Raises Gone, too."""
        params = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(_WATCH_SECONDS)}
        params |= {"resourceVersion": version} if version else {}
        path = self._prefix + kind.path(namespace)
        async with self._peer.stream(path, params=params, accept="application/json", silence=_SILENCE) as answer:
            yield "", {}
            async for line in json_lines(answer.chunks, self.server):
                yield self._event(kind, line)

    def _event(self, kind: Kind, line: Object) -> tuple[str, Object]:
        event, found = text(line, "type"), mapping(line, "object")
        if event == "ERROR":
            code = get(found, "code")
            told = Response(code if isinstance(code, int) else 500, {}, json.dumps(found).encode())
            raise failure(told, self.server)
        if event != "BOOKMARK":
            self.heard(kind, event, found)
        return event, found

    def heard(self, kind: Kind, event: str, found: Object) -> None:
        """Let the flight recorder know."""
        if self._tap is not None:
            self._tap(f"k8s-watch-{kind.kind.lower()}", {"type": event, "object": found})

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._client.aclose()
        await self._peer.aclose()


class Following:
    """The objects of one kind in one namespace, as news for a `Watch`: each connection goes on where the last ended."""

    def __init__(self, cluster: Cluster, kind: Kind, namespace: str) -> None:
        self._cluster, self._kind, self._namespace = cluster, kind, namespace
        self._version = ""

    async def connect(self) -> AsyncGenerator[News, None]:
        """News of one connection, by name of the object."""
        try:
            async with aclosing(self._cluster.events(self._kind, self._namespace, self._version)) as events:
                async for event, found in events:
                    if not event:
                        yield OPENED if self._version else News()
                        continue
                    self._version = text(found, "metadata", "resourceVersion") or self._version
                    if event != "BOOKMARK":
                        name = text(found, "metadata", "name")
                        yield News(name, None if event == "DELETED" else found)
        except Gone:
            self._version = ""


class _Seam(httpx2.AsyncBaseTransport):
    """Lets lightkube speak through `net.Http`; bad statuses never reach it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._cluster.send(
            request.method,
            request.url.raw_path.decode("ascii"),
            content=await request.aread() or None,
            media=request.headers.get("content-type", "application/json"),
        )
        return httpx2.Response(answer.status, content=answer.body, headers={"content-type": "application/json"})
