"""Argo CD by its API server: REST for reading, one server-sent stream per project for news.

`project` and `appNamespace` are always sent where they are known, because without a project a missing application
looks forbidden. The stream is projected to what tells that something moved; verdicts are made from whole objects
only (`GET` of one application), because what `fields=` leaves differs between get, list and stream.
Read in the source of Argo CD 3.2 to 3.6 and recorded from 3.2.11.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx2

from loopseal.domain.proposal import Application
from loopseal.engines.answers import MISSING, UNAUTHORIZED, body, failure
from loopseal.engines.argocd_application import is_commit, observed_revisions
from loopseal.engines.argocd_health import Healths
from loopseal.engines.argocd_signatures import Demand, of_metadata, of_project
from loopseal.engines.argocd_sync import pinned
from loopseal.engines.bearer import Bearer, from_reference
from loopseal.engines.fields import Object, get, mapping, number, text
from loopseal.engines.lines import server_sent
from loopseal.engines.meanings import of_argocd
from loopseal.engines.peer import Peer
from loopseal.engines.watches import OPENED, News
from loopseal.net import Response
from loopseal.net.calls import CallLog
from loopseal.ports import Clock, Finding, Secrets, Tap
from loopseal.settings import EngineSettings

DEFAULT_NAMESPACE: Final = "argocd"
_SILENCE: Final = 40.0
"""Seconds without a byte after which a stream is broken: keepalives come every 15 s."""
_MOVED: Final = (
    "metadata.name",
    "metadata.namespace",
    "metadata.resourceVersion",
    "metadata.deletionTimestamp",
    "metadata.annotations",
    "spec.source",
    "spec.sources",
    "spec.syncPolicy",
    "operation",
    "status.sync.status",
    "status.sync.revision",
    "status.sync.revisions",
    "status.health.status",
    "status.reconciledAt",
    "status.conditions",
    "status.operationState.phase",
    "status.operationState.message",
    "status.operationState.retryCount",
    "status.operationState.finishedAt",
    "status.sourceHydrator",
)
_FIELDS: Final = ",".join(("result.type", *(f"result.application.{one}" for one in _MOVED)))
_STREAM: Final = "/api/v1/stream/applications"
_BAD: Final = 400


class Rest:
    """The applications of one Argo CD. Raises Refused, Conflict and Unreachable."""

    def __init__(
        self,
        settings: EngineSettings,
        *,
        secrets: Secrets,
        clock: Clock,
        tap: Tap | None,
        transport: httpx2.AsyncBaseTransport | None,
    ) -> None:
        self.server, self._settings, self._tap = settings.url.rstrip("/"), settings, tap
        self._home = settings.namespace or DEFAULT_NAMESPACE
        meaning = partial(of_argocd, prefix=urlsplit(self.server).path)
        self._peer = Peer(
            self.server,
            name="Argo CD",
            bearer=Bearer(from_reference(secrets, settings.credential), clock),
            ca=settings.ca,
            timeout=settings.timeout,
            calls=CallLog("argocd", self.server, meaning, clock),
            transport=transport,
        )

    def scope(self, application: Application) -> tuple[str, str]:
        """What one stream covers: all applications of a project, or of a namespace where no project is known."""
        project = application.project or self._settings.project
        return (project, "" if project else self.namespace(application))

    def key(self, application: Application) -> tuple[str, str]:
        """What names an application on this server: in any-namespace installations a name alone does not."""
        return (self.namespace(application), application.name)

    def namespace(self, application: Application) -> str:
        """Where its object is."""
        return application.namespace or self._home

    async def get(self, application: Application) -> Object | None:
        """The application, or None. Raises Refused also for one that does not exist, where no project is known."""
        return await self._application(application, {})

    async def refresh(self, application: Application) -> Object | None:
        """Have it compared with the branch as it is now, and answer what came of it.

        Blocks until the controller has taken the request up; it may still be lost in a comparison under way.
        """
        return await self._application(application, {"refresh": "normal"})

    async def _application(self, application: Application, extra: Mapping[str, str]) -> Object | None:
        path = self._path(application)
        answer = await self.call("GET", path, {**self._names(application), **extra})
        told = _json(answer)
        if self._tap is not None:
            query = "&".join(f"{key}={value}" for key, value in extra.items())
            self._tap(
                "argo-rest-get", {"path": path + (f"?{query}" if query else ""), "status": answer.status, "body": told}
            )
        if answer.status == MISSING:
            return None
        return body(answer, self.server)

    async def sync(self, application: Application, app: Object, revision: str, *, marker: str) -> bool:
        """Sync to this very revision, as the application's own policy says: no override, no prune, no force.

        False when an operation of somebody else is there: Argo CD queues nothing.
        """
        order: dict[str, Any] = {
            "name": application.name,
            **self._names(application),
            **pinned(app, revision),
            "infos": [{"name": "loopseal", "value": marker}],
        }
        answer = await self.call("POST", f"{self._path(application)}/sync", content=json.dumps(order).encode())
        if answer.status == _BAD and "another operation is already in progress" in answer.text():
            return False
        body(answer, self.server)
        return True

    async def demand(self, app: Object, url: str) -> Demand:
        """Which signatures its project wants on commits in the repository at `url`, as far as we may read that.

        The right to look at the application shows whether it wants any; which keys only `projects, get` shows.
        """
        metadata = mapping(app, "metadata")
        named = Application("", text(metadata, "name"), text(metadata, "namespace"), text(app, "spec", "project"))
        told = [
            await self.about(named, f"revisions/{one}/metadata") for one in observed_revisions(app) if is_commit(one)
        ]
        demand = next((found for one in told if (found := of_metadata(one)).required), Demand())
        if told and not demand.required:
            return demand
        answer = await self.call("GET", f"/api/v1/projects/{quote(named.project or 'default', safe='')}")
        return of_project(_json(answer), url) if answer.status < _BAD else demand

    async def with_health(self, app: Object) -> Healths:
        """`app` with the health of every resource: it has that already."""
        return Healths(app)

    async def cluster_of(self, app: Object) -> None:
        """Its cluster is not looked at from here: the API server tells what is in it."""
        del app

    async def windows(self, application: Application) -> Object:
        """Sync windows: `activeWindows`, `assignedWindows`, `canSync`. Empty when they cannot be read."""
        return await self.about(application, "syncwindows")

    async def about(self, application: Application, what: str, params: Mapping[str, str] | None = None) -> Object:
        """Any further JSON about an application, read for people: empty when it cannot be had."""
        answer = await self.call(
            "GET", f"{self._path(application)}/{what}", {**self._names(application), **(params or {})}
        )
        return _json(answer) if answer.status < _BAD else {}

    async def log(self, application: Application, pod: Mapping[str, str], *, previous: bool = False) -> str:
        """The end of a pod's log; empty when it cannot be had."""
        params = {"namespace": pod.get("namespace", ""), "tailLines": "100", "previous": str(previous).lower()}
        path = f"{self._path(application)}/pods/{quote(pod.get('name', ''), safe='')}/logs"
        answer = await self.call("GET", path, {**self._names(application), **params})
        if answer.status >= _BAD:
            return ""
        rows = (_line(line) for line in answer.body.splitlines()[:200])
        return "\n".join(row for row in rows if row)

    async def allowed(self, resource: str, verb: str, application: Application) -> bool:
        """Whether we may: `applications`/`get`, `sync`, `logs`/`get`."""
        project = application.project or self._settings.project or "default"
        namespace = self.namespace(application)
        name = application.name if namespace == self._home else f"{namespace}/{application.name}"
        path = f"/api/v1/account/can-i/{resource}/{verb}/{quote(project, safe='*')}/{quote(name, safe='*/')}"
        return text(body(await self.call("GET", path), self.server), "value") == "yes"

    async def lacking(self, application: Application) -> Sequence[Finding]:
        """Nothing: one right, `applications, get`, allows to look, to watch and to refresh."""
        del application
        return ()

    async def version(self) -> str:
        """Argo CD's own version."""
        return text(body(await self.call("GET", "/api/version"), self.server), "Version")

    async def news(self, scope: tuple[str, str]) -> AsyncGenerator[News, None]:
        """One stream: everything is news when it opens, for it replays; then what moved, to be read by who needs it."""
        project, namespace = scope
        params = {"fields": _FIELDS}
        params |= {"projects": project} if project else {"appNamespace": namespace}
        async with self._peer.stream(_STREAM, params=params, accept="text/event-stream", silence=_SILENCE) as answer:
            async for message in server_sent(answer.chunks, self.server):
                yield self._moved(message) if message else OPENED

    def _moved(self, message: Object) -> News:
        """What one message of the stream tells; raises when it tells of an error."""
        if self._tap is not None:
            self._tap("argo-sse-projected", message)
        if "error" in message:
            raise self._broken(message)
        moved = mapping(message, "result", "application", "metadata")
        deleted = text(message, "result", "type") == "DELETED"
        key = (text(moved, "namespace") or self._home, text(moved, "name"))
        return News(key, version="" if deleted else text(moved, "resourceVersion"))

    def _broken(self, message: Object) -> Exception:
        status = int(number(message, "error", "http_code")) or 500
        told = json.dumps({"message": text(message, "error", "message")}).encode()
        return failure(Response(status, {}, told), self.server)

    def _path(self, application: Application) -> str:
        return f"/api/v1/applications/{quote(application.name, safe='')}"

    def _names(self, application: Application) -> dict[str, str]:
        project = application.project or self._settings.project
        return {"appNamespace": self.namespace(application)} | ({"project": project} if project else {})

    async def call(
        self, method: str, path: str, params: Mapping[str, str] | None = None, *, content: bytes | None = None
    ) -> Response:
        """One call; what its status means is for the caller, but for a refused token."""
        answer = await self._peer.call(method, path, params=params, content=content)
        if answer.status == UNAUTHORIZED:
            raise failure(answer, self.server)
        return answer

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._peer.aclose()


def _json(answer: Response) -> Object:
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _line(line: bytes) -> str:
    """One line of a log, as grpc-gateway wraps it."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    content = get(found, "result", "content")
    return content if isinstance(content, str) else ""
