"""The golden files: one document per kind, with every field set and with none but those required.

They pin the format: a change here is a change for every ledger and XCom out there. Write them anew, after thought, with
`python -m tests.unit.wire.golden`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from loopseal import ports, wire
from loopseal.domain import change as c
from loopseal.domain.decision import Allow, Approval, Deny, Hold
from loopseal.domain.identity import Actor, ActorKind
from loopseal.domain.proposal import (
    ABSENT,
    Application,
    DeleteFile,
    Proposal,
    PutFile,
    RemoveKey,
    SetImage,
    SetValue,
    Target,
)
from loopseal.domain.revision import Action, Resource, State, Tolerance, Verdict

FOLDER: Final = Path(__file__).parent / "golden"
AT = datetime(2026, 3, 1, 12, 30, 0, 250000, UTC)
LATER = AT + timedelta(days=7)

ANN = Actor("ann@example.com", "https://id.example.com", ActorKind.PERSON)
DAG = Actor("dag:payments", "https://airflow.example.com", ActorKind.DAG, ANN)
APPLICATION = Application("argo", "payments", "argocd", "shop", "Application")
TARGET = Target("payments-staging", "platform", "main", ("apps/payments/**",), (APPLICATION,))
EDITS = (
    SetValue("apps/payments/values.yaml", "image.tag", "v2", expect="v1", create=True),
    SetValue("apps/payments/values.yaml", "replicas", 3, expect=None),
    SetValue("apps/payments/values.yaml", "ratio", 1.0, expect=0.5),
    SetValue("apps/payments/values.yaml", "debug", value=False, expect=ABSENT),
    SetValue("apps/payments/values.yaml", "note", "größer ✓"),
    RemoveKey("apps/payments/values.yaml", "old", expect="x"),
    RemoveKey("apps/payments/values.yaml", "older"),
    SetImage("apps/payments/kustomization.yaml", "web", "v2", "sha256:1", "registry.example.com/web", "v1"),
    SetImage("apps/payments/kustomization.yaml", "web"),
    PutFile("apps/payments/new.txt", "text\n", ABSENT),
    PutFile("apps/payments/new.bin", b"\x00\xff"),
    DeleteFile("apps/payments/gone.txt", "b" * 40),
    DeleteFile("apps/payments/gone.txt"),
)
PROPOSAL = Proposal(
    "abcdefghijklmnopqrstuvwxyz", TARGET, "a" * 40, EDITS, "model v2 passed", DAG, (("dag", "payments"),), "z" * 26
)
RESOURCE = Resource("Deployment", "web", "payments", "apps", "Degraded", "0/1 ready")
OBSERVED = (("argo/argocd/Application/payments", "b" * 40),)
EVENTS: tuple[c.Event, ...] = (
    c.Proposed(AT, PROPOSAL, wire.digest(PROPOSAL)),
    c.Cleared(AT, ("permit-all",), "sha256:2"),
    c.Held(AT, ("two-eyes",), "sha256:2", (("sre", 2),), LATER),
    c.Denied(AT, ("freeze",), "sha256:2", "frozen"),
    c.Approved(AT, ANN, "sre", "sha256:3"),
    c.Rejected(AT, ANN, "sha256:3", "not today"),
    c.Leased(AT, "repo:platform", "c" * 64, LATER),
    c.Committed(AT, "b" * 40, "a" * 40, 2, changed=False),
    c.Committed(AT, "b" * 40, "a" * 40),
    c.Refusal(AT, "edit.alias", "the value is shared"),
    c.Reconciled(AT, "b" * 40, OBSERVED),
    c.Healthy(AT, "b" * 40, OBSERVED),
    c.Healthy(AT, "b" * 40),
    c.Degraded(AT, "DEGRADED", "not ready", "argo/payments", "b" * 40, (RESOURCE,)),
    c.Superseded(AT, "SUPERSEDED", "went past", "c" * 40),
    c.Blocked(AT, "SUSPENDED", "suspended", "eu1/payments"),
    c.Expired(AT, "TIMEOUT", "was PENDING"),
    c.Withdrawn(AT, ANN, "mistake"),
)

SAMPLES: Final[Mapping[str, tuple[Any, ...]]] = {
    "Actor": (DAG, ANN),
    "Application": (APPLICATION, Application("eu1", "payments")),
    "Approval": (Approval(ANN, "sre", "sha256:3"),),
    "Change": (c.replay(EVENTS[:2]),),
    "Decision": (Allow(("a",)), Hold(("h",), (("sre", 2),)), Deny(("d",), "frozen")),
    "Edit": EDITS,
    "Event": EVENTS,
    "Evidence": (ports.Evidence((("pods", "0/1"),), (("Argo CD", "https://argocd.example.com"),)), ports.Evidence()),
    "FileDiff": (ports.FileDiff("a", b"x\n", None), ports.FileDiff("a", None, b"\xff")),
    "Finding": (ports.Finding(ports.Level.ERROR, "engine.preflight", "no", "argo", "look"),),
    "Landed": (ports.Landed("b" * 40, "a" * 40, 2, found=True, changed=False), ports.Landed("b", "a")),
    "LoggedChange": (
        ports.LoggedChange("z" * 26, "b" * 40, AT, "bot <bot@x>", "set tag", (("Loopseal-Dag", "d"),), signed=True),
    ),
    "Proposal": (PROPOSAL,),
    "Resource": (RESOURCE, Resource("Namespace", "x")),
    "Source": (ports.Source("https://git.example.com/p.git", "main", ("apps/**",)),),
    "Target": (TARGET,),
    "Tolerance": (Tolerance(), Tolerance(exact=True, settle=0, failed_passes=3, nudge=(1.0, 2.5))),
    "Verdict": (
        Verdict(State.FAILED, "DEGRADED", "not ready", "b" * 40, (RESOURCE,), Action.NUDGE, "argo/payments"),
        Verdict(State.PENDING, "NOT_OBSERVED"),
    ),
    "Wait": (
        ports.Wait(APPLICATION, "b" * 40, ports.Source("u", "main"), Tolerance(settle=1), {"uid": "1", "n": [1, 0.5]}),
    ),
}


def document(name: str) -> str:
    """The golden document of one kind: its samples as the wire has them."""
    return json.dumps([wire.dump(value) for value in SAMPLES[name]], indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for kind in SAMPLES:
        (FOLDER / f"{kind}.json").write_text(document(kind), encoding="utf-8")
