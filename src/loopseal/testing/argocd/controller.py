"""The application controller: when it looks at an application, and what it writes, in the order the real one does.

One refresh worker and one operation worker per application, as the real controller's two queues: an operation that
hangs does not keep a refresh from seeing a later commit. Levels as in Argo CD: TREE (something live changed), LATEST
(compare, refs from the cache), RESOLVE (asked for by a person: resolve the ref anew).

One refresh writes: `operation` (while the status still tells the old state), then the status with the new revision and
without the annotation. The annotation is removed if it was there when the refresh BEGAN: whatever was asked meanwhile
is lost with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from loopseal.testing.argocd import compare, windows
from loopseal.testing.argocd.operation import Operator
from loopseal.testing.argocd.repo_server import RepoServer, Unloadable
from loopseal.testing.argocd.watched import Level, Pace, Watched
from loopseal.testing.clock import LoopClock
from loopseal.testing.faults import Faults
from loopseal.testing.store import Change, Object, Store


class Controller:
    """Reconciles every Application of the store."""

    def __init__(self, store: Store, repo: RepoServer, clock: LoopClock, faults: Faults, pace: Pace) -> None:
        self.store, self.repo, self.clock, self.faults, self.pace = store, repo, clock, faults, pace
        self._watched: dict[tuple[str, str], Watched] = {}
        self._tasks: dict[tuple[str, str], list[asyncio.Task[None]]] = {}
        self._operator = Operator(self)
        self._unlisten = store.listen(self._on_change)
        for app in store.list("Application"):
            self._adopt(app)

    async def aclose(self) -> None:
        """Stop: what was in flight is lost, what is written stays. A new Controller goes on from there."""
        self._unlisten()
        tasks = [task for pair in self._tasks.values() for task in pair]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- events -----------------------------------------------------------------------------------------------------

    def _adopt(self, app: Object) -> None:
        key = (app["metadata"]["namespace"], app["metadata"]["name"])
        watched = self._watched[key] = Watched(key, source=app["spec"].get("source"))
        loop = asyncio.get_running_loop()
        self._tasks[key] = [
            loop.create_task(self._refreshing(watched)),
            loop.create_task(self._operator.operating(watched)),
        ]
        if _spec_is_news(app):
            watched.ask(Level.RESOLVE)
        elif "deletionTimestamp" in app["metadata"] or compare.REFRESH in _annotations(app):
            watched.asked.set()

    def _on_change(self, change: Change) -> None:
        item = change.object
        if item["kind"] != "Application":
            self._on_live(item)
            return
        key = (item["metadata"]["namespace"], item["metadata"]["name"])
        watched = self._watched.get(key)
        if change.type == "DELETED":
            self._watched.pop(key, None)
            for task in self._tasks.pop(key, []):
                task.cancel()
        elif watched is None:
            self._adopt(item)
        else:
            watched.changed.set()
            if item["spec"].get("source") != watched.source:
                watched.source = item["spec"].get("source")
                watched.loaded.clear()
                watched.ask(Level.RESOLVE)
            if "deletionTimestamp" in item["metadata"] or compare.REFRESH in _annotations(item):
                watched.asked.set()

    def _on_live(self, item: Object) -> None:
        owner = str(_annotations(item).get(compare.TRACKING, "")).partition(":")[0]
        for (_, name), watched in self._watched.items():
            if owner and name == owner:
                watched.changed.set()
                asyncio.get_running_loop().call_later(self.pace.tree, watched.ask, Level.TREE)

    # -- refreshing -------------------------------------------------------------------------------------------------

    async def _refreshing(self, watched: Watched) -> None:
        patience = self._fresh_for(watched)
        while True:
            try:
                await asyncio.wait_for(watched.asked.wait(), patience)
            except TimeoutError:
                watched.ask(Level.LATEST)
            patience = self.pace.resync
            await self.clock.sleep(self.pace.queue)
            await self.running()
            watched.asked.clear()
            level, watched.level = watched.level, Level.NOTHING
            app = self.store.get("Application", *watched.key)
            if app is not None:
                await self._refresh(watched, app, level)

    def _fresh_for(self, watched: Watched) -> float:
        """Seconds until the last comparison is too old.

        A controller that starts looks at nothing before: what became of the live objects while it was away shows only
        then, or when somebody asks, or when they change again (seen with Argo CD 3.2).
        """
        status = (self.store.get("Application", *watched.key) or {}).get("status") or {}
        if "reconciledAt" not in status:
            return self.pace.resync
        age = self.clock.now() - datetime.fromisoformat(status["reconciledAt"])
        return min(max(0.0, self.pace.resync - age.total_seconds()), self.pace.resync)

    async def running(self) -> None:
        """Returns when the controllers are not paused."""
        while self.faults.paused:
            await self.clock.sleep(0.25)

    async def _refresh(self, watched: Watched, app: Object, level: Level) -> None:
        annotations = _annotations(app)
        if "deletionTimestamp" in app["metadata"] and not app.get("operation"):
            await self._finalize(app)
            return
        if annotations.get(compare.SKIP) == "true":
            return
        asked = compare.REFRESH in annotations
        if asked and self.faults.lost_refreshes:
            self.faults.lost_refreshes -= 1
            self._patch(app, {"metadata": {"annotations": {compare.REFRESH: None, compare.HYDRATE: None}}})
            return
        level = Level.RESOLVE if asked else level
        if level >= Level.LATEST:
            await self._compare(watched, app, level, asked=asked)
        elif level is Level.TREE:
            self._look_again(watched, app)

    async def _compare(self, watched: Watched, app: Object, level: Level, *, asked: bool) -> None:
        started = self.clock.stamp()
        error, revision = "", ""
        wanted: tuple[Object, ...] = ()
        try:
            revision, wanted = await self.repo.load(watched, app, level)
            watched.failing_since = None
        except Unloadable as failure:
            since = watched.failing_since = watched.failing_since or self.clock.monotonic()
            if level is not Level.RESOLVE and self.clock.monotonic() - since < self.pace.grace:
                return  # hidden: the old status stays and looks well
            error = str(failure)
        now = self.store.get("Application", *watched.key)
        if now is None:
            return
        tracked = self.tracked(now)
        if error:
            found = compare.failed(app, error, tracked)
        else:
            found = compare.compare(revision, wanted, self.store.get, tracked)
            refused = await self.refused(app, revision)
            found = compare.Comparison(found.sync, found.revision, found.resources, found.health, refused)
        decision = compare.auto_sync(now, found, window_open=self._window_open(now))
        if decision.operation:
            now = self._patch(now, {"operation": decision.operation, "status": {"operationState": None}})
            await self.clock.sleep(self.pace.queue)
        self._write(now, app, found, decision.error, started, asked=asked, wanted=wanted)

    def _write(
        self, now: Object, app: Object, found: compare.Comparison, complaint: str, started: str, *, asked: bool,
        wanted: tuple[Object, ...],
    ) -> None:  # fmt: skip
        current = self.store.get("Application", now["metadata"]["namespace"], now["metadata"]["name"])
        if current is None:
            return
        old = current.get("status") or {}
        told = compare.conditions(found, complaint, old.get("conditions") or (), self.clock.stamp())
        status = {
            **self._seen(current, found),
            "conditions": told or None,
            "controllerNamespace": current["metadata"]["namespace"],
            "reconciledAt": started,
            "resourceHealthSource": "appTree",
            "sourceHydrator": {},
            "sourceType": "Directory",
        }
        if not found.error:
            status["summary"] = {"images": compare.images(wanted)} if compare.images(wanted) else {}
        spec = app["spec"]
        compared = {"destination": spec["destination"], "source": spec["source"]}
        status["sync"] = {"comparedTo": compared, "revision": found.revision, "status": found.sync}
        patch: Object = {"status": status}
        if asked:
            patch["metadata"] = {"annotations": {compare.REFRESH: None, compare.HYDRATE: None}}
        self._patch(current, patch)

    def _look_again(self, watched: Watched, app: Object) -> None:
        """Something live changed: compare it with the manifests of the last comparison; `reconciledAt` stays."""
        sync = (app.get("status") or {}).get("sync") or {}
        wanted = watched.loaded.get(sync.get("revision", ""))
        if wanted is None:  # of a controller that has just started
            watched.ask(Level.LATEST)
            return
        found = compare.compare(sync["revision"], wanted, self.store.get, self.tracked(app))
        self._patch(app, {"status": {**self._seen(app, found), "sync": {"status": found.sync}}})
        policy = (app["spec"].get("syncPolicy") or {}).get("automated") or {}
        if found.sync == "OutOfSync" and policy.get("selfHeal"):
            decision = compare.auto_sync(app, found, window_open=self._window_open(app))
            if decision.operation:
                self._patch(app, {"operation": decision.operation, "status": {"operationState": None}})

    def _seen(self, app: Object, found: compare.Comparison) -> Object:
        old = (app.get("status") or {}).get("health") or {}
        since = old["lastTransitionTime"] if old.get("status") == found.health else self.clock.stamp()
        return {
            "health": {"lastTransitionTime": since, "status": found.health},
            "resourceHealthSource": "appTree",
            "resources": list(found.resources),
        }

    async def _finalize(self, app: Object) -> None:
        """Cascading deletion: the resources go one by one, then the application."""
        if compare.CASCADE in app["metadata"].get("finalizers", ()):
            for item in self.tracked(app):
                self.store.delete(item["kind"], item["metadata"]["namespace"], item["metadata"]["name"])
                await self.clock.sleep(self.pace.queue)
        self._patch(app, {"metadata": {"finalizers": None}})

    # -- what the workers share -------------------------------------------------------------------------------------

    async def refused(self, app: Object, revision: str) -> str:
        """Why the project does not accept the commit's signature; empty when it does."""
        return await self.repo.refused(app, self._project(app), revision)

    def tracked(self, app: Object) -> list[Object]:
        """All live objects with this application's tracking id."""
        name = app["metadata"]["name"]
        kinds = ("ConfigMap", "Deployment", "Job", "Secret", "Service", "StatefulSet", "DaemonSet")
        return [item for kind in kinds for item in self.store.list(kind) if compare.owned_by(item, name)]

    def project_windows(self, app: Object) -> list[Mapping[str, Any]]:
        """The project's sync windows that name this application."""
        return windows.assigned(self._project(app).get("syncWindows") or (), app)

    def _window_open(self, app: Object) -> bool:
        return windows.may_sync(self.project_windows(app), self.clock.now(), manual=False)

    def _project(self, app: Object) -> Mapping[str, Any]:
        found = self.store.get("AppProject", app["metadata"]["namespace"], app["spec"].get("project", "default"))
        return found["spec"] if found else {}

    def _patch(self, app: Object, patch: Object) -> Object:
        return self.store.patch("Application", app["metadata"]["namespace"], app["metadata"]["name"], patch)


def _spec_is_news(app: Object) -> bool:
    """Whether the last comparison was with another spec, or there was none."""
    spec, sync = app["spec"], (app.get("status") or {}).get("sync") or {}
    return bool(sync.get("comparedTo") != {"destination": spec["destination"], "source": spec["source"]})


def _annotations(item: Object) -> Mapping[str, Any]:
    return item["metadata"].get("annotations") or {}
