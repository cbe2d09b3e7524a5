"""The rights of `deploy/`, applied as written but for names: enough for every wait, needed, and not a step more.

The whole conformance suite runs with these very rights; here stands what it cannot show: everything beyond is refused,
and whichever right is taken away is missed, and named.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest

from loopseal.domain.revision import State
from loopseal.ports import Level, Source
from loopseal.testing import objects
from tests.calls import Record, listening
from tests.conformance import rights
from tests.conformance.content import deployment
from tests.conformance.real import Real, apart
from tests.conformance.stage import TOKEN
from tests.conformance.world import QUICK, Kind, Live
from tests.peers import trespass
from tests.peers.cluster import Cluster
from tests.peers.kube import Kube, KubeError
from tests.peers.trespass import Deed, Object
from tests.peers.worlds import REAL

_numbers = count(700)
"""Of worlds, apart from those of the conformance suite."""
_PATIENCE = 30.0


@pytest.fixture(scope="module")
def guarded(cluster: Cluster) -> Cluster:
    """The cluster with the documented admission policy in force."""
    cluster.processes.revive()
    rights.guard(cluster)
    return cluster


def played(cluster: Cluster, kind: Kind, name: str, scene: Callable[[Real], Any]) -> Any:
    """The answer of a coroutine function that runs in a real world of its own."""

    async def main() -> Any:
        async with asyncio.timeout(200), REAL[kind](kind, name, cluster, next(_numbers)) as world:
            return await scene(world)

    return asyncio.run(main())


def tried(deeds: Iterable[Deed], send: Callable[[Deed], int]) -> dict[str, int]:
    """The deeds whose answer was another than expected, with that answer."""
    answers = [(deed, send(deed)) for deed in deeds]
    assert answers
    return {str(deed): status for deed, status in answers if status != deed.expected}


def at_kubernetes(kube: Kube) -> Callable[[Deed], int]:
    return lambda deed: kube.request(deed.method, deed.path, deed.body, content_type=deed.media).status_code


def at_argocd(cluster: Cluster, token: str) -> Callable[[Deed], int]:
    return lambda deed: cluster.argocd.request(deed.method, deed.path, deed.body, token=token).status_code


def objects_of(world: Real) -> Sequence[Object]:
    if world.kind is Kind.FLUX:
        return trespass.kustomization(world.team, "web"), trespass.source(world.team, "apps")
    return (trespass.application("argocd", f"{world.team}-web"),)


# --- enough ---------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("kind", Kind)
def test_a_wait_succeeds_and_preflight_misses_nothing(guarded: Cluster, kind: Kind):
    async def scene(world: Real) -> None:
        await world.begin()
        with listening() as heard:
            found = await preflight(world)
            revision = await world.commit(deployment("v2"))
            await world.wait(revision).ends(State.SUCCEEDED, live=Live("v2"))
        assert missed(found) <= {"argocd.no_logs"}
        assert "argocd.no_logs" not in missed(found) or kind is Kind.OBJECTS
        refused = {(status, line["path"]) for line, status in answered(heard) if status in {401, 403}}
        assert not refused, "not one call that these rights do not cover"

    played(guarded, kind, "enough", scene)


async def preflight(world: Real) -> Sequence[Any]:
    application = world.application("web")
    source = Source(world.url, "main", ("apps/web/**",))
    return await world.workshop.engine(application).preflight(application, source, QUICK)


def missed(found: Sequence[Any]) -> set[str]:
    return {one.code for one in found if ".no_" in one.code} - {"flux.no_prune", "argocd.no_prune"}


def answered(heard: Record) -> Iterator[tuple[Any, int]]:
    for line in heard.sent:
        if line["id"] in heard.answers:
            yield line, heard.answers[line["id"]]["status"]


# --- not a step more ------------------------------------------------------------------------------------------------


def mark(kube: Kube, one: Object) -> None:
    """Somebody else's annotation, and a request that somebody made, so that there is something to take away."""
    mine = {"example.org/mine": "yes"} | ({} if one.kind == "Application" else {one.asks: "before"})
    kube.patch(one.kind, one.namespace, one.name, {"metadata": {"annotations": mine}})


def spec_of(kube: Kube, one: Object) -> dict[str, Any]:
    return (kube.get(one.kind, one.namespace, one.name) or {})["spec"]


@pytest.mark.parametrize("kind", [Kind.OBJECTS, Kind.FLUX])
def test_kubernetes_refuses_everything_beyond(guarded: Cluster, kind: Kind):
    async def scene(world: Real) -> None:
        await world.begin()
        await apart(attempt, world, world.vault.values[TOKEN])

    def attempt(world: Real, token: str) -> None:
        kube, stranger = guarded.kube, f"{world.team}-stranger"
        kube.namespace(stranger)
        with kube.as_token(token) as ours:
            for one in objects_of(world):
                mark(kube, one)
                assert tried(trespass.permitted(one), at_kubernetes(ours)) == {}
                assert tried(trespass.beyond(one), at_kubernetes(ours)) == {}
                assert tried(trespass.unasked(one, spec_of(kube, one)), at_kubernetes(ours)) == {}
                elsewhere = Object(one.version, one.kind, one.plural, stranger, one.name, one.asks, one.value)
                assert tried(trespass.foreign(elsewhere), at_kubernetes(ours)) == {}
                now = kube.get(one.kind, one.namespace, one.name) or {}
                assert now["metadata"]["annotations"]["example.org/mine"] == "yes"
            assert tried(trespass.cluster(world.team, stranger), at_kubernetes(ours)) == {}
        for one in objects_of(world):
            kube.patch(one.kind, one.namespace, one.name, {"metadata": {"labels": {"others": "may"}}})
        kube.delete("Namespace", "", stranger)

    played(guarded, kind, "beyond", scene)


def test_argocd_refuses_everything_beyond(guarded: Cluster):
    async def scene(world: Real) -> None:
        await world.begin()
        await apart(attempt, world, world.vault.values[TOKEN])

    def attempt(world: Real, token: str) -> None:
        kube, others = guarded.kube, f"{world.team}-others"
        guarded.argocd.project(others)
        made = objects.application("others-web", url=world.url, path="apps/web", project=others, destination=others)
        kube.apply(made)
        try:
            ours = f"{world.team}-web"
            assert tried(trespass.argocd_permitted(ours, world.team), at_argocd(guarded, token)) == {}
            refused = trespass.argocd_refused(ours, "others-web", world.team, others)
            assert tried(refused, at_argocd(guarded, token)) == {}
            listed = guarded.argocd.request("GET", "/api/v1/applications", token=token).json()["items"]
            assert [one["metadata"]["name"] for one in listed] == [ours]
            for what, seen in (("repositories", []), ("clusters", []), ("projects", [world.team])):
                shown = guarded.argocd.request("GET", f"/api/v1/{what}", token=token).json().get("items") or []
                assert [one["metadata"]["name"] for one in shown] == seen, what
        finally:
            kube.delete("Application", "argocd", "others-web")
            kube.delete("AppProject", "argocd", others)

    played(guarded, Kind.ARGOCD, "beyond", scene)


def test_the_policy_stands_whatever_rbac_grants(guarded: Cluster):
    """An administrator who is under the policy: it alone refuses."""
    kube, account = guarded.kube, "broad"
    names = ("loopseal-refresh-only", "broad-refresh-only"), ("airflow:loopseal", f"airflow:{account}")
    everything = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "namespace": rights.HOME, "name": account}],
    }
    token = guarded.token(account, rights.HOME)
    made = [*rights.documents("refresh-only-policy.yaml", *names), everything]
    for one in made:
        kube.apply(one)
    kube.namespace("broad")
    kube.apply(objects.git_repository("apps", url="https://git.test/none.git", namespace="broad", interval="10m"))
    guarded.argocd.project("broad")
    made_up = {"url": "https://git.test/none.git", "path": ".", "destination": "broad", "project": "broad"}
    kube.apply(objects.application("broad", **made_up))
    try:
        with kube.as_token(token) as ours:
            until(lambda: at_kubernetes(ours)(_relabel()) == trespass.FORBIDDEN)
            for one in (trespass.source("broad", "apps"), trespass.application("argocd", "broad")):
                mark(kube, one)
                assert tried(trespass.permitted(one), at_kubernetes(ours)) == {}
                assert tried(trespass.beyond(one), at_kubernetes(ours)) == {}
                assert tried(_writes(one, spec_of(kube, one)), at_kubernetes(ours)) == {}
            project = "/apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects/default"
            rows = [Deed("a project", "PATCH", project, {"spec": {"description": "x"}}, trespass.FORBIDDEN)]
            assert tried(rows, at_kubernetes(ours)) == {}
            assert at_kubernetes(ours)(Deed("elsewhere", "GET", "/api/v1/secrets", None, trespass.OK)) == trespass.OK
    finally:
        kube.delete("Application", "argocd", "broad")
        kube.delete("AppProject", "argocd", "broad")
        kube.delete("Namespace", "", "broad")
        for one in made:
            kube.delete(one["kind"], "", one["metadata"]["name"])


def _relabel() -> Deed:
    one = trespass.source("broad", "apps")
    return Deed("labels", "PATCH", f"{one.path}?dryRun=All", {"metadata": {"labels": {"a": "b"}}}, trespass.FORBIDDEN)


def _writes(one: Object, spec: dict[str, Any]) -> Iterator[Deed]:
    """Of what RBAC refused above, that which changes something; listing is no business of an admission policy."""
    for deed in trespass.unasked(one, spec):
        if deed.what not in {"list", "replace"} and not (
            deed.what == "the status itself" and one.kind == "Application"
        ):
            yield deed


# --- several teams --------------------------------------------------------------------------------------------------


def test_each_team_has_its_own_namespace(guarded: Cluster):
    kube, teams = guarded.kube, ("team-a", "team-b")
    for team in teams:
        kube.namespace(team)
        kube.apply(objects.git_repository("apps", url="https://git.test/none.git", namespace=team, interval="10m"))
        names = ("loopseal-refresh-only", f"{team}-refresh-only"), ("airflow:loopseal", f"airflow:loopseal-{team}")
        for one in (
            *rights.documents("team-namespaces.yaml", ("team-a", team)),
            *rights.documents("refresh-only-policy.yaml", *names),
        ):
            kube.apply(one)
    try:
        for mine, other in (teams, reversed(teams)):
            ours, theirs = trespass.source(mine, "apps"), trespass.source(other, "apps")
            mark(kube, ours)
            with kube.as_token(guarded.token(f"loopseal-{mine}", rights.HOME)) as team:
                label = {"metadata": {"labels": {"a": "b"}}}
                probe = Deed("labels", "PATCH", f"{ours.path}?dryRun=All", label, trespass.FORBIDDEN)
                ask = at_kubernetes(team)
                until(lambda ask=ask, probe=probe: ask(probe) == trespass.FORBIDDEN)
                assert tried(trespass.permitted(ours), at_kubernetes(team)) == {}
                assert tried(trespass.beyond(ours), at_kubernetes(team)) == {}
                assert tried(trespass.foreign(theirs), at_kubernetes(team)) == {}
                argocds = trespass.application("argocd", "web")
                assert tried(trespass.foreign(argocds), at_kubernetes(team)) == {}
                assert tried(trespass.cluster(mine, other), at_kubernetes(team)) == {}
    finally:
        for team in teams:
            kube.delete("ValidatingAdmissionPolicyBinding", "", f"{team}-refresh-only")
            kube.delete("ValidatingAdmissionPolicy", "", f"{team}-refresh-only")
            kube.delete("Namespace", "", team)
        kube.delete("ClusterRole", "", "loopseal-engines")


# --- needed ---------------------------------------------------------------------------------------------------------


@contextmanager
def without(cluster: Cluster, world: Real, resource: str, verb: str) -> Iterator[None]:
    """The documented Role without one of its rights, in force."""
    documented, narrowed = (rights.roles(world.kind, world.team) for _ in range(2))
    role = next(one for one in narrowed if one["kind"] == "Role")
    namespace, rules = role["metadata"]["namespace"], []
    for rule in role["rules"]:
        rest = [one for one in rule["resources"] if one != resource]
        rules += [{**rule, "resources": rest}] if rest else []
        verbs = [one for one in rule["verbs"] if one != verb]
        rules += [{**rule, "resources": [resource], "verbs": verbs}] if resource in rule["resources"] and verbs else []
    assert rules != role["rules"]
    role["rules"] = rules
    kube = cluster.kube
    for one in narrowed:
        kube.apply(one)
    group = next(rule["apiGroups"][0] for rule in documented[0]["rules"] if resource in rule["resources"])
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": verb, "group": group, "resource": resource, "namespace": namespace}},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    with kube.as_token(world.vault.values[TOKEN]) as ours:
        until(lambda: not ours.call("POST", path, review)["status"]["allowed"])
    try:
        yield
    finally:
        for one in documented:
            kube.apply(one)


def until(fits: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not fits():
        assert time.monotonic() < end, "it does not come into force"
        time.sleep(0.1)


FLUX = ("kustomizations", "gitrepositories")
NEEDED = [
    *((Kind.FLUX, resource, "get", "flux.no_get") for resource in FLUX),
    *((Kind.FLUX, resource, "watch", "flux.no_watch") for resource in FLUX),
    *((Kind.FLUX, resource, "patch", "flux.no_patch") for resource in FLUX),
    (Kind.OBJECTS, "applications", "get", "argocd.no_get"),
    (Kind.OBJECTS, "applications", "watch", "argocd.no_watch"),
    (Kind.OBJECTS, "applications", "patch", "argocd.no_patch"),
]


@pytest.mark.parametrize(("kind", "resource", "verb", "code"), NEEDED)
def test_each_right_is_needed_and_named_when_it_is_missing(
    guarded: Cluster, kind: Kind, resource: str, verb: str, code: str
):
    async def scene(world: Real) -> None:
        await world.begin()
        with listening() as heard:
            held = without(guarded, world, resource, verb)
            await apart(held.__enter__)
            try:
                await world.reopen()
                found = await preflight(world)
                [named] = [one for one in found if one.code in missed(found) - {"argocd.no_logs"}]
                assert named.code == code
                assert (named.level is Level.ERROR) == (verb == "get")
                await degraded(world, heard, verb)
            finally:
                await apart(held.__exit__, None, None, None)

    async def asking(world: Real) -> None:
        """Somebody else asks again and again: Argo CD loses a request that comes while it compares."""
        while True:
            await world.refresh()
            await asyncio.sleep(2)

    async def degraded(world: Real, heard: Record, verb: str) -> None:
        """What becomes of a wait. Without `patch` nobody but the engine's timer, or somebody else, asks."""
        revision = await world.commit(deployment("v2"))
        waiting = world.wait(revision)
        if verb == "get":  # a watch alone shows it too, and is not believed
            said = await waiting.until("ENGINE_FORBIDDEN")
            assert not said.state.final
            return
        others: asyncio.Task[None] | None = None
        if verb == "patch" and resource != "kustomizations":  # which is woken by its source, if not asked
            await apart(until, lambda: any(status == 403 and line["writes"] for line, status in answered(heard)))
            others = asyncio.create_task(asking(world))
        try:
            await waiting.ends(State.SUCCEEDED, live=Live("v2"))
        finally:
            if others is not None:
                others.cancel()
        refused = {line["verb"] for line, status in answered(heard) if status == 403}
        assert refused <= {verb}
        assert refused or resource == "kustomizations"

    played(guarded, kind, f"needed-{verb}", scene)


def test_argocds_one_right_is_needed_and_named_when_it_is_missing(guarded: Cluster):
    async def scene(world: Real) -> None:
        await world.begin()
        for policies, code in ((["logs, get"], "argocd.no_get"), (["applications, get"], "argocd.no_logs")):
            await apart(grant, world.team, policies)
            await world.reopen()
            found = await preflight(world)
            async with asyncio.timeout(_PATIENCE):
                while missed(found) != {code}:
                    await asyncio.sleep(0.2)
                    found = await preflight(world)
            [named] = [one for one in found if one.code == code]
            assert (named.level is Level.ERROR) == (code == "argocd.no_get")
        revision = await world.commit(deployment("v2"))
        await world.wait(revision).ends(State.SUCCEEDED, live=Live("v2"))

    def grant(team: str, policies: Sequence[str]) -> None:
        project = guarded.kube.get("AppProject", "argocd", team)
        assert project is not None
        [role] = project["spec"]["roles"]
        role["policies"] = [f"p, proj:{team}:loopseal, {one}, {team}/*, allow" for one in policies]
        guarded.kube.patch("AppProject", "argocd", team, {"spec": {"roles": [role]}})

    played(guarded, Kind.ARGOCD, "needed", scene)


def test_evidence_says_what_it_may_not_read(guarded: Cluster):
    async def scene(world: Real) -> None:
        await world.begin()
        kube, role = guarded.kube, ("Role", world.team, "loopseal-workloads")
        revision = await world.commit(deployment("broken"))
        verdict = await world.wait(revision).ends(State.FAILED)
        whole = dict((await world.evidence(verdict)).sections)
        assert any(title.startswith("Deployment/web") for title in whole), list(whole)
        await apart(kube.delete, *role)
        async with asyncio.timeout(_PATIENCE):
            while not any("not allowed" in text or "no right" in text for text in dict(whole).values()):
                whole = dict((await world.evidence(verdict)).sections)
                await asyncio.sleep(0.2)
        assert any(title.startswith("Kustomization") for title in whole), "what may be read is still there"

    played(guarded, Kind.FLUX, "evidence", scene)


def test_who_may_do_nothing_is_told_so(guarded: Cluster):
    with guarded.kube.as_token(guarded.token("nobody", rights.HOME)) as nobody, pytest.raises(KubeError) as caught:
        nobody.list("Application", "argocd")
    assert caught.value.status == trespass.FORBIDDEN
