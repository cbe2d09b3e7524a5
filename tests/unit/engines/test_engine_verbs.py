"""What engines do besides waiting: preflight, baseline, status, act, evidence, links and the connection test."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from typing import Any

import pytest

from loopseal.domain.proposal import Application
from loopseal.domain.revision import Resource, State, Tolerance, Verdict
from loopseal.engines import argocd, flux
from loopseal.engines.argocd_sync import busy, pinned, under_way
from loopseal.engines.evidence import MAX_BYTES, MAX_SECTION, Bundle, events, hidden, readable
from loopseal.errors import Code, ConfigError, Refused, Unreachable
from loopseal.ports import Level, Signing, SigningFormat, Source
from loopseal.settings import EngineSettings
from loopseal.testing import objects
from loopseal.testing.clock import LoopClock, run
from loopseal.testing.cluster import User
from tests.unit.engines.worlds import QUICK, SOURCE, URL, Vault, argo, deployment, fluxcd, last, settings_map

BOTH = pytest.mark.parametrize("objects_only", [False, True], ids=["rest", "objects"])
PLANTED = "s3cr3t-planted-value"


@BOTH
def test_preflight_reads_only_and_finds_nothing_against_a_good_target(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only) as world:
            found = await world.engine.preflight(world.app, SOURCE, QUICK)
            assert Level.ERROR not in {one.level for one in found}
            assert {method for method, path, _ in world.wire.calls if "accessreview" not in path} == {"GET"}
            assert world.wire.count("GET", "/applications/a", refresh="normal") == 0

    run(main)


@BOTH
def test_preflight_tells_what_can_never_arrive(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only) as world:
            for source, code in (
                (Source("https://git.test/other.git", "main"), "argocd.other_repository"),
                (Source(URL, "release"), "argocd.other_revision"),
            ):
                errors = [
                    one.code
                    for one in await world.engine.preflight(world.app, source, QUICK)
                    if one.level is Level.ERROR
                ]
                assert errors == [code]

    run(main)


@pytest.mark.parametrize(
    ("how", "kind", "key", "found"),
    [
        ("objects", SigningFormat.SSH, "ssh-ed25519 AAAA", {"argocd.signature"}),
        ("objects", SigningFormat.OPENPGP, "0123456789ABCDEF", set()),
        ("ops", SigningFormat.OPENPGP, "0123456789ABCDEF", set()),
        ("ops", SigningFormat.OPENPGP, "FFFFFFFFFFFFFFFF", {"argocd.signature"}),
        ("bot", SigningFormat.SSH, "ssh-ed25519 AAAA", {"argocd.signature"}),
        ("bot", SigningFormat.OPENPGP, "FFFFFFFFFFFFFFFF", {"argocd.signature_unproven"}),
    ],
)
def test_preflight_knows_which_signatures_the_project_wants(
    how: str, kind: SigningFormat, key: str, found: set[str]
) -> None:
    """`bot` may look at applications only: that is enough to see that a project wants signatures, not which."""

    async def main() -> None:
        async with argo(objects_only=how == "objects", quiet=True) as world:
            world.vault.values["env:ARGO"] = f"{how}-token"
            world.peer.store.create(objects.project("default", signatureKeys=[{"keyID": "0123456789ABCDEF"}]))
            world.git.commit({"apps/a/settings.yaml": settings_map("2")}, signer="0123456789ABCDEF")
            world.peer.create("a", url=URL, path="apps/a")
            await asyncio.sleep(5)
            signed = replace(SOURCE, signing=Signing(kind, key))
            told = await world.engine.preflight(world.app, signed, QUICK)
            assert {one.code for one in told if "signature" in one.code} == found
            assert not [one for one in await world.engine.preflight(world.app, SOURCE, QUICK) if "sign" in one.code]

    run(main)


def test_a_project_without_keys_takes_any_signature() -> None:
    async def main() -> None:
        async with argo() as world:
            signed = replace(SOURCE, signing=Signing(SigningFormat.SSH, "ssh-ed25519 AAAA"))
            assert not [one for one in await world.engine.preflight(world.app, signed, QUICK) if "sign" in one.code]
            assert world.wire.count("GET", "/api/v1/projects/") == 0

    run(main)


def test_preflight_of_what_is_missing_or_forbidden() -> None:
    async def main() -> None:
        async with argo() as world:
            nobody = Application("argo", "nobody")
            (missing,) = await world.engine.preflight(nobody, SOURCE, QUICK)
            assert (missing.level, missing.code) == (Level.ERROR, "argocd.missing")
            (awaited,) = await world.engine.preflight(nobody, SOURCE, replace(QUICK, create_grace=60.0))
            assert awaited.level is Level.NOTE
        async with argo() as world:
            world.vault.values["env:ARGO"] = "blind-token"
            (forbidden,) = await world.engine.preflight(world.app, SOURCE, QUICK)
            assert (forbidden.level, forbidden.code) == (Level.ERROR, "argocd.no_get")
            world.peer.faults.revoked.add("blind-token")
            with pytest.raises(Refused) as caught:
                await world.engine.preflight(world.app, SOURCE, QUICK)
            assert caught.value.code is Code.ENGINE_AUTHENTICATION
            world.peer.faults.kill()
            with pytest.raises(Unreachable):
                await world.engine.preflight(world.app, SOURCE, QUICK)

    run(main)


def test_preflight_asks_everything_at_once() -> None:
    async def main() -> None:
        async with argo() as world:
            world.peer.faults.slow = 1.5
            began = asyncio.get_running_loop().time()
            await world.engine.preflight(world.app, SOURCE, QUICK)
            assert asyncio.get_running_loop().time() - began < 2.0

    run(main)


def test_preflight_of_flux() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            assert not await world.engine.preflight(world.app, SOURCE, QUICK)
            (error,) = [
                one
                for one in await world.engine.preflight(world.app, Source(URL, "release"), QUICK)
                if one.level is Level.ERROR
            ]
            assert error.code == "flux.other_revision"
            (missing,) = await world.engine.preflight(Application("eu1", "nobody"), SOURCE, QUICK)
            assert missing.code == "flux.missing"
            world.peer.store.delete("GitRepository", "flux-system", "src")
            found = await world.engine.preflight(world.app, SOURCE, QUICK)
            assert "flux.no_source" in {one.code for one in found}
        async with fluxcd(users={"blind": User("blind", ())}, token="blind") as world:
            (forbidden,) = await world.engine.preflight(world.app, SOURCE, QUICK)
            assert forbidden.code == "flux.no_get"

    run(main)


@BOTH
def test_baseline_and_status_are_plain_json(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only, public_url="https://argo.example.com/") as world:
            baseline = await world.engine.baseline(world.app)
            assert json.loads(json.dumps(baseline)) == baseline
            assert baseline["revisions"] == [world.git.tip]
            status = await world.engine.status(world.app)
            assert json.loads(json.dumps(status)) == status
            assert (status["revision"], status["sync"], status["health"]) == (world.git.tip, "Synced", "Healthy")
            assert status["url"] == "https://argo.example.com/applications/argocd/a"
            nobody = Application("argo", "nobody")
            assert await world.engine.baseline(nobody) == {}
            assert await world.engine.status(nobody) == {}

    run(main)


def test_a_baseline_that_is_newer_makes_going_back_known() -> None:
    async def main() -> None:
        async with argo() as world:
            old = world.git.tip
            world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            await world.verdicts()
            baseline = await world.engine.baseline(world.app)
            app = world.peer.application("a")
            sync = {**app["status"]["sync"], "revision": old}
            await world.peer.stop_controller()
            world.peer.store.patch("Application", "argocd", "a", {"status": {"sync": sync}})
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("3")})
            asyncio.get_running_loop().call_later(30, lambda: asyncio.ensure_future(world.peer.restart_controller()))
            verdicts = await world.until(revision, "REVISION_WENT_BACK", baseline=baseline)
            assert verdicts[-1].state is State.REGRESSED

    run(main)


def test_status_of_flux() -> None:
    async def main() -> None:
        async with fluxcd(public_url="https://headlamp.example.com/") as world:
            status = await world.engine.status(world.app)
            assert (status["revision"], status["health"]) == (world.git.tip, "Ready")
            assert status["url"] == "https://headlamp.example.com"
            assert (await world.engine.status(Application("eu1", "src", kind="GitRepository")))[
                "revision"
            ] == world.git.tip
            assert await world.engine.status(Application("eu1", "nobody")) == {}
            assert await world.engine.baseline(Application("eu1", "nobody")) == {}

    run(main)


@BOTH
def test_act_with_automated_sync_is_a_refresh(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only) as world:
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            assert await world.engine.act(world.app, revision) == "refresh"
            await asyncio.sleep(3)
            assert world.peer.application("a")["status"]["sync"]["revision"] == revision
            assert world.wire.count("POST", "/sync") == 0

    run(main)


@BOTH
def test_act_without_automated_sync_syncs_the_very_commit(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only, quiet=True) as world:
            world.vault.values["env:ARGO"] = "ops-token"
            world.peer.create("a", url=URL, path="apps/a", manual=True)
            await asyncio.sleep(3)
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            waiting = asyncio.ensure_future(world.verdicts(revision))
            await asyncio.sleep(2)
            assert await world.engine.act(world.app, revision) == "sync"
            assert await world.engine.act(world.app, revision) == "running"
            assert last(await waiting) == (State.SUCCEEDED, "HEALTHY")
            operation = world.peer.application("a")["status"]["operationState"]["operation"]
            assert operation["sync"]["revision"] == revision
            assert {"name": "loopseal", "value": "loopseal"} in operation["info"]

    run(main)


@BOTH
def test_act_leaves_another_s_operation_to_end(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only, quiet=True) as world:
            world.vault.values["env:ARGO"] = "ops-token"
            hook = objects.job("slow", "registry.test/job:slow", hook="PreSync")
            first = world.git.commit({"apps/a/hook.yaml": json.dumps(hook)})
            world.peer.create("a", url=URL, path="apps/a", manual=True)
            await asyncio.sleep(3)
            assert await world.engine.act(world.app, first) == "sync"
            second = world.git.commit({"apps/a/settings.yaml": settings_map("2"), "apps/a/hook.yaml": None})
            began = asyncio.get_running_loop().time()
            assert await world.engine.act(world.app, second) == "sync"
            assert asyncio.get_running_loop().time() - began > 5
            history = world.peer.application("a")["status"]["history"]
            assert [one["revision"] for one in history] == [first]

    run(main)


def test_act_that_argo_refuses() -> None:
    async def main() -> None:
        async with argo(quiet=True) as world:
            world.peer.create("a", url=URL, path="apps/a", manual=True)
            await asyncio.sleep(3)
            with pytest.raises(Refused) as caught:
                await world.engine.act(world.app, world.git.tip)
            assert caught.value.code is Code.ENGINE_FORBIDDEN
            with pytest.raises(Refused) as caught:
                await world.engine.act(Application("argo", "nobody"))
            assert caught.value.code is Code.ENGINE_NOT_FOUND

    run(main)


def test_act_on_flux() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            revision = world.git.commit({"apps/a/settings.yaml": settings_map("2")})
            assert await world.engine.act(world.app, revision) == "reconcile"
            await asyncio.sleep(5)
            assert (await world.engine.status(world.app))["revision"] == revision
            world.peer.store.patch("GitRepository", "flux-system", "src", {"spec": {"suspend": True}})
            for app in (world.app, Application("eu1", "nobody")):
                with pytest.raises(Refused):
                    await world.engine.act(app)

    run(main)


A, B = "a" * 40, "b" * 40


def test_a_revision_of_several_sources_is_pinned_where_it_is_shown() -> None:
    app = {"spec": {"sources": [{}, {}, {}]}, "status": {"sync": {"revisions": [A, B, A]}}}
    assert pinned({"spec": {"source": {"path": "x"}}}, A) == {"revision": A}
    assert pinned(app, A) == {"revisions": [A, A], "sourcePositions": [1, 3]}
    assert pinned(app, "") == {}
    with pytest.raises(Refused):
        pinned(app, "c" * 40)


def test_when_an_application_is_busy() -> None:
    running = {"status": {"operationState": {"phase": "Running", "operation": {"sync": {"revision": A}}}}}
    assert busy(running)
    assert busy({"operation": {}})
    assert not busy({"status": {"operationState": {"phase": "Succeeded"}}})
    assert under_way(running, A)
    assert not under_way(running, B)
    assert not under_way(running, "")


def test_evidence_of_a_failure_names_what_failed() -> None:
    async def main() -> None:
        async with argo() as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:broken", deadline=4)})
            verdict = (await world.verdicts(revision))[-1]
            evidence = await world.engine.evidence(world.app, verdict)
            told = dict(evidence.sections)
            assert "web" in told["resources"]
            assert "Deployment" in told["unhealthy"]
            assert evidence.links[0] == ("application", "http://argocd.test/applications/argocd/a")

    run(main)


@BOTH
def test_evidence_never_raises(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only) as world:
            verdict = Verdict(State.FAILED, "DEGRADED", observed=world.git.tip)
            assert (await world.engine.evidence(Application("argo", "nobody"), verdict)).sections
            assert (await world.engine.evidence(world.app, verdict)) is not None
            world.peer.faults.kill()
            world.peer.cluster.faults.kill()
            sections = (await world.engine.evidence(world.app, verdict)).sections
            assert {title for title, _ in sections} == {"verdict", "not available"}

    run(main)


def test_evidence_of_flux() -> None:
    async def main() -> None:
        async with fluxcd() as world:
            revision = world.git.commit({"apps/a/web.yaml": deployment("web:broken", deadline=4)})
            verdict = (await world.verdicts(revision))[-1]
            sections = dict((await world.engine.evidence(world.app, verdict)).sections)
            assert "HealthCheckFailed" in sections["Kustomization flux-system/a"]
            assert revision in sections["GitRepository flux-system/src"]
            assert "web" in sections["verdict"]
            named = Resource("Deployment", "web", "a")
            nobody = Application("eu1", "nobody")
            assert (await world.engine.evidence(nobody, replace(verdict, resources=(named,)))).sections
            world.peer.faults.kill()
            sections = dict((await world.engine.evidence(world.app, verdict)).sections)
            assert set(sections) == {"verdict", "not available"}

    run(main)


def test_evidence_is_bounded_and_free_of_secrets() -> None:
    bundle = Bundle()
    for number in range(100):
        bundle.add(f"section {number}", f"password={PLANTED} " + "é" * MAX_SECTION)
        bundle.link(f"link {number}", f"https://example.com/{number}?token={PLANTED}")
    bundle.link("bad", "javascript:alert(1)")
    bundle.add("empty", "  ")
    sealed = bundle.sealed()
    size = sum(len(part.encode()) for pair in (*sealed.sections, *sealed.links) for part in pair)
    assert MAX_BYTES * 0.9 < size <= MAX_BYTES
    assert PLANTED not in repr(sealed)
    assert all(url.startswith("https://") for _, url in sealed.links)
    assert "empty" not in dict(sealed.sections)
    tail = Bundle()
    tail.add("log", "begin " + "x" * 2 * MAX_SECTION + " end")
    assert tail.sealed().sections[0][1].endswith(" end")


def test_what_secrets_hold_is_taken_out() -> None:
    secret = {"kind": "Secret", "data": {"a": PLANTED}, "stringData": {"b": PLANTED}, "metadata": {"name": "s"}}
    shown = readable({"items": [secret, {"spec": {"dbPassword": PLANTED, "managedFields": 1}}]})
    assert PLANTED not in shown
    assert '"name": "s"' in shown
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    assert "…" in json.dumps(hidden(deep), ensure_ascii=False)


def test_events_are_told_newest_last_and_few() -> None:
    found = [{"lastTimestamp": f"2026-01-01T00:00:{number:02}Z", "reason": f"r{number}"} for number in range(60)]
    shown = events(reversed(found)).splitlines()
    assert len(shown) == 20
    assert "r59" in shown[-1]


@BOTH
def test_the_connection_test_says_who_answers(objects_only: bool) -> None:
    async def main() -> None:
        async with argo(objects_only=objects_only) as world:
            found = await world.engine.check()
            assert [one.level for one in found if one.code == "argocd.version"] == [Level.NOTE]
            world.peer.faults.kill()
            world.peer.cluster.faults.kill()
            assert [one.level for one in await world.engine.check()] == [Level.ERROR]

    run(main)


def test_the_connection_test_tells_a_bad_token_and_missing_rights() -> None:
    async def main() -> None:
        async with argo() as world:
            world.vault.values["env:ARGO"] = "nobody"
            (error,) = await world.engine.check()
            assert (error.level, error.code) == (Level.ERROR, Code.ENGINE_AUTHENTICATION)
        async with argo() as world:
            world.vault.values["env:ARGO"] = "blind-token"
            assert "argocd.rights" in {one.code for one in await world.engine.check()}
        async with fluxcd(token="nobody") as world:
            (error,) = await world.engine.check()
            assert error.level is Level.ERROR
        async with fluxcd() as world:
            world.vault.values.clear()
            (error,) = await world.engine.check()
            assert error.code == Code.CONFIG_SECRET
            evidence = await world.engine.evidence(world.app, Verdict(State.FAILED, "x"))
            assert [title for title, _ in evidence.sections] == ["verdict", "not available"]

    run(main)


@pytest.mark.parametrize(
    "url",
    ["http://argocd.example.com", "ftp://x", "argocd.example.com", "https://me:secret@argocd.example.com", "https://"],
)
def test_addresses_that_a_credential_may_not_go_to(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        argocd.Engine(EngineSettings("argocd", url=url), name="argo", secrets=Vault(), clock=LoopClock())
    assert caught.value.where == "engines.argo.url"
    assert "secret" not in caught.value.diagnostics()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://[::1]", "http://localhost/argo", "https://argocd.test"]
)
def test_addresses_that_it_may_go_to(url: str) -> None:
    async def main() -> None:
        engine = argocd.Engine(EngineSettings("argocd", url=url), name="argo", secrets=Vault(), clock=LoopClock())
        assert engine.link(Application("argo", "a/b")) == f"{url}/applications/argocd/a%2Fb"
        await engine.aclose()

    asyncio.run(main())


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "lightkube"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lightkube", None)

    async def main() -> None:
        for kubeconfig, url in (("env:CONFIG", ""), ("", "https://kubernetes.test")):
            settings = EngineSettings("flux", kubeconfig=kubeconfig, url=url)
            engine = flux.Engine(settings, name="eu1", secrets=Vault({"env:CONFIG": "{}"}), clock=LoopClock())
            with pytest.raises(ConfigError) as caught:
                await engine.status(Application("eu1", "a"))
            assert caught.value.code is Code.CONFIG_EXTRA_MISSING
            assert "pip install 'loopseal[kubernetes]'" in caught.value.hint
            await engine.aclose()

    asyncio.run(main())


def test_only_what_needs_it_imports_lightkube() -> None:
    code = (
        "import sys, loopseal.engines.argocd, loopseal.engines.flux;"
        "print([name for name in sys.modules if name.startswith('lightkube')])"
    )

    async def main() -> bytes:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
        return (await process.communicate())[0]

    assert asyncio.run(main()).strip() == b"[]"


def test_no_token_is_in_any_object_s_text() -> None:
    async def main() -> None:
        async with argo() as world:
            await world.verdicts(tolerance=Tolerance(settle=0.0))
            assert "bot-token" not in repr(vars(world.engine)) + repr(vars(world.engine._applications))

    run(main)
