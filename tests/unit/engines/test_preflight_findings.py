"""What preflight finds before anything is committed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loopseal.domain.revision import Tolerance
from loopseal.engines import argocd_verdict, flux_verdict, reasons
from loopseal.engines.argocd_signatures import Demand, of_metadata, of_project
from loopseal.engines.preflight import follows, touches
from loopseal.ports import Level, Signing, SigningFormat, Source
from tests.unit.engines.built_objects import (
    QUICK,
    SOURCE,
    URL,
    X,
    app,
    condition,
    kustomization,
    merged,
    release,
    repository,
)


def codes(found, level=None):
    return {one.code for one in found if level in {None, one.level}}


@pytest.fixture(autouse=True)
def _every_finding_is_in_the_table(monkeypatch):
    """Whatever a test here finds must stand in the reference, with its level or a milder one."""
    known = {code for code, _, _ in reasons.FINDINGS}

    def checked(judge):
        def wrapped(*args, **more):
            found = judge(*args, **more)
            assert codes(found) <= known
            assert [one.level for one in found] == sorted((one.level for one in found), key=list(Level).index)
            assert all(one.hint for one in found if one.level is not Level.NOTE)
            return found

        return wrapped

    monkeypatch.setattr(argocd_verdict, "preflight", checked(argocd_verdict.preflight))
    monkeypatch.setattr(flux_verdict, "preflight", checked(flux_verdict.preflight))


@pytest.mark.parametrize("tracked", ["main", "refs/heads/main"])
def test_the_branch_that_is_tracked(tracked):
    assert list(follows("argocd", tracked, "main")) == []


@pytest.mark.parametrize("tracked", ["", "HEAD"])
def test_the_default_branch_may_be_another(tracked):
    assert [one.level for one in follows("argocd", tracked, "main")] == [Level.WARNING]


@pytest.mark.parametrize(
    ("tracked", "what"),
    [
        (X, "a commit"),
        ("1.*", "a version"),
        (">=1.2", "a version"),
        ("v1.2.3", "a version"),
        ("release", "the ref"),
        ("refs/tags/v1", "the ref"),
    ],
)
def test_what_never_sees_the_branch(tracked, what):
    (found,) = follows("flux", tracked, "main")
    assert found.level is Level.ERROR
    assert what in found.message


@pytest.mark.parametrize(
    ("pattern", "folder", "meets"),
    [
        ("apps/a/values.yaml", "apps/a", True),
        ("apps/a/values.yaml", "./apps/a/", True),
        ("apps/a/values.yaml", ".", True),
        ("apps/a/values.yaml", "", True),
        ("apps/a/values.yaml", "apps", True),
        ("apps/a/values.yaml", "apps/b", False),
        ("apps/ab/values.yaml", "apps/a", False),
        ("apps/a/**", "apps/a/overlays", True),
        ("apps/*/values.yaml", "apps/a", True),
        ("apps/x*/values.yaml", "apps/a", False),
        ("**", "anything", True),
        ("/apps/a/x", "apps/a", True),
    ],
)
def test_paths_that_may_meet(pattern, folder, meets):
    assert touches([pattern], folder) is meets


class TestArgoCD:
    def found(self, over=None, source=SOURCE, tolerance=QUICK, **more):
        return argocd_verdict.preflight(app(over=over), source, tolerance, **more)

    def test_nothing_but_notes(self):
        assert codes(self.found()) == {"argocd.no_prune", "argocd.default_retry"}
        tidy = {"spec": {"syncPolicy": {"automated": {"prune": True}, "retry": {"limit": 2}}}}
        assert self.found(tidy) == ()

    def test_another_repository(self):
        found = self.found(source=Source("https://git.test/other", "main"))
        assert codes(found, Level.ERROR) == {"argocd.other_repository"}
        assert URL in found[0].message
        assert codes(argocd_verdict.preflight({}, SOURCE, QUICK), Level.ERROR) == {"argocd.other_repository"}

    def test_another_branch(self):
        assert "argocd.other_revision" in codes(
            self.found({"spec": {"source": {"targetRevision": "release"}}}), Level.ERROR
        )
        assert "argocd.default_branch" in codes(
            self.found({"spec": {"source": {"targetRevision": "HEAD"}}}), Level.WARNING
        )

    def test_another_path(self):
        elsewhere = {"spec": {"source": {"path": "apps/b"}}}
        assert "argocd.other_path" in codes(self.found(elsewhere), Level.WARNING)
        declared = merged(
            elsewhere, {"metadata": {"annotations": {"argocd.argoproj.io/manifest-generate-paths": "/apps"}}}
        )
        assert "argocd.other_path" not in codes(self.found(declared))
        values = {"spec": {"source": None, "sources": [{"repoURL": URL, "ref": "values", "targetRevision": "main"}]}}
        assert "argocd.other_path" not in codes(self.found(values))

    @pytest.mark.parametrize(
        ("over", "code", "level"),
        [
            ({"metadata": {"deletionTimestamp": "x"}}, "argocd.deleting", Level.ERROR),
            (
                {"metadata": {"annotations": {"argocd.argoproj.io/skip-reconcile": "true"}}},
                "argocd.skip_reconcile",
                Level.ERROR,
            ),
            (
                {"status": {"conditions": [{"type": "ComparisonError", "message": "no"}]}},
                "argocd.failing",
                Level.WARNING,
            ),
            ({"operation": {}}, "argocd.operation_running", Level.NOTE),
            ({"status": {"operationState": {"phase": "Running"}}}, "argocd.operation_running", Level.NOTE),
            ({"spec": {"syncPolicy": None}}, "argocd.no_auto_sync", Level.WARNING),
            ({"spec": {"syncPolicy": {"automated": {"enabled": False}}}}, "argocd.no_auto_sync", Level.WARNING),
            (
                {"spec": {"sourceHydrator": {"drySource": {"repoURL": URL, "targetRevision": "main"}}}},
                "argocd.hydrated",
                Level.NOTE,
            ),
        ],
    )
    def test_its_state(self, over, code, level):
        assert code in codes(self.found(over), level)

    def test_a_promotion_in_between(self):
        spec = {"sourceHydrator": {"drySource": {"repoURL": URL}, "hydrateTo": {"targetBranch": "next"}}}
        assert "argocd.promotion" in codes(self.found({"spec": spec}), Level.WARNING)

    def test_windows(self):
        windows = {
            "assignedWindows": [
                {"kind": "allow", "schedule": "0 2 * * *", "duration": "1h", "timeZone": "Europe/Berlin"}
            ]
        }
        found = self.found(windows=windows)
        assert "argocd.sync_window" in codes(found, Level.WARNING)
        assert "Europe/Berlin" in next(one.message for one in found if one.code == "argocd.sync_window")
        assert "argocd.sync_window" not in codes(self.found(windows={**windows, "canSync": True}))
        assert "argocd.sync_window" not in codes(self.found(windows={}))

    def test_rights(self):
        assert codes(self.found(can={"get": False}), Level.ERROR) == {"argocd.no_get"}
        assert "argocd.no_sync" not in codes(self.found(can={"sync": False}))
        manual = {"spec": {"syncPolicy": None}}
        assert "argocd.no_sync" in codes(self.found(manual, can={"sync": False}), Level.WARNING)
        assert "argocd.no_logs" in codes(self.found(can={"logs": False}), Level.NOTE)

    def test_who_syncs_when_nobody_does_it_automatically(self):
        owned = {
            "spec": {"syncPolicy": None},
            "metadata": {"ownerReferences": [{"kind": "ApplicationSet", "name": "fleet"}]},
        }
        assert "ApplicationSet fleet" in next(
            one.message for one in self.found(owned) if one.code == "argocd.no_auto_sync"
        )

    def test_impatience_makes_the_retries_harmless(self):
        assert "argocd.default_retry" not in codes(self.found(tolerance=Tolerance(failed_syncs=1)))


OURS = "85F2D0C19B7B1F0E0D2A0123456789ABCDEF0000"


class TestSignaturesOfArgoCD:
    """Argo CD verifies OpenPGP only, so some keys can never satisfy a project."""

    def found(self, signing, **spec):
        demand = of_project({"spec": spec}, URL)
        return argocd_verdict.preflight(app(), replace(SOURCE, signing=signing), QUICK, demand=demand)

    @pytest.mark.parametrize(
        ("signing", "keys", "level"),
        [
            (Signing(), ["23456789ABCDEF00"], Level.ERROR),
            (Signing(SigningFormat.SSH, "ssh-ed25519 AAAA"), ["23456789ABCDEF00"], Level.ERROR),
            (Signing(SigningFormat.OTHER), ["23456789ABCDEF00"], Level.ERROR),
            (Signing(SigningFormat.OPENPGP, OURS), ["1111111111111111"], Level.ERROR),
            (Signing(SigningFormat.OPENPGP, OURS), ["1111111111111111", "23456789abcdef0000"], None),
            (Signing(SigningFormat.OPENPGP, OURS), [OURS], None),
            (Signing(SigningFormat.SSH, "ssh-ed25519 AAAA"), [], None),
            (Signing(), [], None),
        ],
    )
    def test_keys_of_a_project(self, signing, keys, level):
        found = self.found(signing, signatureKeys=[{"keyID": key} for key in keys])
        assert {one.level for one in found if one.code == "argocd.signature"} == ({level} if level else set())
        assert all(keys[0] in one.message for one in found if one.code == "argocd.signature")

    def test_source_integrity_is_per_repository(self):
        def policy(mode, *urls):
            gpg = {"mode": mode, "keys": ["1111111111111111"]}
            return {"git": {"policies": [{"repos": [{"url": url} for url in urls], "gpg": gpg}]}}

        for mode, url, wanted in (
            ("strict", URL, True),
            ("head", "https://git.test/*", True),
            ("none", URL, False),
            ("strict", "https://elsewhere.test/*", False),
        ):
            found = self.found(Signing(), sourceIntegrity=policy(mode, url))
            assert ("argocd.signature" in codes(found, Level.ERROR)) is wanted

    @pytest.mark.parametrize(
        ("metadata", "required"),
        [
            ({}, False),
            ({"signatureInfo": ""}, False),
            ({"signatureInfo": "Revision is not signed."}, True),
            ({"sourceIntegrityResult": {"checks": []}}, True),
        ],
    )
    def test_what_a_commit_s_metadata_gives_away(self, metadata, required):
        demand = of_metadata(metadata)
        assert demand == Demand(required)
        signing = Signing(SigningFormat.OPENPGP, OURS)
        found = argocd_verdict.preflight(app(), replace(SOURCE, signing=signing), QUICK, demand=demand)
        assert ("argocd.signature_unproven" in codes(found, Level.NOTE)) is required

    def test_without_knowing_how_we_sign_nothing_is_said(self):
        demand = Demand(required=True, keys=("1111111111111111",))
        assert "argocd.signature" not in codes(argocd_verdict.preflight(app(), SOURCE, QUICK, demand=demand))

    @pytest.mark.parametrize("spec", [None, 3, {"signatureKeys": [None, {"keyID": 3}]}, {"sourceIntegrity": []}])
    def test_hostile_projects(self, spec):
        assert of_project({"spec": spec}, URL) == Demand(required=False, keys=()) or spec == {"signatureKeys": [{}]}


class TestFlux:
    def found(self, over=None, origin=None, source=SOURCE, tolerance=QUICK, **more):
        origin = repository() if origin is None else origin
        return flux_verdict.preflight(kustomization(over=over), origin, source, tolerance, **more)

    def test_nothing_to_say(self):
        assert self.found() == ()

    def test_no_source(self):
        found = flux_verdict.preflight(kustomization(), None, SOURCE, QUICK)
        assert codes(found, Level.ERROR) == {"flux.no_source"}
        assert "'src'" in found[0].message

    @pytest.mark.parametrize(
        ("over", "code"),
        [({"metadata": {"deletionTimestamp": "x"}}, "flux.deleting"), ({"spec": {"suspend": True}}, "flux.suspended")],
    )
    def test_its_state(self, over, code):
        assert codes(self.found(over), Level.ERROR) == {code}

    def test_stalled(self):
        obj = kustomization(conditions=[condition("Stalled", "True", "BuildFailed", "broken")])
        assert codes(flux_verdict.preflight(obj, repository(), SOURCE, QUICK), Level.WARNING) == {"flux.stalled"}

    def test_a_suspended_source(self):
        assert codes(self.found(origin=repository(over={"spec": {"suspend": True}})), Level.ERROR) == {
            "flux.source_suspended"
        }

    def test_another_repository(self):
        assert codes(self.found(source=Source("https://git.test/other", "main")), Level.ERROR) == {
            "flux.other_repository"
        }

    @pytest.mark.parametrize(
        ("ref", "code"),
        [
            ({"branch": "release"}, "flux.other_revision"),
            ({"branch": None}, "flux.other_revision"),
            ({"name": "refs/heads/release"}, "flux.other_revision"),
            ({"tag": "v1"}, "flux.other_revision"),
            ({"semver": ">=1"}, "flux.other_revision"),
            ({"commit": X}, "flux.other_revision"),
        ],
    )
    def test_another_ref(self, ref, code):
        assert codes(self.found(origin=repository(over={"spec": {"ref": ref}})), Level.ERROR) == {code}

    def test_the_very_branch_by_name(self):
        by_name = {"spec": {"ref": {"branch": None, "name": "refs/heads/main"}}}
        assert self.found(origin=repository(over=by_name)) == ()

    @pytest.mark.parametrize("kind", ["OCIRepository", "ExternalArtifact", "Bucket", "HelmRepository"])
    def test_a_git_commit_cannot_be_seen_there(self, kind):
        found = self.found(origin={"kind": kind, "metadata": {"name": "x"}, "spec": {}})
        assert codes(found, Level.ERROR) == {"flux.not_from_git"}
        assert kind in found[0].message

    def test_an_artefact_that_tells_its_origin(self):
        artifact = {"metadata": {"org.opencontainers.image.revision": X}}
        found = self.found(origin={"kind": "OCIRepository", "status": {"artifact": artifact}})
        assert codes(found) == {"flux.artifact_source"}

    def test_signatures(self):
        origin = repository(over={"spec": {"verify": {"mode": "HEAD", "secretRef": {"name": "keys"}}}})
        for kind, found in (
            (SigningFormat.NONE, {("flux.signature", Level.ERROR)}),
            (SigningFormat.OTHER, {("flux.signature", Level.ERROR)}),
            (SigningFormat.SSH, {("flux.signature_unproven", Level.NOTE)}),
            (SigningFormat.OPENPGP, {("flux.signature_unproven", Level.NOTE)}),
        ):
            signed = replace(SOURCE, signing=Signing(kind, "KEY"))
            assert {(one.code, one.level) for one in self.found(origin=origin, source=signed)} == found
            assert self.found(source=signed) == ()
        assert self.found(origin=origin) == ()
        tag = repository(over={"spec": {"verify": {"mode": "Tag", "secretRef": {"name": "keys"}}}})
        assert self.found(origin=tag, source=replace(SOURCE, signing=Signing())) == ()

    def test_another_path(self):
        assert codes(self.found({"spec": {"path": "./apps/b"}})) == {"flux.other_path"}

    def test_health_that_nobody_checks(self):
        unchecked = {"spec": {"wait": None}}
        assert codes(self.found(unchecked), Level.WARNING) == {"flux.health_unknown"}
        assert codes(self.found(unchecked, tolerance=Tolerance(strict_health=True))) == {"flux.health_read"}
        assert self.found({"spec": {"wait": None, "healthChecks": [{"kind": "Deployment"}]}}) == ()

    def test_notes(self):
        over = {"spec": {"prune": False, "dependsOn": [{"name": "infra"}], "kubeConfig": {"secretRef": {"name": "x"}}}}
        assert codes(self.found(over), Level.NOTE) == {"flux.no_prune", "flux.depends_on", "flux.remote_cluster"}

    def test_a_source_alone(self):
        assert flux_verdict.preflight(repository(), None, SOURCE, QUICK) == ()
        found = flux_verdict.preflight(repository(over={"spec": {"suspend": True}}), None, SOURCE, QUICK)
        assert codes(found) == {"flux.suspended"}

    def test_a_chart_from_git_must_raise_its_version(self):
        assert codes(flux_verdict.preflight(release([]), repository(), SOURCE, QUICK)) == {"flux.chart_version"}
        revision = release([], {"spec": {"chart": {"spec": {"reconcileStrategy": "Revision"}}}})
        assert flux_verdict.preflight(revision, repository(), SOURCE, QUICK) == ()
