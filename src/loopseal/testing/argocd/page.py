"""One small page at the simulator's root, so that a person can look during a demo."""

from __future__ import annotations

from html import escape
from typing import Final

from loopseal.testing.store import Object, Store

_STYLE: Final = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;color:#1c2733}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.4rem .8rem;border-bottom:1px solid #dde4ea}
code{font-size:.9em}.good{color:#0a7d45}.bad{color:#b3261e}.wait{color:#8a5a00}p{color:#5a6875}"""
_GOOD: Final = {"Synced", "Healthy", "Succeeded"}
_BAD: Final = {"Degraded", "Failed", "Error"}


def render(store: Store) -> bytes:
    """All applications as one table that reloads itself every two seconds."""
    rows = "".join(_row(app, store) for app in store.list("Application"))
    head = "<tr><th>Application<th>Sync<th>Revision<th>Health<th>Operation<th>Images"
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=2>"
        f"<title>Simulated Argo CD</title><style>{_STYLE}</style><h1>Applications</h1>"
        f"<table>{head}{rows or '<tr><td colspan=6>No application yet.'}</table>"
        "<p>A simulator of Argo CD's API and controllers. Rollouts end as their image tag says: "
        "<code>broken</code> never becomes ready, <code>slow</code> takes 8 s, any other is ready at once.</p>"
    ).encode()


def _row(app: Object, store: Store) -> str:
    status = app.get("status") or {}
    sync, told = status.get("sync") or {}, (status.get("health") or {}).get("status", "")
    phase = (status.get("operationState") or {}).get("phase", "")
    namespace = app["spec"]["destination"].get("namespace", "")
    images = [
        container["image"]
        for item in store.list("Deployment", namespace)
        for container in item["spec"]["template"]["spec"]["containers"]
    ]
    cells = (
        f"<b>{escape(app['metadata']['name'])}</b>",
        _coloured(sync.get("status", "")),
        f"<code>{escape(str(sync.get('revision', ''))[:12])}</code>",
        _coloured(told),
        _coloured(phase),
        "<br>".join(f"<code>{escape(image)}</code>" for image in images),
    )
    return "<tr>" + "".join(f"<td>{cell}" for cell in cells)


def _coloured(text: str) -> str:
    kind = "good" if text in _GOOD else "bad" if text in _BAD else "wait"
    return f'<span class="{kind}">{escape(text)}</span>'
