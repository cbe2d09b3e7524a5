"""The calls that change something: sync, rollback, terminate. Argo CD's order of refusals is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from loopseal.testing.argocd import accounts, stream, windows
from loopseal.testing.argocd.access import Access, ok
from loopseal.testing.argocd.accounts import Account
from loopseal.testing.argocd.controller import Controller
from loopseal.testing.asgi import Answer, Request, Route, route
from loopseal.testing.cluster import Cluster
from loopseal.testing.gitview import GitFailure, GitView
from loopseal.testing.store import Object


class Acting:
    """`controller` gives the one that runs now, or None."""

    def __init__(
        self, cluster: Cluster, git: GitView, access: Access, controller: Callable[[], Controller | None]
    ) -> None:
        self._store, self._clock = cluster.store, cluster.clock
        self._git, self._access, self._controller = git, access, controller

    def routes(self) -> tuple[Route, ...]:
        """What is answered here."""
        app = "/api/v1/applications/{name}"
        return (
            route("POST", f"{app}/sync", self._sync),
            route("POST", f"{app}/rollback", self._rollback),
            route("DELETE", f"{app}/operation", self._terminate),
        )

    async def _sync(self, request: Request, name: str) -> Answer:
        app, asked = self._access.find(request, name), request.json()
        caller, now = self._access.caller(request), self._clock.now()
        controller = self._controller()
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
        return ok(stream.shown(self._store.patch("Application", *key, patch), self._store))

    async def _terminate(self, request: Request, name: str) -> Answer:
        app = self._access.find(request, name)
        if not self._access.caller(request).may(
            "applications", "sync", f"{app['spec'].get('project', 'default')}/{name}"
        ):
            raise accounts.denied()
        state = (app.get("status") or {}).get("operationState")
        if not app.get("operation") or not state:
            text = "Unable to terminate operation. No operation is in progress"
            raise accounts.Denied(400, accounts.INVALID_ARGUMENT, text)
        key = (app["metadata"]["namespace"], name)
        self._store.patch("Application", *key, {"status": {"operationState": {"phase": "Terminating"}}})
        return ok({})

    async def _rollback(self, request: Request, name: str) -> Answer:
        app = self._access.find(request, name)
        if (app["spec"].get("syncPolicy") or {}).get("automated") is not None:
            raise accounts.precondition("rollback cannot be initiated when auto-sync is enabled")
        entry = next((one for one in app["status"].get("history") or () if one["id"] == request.json().get("id")), None)
        if entry is None:
            raise accounts.Denied(
                400, accounts.INVALID_ARGUMENT, f"application {name} does not have deployment with id"
            )
        return self._start(app, {}, entry["revision"], self._access.caller(request))
