"""What a person needs to see about a failure: titled texts and links, bounded, without secrets.

Lives here: the bundle, and what must be taken out of objects before they are shown. Does not: fetching anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from loopseal.domain.revision import Verdict
from loopseal.engines.fields import Object, items, mapping, text
from loopseal.net import clean
from loopseal.ports import Evidence

MAX_BYTES: Final = 256 * 1024
"""Of one bundle: it travels through databases and pages."""
MAX_SECTION: Final = 32 * 1024
MAX_LINKS: Final = 20
_MAX_DEPTH: Final = 30


class Bundle:
    """Evidence in the making; what comes first is kept when it grows too large."""

    def __init__(self) -> None:
        self._sections: list[tuple[str, str]] = []
        self._links: dict[str, str] = {}
        self._left = MAX_BYTES

    def add(self, title: str, content: str) -> None:
        """One more section; empty ones are left out, long ones cut at the beginning, for the end tells most."""
        shown = clean(content[-4 * MAX_SECTION :], len(content[-4 * MAX_SECTION :]) + 1)
        shown = _tail(shown, min(MAX_SECTION, self._left - len(title.encode())))
        if shown.strip():
            self._sections.append((title, shown))
            self._left -= len(title.encode()) + len(shown.encode())

    def verdict(self, verdict: Verdict) -> None:
        """What was said, and of what: known even when nothing more is to be had."""
        named = "\n".join(str(one) for one in verdict.resources)
        self.add("verdict", f"{verdict.state} {verdict.reason} {verdict.message}\n{named}".strip())

    def link(self, title: str, url: str) -> None:
        """One more place to look at; only web addresses, for pages make them clickable."""
        if url.startswith(("https://", "http://")) and url.isprintable() and len(self._links) < MAX_LINKS:
            shown = clean(url, 2000)
            if len(title) + len(shown) <= self._left:
                self._links[title[:200]] = shown
                self._left -= len(title) + len(shown)

    def sealed(self) -> Evidence:
        """What was gathered."""
        return Evidence(tuple(self._sections), tuple(self._links.items()))


def _tail(shown: str, limit: int) -> str:
    raw = shown.encode()
    if len(raw) <= limit:
        return shown
    return "…" + raw[-max(0, limit - 3) :].decode("utf-8", "ignore") if limit > 3 else ""  # noqa: PLR2004 - bytes of "…"


def readable(value: object) -> str:
    """JSON for people, values of Secrets taken out."""
    return json.dumps(hidden(value), indent=1, ensure_ascii=False, default=str)


def hidden(value: object, depth: int = 0) -> Any:
    """`value` without the data of Secrets, and without what looks like one by its name."""
    if depth > _MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        secret = text(value, "kind") == "Secret"
        return {
            str(key): "***" if _secret(str(key), secret_object=secret) else hidden(one, depth + 1)
            for key, one in value.items()
            if key != "managedFields"
        }
    if isinstance(value, list | tuple):
        return [hidden(one, depth + 1) for one in value]
    return value


def _secret(key: str, *, secret_object: bool) -> bool:
    if secret_object and key in {"data", "stringData", "annotations"}:
        return True
    return any(word in key.lower() for word in ("password", "passwd", "token", "apikey", "api_key", "private_key"))


def events(found: Iterable[Object], limit: int = 20) -> str:
    """The newest Kubernetes events, one line each."""
    newest = sorted(found, key=lambda one: text(one, "lastTimestamp") or text(one, "eventTime"))[-limit:]
    return "\n".join(
        f"{text(one, 'lastTimestamp') or text(one, 'eventTime')} {text(one, 'type')} {text(one, 'reason')} "
        f"{text(one, 'involvedObject', 'kind')}/{text(one, 'involvedObject', 'name')}: {text(one, 'message')[:500]}"
        for one in newest
    )


def conditions(obj: Object) -> str:
    """The conditions of an object, one line each."""
    return "\n".join(
        f"{text(one, 'type')}={text(one, 'status')} {text(one, 'reason')}: {text(one, 'message')[:4000]}"
        for one in items(mapping(obj, "status"), "conditions")
    )
