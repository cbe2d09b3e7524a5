"""Flux as an engine: its objects in one cluster, watched and asked to look again, never changed.

An application is a Kustomization, or by its `kind` a HelmRelease or a GitRepository.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any

import httpx2

from loopseal.domain.proposal import Application
from loopseal.domain.revision import Tolerance, Verdict
from loopseal.engines import flux_object
from loopseal.engines.ancestors import Ancestors
from loopseal.engines.checks import Outcome, missing, no_such, outcome, told, unreadable
from loopseal.engines.clusters import Clusters
from loopseal.engines.driver import drive
from loopseal.engines.evidence import Bundle
from loopseal.engines.fields import Object, text
from loopseal.engines.flux_evidence import collect
from loopseal.engines.flux_places import (
    DEFAULT_NAMESPACE,
    KUSTOMIZATION,
    Place,
    of_application,
    source_of,
)
from loopseal.engines.flux_preflight import NO_SOURCE
from loopseal.engines.flux_rights import needed
from loopseal.engines.flux_verdict import preflight
from loopseal.engines.flux_wait import FluxWait, Shared
from loopseal.engines.kubernetes import Cluster
from loopseal.engines.rights import lacking
from loopseal.errors import Code, LoopsealError, Refused
from loopseal.ports import Ancestry, Clock, Evidence, Finding, Secrets, Source, Tap, Wait
from loopseal.settings import EngineSettings


class Engine:
    """Flux in one cluster, on one event loop. Close it with `aclose`."""

    kind = "flux"

    def __init__(
        self,
        settings: EngineSettings,
        *,
        name: str,
        secrets: Secrets,
        clock: Clock,
        tap: Tap | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings, self._name, self._clock = settings, name, clock
        self._clusters = Clusters(settings, name=name, secrets=secrets, clock=clock, tap=tap, transport=transport)
        self._shared_state: Shared | None = None

    async def _shared(self) -> Shared:
        cluster = await self._clusters.connect()
        if self._shared_state is None:
            self._shared_state = Shared(cluster, self._clock, self._settings.refreshes_per_minute)
        return self._shared_state

    def _place(self, application: Application) -> Place:
        return of_application(application, self._settings.namespace or DEFAULT_NAMESPACE)

    async def preflight(self, application: Application, source: Source, tolerance: Tolerance) -> Sequence[Finding]:
        """Whether a commit at `source` can ever arrive. Raises when the cluster does not answer."""
        cluster, place = await self._clusters.connect(), self._place(application)
        target: Outcome[Object | None] = await outcome(_read(cluster, place))
        found = target.known()
        if found is None:
            return missing(self.kind, str(application), tolerance, target.error)
        origin_place = source_of(found, place)
        read = _read(cluster, origin_place) if origin_place is not None else _nothing()
        origin: Outcome[Object | None]
        origin, lacks = await asyncio.gather(
            outcome(read), lacking(cluster, needed(found, place, origin_place, tolerance))
        )
        findings = [*preflight(found, origin.known(), source, tolerance), *lacks]
        if origin.forbidden and origin.error is not None:
            first = unreadable(self.kind, str(origin_place), origin.error)
            findings = [first, *(one for one in findings if one.code != NO_SOURCE)]
        return findings

    async def baseline(self, application: Application) -> Mapping[str, Any]:
        """Revisions of the object and of its source, as shown now."""
        cluster, place = await self._clusters.connect(), self._place(application)
        found = await _read(cluster, place)
        if found is None:
            return {}
        origin = source_of(found, place)
        source = await _read(cluster, origin) if origin is not None else None
        return {
            "revisions": [flux_object.applied_commit(found)],
            "applied": text(found, "status", "lastAppliedRevision"),
            "source": text(source, "status", "artifact", "revision"),
            "uid": text(found, "metadata", "uid"),
        }

    async def wait(self, wait: Wait, ancestry: Ancestry) -> AsyncIterator[Verdict]:
        """Verdicts as they change; see the port."""
        shared = await self._shared()
        async with AsyncExitStack() as stack:
            subject = FluxWait(wait, self._place(wait.application), shared, Ancestors(ancestry), stack)
            poll, name = self._settings.poll, str(wait.application)
            driven = drive(subject, wait.tolerance, self._clock, poll=poll, application=name)
            async with aclosing(driven) as verdicts:
                async for verdict in verdicts:
                    yield verdict

    async def status(self, application: Application) -> Mapping[str, Any]:
        """Revision, whether it is ready, and why not; empty when it does not exist."""
        found = await _read(await self._clusters.connect(), self._place(application))
        if found is None:
            return {}
        ready = flux_object.condition(found, "Ready")
        applied = text(found, "status", "lastAppliedRevision") or text(found, "status", "artifact", "revision")
        return {
            "revision": flux_object.sha_of(applied) or text(found, "status", "lastAttemptedRevision"),
            "sync": "Suspended" if flux_object.suspended(found) else applied,
            "health": "Ready" if ready.true else ready.reason or "Unknown",
            "message": ready.message[:2000],
            "url": self.link(application),
        }

    async def act(self, application: Application, revision: str = "") -> str:
        """Ask the source, then the object, to be reconciled: Flux applies what the branch holds, so `revision` is that.

        Raises Refused where somebody has suspended one of them.
        """
        shared, place = await self._shared(), self._place(application)
        found = await _read(shared.cluster, place)
        if found is None:
            raise no_such(str(application), shared.cluster.server)
        origin = source_of(found, place)
        source = await _read(shared.cluster, origin) if origin is not None else None
        if flux_object.suspended(found) or flux_object.suspended(source or {}):
            raise Refused(
                Code.ENGINE_PREFLIGHT,
                f"{application} or its source is suspended",
                where=shared.cluster.server,
                hint="`flux resume` it, or ask who suspended it.",
            )
        for one in (origin if source is not None else None, place):
            if one is not None:
                await shared.request(one, revision[:12] or "act")
        return "reconcile"

    async def evidence(self, application: Application, verdict: Verdict) -> Evidence:
        """Conditions, history, events and logs around this verdict."""
        bundle = Bundle()
        bundle.verdict(verdict)
        try:
            await collect(bundle, await self._clusters.connect(), self._place(application), verdict)
        except LoopsealError as error:
            bundle.add("not available", str(error))
        if link := self.link(application):
            bundle.link("Flux", link)
        return bundle.sealed()

    def link(self, application: Application) -> str:
        """Flux has no page of its own; `public_url` may name one (Headlamp, Capacitor, Weave GitOps)."""
        del application
        return self._settings.public_url.rstrip("/")

    async def check(self) -> Sequence[Finding]:
        """Whether the cluster answers and knows us."""
        connected = await outcome(self._clusters.connect())
        cluster = connected.value
        if cluster is None:
            return told(self.kind, Outcome(error=connected.error), Outcome(), where=f"engines.{self._name}")
        namespace = self._settings.namespace or DEFAULT_NAMESPACE
        version, may = await asyncio.gather(
            outcome(_version(cluster)), outcome(cluster.allowed("get", KUSTOMIZATION, namespace))
        )
        return told(self.kind, version, may, where=cluster.server)

    async def aclose(self) -> None:
        """Let go of watches and connections."""
        shared, self._shared_state = self._shared_state, None
        if shared is not None:
            await shared.aclose()
        await self._clusters.aclose()


async def _read(cluster: Cluster, place: Place) -> Object | None:
    return await cluster.get(place.kind, place.namespace, place.name)


async def _nothing() -> Object | None:
    return None


async def _version(cluster: Cluster) -> str:
    return f"Kubernetes {text(await cluster.read('/version'), 'gitVersion')}"
