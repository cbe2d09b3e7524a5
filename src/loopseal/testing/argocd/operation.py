"""Sync operations: hooks, applying, pruning, retries, and what is written about them.

Phase Succeeded and the end of `operation` are one write, as the real controller does it. Between two attempts the phase
stays Running with `finishedAt` and `retryCount` set. Without `syncPolicy.retry` an automated operation is tried again
five times, after 10, 20, 40, 80 and 160 s.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from loopseal.testing import health
from loopseal.testing.argocd import compare
from loopseal.testing.argocd.repo_server import Unloadable
from loopseal.testing.argocd.watched import Level, Watched
from loopseal.testing.clock import seconds
from loopseal.testing.store import Object, Rejected

if TYPE_CHECKING:
    from loopseal.testing.argocd.controller import Controller

HISTORY: Final = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt ended."""

    phase: str
    message: str
    rows: tuple[Object, ...]


class Terminated(Exception):
    """The phase became Terminating while an attempt waited."""


class Operator:
    """Carries out whatever stands in `operation`."""

    def __init__(self, controller: Controller) -> None:
        self._at = controller

    async def operating(self, watched: Watched) -> None:
        """The operation worker of one application."""
        while True:
            app = self._app(watched)
            if app is None:
                return
            if not app.get("operation"):
                watched.changed.clear()
                await watched.changed.wait()
                continue
            await self._at.clock.sleep(self._at.pace.queue)
            await self._at.running()
            await self._operate(watched)

    async def _operate(self, watched: Watched) -> None:
        app = self._at.store.need("Application", *watched.key)
        operation = app["operation"]
        state = (app.get("status") or {}).get("operationState") or {}
        if not state:
            state = {"operation": operation, "phase": "Running", "startedAt": self._at.clock.stamp()}
            self._state(watched, state)
        while True:
            outcome, revision = await self._attempt(watched, operation, state)
            # `now` is read again: Terminating may have been written meanwhile
            state = self._current(watched) | {"syncResult": self._result(app, revision, outcome.rows)}
            retries, limit = state.get("retryCount", 0), operation.get("retry", {}).get("limit", 0)
            ended = outcome.phase == "Succeeded" or state["phase"] == "Terminating"
            if ended or (0 <= limit <= retries):
                break
            state = await self._back_off(watched, operation, state, outcome, retries + 1)
        await self._finish(watched, operation, state, outcome)

    async def _back_off(
        self, watched: Watched, operation: Object, state: Object, outcome: Outcome, attempt: int
    ) -> Object:
        """Between attempts: Running, with `finishedAt`; then Running again, the old result still there."""
        now = self._at.clock.now()
        message = f"{outcome.message}. Retrying attempt #{attempt} at {now:%I:%M%p}."
        state = {**state, "message": message, "retryCount": attempt, "finishedAt": self._at.clock.stamp()}
        self._state(watched, state)
        plan = operation["retry"].get("backoff") or {}
        pause = seconds(plan.get("duration", "5s")) * float(plan.get("factor", 2)) ** attempt
        longest = seconds(plan.get("maxDuration", "3m"))
        try:
            await self._until(watched, lambda: False, min(pause, longest))
        except Terminated:
            return self._current(watched)
        state = {**state, "message": f"Retrying operation. Attempt #{attempt}"}
        del state["finishedAt"]
        self._state(watched, state)
        return state

    async def _attempt(self, watched: Watched, operation: Object, state: Object) -> tuple[Outcome, str]:
        app = self._at.store.need("Application", *watched.key)
        revision = operation["sync"].get("revision", "")
        if state["phase"] == "Terminating":
            return Outcome("Failed", "Operation terminated", ()), revision
        try:
            revision, wanted = await self._at.repo.load(watched, app, Level.RESOLVE, revision)
            if refused := await self._at.refused(app, revision):
                return Outcome("Error", f"ComparisonError: {refused}", ()), revision
            return await self._sync(watched, operation, wanted, revision), revision
        except Unloadable as error:
            return Outcome("Error", f"ComparisonError: {error}", ()), revision
        except Terminated:
            for item in self._at.tracked(app):
                if compare.hook_of(item):
                    self._at.store.delete(item["kind"], item["metadata"]["namespace"], item["metadata"]["name"])
            return Outcome("Failed", "Operation terminated", self._rows(watched)), revision

    async def _sync(self, watched: Watched, operation: Object, wanted: Iterable[Object], revision: str) -> Outcome:
        wanted = tuple(wanted)
        rows: list[Object] = []
        only = {(row["kind"], row["name"]) for row in operation["sync"].get("resources") or ()}
        if not await self._hooks(watched, wanted, "PreSync", rows, revision):
            return Outcome("Failed", "one or more synchronization tasks completed unsuccessfully", tuple(rows))
        await self._at.clock.sleep(self._at.pace.apply)
        errors: list[str] = []
        plain = [item for item in wanted if not compare.hook_of(item)]
        for item in plain:
            if not only or (item["kind"], item["metadata"]["name"]) in only:
                self._apply(item, rows, errors, dry=bool(operation["sync"].get("dryRun")))
        if errors:
            text = f"one or more objects failed to apply, reason: {'; '.join(errors)}"
            return Outcome("Failed", text, tuple(rows))
        if operation["sync"].get("prune"):
            self._prune(watched, plain, rows)
        later = [item for item in wanted if compare.hook_of(item) == "PostSync"]
        if later:
            await self._until(watched, lambda: all(_well(self._live(item)) for item in plain))
            if not await self._hooks(watched, wanted, "PostSync", rows, revision):
                return Outcome("Failed", "one or more synchronization tasks completed unsuccessfully", tuple(rows))
        await self._at.clock.sleep(self._at.pace.queue)
        hooked = any(compare.hook_of(item) for item in wanted)
        return Outcome(
            "Succeeded", f"successfully synced ({'no more tasks' if hooked else 'all tasks run'})", tuple(rows)
        )

    def _apply(self, item: Object, rows: list[Object], errors: list[str], *, dry: bool) -> None:
        group = item["apiVersion"].rpartition("/")[0]
        named = f"{item['kind'].lower()}{f'.{group}' if group else ''}/{item['metadata']['name']}"
        try:
            how = "unchanged (dry run)" if dry else self._at.store.apply(item)[1]
            rows.append(_row(item, "Synced", f"{named} {how}", "Running"))
        except Rejected as error:
            text = f'error when patching "/dev/shm/{zlib.crc32(error.message.encode())}": {error.message}'
            errors.append(text)
            rows.append(_row(item, "SyncFailed", text, "Failed"))

    def _prune(self, watched: Watched, wanted: list[Object], rows: list[Object]) -> None:
        app = self._at.store.need("Application", *watched.key)
        kept = {(item["kind"], item["metadata"]["namespace"], item["metadata"]["name"]) for item in wanted}
        for item in self._at.tracked(app):
            key = (item["kind"], item["metadata"]["namespace"], item["metadata"]["name"])
            if key not in kept and not compare.hook_of(item):
                self._at.store.delete(*key)
                rows.append(_row(item, "Pruned", "pruned", "Succeeded"))

    async def _hooks(
        self, watched: Watched, wanted: tuple[Object, ...], when: str, rows: list[Object], revision: str
    ) -> bool:
        """Run the hooks of one phase; False when one failed. Raises Terminated."""
        hooks = [item for item in wanted if compare.hook_of(item) == when]
        for item in hooks:
            if self._live(item) is not None:  # BeforeHookCreation, the default policy
                self._at.store.delete(item["kind"], item["metadata"]["namespace"], item["metadata"]["name"])
            self._at.store.create(item)
        if not hooks:
            return True
        await self._at.clock.sleep(self._at.pace.queue)
        first = hooks[0]
        waiting = f"waiting for completion of hook {_group(first)}/{first['kind']}/{first['metadata']['name']}"
        running = [*rows, *(_row(item, "Synced", f"{item['kind'].lower()} created", "Running", when) for item in hooks)]
        app = self._at.store.need("Application", *watched.key)
        state = {"message": waiting, "syncResult": self._result(app, revision, tuple(running))}
        self._state(watched, self._current(watched) | state)
        await self._until(watched, lambda: all(_ended(self._live(item)) for item in hooks))
        for item in hooks:
            told = health.argo(self._live(item)) or ("Healthy", "")
            phase = "Succeeded" if told[0] == "Healthy" else "Failed"
            rows.append(_row(item, "", told[1], phase, when))
        return all(row["hookPhase"] != "Failed" for row in rows)

    async def _until(self, watched: Watched, done: Any, limit: float | None = None) -> None:
        """Wait for live objects. Raises Terminated as soon as the phase says so; returns after `limit` seconds."""
        end = None if limit is None else self._at.clock.monotonic() + limit
        while not done():
            if self._current(watched)["phase"] == "Terminating":
                raise Terminated
            left = None if end is None else end - self._at.clock.monotonic()
            if left is not None and left <= 0:
                return
            watched.changed.clear()
            try:
                await asyncio.wait_for(watched.changed.wait(), left)
            except TimeoutError:
                return

    async def _finish(self, watched: Watched, operation: Object, state: Object, outcome: Outcome) -> None:
        app = self._at.store.need("Application", *watched.key)
        if outcome.phase == "Succeeded" and not operation["sync"].get("dryRun"):
            history = list((app.get("status") or {}).get("history") or ())
            entry = {
                "deployStartedAt": state["startedAt"],
                "deployedAt": self._at.clock.stamp(),
                "id": history[-1]["id"] + 1 if history else 0,
                "initiatedBy": operation.get("initiatedBy", {}),
                "revision": state["syncResult"]["revision"],
                "source": app["spec"]["source"],
            }
            self._patch(watched, {"status": {"history": [*history, entry][-HISTORY:]}})
            await self._at.clock.sleep(self._at.pace.queue)
        retries = state.get("retryCount", 0)
        times = f" (retried {retries} times)." if retries and outcome.phase != "Succeeded" else ""
        stamp = self._at.clock.stamp()
        state = {**state, "phase": outcome.phase, "message": outcome.message + times, "finishedAt": stamp}
        self._patch(watched, {"operation": None, "status": {"operationState": state}})
        watched.ask(Level.LATEST if operation.get("initiatedBy", {}).get("automated") else Level.RESOLVE)

    # -- small things -----------------------------------------------------------------------------------------------

    def _app(self, watched: Watched) -> Object | None:
        return self._at.store.get("Application", *watched.key)

    def _live(self, item: Object) -> Object | None:
        return self._at.store.get(item["kind"], item["metadata"]["namespace"], item["metadata"]["name"])

    def _current(self, watched: Watched) -> Object:
        app = self._at.store.need("Application", *watched.key)
        return dict(app["status"]["operationState"])

    def _rows(self, watched: Watched) -> tuple[Object, ...]:
        return tuple((self._current(watched).get("syncResult") or {}).get("resources") or ())

    def _result(self, app: Object, revision: str, rows: tuple[Object, ...]) -> Object:
        return {"resources": list(rows), "revision": revision, "source": app["spec"]["source"]}

    def _state(self, watched: Watched, state: Object) -> None:
        """Write the whole operation state: a merge patch would keep what is gone."""
        app = self._at.store.need("Application", *watched.key)
        status = {**(app.get("status") or {}), "operationState": state}
        self._at.store.update({**app, "status": status})

    def _patch(self, watched: Watched, patch: Object) -> None:
        self._at.store.patch("Application", *watched.key, patch)


def _group(item: Object) -> str:
    return str(item["apiVersion"].rpartition("/")[0])


def _row(item: Object, status: str, message: str, phase: str, hook: str = "") -> Object:
    row = {
        "group": _group(item),
        "hookPhase": phase,
        "kind": item["kind"],
        "message": message,
        "name": item["metadata"]["name"],
        "namespace": item["metadata"]["namespace"],
        "syncPhase": hook or "Sync",
        "version": item["apiVersion"].rpartition("/")[2],
    }
    if images := compare.images_of(item):
        row["images"] = images
    return {**row, **({"status": status} if status else {}), **({"hookType": hook} if hook else {})}


def _well(item: Object | None) -> bool:
    told = health.argo(item)
    return told is None or told[0] == "Healthy"


def _ended(item: Object | None) -> bool:
    return item is not None and (health.argo(item) or ("Healthy", ""))[0] in {"Healthy", "Degraded"}
