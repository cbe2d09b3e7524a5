"""The API server: the REST calls that a waiter, a person or the demo makes, answered as recorded.

Not there: writing applications (that is done on the Application object), projects, repositories, SSO, exec.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from loopseal.testing import health
from loopseal.testing.argocd import accounts, compare, stream, windows
from loopseal.testing.argocd.accounts import Account
from loopseal.testing.argocd.controller import Controller
from loopseal.testing.asgi import Answer, Request, Route, as_json, dispatch, route
from loopseal.testing.cluster import Cluster
from loopseal.testing.faults import Faults
from loopseal.testing.gitview import GitFailure, GitView
from loopseal.testing.store import Object

_REFRESH_LIMIT: Final = 60.0


class Api:
    """The routes and what they answer. `controller` gives the one that runs now, or None."""

    def __init__(
        self, cluster: Cluster, git: GitView, faults: Faults, people: Mapping[str, Account], controller: Any
    ) -> None:
        self._store, self._clock = cluster.store, cluster.clock
        self._git, self._faults, self._people, self._controller = git, faults, people, controller
        app = "/api/v1/applications/{name}"
        self._routes: tuple[Route, ...] = (
            route("GET", app, self._get),
            route("GET", "/api/v1/applications", self._list),
            route("GET", "/api/v1/stream/applications", self._stream),
            route("POST", f"{app}/sync", self._sync),
            route("POST", f"{app}/rollback", self._rollback),
            route("DELETE", f"{app}/operation", self._terminate),
            route("GET", f"{app}/syncwindows", self._windows),
            route("GET", f"{app}/resource-tree", self._tree),
            route("GET", f"{app}/managed-resources", self._empty),
            route("GET", f"{app}/events", self._events),
            route("GET", f"{app}/logs", self._logs),
            route("GET", app + "/pods/{pod}/logs", self._logs),
            route("GET", f"{app}/links", self._empty),
            route("GET", app + "/revisions/{revision}/metadata", self._metadata),
            route("GET", "/api/v1/account/can-i/{resource}/{action}/{what...}", self._can_i),
            route("GET", "/api/v1/settings", self._settings),
        )

    async def handle(self, request: Request) -> Answer:
        """One call below `/api`."""
        if request.path == "/api/version":
            return _ok({"Version": "v3.2.12", "Platform": "linux/amd64"})
        if request.path == "/api/v1/session/userinfo":
            known = self._known(request.bearer)
            told = {"loggedIn": True, "username": known.name, "iss": "argocd"} if known else {}
            return _ok(told)
        if request.method != "GET" and request.headers.get("content-type") != "application/json":
            return Answer(415, b"Invalid content type\n", {"content-type": "text/plain; charset=utf-8"})
        try:
            if request.path == "/api/v1/session" and request.method == "POST":
                return self._session(request)
            self._caller(request)
            answer = await dispatch(self._routes, request)
        except accounts.Denied as error:
            return _refusal(request, error)
        return answer or as_json({"code": 5, "error": "Not Found", "message": "Not Found"}, 404)

    # -- who --------------------------------------------------------------------------------------------------------

    def _known(self, token: str) -> Account | None:
        revoked = token in self._faults.revoked
        return None if revoked else next((one for one in self._people.values() if one.token == token), None)

    def _caller(self, request: Request) -> Account:
        if not request.bearer:
            raise accounts.Denied(401, accounts.UNAUTHENTICATED, "no session information")
        known = self._known(request.bearer)
        if known is not None:
            return known
        text = "invalid session: SSO is not configured"
        if request.bearer in self._faults.revoked:
            name = next((one.name for one in self._people.values() if one.token == request.bearer), "bot")
            text = f"invalid session: account {name} does not have token with id {name}"
        raise accounts.Denied(401, accounts.UNAUTHENTICATED, text)

    def _session(self, request: Request) -> Answer:
        asked = request.json()
        known = self._people.get(asked.get("username", ""))
        if known is None or not known.password or known.password != asked.get("password"):
            raise accounts.Denied(401, accounts.UNAUTHENTICATED, "Invalid username or password")
        return _ok({"token": known.token})

    async def _can_i(self, request: Request, resource: str, action: str, what: str) -> Answer:
        may = self._caller(request).may(resource, action, what)
        return _ok({"value": "yes" if may else "no"})

    def _find(self, request: Request, name: str) -> Object:
        """The application, if it may be read; with `project` a missing one is told from a forbidden one."""
        caller, project = self._caller(request), request.query.get("project", "")
        namespace = request.query.get("appNamespace") or "argocd"
        app = self._store.get("Application", namespace, name)
        theirs = app["spec"].get("project", "default") if app else ""
        if project:
            if not caller.may("applications", "get", f"{project}/{name}"):
                raise accounts.denied()
            if app is None or theirs != project:
                raise accounts.missing(name)
        if app is None or not caller.may("applications", "get", f"{theirs}/{name}"):
            raise accounts.denied()
        return app

    # -- looking ----------------------------------------------------------------------------------------------------

    async def _get(self, request: Request, name: str) -> Answer:
        app = self._find(request, name)
        if "refresh" in request.query:
            app = await self._refresh(app, "hard" if request.query["refresh"] == "hard" else "normal")
        return _ok(stream.shown(app, self._store))

    async def _refresh(self, app: Object, mode: str) -> Object:
        """Annotate, then wait until the annotation is gone again."""
        key = (app["metadata"]["namespace"], app["metadata"]["name"])
        patch = {"metadata": {"annotations": {compare.REFRESH: mode, compare.HYDRATE: "normal"}}}
        patched = self._store.patch("Application", *key, patch)
        changes = self._store.watch("Application", key[0], since=int(patched["metadata"]["resourceVersion"]))
        try:
            async with asyncio.timeout(_REFRESH_LIMIT):
                async for change in changes:
                    metadata = change.object["metadata"]
                    if metadata["name"] != key[1]:
                        continue
                    if change.type == "DELETED":
                        raise accounts.missing(key[1])
                    if compare.REFRESH not in (metadata.get("annotations") or {}):
                        return change.object
        except TimeoutError:
            raise accounts.Denied(504, 4, "application refresh deadline exceeded") from None
        raise AssertionError("a watch never ends by itself")

    async def _list(self, request: Request) -> Answer:
        chosen = self._filter(request)
        apps = [stream.shown(app, self._store) for app in self._store.list("Application") if chosen(app)]
        fields = tuple(field for field in request.query.get("fields", "").split(",") if field)
        if fields:
            inner = [field.removeprefix("items.") for field in fields if field.startswith("items.")]
            apps = [stream.listed(app, inner) for app in apps]
        return _ok({"items": apps or None, "metadata": {"resourceVersion": str(self._store.version)}})

    async def _stream(self, request: Request) -> Answer:
        chosen = self._filter(request)
        fields = tuple(field for field in request.query.get("fields", "").split(",") if field)
        sse = _wants_sse(request)
        since = request.query.get("resourceVersion", "")
        chunks = stream.events(self._store, chosen, fields, sse=sse, since=since)
        kind = "text/event-stream" if sse else "application/json"
        headers = {"content-type": kind, "grpc-metadata-content-type": "application/grpc"}
        return Answer(200, b"", headers, chunks, lazy=True)

    def _filter(self, request: Request) -> Any:
        """Which applications this caller sees under these query fields. An open stream keeps its rights."""
        caller = self._caller(request)
        selector = request.query.get("selector", "")
        if selector.startswith("!!"):
            text = "error parsing labels with selectors: unable to parse requirement: found '!', expected: identifier"
            raise accounts.Denied(500, 2, text)
        labels = [term.partition("=")[::2] for term in selector.split(",") if term]
        name, namespace = request.query.get("name", ""), request.query.get("appNamespace", "")
        projects = {value for key, value in request.pairs if key in {"project", "projects"} and value}

        def chosen(app: Object) -> bool:
            metadata, project = app["metadata"], app["spec"].get("project", "default")
            own = metadata.get("labels") or {}
            return (
                name in {"", metadata["name"]}
                and namespace in {"", metadata["namespace"]}
                and (not projects or project in projects)
                and all(own.get(key) == value.lstrip("=") for key, value in labels)
                and caller.may("applications", "get", f"{project}/{metadata['name']}")
            )

        return chosen

    async def _windows(self, request: Request, name: str) -> Answer:
        app = self._find(request, name)
        controller: Controller | None = self._controller()
        assigned = controller.project_windows(app) if controller else []
        now = self._clock.now()
        told: Object = {"canSync": windows.may_sync(assigned, now, manual=True)}
        hidden = {"applications", "namespaces", "clusters"}
        for key, some in (("activeWindows", windows.active(assigned, now)), ("assignedWindows", assigned)):
            if some:
                told[key] = [{name: value for name, value in window.items() if name not in hidden} for window in some]
        return _ok(told)

    async def _tree(self, request: Request, name: str) -> Answer:
        app = self._find(request, name)
        nodes = []
        for row in (app.get("status") or {}).get("resources") or ():
            item = self._store.get(row["kind"], row.get("namespace", ""), row["name"])
            if item is not None:
                nodes += [_node(item, None), *(_node(pod, item) for pod in self._pods(item))]
        return _ok({"nodes": nodes, "orphanedNodes": [], "hosts": []})

    def _pods(self, item: Object) -> list[Object]:
        own, namespace = {"app": item["metadata"]["name"]}, item["metadata"].get("namespace", "")
        return [pod for pod in self._store.list("Pod", namespace) if pod["metadata"].get("labels") == own]

    async def _events(self, request: Request, name: str) -> Answer:
        self._find(request, name)
        wanted = request.query.get("resourceName", "")
        items = [one for one in self._store.list("Event") if one["involvedObject"]["name"] == wanted]
        return _ok({"metadata": {}, "items": items})

    async def _logs(self, request: Request, name: str, pod: str = "") -> Answer:
        app = self._find(request, name)
        if not self._caller(request).may("logs", "get", f"{app['spec'].get('project', 'default')}/{name}"):
            raise accounts.denied()
        what = pod or request.query.get("podName") or request.query.get("resourceName", "")
        line = {"content": f"{what} says nothing: a simulated pod has no log", "podName": what, "last": False}
        return _ok({"result": line})

    async def _metadata(self, request: Request, name: str, revision: str) -> Answer:
        app = self._find(request, name)
        try:
            signer = await self._git.signer(app["spec"]["source"]["repoURL"], revision)
        except (GitFailure, KeyError):
            raise accounts.Denied(400, accounts.INVALID_ARGUMENT, f"revision {revision} not found") from None
        told = {"author": "", "date": self._clock.stamp(), "message": "", "signatureInfo": signer}
        return _ok(told)

    async def _empty(self, request: Request, name: str) -> Answer:
        self._find(request, name)
        return _ok({"items": []})

    async def _settings(self, request: Request) -> Answer:
        self._caller(request)
        return _ok({"appLabelKey": "app.kubernetes.io/instance", "trackingMethod": "annotation"})

    # -- acting -----------------------------------------------------------------------------------------------------

    async def _sync(self, request: Request, name: str) -> Answer:
        app, asked = self._find(request, name), request.json()
        caller, now = self._caller(request), self._clock.now()
        controller: Controller | None = self._controller()
        if controller and not windows.may_sync(controller.project_windows(app), now, manual=True):
            raise accounts.denied("cannot sync: blocked by sync window")
        what = f"{app['spec'].get('project', 'default')}/{name}"
        if not caller.may("applications", "sync", what):
            issued = datetime(now.year, now.month, now.day, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            text = f"permission denied: applications, sync, {what}, sub: {caller.name}, iat: {issued}"
            raise accounts.denied(text)
        source = app["spec"]["source"]
        ref, tracked = asked.get("revision") or source["targetRevision"], source["targetRevision"]
        automated = (app["spec"].get("syncPolicy") or {}).get("automated")
        if automated is not None and ref != tracked:
            raise accounts.precondition(f"Cannot sync to {ref}: auto-sync currently set to {tracked}")
        try:
            sha = await self._git.resolve(source["repoURL"], ref)
        except GitFailure as error:
            raise accounts.precondition(str(error)) from error
        app = self._store.need("Application", app["metadata"]["namespace"], name)
        if app.get("operation"):
            raise accounts.precondition("another operation is already in progress")
        return self._start(app, asked, sha, caller)

    def _start(self, app: Object, asked: Mapping[str, Any], sha: str, caller: Account) -> Answer:
        operation: Object = {
            "initiatedBy": {"username": caller.name},
            "retry": asked.get("retryStrategy") or {},
            "sync": {
                "revision": sha,
                "source": app["spec"]["source"],
                **{name: asked[name] for name in ("prune", "dryRun", "resources") if asked.get(name)},
            },
        }
        if asked.get("infos"):
            operation["info"] = asked["infos"]
        key = (app["metadata"]["namespace"], app["metadata"]["name"])
        patch = {"operation": operation, "status": {"operationState": None}}
        return _ok(stream.shown(self._store.patch("Application", *key, patch), self._store))

    async def _terminate(self, request: Request, name: str) -> Answer:
        app = self._find(request, name)
        if not self._caller(request).may("applications", "sync", f"{app['spec'].get('project', 'default')}/{name}"):
            raise accounts.denied()
        state = (app.get("status") or {}).get("operationState")
        if not app.get("operation") or not state:
            text = "Unable to terminate operation. No operation is in progress"
            raise accounts.Denied(400, accounts.INVALID_ARGUMENT, text)
        key = (app["metadata"]["namespace"], name)
        self._store.patch("Application", *key, {"status": {"operationState": {"phase": "Terminating"}}})
        return _ok({})

    async def _rollback(self, request: Request, name: str) -> Answer:
        app = self._find(request, name)
        if (app["spec"].get("syncPolicy") or {}).get("automated") is not None:
            raise accounts.precondition("rollback cannot be initiated when auto-sync is enabled")
        entry = next((one for one in app["status"].get("history") or () if one["id"] == request.json().get("id")), None)
        if entry is None:
            raise accounts.Denied(
                400, accounts.INVALID_ARGUMENT, f"application {name} does not have deployment with id"
            )
        return self._start(app, {}, entry["revision"], self._caller(request))


def _ok(value: Any) -> Answer:
    return as_json(value, headers={"grpc-metadata-content-type": "application/grpc"})


def _node(item: Object, parent: Object | None) -> Object:
    metadata = item["metadata"]
    told = health.argo(item)
    node: Object = {
        "group": item["apiVersion"].rpartition("/")[0],
        "version": item["apiVersion"].rpartition("/")[2],
        "kind": item["kind"],
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata["uid"],
        "createdAt": metadata["creationTimestamp"],
        "images": compare.images_of(item),
    }
    if told:
        node["health"] = {"status": told[0], **({"message": told[1]} if told[1] else {})}
    if parent:
        owner = parent["metadata"]
        node["parentRefs"] = [{"kind": parent["kind"], "name": owner["name"], "uid": owner["uid"]}]
    return node


def _wants_sse(request: Request) -> bool:
    return "text/event-stream" in request.headers.get("accept", "")


def _refusal(request: Request, error: accounts.Denied) -> Answer:
    if request.path.startswith("/api/v1/stream/"):
        sse = _wants_sse(request)
        body = stream.error_frame(error.status, error.code, error.message, sse=sse)
        kind = "text/event-stream" if sse else "application/json"
        return Answer(error.status, body, {"content-type": kind})
    return as_json({"code": error.code, "error": error.message, "message": error.message}, error.status)
