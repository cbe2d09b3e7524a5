"""Asking Argo CD for a sync of one revision: what the order says, and when it may be given.

Lives here: decisions over the Application object. Does not: sending the order.
"""

from __future__ import annotations

from typing import Any

from loopseal.engines.argocd_application import observed_revisions, operation_revisions, sources
from loopseal.engines.fields import Object, get, text
from loopseal.errors import Code, Refused


def busy(app: Object) -> bool:
    """Whether an operation is asked for or runs: a second one would be refused, or silently dropped."""
    running = text(app, "status", "operationState", "phase") in {"Running", "Terminating"}
    return get(app, "operation") is not None or running


def under_way(app: Object, revision: str) -> bool:
    """Whether the operation that runs is the one we would ask for."""
    return bool(revision) and busy(app) and revision in operation_revisions(app)


def pinned(app: Object, revision: str) -> dict[str, Any]:
    """The part of an order that names the revision: `revision`, or with several sources the place that shows it.

    Raises Refused when no source of several shows the revision: it cannot be told which one is meant.
    """
    if not revision:
        return {}
    if len(sources(app)) < 2:  # noqa: PLR2004 - one source, or several
        return {"revision": revision}
    places = [place for place, seen in enumerate(observed_revisions(app), start=1) if seen == revision]
    if not places:
        raise Refused(
            Code.ENGINE_PREFLIGHT,
            f"none of its {len(sources(app))} sources shows {revision[:12]}",
            hint="Refresh it first, or sync without naming a revision.",
        )
    return {"revisions": [revision] * len(places), "sourcePositions": places}
