"""OpenLineage: the files that a change wrote, as datasets. Imported only when Airflow's OpenLineage provider asks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopseal.airflow.outcome import Outcome


def written(outcome: Outcome | None) -> Any:
    """An OperatorLineage whose outputs are the files: namespace is the repository, name the path (empty on failure).

    Datasets as the specification names files (openlineage.io, "Naming": namespace is the authority, name the path).
    """
    lineage = import_module("airflow.providers.openlineage.extractors").OperatorLineage
    dataset = import_module("openlineage.client.event_v2").OutputDataset
    change = outcome.of(outcome.change) if outcome is not None else None
    if outcome is None or change is None or not change.revision:
        return lineage()
    return lineage(
        outputs=[
            dataset(namespace=outcome.repository, name=f"{change.proposal.target.branch}:{path}")
            for path in change.proposal.paths
        ]
    )
