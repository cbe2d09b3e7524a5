"""The watch stream of the API server, and what `fields=` leaves of an object.

As recorded: nothing at all is sent before the first event, not even a header; keepalives every 15 s in the SSE form
only; an ADDED for every match at the beginning; with `fields=` identical consecutive payloads are left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

from loopseal.testing import health
from loopseal.testing.asgi import encode
from loopseal.testing.store import Change, Object, Store

KEEPALIVE: Final = 15.0

LISTED: Final = (
    "metadata.name", "metadata.namespace", "metadata.annotations", "metadata.labels", "metadata.creationTimestamp",
    "metadata.deletionTimestamp", "spec", "operation.sync", "status.sync.status", "status.health", "status.summary",
    "status.resources", "status.sourceHydrator", "status.operationState.phase", "status.operationState.startedAt",
    "status.operationState.finishedAt",
)  # fmt: skip
"""All that a projected LIST knows. No revision is among it."""


def shown(app: Object, store: Store) -> Object:
    """An application as REST shows it: no apiVersion, no kind, and the health of its resources filled in."""
    out: Object = {name: value for name, value in app.items() if name not in {"apiVersion", "kind"}}
    out.setdefault("status", {"health": {}, "summary": {}, "sync": {"status": ""}})
    if out["status"].get("resources"):
        out["status"] = {**out["status"], "resources": [_with_health(row, store) for row in out["status"]["resources"]]}
    return out


def _with_health(row: Object, store: Store) -> Object:
    told = health.argo(store.get(row["kind"], row.get("namespace", ""), row["name"]))
    if told is None or row.get("hook"):
        return row
    message = {"message": told[1]} if told[1] else {}
    return dict(sorted({**row, "health": {**message, "status": told[0]}}.items()))


def project(value: Mapping[str, Any], fields: Iterable[str]) -> Object:
    """Only `fields` (dotted paths); those with `-` in front mean: all but these."""
    paths = [field.split(".") for field in fields]
    out: Object = {}
    if paths and paths[0][0].startswith("-"):
        return dict(_but(value, [[path[0].lstrip("-"), *path[1:]] for path in paths]))
    for path in paths:
        _take(value, path, out)
    return out


def _take(value: Any, path: list[str], out: Object) -> None:
    if not isinstance(value, dict) or path[0] not in value:
        return
    if len(path) == 1:
        out[path[0]] = value[path[0]]
    else:
        inner: Object = dict(out.get(path[0], {}))
        _take(value[path[0]], path[1:], inner)
        if inner:
            out[path[0]] = inner


def _but(value: Any, paths: list[list[str]]) -> Any:
    if not isinstance(value, dict):
        return value
    gone = {path[0] for path in paths if len(path) == 1}
    inner = {name: [path[1:] for path in paths if path[0] == name and len(path) > 1] for name in value}
    return {name: _but(one, inner[name]) for name, one in value.items() if name not in gone}


def listed(app: Object, fields: Iterable[str]) -> Object:
    """One item of a projected list: of what was asked, only what the list knows."""
    known = [field for field in fields if any(field == one or field.startswith(f"{one}.") for one in LISTED)]
    out = project(app, known)
    if "status.operationState.syncResult" not in known and "status.operationState.operation.sync" in fields:
        result = (app.get("status", {}).get("operationState") or {}).get("syncResult")
        if result:  # as recorded: asked for the one, the list answers with the other
            out.setdefault("status", {}).setdefault("operationState", {})["operation"] = {"sync": result}
    return out


async def events(
    store: Store, chosen: Any, fields: tuple[str, ...], *, sse: bool, since: str = ""
) -> AsyncIterator[bytes]:
    """The stream: frames of `chosen` applications until nobody listens. `since` leaves out older states."""
    changes = store.watch("Application", since=store.version)
    following = asyncio.ensure_future(_next(changes))
    newest = int(since) if since.isdigit() else -1
    last: dict[str, Object] = {}
    begun = False
    try:
        await asyncio.sleep(0)  # lets the watch begin before the state is listed
        for app in store.list("Application"):
            if chosen(app) and int(app["metadata"]["resourceVersion"]) > newest and (since.isdigit() or not since):
                begun = True
                if frame := _frame("ADDED", app, store, fields, last, sse=sse):
                    yield frame
        while True:
            done, _ = await asyncio.wait({following}, timeout=KEEPALIVE if begun and sse else None)
            if not done:
                yield b":\n"
                continue
            change = following.result()
            following = asyncio.ensure_future(_next(changes))
            fresh = change.version > newest and (since.isdigit() or not since)
            if fresh and chosen(change.object):
                begun = True
                if frame := _frame(change.type, change.object, store, fields, last, sse=sse):
                    yield frame
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def _next(changes: AsyncIterator[Change]) -> Change:
    return await anext(changes)


def _frame(
    kind: str, app: Object, store: Store, fields: tuple[str, ...], last: dict[str, Object], *, sse: bool
) -> bytes | None:
    message: Object = {"result": {"type": kind, "application": shown(app, store)}}
    if fields:
        message = project(message, fields)
        payload = message.get("result", {}).get("application", {})
        name = app["metadata"]["name"]  # the name alone: two namespaces collide, as they do there
        if last.get(name) == payload and kind == "MODIFIED":
            return None
        last[name] = payload
    return _written(message, sse=sse)


def error_frame(status: int, code: int, text: str, *, sse: bool) -> bytes:
    """What a refused stream says, with the HTTP status of the same number."""
    phrase = {401: "Unauthorized", 403: "Forbidden", 500: "Internal Server Error"}.get(status, "Bad Request")
    error = {"grpc_code": code, "http_code": status, "message": text, "http_status": phrase}
    return _written({"error": error}, sse=sse)


def _written(message: Object, *, sse: bool) -> bytes:
    body = encode(message)
    return b"data: " + body + b" \n\n" if sse else body + b"\n"
