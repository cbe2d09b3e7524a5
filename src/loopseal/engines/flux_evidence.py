"""Evidence of a failure under Flux: conditions, history, events, logs of what stands in the way.

In the order of how much each tells. Whatever may not be read, or does not answer, is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from loopseal.domain.revision import Resource, Verdict
from loopseal.engines.answers import Gone, Missing
from loopseal.engines.evidence import Bundle, conditions, events, readable
from loopseal.engines.fields import Object, items, mapping, number, text
from loopseal.engines.flux_places import Place, chart_of, source_of
from loopseal.engines.kubernetes import Cluster
from loopseal.errors import LoopsealError

_RESOURCES: Final = 5
_PODS: Final = 3
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
    bundle.add(f"events of {place}", await _events(cluster, place.namespace, place.kind.kind, place.name))
    for origin in (source_of(found, place), chart_of(found)):
        if origin is not None:
            source = await cluster.get(origin.kind, origin.namespace, origin.name)
            revision = text(source, "status", "artifact", "revision")
            bundle.add(str(origin), f"{revision}\n{conditions(source or {})}" if source else "does not exist")


async def _resources(bundle: Bundle, cluster: Cluster, verdict: Verdict) -> None:
    for one in verdict.resources[:_RESOURCES]:
        if one.namespace and one.kind != "Secret":
            named = f"{one.kind}/{one.name}"
            bundle.add(f"events of {named}", await _events(cluster, one.namespace, one.kind, one.name))
            for pod in await _pods(cluster, one):
                await _log(bundle, cluster, one.namespace, pod)


async def _events(cluster: Cluster, namespace: str, kind: str, name: str) -> str:
    selector = f"involvedObject.kind={kind},involvedObject.name={name}"
    found = await cluster.read(f"/api/v1/namespaces/{namespace}/events", {"fieldSelector": selector, "limit": "50"})
    return events(items(found, "items"))


async def _pods(cluster: Cluster, one: Resource) -> list[Object]:
    """Pods whose name begins with the object's: those of Deployments, StatefulSets and Jobs do."""
    listed = await cluster.read(f"/api/v1/namespaces/{one.namespace}/pods", {"limit": "200"})
    own = [pod for pod in items(listed, "items") if text(pod, "metadata", "name").startswith(one.name)]
    return [pod for pod in own if not _ready(pod)][:_PODS]


def _ready(pod: Object) -> bool:
    return any(
        text(row, "type") == "Ready" and text(row, "status") == "True" for row in items(pod, "status", "conditions")
    )


async def _log(bundle: Bundle, cluster: Cluster, namespace: str, pod: Object) -> None:
    name = text(pod, "metadata", "name")
    states = [mapping(row, "state") for row in items(pod, "status", "containerStatuses")]
    bundle.add(f"Pod/{name}", readable(states) if states else "")
    restarted = any(number(row, "restartCount") > 0 for row in items(pod, "status", "containerStatuses"))
    bundle.add(f"log of {name}", await cluster.log(namespace, name, previous=restarted))
