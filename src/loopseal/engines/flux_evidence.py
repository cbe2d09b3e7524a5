"""Evidence of a failure under Flux: conditions, history, events, and what stands in the way.

In the order of how much each tells. Whatever may not be read, or does not answer, is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from loopseal.domain.revision import Verdict
from loopseal.engines.answers import Gone, Missing
from loopseal.engines.evidence import Bundle, conditions, readable
from loopseal.engines.fields import items, text
from loopseal.engines.flux_places import Place, chart_of, source_of
from loopseal.engines.kubernetes import Cluster
from loopseal.engines.workloads import explain, happened
from loopseal.errors import LoopsealError

_RESOURCES: Final = 5
_PATIENCE: Final = 20.0
"""Seconds for all of it: a failure should be told soon."""


async def collect(bundle: Bundle, cluster: Cluster, place: Place, verdict: Verdict) -> None:
    """Fill `bundle`; never raises."""
    try:
        async with asyncio.timeout(_PATIENCE):
            steps: tuple[Callable[[], Awaitable[None]], ...] = (
                lambda: _objects(bundle, cluster, place),
                lambda: _resources(bundle, cluster, verdict),
            )
            for step in steps:
                try:
                    await step()
                except (LoopsealError, Missing, Gone) as error:
                    bundle.add("not available", str(error))
    except TimeoutError:
        bundle.add("not available", "the rest did not come in time")


async def _objects(bundle: Bundle, cluster: Cluster, place: Place) -> None:
    """The object, then what it is made from: one after the other, as one names the next."""
    found = await cluster.get(place.kind, place.namespace, place.name)
    if found is None:
        bundle.add(str(place), "does not exist")
        return
    bundle.add(str(place), conditions(found))
    history = items(found, "status", "history")[:5]
    bundle.add(f"history of {place}", readable(history) if history else "")
    bundle.add(f"events of {place}", await happened(cluster, place.namespace, place.kind.kind, place.name))
    for origin in (source_of(found, place), chart_of(found)):
        if origin is not None:
            source = await cluster.get(origin.kind, origin.namespace, origin.name)
            revision = text(source, "status", "artifact", "revision")
            bundle.add(str(origin), f"{revision}\n{conditions(source or {})}" if source else "does not exist")


async def _resources(bundle: Bundle, cluster: Cluster, verdict: Verdict) -> None:
    for one in verdict.resources[:_RESOURCES]:
        await explain(bundle, cluster, one)
