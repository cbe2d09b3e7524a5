"""What a waiter saw at each moment of a recording: the object it watches, and what it knew beside it.

Lives here: which event belongs to which object, ticks, whether a refresh of ours was answered, the recorded ancestry.
Does not: verdicts (`replay`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from loopseal.domain.revision import Relation, Tolerance, Verdict, relation
from loopseal.engines import argocd_verdict, flux_verdict
from loopseal.engines.argocd_application import observed_revisions, sources
from loopseal.engines.argocd_objects import REFRESH
from loopseal.engines.fields import Memory, Object, mapping, number, text
from loopseal.engines.flux_object import REQUESTED_AT
from loopseal.engines.recording import Event, Recording, Want
from loopseal.engines.relations import Oracle

KUBERNETES: Final = "kubernetes"
REST: Final = "rest"
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment: the object as it was known then (None: not there), whether it ever was, and what was known beside.

    `refreshed` says that a refresh or request that was made after the push has been answered; `origin` is the source
    object of a Kustomization.
    """

    at: float
    obj: Object | None
    seen: bool
    refreshed: bool
    origin: Object | None = None


Judge: TypeAlias = Callable[[Moment, float, Memory, Tolerance], Verdict]


def transports(recording: Recording, want: Want) -> tuple[str, ...]:
    """The ways in which the recording saw the object; Argo CD has two."""
    if recording.system == "flux":
        return (KUBERNETES,)
    watched = any(_shown(event, recording, want, KUBERNETES) for event in recording.events)
    streamed = any(mapping(body, "result", "application") for _, body in recording.bodies("argo-sse"))
    ways = ((KUBERNETES, watched), (REST, streamed or not watched))  # polls alone miss what lies between them
    return tuple(way for way, usable in ways if usable)


def target(recording: Recording, want: Want) -> str:
    """The object that is waited for, as `kind/namespace/name`."""
    kind = _kind(recording, want)
    namespace, name = recording.targets.get(kind, ("", ""))
    return "/".join(part for part in (kind, namespace, want.name or name) if part)


def _kind(recording: Recording, want: Want) -> str:
    if recording.system == "argocd":
        return "application"
    if want.on:
        return "gitrepository" if want.on == "source" else want.on
    return next((kind for kind in recording.targets if kind != "gitrepository"), "kustomization")


def source_name(recording: Recording, kustomization: str) -> str:
    """The name of the source that this Kustomization applies, as the recording shows it, or an empty string."""
    shown = (mapping(body, "object") for _, body in recording.bodies("k8s-watch-kustomization"))
    ours = (one for one in shown if text(one, "metadata", "name") == kustomization)
    return next((name for one in ours if (name := text(one, "spec", "sourceRef", "name"))), "")


def moments(recording: Recording, want: Want, transport: str) -> Iterator[Moment]:
    """What was known at `begins`, at every event of the object after it, at every whole second, and at `until`."""
    pushed = next((at for at, body in recording.bodies("git") if text(body, "sha") == want.sha), 0.0)
    view = _View(recording, want, transport, max(pushed, want.begins))
    due = want.begins
    for event in recording.events:
        if event.at > want.until:
            break
        while due < event.at:
            yield view.moment(due)
            due += 1
        if view.takes(event) and event.at >= want.begins:
            yield view.moment(event.at)
    while due < want.until:
        yield view.moment(due)
        due += 1
    yield view.moment(want.until)


class _View:
    """What a waiter knows, event by event."""

    def __init__(self, recording: Recording, want: Want, transport: str, after: float) -> None:
        self._recording, self._want, self._transport, self._after = recording, want, transport, after
        self._obj: Object | None = None
        self._sources: dict[str, Object] = {}
        self._seen = self._refreshed = self._refreshing = False
        self._asked_before = ""

    def moment(self, at: float) -> Moment:
        """What is known now."""
        origin = self._sources.get(text(self._obj, "spec", "sourceRef", "name"))
        return Moment(at, self._obj, self._seen, self._refreshed, origin)

    def takes(self, event: Event) -> bool:
        """Learn from `event`; whether it changed anything for the waiter."""
        if _refresh(event) and event.at > self._after:
            self._refreshed = True
        if event.channel == "k8s-watch-gitrepository" and self._want.on != "source":
            source = mapping(event.body, "object")
            self._sources[text(source, "metadata", "name")] = source
            return True
        shown = _shown(event, self._recording, self._want, self._transport)
        if shown is None:
            return False
        gone = text(event.body, "type") == "DELETED" or text(event.body, "result", "type") == "DELETED"
        self._obj = None if gone and not mapping(shown, "metadata").get("deletionTimestamp") else shown
        self._seen = True
        self._acknowledge(event.at, shown)
        return True

    def _acknowledge(self, at: float, shown: Object) -> None:
        """A request made after the push has been answered: Argo CD takes its annotation away, Flux repeats it."""
        refreshing = bool(text(shown, "metadata", "annotations", REFRESH))
        if self._refreshing and not refreshing:
            self._refreshed = True
        self._refreshing = refreshing and at > self._after
        asked = text(shown, "metadata", "annotations", REQUESTED_AT)
        if at <= self._after:
            self._asked_before = asked
        elif asked != self._asked_before and flux_verdict.acknowledged(shown, asked, self._asked_before):
            self._refreshed = True


def _refresh(event: Event) -> bool:
    path = text(event.body, "path")
    return event.channel == "argo-rest-get" and "refresh=" in path and number(event.body, "status") == _OK


def _shown(event: Event, recording: Recording, want: Want, transport: str) -> Object | None:
    """The object that is waited for, if `event` shows it."""
    if transport == KUBERNETES:
        return _watched(event, recording, _kind(recording, want), want.name)
    if event.channel == "argo-sse":
        shown = mapping(event.body, "result", "application")
    elif event.channel == "argo-rest-get" and number(event.body, "status") == _OK:
        shown = mapping(event.body, "body")
    else:
        return None
    return shown if _is(shown, recording.targets.get("application"), want.name) else None


def _watched(event: Event, recording: Recording, kind: str, name: str) -> Object | None:
    if event.channel != f"k8s-watch-{kind}":
        return None
    shown = mapping(event.body, "object")
    return shown if _is(shown, recording.targets.get(kind), name) else None


def _is(shown: Object, wanted: tuple[str, str] | None, name: str) -> bool:
    has = text(shown, "metadata", "namespace"), text(shown, "metadata", "name")
    if not has[1] or wanted is None:
        return bool(has[1]) and name in {"", has[1]}
    return has == (wanted[0], name or wanted[1])


def judge_for(recording: Recording, want: Want) -> Judge:
    """The judge that a waiter for `want` would use, with what it knows from the start."""
    ask = ancestry(recording)
    if recording.system == "argocd":
        return _argocd(recording, want, ask)
    if want.on == "helmrelease":
        return lambda moment, _now, _memory, policy: flux_verdict.judge_helm_release(moment.obj or {}, policy)
    if want.on == "source":
        return lambda moment, _now, _memory, policy: flux_verdict.judge_source(
            moment.obj or {}, want.sha, ask, policy, acknowledged=moment.refreshed
        )
    return lambda moment, now, memory, policy: flux_verdict.judge_kustomization(
        moment.obj or {}, want.sha, ask, now, memory, policy, origin=moment.origin
    )


def _argocd(recording: Recording, want: Want, ask: Oracle) -> Judge:
    before = [
        shown
        for event in recording.events
        for transport in (KUBERNETES, REST)
        if event.at < want.begins and (shown := _shown(event, recording, want, transport)) is not None
    ]
    baseline = observed_revisions(before[-1]) if before else ()
    noted = next((body for _, body in recording.bodies("wait") if text(body, "sha") == want.sha), {})
    positions = tuple(one for one in noted.get("positions") or () if isinstance(one, int) and one >= 0)

    def judged(moment: Moment, now: float, memory: Memory, policy: Tolerance) -> Verdict:
        app = moment.obj or {}
        ours = positions or tuple(range(len(sources(app)) or 1))
        return argocd_verdict.judge(
            app, want.sha, ours, ask, now, memory, policy, baseline=baseline, refreshed=moment.refreshed
        )

    return judged


def ancestry(recording: Recording) -> Oracle:
    """The recorded graph as an oracle; what it does not hold, the answers that the recorder kept."""
    told = {
        (text(body, "observed"), text(body, "wanted")): text(body, "relation")
        for _, body in recording.bodies("ancestry")
    }

    def ask(observed: str, wanted: str) -> Relation:
        found = relation(observed, wanted, recording.graph)
        if found is Relation.UNKNOWN and (answer := told.get((observed, wanted))) in set(Relation):
            return Relation(answer)
        return found

    return ask
