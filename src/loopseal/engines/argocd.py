"""Argo CD as an engine: by its API server when the settings have a `url`, else by its objects in Kubernetes.

Refreshes and observes. A sync is asked for by `act` only, which callers use where a target allows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import quote

import httpx2

from loopseal.domain.proposal import Application
from loopseal.domain.revision import Tolerance, Verdict
from loopseal.engines import argocd_application, telemetry
from loopseal.engines.ancestors import Ancestors
from loopseal.engines.argocd_evidence import collect
from loopseal.engines.argocd_health import Healths
from loopseal.engines.argocd_objects import Objects
from loopseal.engines.argocd_rest import Rest
from loopseal.engines.argocd_signatures import Demand
from loopseal.engines.argocd_sync import busy, under_way
from loopseal.engines.argocd_verdict import preflight
from loopseal.engines.argocd_wait import ArgoWait
from loopseal.engines.checks import Outcome, address_of, missing, no_such, outcome, told
from loopseal.engines.clusters import Clusters
from loopseal.engines.driver import drive
from loopseal.engines.evidence import Bundle
from loopseal.engines.fields import Object, items, text
from loopseal.engines.nudges import Nudges
from loopseal.engines.watches import Watch
from loopseal.ports import Ancestry, Clock, Evidence, Finding, Secrets, Source, Tap, Wait
from loopseal.settings import EngineSettings

_MARKER: Final = "loopseal"


class Engine:
    """One Argo CD, on one event loop. Close it with `aclose`."""

    kind = "argocd"

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
        self._applications: Rest | Objects
        if settings.url:
            address_of(settings, f"engines.{name}.url", simulated=transport is not None)
            self._applications = Rest(settings, secrets=secrets, clock=clock, tap=tap, transport=transport)
        else:
            self._applications = Objects(
                self._clusters.connect, clock, namespace=settings.namespace, timeout=settings.timeout
            )
        self._nudges = Nudges(settings.refreshes_per_minute, clock)
        self._watches: dict[tuple[str, str], Watch] = {}

    async def preflight(self, application: Application, source: Source, tolerance: Tolerance) -> Sequence[Finding]:
        """Whether a commit at `source` can ever arrive: all questions at once. Raises when it does not answer."""
        app, windows, sync, logs, lacks = await asyncio.gather(
            outcome(self._applications.get(application)),
            outcome(self._applications.windows(application)),
            outcome(self._applications.allowed("applications", "sync", application)),
            outcome(self._applications.allowed("logs", "get", application)),
            outcome(self._applications.lacking(application)),
        )
        found = app.known()
        if found is None:
            return missing(self.kind, str(application), tolerance, app.error)
        healths = await self._applications.with_health(found) if tolerance.strict_health else Healths(found)
        rights = {"sync": sync.known(), "logs": logs.known()}
        demand: Outcome[Demand] = Outcome()
        if source.signing is not None:
            demand = await outcome(self._applications.demand(found, source.url))
        can = {right: value for right, value in rights.items() if value is not None}
        findings = preflight(
            found,
            source,
            tolerance,
            windows=windows.known() or None,
            can=can,
            unread=healths.unread,
            demand=demand.known(),
        )
        return (*findings, *(lacks.known() or ()))

    async def baseline(self, application: Application) -> Mapping[str, Any]:
        """Revisions, health, last operation and comparison, as shown now."""
        app = await self._applications.get(application)
        if app is None:
            return {}
        history = items(app, "status", "history")
        return {
            "revisions": list(argocd_application.observed_revisions(app)),
            "health": text(app, "status", "health", "status"),
            "reconciledAt": text(app, "status", "reconciledAt"),
            "startedAt": text(app, "status", "operationState", "startedAt"),
            "history": history[-1].get("id") if history else None,
        }

    async def wait(self, wait: Wait, ancestry: Ancestry) -> AsyncIterator[Verdict]:
        """Verdicts as they change; see the port."""
        watch = self._watch(wait.application)
        wake, key = asyncio.Event(), self._applications.key(wait.application)
        async with watch.follow(key, lambda: self._applications.get(wait.application), wake) as cell:
            subject = ArgoWait(
                wait, self._applications, cell, watch, self._nudges, Ancestors(ancestry), self._clock, wake
            )
            poll, name = self._settings.poll, str(wait.application)
            driven = drive(subject, wait.tolerance, self._clock, poll=poll, application=name)
            async with aclosing(driven) as verdicts:
                async for verdict in verdicts:
                    yield verdict

    def _watch(self, application: Application) -> Watch:
        scope = self._applications.scope(application)
        if scope not in self._watches:
            self._watches[scope] = Watch(self.kind, lambda: self._applications.news(scope), self._clock)
        return self._watches[scope]

    async def status(self, application: Application) -> Mapping[str, Any]:
        """Revisions, sync, health, message, running operation and url, as shown now; empty when it does not exist."""
        app = await self._applications.get(application)
        if app is None:
            return {}
        revisions = argocd_application.observed_revisions(app)
        conditions = argocd_application.conditions(app)
        return {
            "revision": revisions[0] if revisions else "",
            "revisions": list(revisions),
            "sync": text(app, "status", "sync", "status"),
            "health": text(app, "status", "health", "status"),
            "operation": text(app, "status", "operationState", "phase"),
            "message": next(iter(conditions.values()), "") or text(app, "status", "health", "message"),
            "url": self.link(application),
        }

    async def act(self, application: Application, revision: str = "") -> str:
        """A refresh when automated sync is on; else a sync of `revision`, once no other operation is there.

        Answers `refresh`, `sync`, or `running` when that very sync is under way already.
        """
        while True:
            app = await self._existing(application)
            if argocd_application.automated(app):
                with telemetry.acting(self.kind, "refresh", f"Application {application}"):
                    await self._applications.refresh(application)
                return "refresh"
            if under_way(app, revision):
                return "running"
            if not busy(app):
                with telemetry.acting(self.kind, "sync", f"Application {application} to {revision or 'its target'}"):
                    if await self._applications.sync(application, app, revision, marker=_MARKER):
                        return "sync"
            await self._clock.sleep(min(5.0, self._settings.poll))

    async def _existing(self, application: Application) -> Object:
        app = await self._applications.get(application)
        if app is None:
            raise no_such(str(application), self._applications.server)
        return app

    async def evidence(self, application: Application, verdict: Verdict) -> Evidence:
        """Operation, resources, events, logs, differences and links around this verdict."""
        bundle = Bundle()
        bundle.verdict(verdict)
        link = self.link(application)
        if link:
            bundle.link("application", link)
        await collect(bundle, self._applications, application, verdict)
        return bundle.sealed()

    def link(self, application: Application) -> str:
        """The application's page in Argo CD's web interface."""
        base = (self._settings.public_url or self._settings.url).rstrip("/")
        if not base:
            return ""
        namespace = self._applications.namespace(application)
        return f"{base}/applications/{quote(namespace, safe='')}/{quote(application.name, safe='')}"

    async def check(self) -> Sequence[Finding]:
        """Whether it answers and knows us: a version proves the one, a question about rights the other."""
        probe = Application(self._name, "*", project="*")
        version, may = await asyncio.gather(
            outcome(self._applications.version()),
            outcome(self._applications.allowed("applications", "get", probe)),
        )
        return told(self.kind, version, may, where=self._settings.url or "Kubernetes")

    async def aclose(self) -> None:
        """Let go of streams and connections."""
        for watch in self._watches.values():
            await watch.aclose()
        await self._applications.aclose()
        await self._clusters.aclose()
