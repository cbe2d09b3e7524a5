"""What a request to a peer means, read off its address: verb, object, and whether it changes anything there.

For the record of calls (`loopseal.net.calls`); nothing is decided by it but whether an unrecorded call may be sent.
Pure, and total: an address that is not known is told as far as it goes, and counts as writing unless it is a GET.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote

from loopseal.net.calls import Meaning

_VERBS: Final[Mapping[str, str]] = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_QUESTIONS: Final = ("authentication.k8s.io", "authorization.k8s.io")
"""Groups whose objects are created to ask something: nothing is kept of them."""


def of_kubernetes(method: str, target: str, *, prefix: str = "") -> Meaning:
    """As the API server itself reads it (`apiserver/pkg/endpoints/request/requestinfo.go`, Kubernetes 1.36).

    `prefix` is the path of the server's own address.
    """
    parts, query = _split(target, prefix)
    verb = _VERBS.get(method, "get")
    writes = method not in {"GET", "HEAD"}
    match parts:
        case ["api", _, *rest]:
            group = ""
        case ["apis", group, _, *rest]:
            pass
        case _:
            return Meaning(verb, writes=writes)
    match rest:
        case ["namespaces", namespace, plural, *more]:
            pass
        case [plural, *more]:
            namespace = more[0] if plural == "namespaces" and more else ""
        case _:
            return Meaning(verb, writes=writes)
    name = more[0] if more else ""
    kind = "/".join((f"{plural}.{group}" if group else plural, *more[1:2]))
    if method == "GET" and query.get("watch", "") in {"true", "1"}:
        verb = "watch"
    elif method == "GET" and not name:
        verb = "list"
    elif method == "DELETE" and not name:
        verb = "deletecollection"
    return Meaning(verb, kind, namespace, name, writes and group not in _QUESTIONS)


def of_argocd(method: str, target: str, *, prefix: str = "") -> Meaning:
    """As the gateway of Argo CD's API server reads it (`server/application/application.proto`, Argo CD 3.2).

    A GET with `refresh` changes an annotation, so it writes. `prefix` is the root path of the server's address.
    """
    parts, query = _split(target, prefix)
    writes = method not in {"GET", "HEAD"}
    match parts:
        case ["api", "v1", "stream", kind, *_]:
            return Meaning("watch", kind, query.get("appNamespace", ""))
        case ["api", "v1", "applications"]:
            verb = _VERBS.get(method, "list")
            return Meaning(verb, "applications", query.get("appNamespace", ""), writes=writes)
        case ["api", "v1", "applications", name, *more]:
            verb = _VERBS.get(method, "get")
            if method == "GET" and query.get("refresh"):
                verb, writes = "refresh", True
            if method == "POST" and more == ["sync"]:
                verb, more = "sync", []
            kind = "/".join(("applications", *more))
            return Meaning(verb, kind, query.get("appNamespace", ""), name, writes)
        case ["api", *more]:
            return Meaning(_VERBS.get(method, "get"), "/".join(more[1:] if more[:1] == ["v1"] else more), writes=writes)
        case _:
            return Meaning(_VERBS.get(method, "get"), writes=writes)


def _split(target: str, prefix: str) -> tuple[list[str], Mapping[str, str]]:
    """The segments of the path below `prefix`, and the query."""
    path, _, query = target.partition("?")
    parts = path.removeprefix(prefix.rstrip("/")).split("/")
    return [unquote(one) for one in parts if one], dict(parse_qsl(query, keep_blank_values=True))
