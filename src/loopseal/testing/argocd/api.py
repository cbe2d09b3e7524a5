"""The API server: the REST calls that a waiter, a person or the demo makes, answered as recorded.

Not there: writing applications (that is done on the Application object), projects, repositories, SSO, exec.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from loopseal.testing import health
from loopseal.testing.argocd import accounts, compare, stream, windows
from loopseal.testing.argocd.access import Access, ok
from loopseal.testing.argocd.accounts import Account
from loopseal.testing.argocd.acting import Acting
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
        self,
        cluster: Cluster,
        git: GitView,
        faults: Faults,
        people: Mapping[str, Account],
        controller: Callable[[], Controller | None],
    ) -> None:
        self._store, self._clock = cluster.store, cluster.clock
        self._git, self._controller = git, controller
        self._access = Access(cluster.store, faults, people)
        app = "/api/v1/applications/{name}"
        self._routes: tuple[Route, ...] = (
            route("GET", app, self._get),
            route("GET", "/api/v1/applications", self._list),
            route("GET", "/api/v1/stream/applications", self._stream),
            *Acting(cluster, git, self._access, controller).routes(),
            route("GET", f"{app}/syncwindows", self._windows),
            route("GET", f"{app}/resource-tree", self._tree),
            route("GET", f"{app}/managed-resources", self._empty),
            route("GET", f"{app}/events", self._events),
            route("GET", f"{app}/logs", self._logs),
            route("GET", app + "/pods/{pod}/logs", self._logs),
            route("GET", f"{app}/links", self._empty),
            route("GET", app + "/revisions/{revision}/metadata", self._metadata),
            route("GET", "/api/v1/projects/{name}", self._show_project),
            route("GET", "/api/v1/account/can-i/{resource}/{action}/{what...}", self._can_i),
            route("GET", "/api/v1/settings", self._settings),
        )

    async def handle(self, request: Request) -> Answer:
        """One call below `/api`."""
        if request.path == "/api/version":
            return ok({"Version": "v3.2.12", "Platform": "linux/amd64"})
        if request.path == "/api/v1/session/userinfo":
            known = self._access.known(request.bearer)
            told = {"loggedIn": True, "username": known.name, "iss": "argocd"} if known else {}
            return ok(told)
        if request.method != "GET" and request.headers.get("content-type") != "application/json":
            return Answer(415, b"Invalid content type\n", {"content-type": "text/plain; charset=utf-8"})
        try:
            if request.path == "/api/v1/session" and request.method == "POST":
                return self._access.session(request)
            self._access.caller(request)
            answer = await dispatch(self._routes, request)
        except accounts.Denied as error:
            return _refusal(request, error)
        return answer or as_json({"code": 5, "error": "Not Found", "message": "Not Found"}, 404)

    # -- looking ----------------------------------------------------------------------------------------------------

    async def _get(self, request: Request, name: str) -> Answer:
        app = self._access.find(request, name)
        if "refresh" in request.query:
            app = await self._refresh(app, "hard" if request.query["refresh"] == "hard" else "normal")
        return ok(stream.shown(app, self._store))

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
        return ok({"items": apps or None, "metadata": {"resourceVersion": str(self._store.version)}})

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
        caller = self._access.caller(request)
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
        app = self._access.find(request, name)
        controller = self._controller()
        assigned = controller.project_windows(app) if controller else []
        now = self._clock.now()
        told: Object = {"canSync": windows.may_sync(assigned, now, manual=True)}
        hidden = {"applications", "namespaces", "clusters"}
        for key, some in (("activeWindows", windows.active(assigned, now)), ("assignedWindows", assigned)):
            if some:
                told[key] = [{name: value for name, value in window.items() if name not in hidden} for window in some]
        return ok(told)

    async def _tree(self, request: Request, name: str) -> Answer:
        app = self._access.find(request, name)
        nodes = []
        for row in (app.get("status") or {}).get("resources") or ():
            item = self._store.get(row["kind"], row.get("namespace", ""), row["name"])
            if item is not None:
                nodes += [_node(item, None), *(_node(pod, item) for pod in self._pods(item))]
        return ok({"nodes": nodes, "orphanedNodes": [], "hosts": []})

    def _pods(self, item: Object) -> list[Object]:
        own, namespace = {"app": item["metadata"]["name"]}, item["metadata"].get("namespace", "")
        return [pod for pod in self._store.list("Pod", namespace) if pod["metadata"].get("labels") == own]

    async def _events(self, request: Request, name: str) -> Answer:
        self._access.find(request, name)
        wanted = request.query.get("resourceName", "")
        items = [one for one in self._store.list("Event") if one["involvedObject"]["name"] == wanted]
        return ok({"metadata": {}, "items": items})

    async def _logs(self, request: Request, name: str, pod: str = "") -> Answer:
        app = self._access.find(request, name)
        if not self._access.caller(request).may("logs", "get", f"{app['spec'].get('project', 'default')}/{name}"):
            raise accounts.denied()
        what = pod or request.query.get("podName") or request.query.get("resourceName", "")
        line = {"content": f"{what} says nothing: a simulated pod has no log", "podName": what, "last": False}
        return ok({"result": line})

    async def _metadata(self, request: Request, name: str, revision: str) -> Answer:
        app = self._access.find(request, name)
        try:
            signer = await self._git.signer(app["spec"]["source"]["repoURL"], revision)
        except (GitFailure, KeyError):
            raise accounts.Denied(400, accounts.INVALID_ARGUMENT, f"revision {revision} not found") from None
        told = {"author": "", "date": self._clock.stamp(), "message": ""}
        if self._project(app).get("signatureKeys"):  # else nobody looks for a signature
            told["signatureInfo"] = f"Good signature from EDDSA key {signer}" if signer else "Revision is not signed."
        return ok(told)

    async def _show_project(self, request: Request, name: str) -> Answer:
        if not self._access.caller(request).may("projects", "get", name):
            raise accounts.denied(f"permission denied: projects, get, {name}")
        found = self._store.get("AppProject", "argocd", name)
        if found is None:
            raise accounts.Denied(404, accounts.NOT_FOUND, f'appprojects.argoproj.io "{name}" not found')
        return ok({part: found[part] for part in ("metadata", "spec")})

    def _project(self, app: Object) -> Object:
        found = self._store.get("AppProject", "argocd", app["spec"].get("project", "default"))
        spec: Object = found["spec"] if found else {}
        return spec

    async def _empty(self, request: Request, name: str) -> Answer:
        self._access.find(request, name)
        return ok({"items": []})

    async def _settings(self, request: Request) -> Answer:
        self._access.caller(request)
        return ok({"appLabelKey": "app.kubernetes.io/instance", "trackingMethod": "annotation"})

    async def _can_i(self, request: Request, resource: str, action: str, what: str) -> Answer:
        may = self._access.caller(request).may(resource, action, what)
        return ok({"value": "yes" if may else "no"})


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
