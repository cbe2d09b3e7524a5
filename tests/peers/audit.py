"""Our record of calls beside what the servers wrote down themselves.

May live here: reading both sides, and what does not fit. May not: making the calls.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.calls import Record

Line = Mapping[str, Any]

_CREDENTIAL: Final = "authentication.kubernetes.io/credential-id"
_UNARY: Final = re.compile(r"received unary call /application\.ApplicationService/(\w+)")


def entries(log: Path, *, account: str, tokens: Iterable[str] = ()) -> list[dict[str, Any]]:
    """What kube-apiserver's audit log has of a service account; with `tokens` (their `jti`) of these tokens only."""
    wanted = {f"JTI={one}" for one in tokens}
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [
        one
        for one in found
        if one["user"].get("username") == account
        and (not wanted or wanted & set((one["user"].get("extra") or {}).get(_CREDENTIAL, ())))
    ]


@dataclass(slots=True)
class Difference:
    """What does not fit between our record and an audit log; empty when all does."""

    unrecorded: list[str] = field(default_factory=list)
    """In the audit log under our account, and not in our record."""
    missing: list[str] = field(default_factory=list)
    """Answered by our record, and not in the audit log."""
    other: list[str] = field(default_factory=list)
    """In both, and not the same."""
    twice: list[str] = field(default_factory=list)
    """An id that stands for more than one call."""

    def __bool__(self) -> bool:
        return bool(self.unrecorded or self.missing or self.other or self.twice)


def compare(record: Record, log: Iterable[Mapping[str, Any]]) -> Difference:
    """Our record of calls to Kubernetes beside the audit log's entries: by id, then verb, address, status and object."""
    found = Difference()
    ours = {line["id"]: line for line in record.sent if line["peer"] == "kubernetes"}
    theirs: dict[str, Mapping[str, Any]] = {}
    for entry in log:
        if entry["auditID"] in theirs:
            found.twice.append(_told(entry))
        theirs[entry["auditID"]] = entry
        if entry["auditID"] not in ours:
            found.unrecorded.append(_told(entry))
    found.twice += [call for call, count in Counter(line["id"] for line in record.sent).items() if count > 1]
    for call, line in ours.items():
        answer = record.answers.get(call)
        if call in theirs:
            found.other += [f"{line['verb']} {line['path']}: {what}" for what in _unlike(line, answer, theirs[call])]
        elif answer is not None and answer["outcome"] == "answered":
            found.missing.append(f"{line['verb']} {line['path']}")
    return found


def _unlike(line: Line, answer: Line | None, entry: Mapping[str, Any]) -> Iterator[str]:
    """What is told of one call in two ways."""
    pairs = {
        "verb": (line["verb"], entry["verb"]),
        "address": (line["path"], entry["requestURI"]),
        "object": (_object(line), _reference(entry)),
        "agent": (entry["userAgent"].split("/")[0], "loopseal"),
    }
    code = (entry.get("responseStatus") or {}).get("code")
    if answer is not None and answer["status"]:
        pairs["status"] = (answer["status"], code)
    yield from (f"{what}: {ours!r}, {theirs!r}" for what, (ours, theirs) in pairs.items() if ours != theirs)


def _object(line: Line) -> tuple[str, str, str]:
    named = line["object"]
    return named["kind"], named["namespace"], named["name"]


def _reference(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    named = entry.get("objectRef") or {}
    kind = ".".join(filter(None, (named.get("resource"), named.get("apiGroup"))))
    return "/".join(filter(None, (kind, named.get("subresource")))), named.get("namespace", ""), named.get("name", "")


def _told(entry: Mapping[str, Any]) -> str:
    return f"{entry['verb']} {entry['requestURI']} {entry['auditID']}"


def nudges(log: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """By id of the call: the change that a patch wrote into its object, and the one that the admission policy saw."""
    out = {}
    for entry in log:
        if entry["verb"] == "patch" and "requestObject" in entry:
            written = (entry["requestObject"].get("metadata") or {}).get("annotations") or {}
            seen = (entry.get("annotations") or {}).get("loopseal-refresh-only/change", "")
            out[entry["auditID"]] = (written.get("loopseal.dev/change") or "", seen)
    return out


def argocd_unary(log: str, application: str) -> Counter[tuple[str, str]]:
    """How often Argo CD's API server says that it received which call about an application: method, kind of refresh.

    It writes no claims beside a token that it has issued itself (with those of an OIDC issuer it does), and no id.
    """
    out: Counter[tuple[str, str]] = Counter()
    for line in log.splitlines():
        told = json.loads(line) if line.startswith("{") else {}
        found = _UNARY.fullmatch(str(told.get("msg", "")))
        asked = told.get("grpc.request.content") or {}
        if found and application in {asked.get("name"), asked.get("applicationName")}:
            out[found[1], asked.get("refresh", "")] += 1
    return out


METHODS: Final[Mapping[str, str]] = {
    "applications": "Get",
    "applications/resource-tree": "ResourceTree",
    "applications/managed-resources": "ManagedResources",
    "applications/events": "ListResourceEvents",
    "applications/syncwindows": "GetApplicationSyncWindows",
    "applications/links": "ListLinks",
}
"""The method of Argo CD's ApplicationService behind an address, by the kind of object in our record."""


def recorded_unary(record: Record, application: str, *, answered: bool) -> Counter[tuple[str, str]]:
    """How often our record says that we made such a call; `answered`: and that Argo CD itself answered it."""
    out: Counter[tuple[str, str]] = Counter()
    for line in record.sent:
        kind, answer = line["object"]["kind"], record.answers.get(line["id"], {})
        reached = answer.get("outcome") == "answered" and answer["status"] not in {401, 502, 503}
        if kind in METHODS and line["object"]["name"] == application and (reached or not answered):
            out[METHODS[kind], "normal" if line["verb"] == "refresh" else ""] += 1
    return out
