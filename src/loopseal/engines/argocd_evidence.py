"""Evidence of an Argo CD failure: operation, resources, their events and logs, differences, commit, links.

In the order of how much each tells. Whatever may not be read, or does not answer, is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from loopseal.domain.proposal import Application
from loopseal.domain.revision import Verdict
from loopseal.engines import argocd_application, workloads
from loopseal.engines.answers import Gone, Missing
from loopseal.engines.argocd_objects import Objects
from loopseal.engines.argocd_rest import Rest
from loopseal.engines.evidence import Bundle, events, readable
from loopseal.engines.fields import Object, items, mapping, number, text
from loopseal.errors import LoopsealError

_WORKLOADS: Final = 5
_NODES: Final = 20
_PODS: Final = 3
_DIFFERENCES: Final = 5
_PATIENCE: Final = 20.0
"""Seconds for all of it: a failure should be told soon."""


async def collect(bundle: Bundle, applications: Rest | Objects, application: Application, verdict: Verdict) -> None:
    """Fill `bundle`; never raises."""
    steps: tuple[Callable[[], Awaitable[None]], ...] = (
        lambda: _application(bundle, applications, application),
        lambda: _workloads(bundle, applications, application, verdict),
        lambda: _tree(bundle, applications, application),
        lambda: _differences(bundle, applications, application),
        lambda: _commit(bundle, applications, application, verdict),
        lambda: _links(bundle, applications, application),
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            for step in steps:
                try:
                    await step()
                except (LoopsealError, Missing, Gone) as error:
                    bundle.add("not available", str(error))
    except TimeoutError:
        bundle.add("not available", "the rest did not come in time")


async def _application(bundle: Bundle, applications: Rest | Objects, application: Application) -> None:
    app = await applications.get(application)
    if app is None:
        bundle.add("application", f"{application} does not exist")
        return
    state = mapping(app, "status", "operationState")
    bundle.add("operation", f"{text(state, 'phase')}: {text(state, 'message')}" if state else "")
    bundle.add("conditions", "\n".join(f"{kind}: {told}" for kind, told in argocd_application.conditions(app).items()))
    healths = await applications.with_health(app)
    bundle.add("resources", "\n".join(str(one) for one in argocd_application.resources(healths.app)))
    bundle.add("resources that could not be read", healths.unread)
    bundle.add("application events", events(items(await applications.about(application, "events"), "items")))


async def _workloads(bundle: Bundle, applications: Rest | Objects, application: Application, verdict: Verdict) -> None:
    """What stands in the way, seen in the cluster itself: where no API server shows a tree of it."""
    app = await applications.get(application)
    cluster = await applications.cluster_of(app) if app is not None else None
    if app is None or cluster is None:
        return
    bad = argocd_application.resources((await applications.with_health(app)).app) or verdict.resources
    for one in bad[:_WORKLOADS]:
        await workloads.explain(bundle, cluster, one)


async def _tree(bundle: Bundle, applications: Rest | Objects, application: Application) -> None:
    tree = await applications.about(application, "resource-tree")
    nodes = items(tree, "nodes")
    parents = {text(parent, "uid") for node in nodes for parent in items(node, "parentRefs")}
    bad = [node for node in nodes if text(node, "health", "status") not in {"", "Healthy"}]
    bad.sort(key=lambda node: text(node, "uid") in parents)  # leaves first: they are where it went wrong
    bundle.add("unhealthy", "\n".join(_described(node) for node in bad[:_NODES]))
    for node in bad[:_PODS]:
        found = await applications.about(application, "events", _names(node))
        bundle.add(f"events of {text(node, 'kind')}/{text(node, 'name')}", events(items(found, "items")))
    pods = [node for node in bad if text(node, "kind") == "Pod"][:_PODS]
    for pod in pods:
        named = {"namespace": text(pod, "namespace"), "name": text(pod, "name")}
        log = await applications.log(application, named, previous=_restarted(pod)) or await applications.log(
            application, named
        )
        bundle.add(f"log of {named['name']}", log)


def _described(node: Object) -> str:
    health = mapping(node, "health")
    place = "/".join(part for part in (text(node, "kind"), text(node, "namespace"), text(node, "name")) if part)
    return f"{place} {text(health, 'status')}: {text(health, 'message')[:1000]}"


def _names(node: Object) -> dict[str, str]:
    return {
        "resourceNamespace": text(node, "namespace"),
        "resourceName": text(node, "name"),
        "resourceUID": text(node, "uid"),
    }


def _restarted(pod: Object) -> bool:
    told = {text(one, "name"): text(one, "value") for one in items(pod, "info")}
    return told.get("Restart Count", "0") not in {"", "0"} or number(pod, "restartCount") > 0


async def _differences(bundle: Bundle, applications: Rest | Objects, application: Application) -> None:
    found = items(await applications.about(application, "managed-resources"), "items")
    modified = [one for one in found if one.get("modified") is True and text(one, "kind") != "Secret"]
    for one in modified[:_DIFFERENCES]:
        states = {name: one.get(name) for name in ("targetState", "normalizedLiveState") if one.get(name)}
        bundle.add(f"difference of {text(one, 'kind')}/{text(one, 'name')}", readable(states))


async def _commit(bundle: Bundle, applications: Rest | Objects, application: Application, verdict: Verdict) -> None:
    revision = verdict.observed.split(",")[0]
    if argocd_application.is_commit(revision):
        told = await applications.about(application, f"revisions/{revision}/metadata")
        bundle.add("observed commit", f"{revision}\n{text(told, 'author')}\n{text(told, 'message')}" if told else "")


async def _links(bundle: Bundle, applications: Rest | Objects, application: Application) -> None:
    for one in items(await applications.about(application, "links"), "items"):
        bundle.link(text(one, "title") or "link", text(one, "url"))
