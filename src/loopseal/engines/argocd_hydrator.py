"""The first of two stages of a hydrated application: has the dry commit become manifests on the sync branch?

Argo CD's source hydrator (beta in 3.5) renders a commit of the dry source and pushes the result as another commit.
`status.sync.revision` then names the rendered commit. Stage one waits for the rendering of the wanted commit; stage two
is `argocd_verdict.judge` with the rendered commit as the wanted one.
"""

from __future__ import annotations

from loopseal.domain.revision import Action, Relation, State, Tolerance, Verdict
from loopseal.engines.argocd_application import is_commit
from loopseal.engines.fields import Object, mapping, text, verdict
from loopseal.engines.relations import Oracle, arrived


def rendered(app: Object) -> str:
    """The commit that the last successful rendering made."""
    return text(app, "status", "sourceHydrator", "lastSuccessfulOperation", "hydratedSHA")


def awaits_promotion(app: Object) -> bool:
    """Whether the rendering goes to a branch of its own first (`hydrateTo`): a pull request stands in between."""
    return bool(mapping(app, "spec", "sourceHydrator", "hydrateTo"))


def dry_revisions(app: Object) -> tuple[str, ...]:
    """Every commit of the dry source that the status names."""
    status = mapping(app, "status", "sourceHydrator")
    return (
        text(status, "lastSuccessfulOperation", "drySHA"),
        text(status, "lastComparedDryRevision"),
        text(status, "currentOperation", "drySHA"),
    )


def judge_rendering(app: Object, wanted: str, relation: Oracle, tolerance: Tolerance) -> Verdict | None:
    """What the rendering says about `wanted`, or None when it is rendered and stage two decides.

    A dry commit that changes nothing is only compared (`lastComparedDryRevision`): the last rendering holds it.
    """
    done, compared, current = (_relation(dry, wanted, relation) for dry in dry_revisions(app))
    seen = text(app, "status", "sourceHydrator", "lastComparedDryRevision") or dry_revisions(app)[0]
    phase = text(app, "status", "sourceHydrator", "currentOperation", "phase")
    message = text(app, "status", "sourceHydrator", "currentOperation", "message")
    if phase == "Hydrating":
        return verdict(State.PENDING, "HYDRATING", message, observed=seen)
    if phase == "Failed" and arrived(current, tolerance):
        return verdict(State.FAILED, "HYDRATION_FAILED", message, observed=seen)
    if (arrived(done, tolerance) or arrived(compared, tolerance)) and is_commit(rendered(app)):
        return None
    if tolerance.exact and Relation.DESCENDANT in {done, compared}:
        return verdict(State.SUPERSEDED, "LATER_COMMIT", "a later commit was rendered instead", observed=seen)
    return verdict(State.PENDING, "NOT_HYDRATED", message, observed=seen, action=Action.NUDGE)


def _relation(dry: str, wanted: str, relation: Oracle) -> Relation:
    return relation(dry, wanted) if is_commit(dry) else Relation.UNKNOWN
