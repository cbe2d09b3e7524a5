"""Flux's objects, one wanted commit: revisions as they are written, every step of each judge, messages, preflight."""

from __future__ import annotations

import pytest

from loopseal.domain.revision import Action, Resource, State, Tolerance, Verdict
from loopseal.engines import flux_verdict
from loopseal.engines.flux_object import inventory_id, origin_sha, source_commit
from loopseal.engines.flux_verdict import (
    bad_resources,
    judge_helm_release,
    judge_objects,
    judge_source,
    questions,
    reads_objects,
    revisions,
    sha_of,
    with_dependency,
)
from tests.unit.engines.built_objects import (
    FORK,
    QUICK,
    STRANGE,
    FluxWaiter,
    P,
    X,
    Y,
    Z,
    ask,
    at,
    condition,
    failing,
    kustomization,
    merged,
    progressing,
    release,
    repository,
    rev,
)

LONG = "c0ffee" + "0" * 58


STALLED = (
    "health check failed after 1.2s: failed early due to stalled resources: [Deployment/ns/web status: 'Failed', "
    "Job/ns/mig status: 'InProgress': context, deadline [x] exceeded, ClusterRole/reader:view status: 'Unknown']"
)


def told(verdict):
    return verdict.state, verdict.reason


@pytest.mark.parametrize(
    ("written", "commit"),
    [
        (f"main@sha1:{X}", X),
        (f"feature/x@sha1:{X}", X),
        (f"odd@sha1:name@sha1:{X}", X),
        (f"v1.2@sha1:{X}", X),
        (f"sha1:{X}", X),
        (f"refs/heads/main@sha1:{X}", X),
        (f"main/{X}", X),
        (f"feature/x/{X}", X),
        (f"main@sha256:{LONG}", LONG),
        (f"sha256:{LONG}", LONG),
        ("1.2.3", ""),
        ("1.2.3+0123456789ab", ""),
        (f"main@sha1:{LONG}", ""),
        (f"main@sha256:{X}", ""),
        (X, ""),
        (f"main@sha1:{X}\n", ""),
        (f"main@sha1:{X[:-1]}", ""),
        ("", ""),
    ],
)
def test_the_commit_in_a_revision(written, commit):
    assert sha_of(written) == commit


def test_an_origin_may_be_a_bare_commit():
    assert origin_sha(X) == X
    assert origin_sha(rev(X)) == X
    assert origin_sha("latest") == ""


class TestSource:
    def judged(self, obj, wanted=X, tolerance=QUICK, **more):
        return judge_source(obj, wanted, ask, tolerance, **more)

    @pytest.mark.parametrize(
        ("obj", "expected"),
        [
            (repository(X), (State.SUCCEEDED, "ARTIFACT_AT_COMMIT")),
            (repository(Y), (State.SUCCEEDED, "ARTIFACT_AT_COMMIT")),
            (repository(P), (State.PENDING, "NOT_FETCHED")),
            (repository(STRANGE), (State.PENDING, "ANCESTRY_UNKNOWN")),
            (repository(FORK), (State.PENDING, "NOT_FETCHED")),
            (
                repository(P, [condition("FetchFailed", "True", message="no such host")]),
                (State.PENDING, "FETCH_FAILED"),
            ),
            (repository(P, [condition("Stalled", "True", "URLInvalid")]), (State.FAILED, "URLInvalid")),
            (repository(P, [condition("Stalled", "True", "not a reason")]), (State.FAILED, "STALLED")),
            (repository(P, over={"status": {"artifact": None}}), (State.PENDING, "NOT_FETCHED")),
            ({}, (State.PENDING, "NOT_FETCHED")),
            (repository(X, over={"metadata": {"deletionTimestamp": at(0)}}), (State.FAILED, "SOURCE_DELETING")),
        ],
    )
    def test_one_look(self, obj, expected):
        assert told(self.judged(obj)) == expected

    def test_exact(self):
        assert told(self.judged(repository(Y), tolerance=Tolerance(exact=True))) == (State.SUPERSEDED, "LATER_COMMIT")

    def test_a_refused_signature_counts_after_our_request_was_answered(self):
        unsigned = repository(P, [condition("SourceVerified", "False", "InvalidCommitSignature", "no matching key")])
        assert told(self.judged(unsigned)) == (State.PENDING, "NOT_FETCHED")
        said = self.judged(unsigned, acknowledged=True)
        assert told(said) == (State.FAILED, "SIGNATURE_REJECTED")
        assert said.message == "no matching key"

    @pytest.mark.parametrize(
        ("refused", "expected"),
        [
            (X, (State.FAILED, "SIGNATURE_REJECTED")),
            (Y, (State.FAILED, "SIGNATURE_REJECTED_AT_LATER_COMMIT")),
            (P, (State.PENDING, "NOT_FETCHED")),
            (STRANGE, (State.FAILED, "SIGNATURE_REJECTED")),
        ],
    )
    def test_whose_signature_is_refused(self, refused, expected):
        text = f"signature verification of commit '{refused}' failed: unsupported signature type: empty"
        obj = repository(P, [condition("SourceVerified", "False", "InvalidCommitSignature", text)])
        assert told(self.judged(obj, acknowledged=True)) == expected
        assert refused in flux_verdict.revisions(obj)

    def test_a_chart_tells_the_commit_it_was_packed_from(self):
        chart = {
            "kind": "HelmChart",
            "status": {"artifact": {"revision": "1.2.3"}, "observedSourceArtifactRevision": rev(X)},
        }
        assert told(self.judged(chart)) == (State.SUCCEEDED, "ARTIFACT_AT_COMMIT")
        assert told(self.judged(chart, Y)) == (State.PENDING, "NOT_FETCHED")
        assert source_commit({key: value for key, value in chart.items() if key != "kind"}) == X

    @pytest.mark.parametrize("kind", ["OCIRepository", "ExternalArtifact", "Bucket"])
    def test_an_artefact_counts_only_by_its_origin(self, kind):
        artifact = {"revision": f"latest@sha256:{LONG}"}
        obj = {"kind": kind, "status": {"artifact": artifact}}
        assert told(self.judged(obj)) == (State.PENDING, "ORIGIN_UNKNOWN")
        told_by = merged(obj, {"status": {"artifact": {"metadata": {"org.opencontainers.image.revision": rev(X)}}}})
        assert told(self.judged(told_by)) == (State.SUCCEEDED, "ARTIFACT_AT_COMMIT")


class TestKustomization:
    @pytest.mark.parametrize(
        ("obj", "expected"),
        [
            (kustomization(X), (State.SUCCEEDED, "APPLIED")),
            (kustomization(Y), (State.SUCCEEDED, "APPLIED")),
            (kustomization(P), (State.PENDING, "NOT_ATTEMPTED")),
            (progressing(P), (State.PENDING, "NOT_ATTEMPTED")),
            (progressing(X), (State.PENDING, "PROGRESSING")),
            (progressing(X, X), (State.PENDING, "RECONCILING")),
            (failing(P), (State.PENDING, "OLDER_REVISION_FAILING")),
            (failing(X), (State.PENDING, "FAILED_ONCE_HealthCheckFailed")),
            (failing(P, "ArtifactFailed"), (State.PENDING, "ARTIFACT_FAILED")),
            (failing(X, "nonsense!"), (State.PENDING, "FAILED_ONCE_FAILED")),
            (kustomization(X, conditions=[]), (State.PENDING, "RECONCILING")),
            (kustomization(X, over={"metadata": {"generation": 4}}), (State.PENDING, "RECONCILING")),
            (kustomization(X, over={"status": {"observedGeneration": 2}}), (State.PENDING, "RECONCILING")),
            (kustomization(X, over={"metadata": {"generation": None}}), (State.PENDING, "RECONCILING")),
            (kustomization(P, X), (State.PENDING, "PROGRESSING")),
            ({}, (State.PENDING, "NOT_ATTEMPTED")),
            (
                kustomization(X, conditions=[condition("Stalled", "True", "InvalidCELExpression")]),
                (State.FAILED, "InvalidCELExpression"),
            ),
        ],
    )
    def test_one_look(self, obj, expected):
        assert told(FluxWaiter().sees(obj)) == expected

    def test_success_needs_to_last_for_the_settle_time(self):
        waiter = FluxWaiter(tolerance=Tolerance(settle=10))
        assert told(waiter.sees(kustomization(X), 0)) == (State.PENDING, "SETTLING")
        assert told(waiter.sees(kustomization(X), 10)) == (State.SUCCEEDED, "APPLIED")
        waiter.sees(failing(X), 11)
        assert told(waiter.sees(kustomization(X), 12)) == (State.PENDING, "SETTLING")

    def test_it_went_back(self):
        waiter = FluxWaiter()
        assert told(waiter.sees(kustomization(Y))) == (State.SUCCEEDED, "APPLIED")
        said = waiter.sees(kustomization(P))
        assert told(said) == (State.REGRESSED, "REVISION_WENT_BACK")
        assert said.action is Action.NUDGE

    def test_failed_after_so_many_passes(self):
        waiter = FluxWaiter(tolerance=Tolerance(failed_passes=3))
        for number in range(2):
            said = waiter.sees(failing(X, "BuildFailed", changed=at(number)))
            assert told(said) == (State.PENDING, "FAILED_ONCE_BuildFailed")
            waiter.sees(progressing(X))
        assert told(waiter.sees(failing(X, "BuildFailed", changed=at(2)))) == (State.FAILED, "BuildFailed")

    def test_an_impossible_number_of_passes_still_ends(self):
        waiter = FluxWaiter(tolerance=Tolerance(failed_passes=10_000))
        states = [waiter.sees(failing(X, changed=at(number))).state for number in range(25)]
        assert states[-1] is State.FAILED
        assert len(waiter.memory) < 4096

    def test_an_oci_source_counts_by_the_origin_of_what_was_applied(self):
        applied = f"latest@sha256:{LONG}"
        over = {
            "spec": {"sourceRef": {"kind": "OCIRepository"}},
            "status": {"lastAppliedRevision": applied, "lastAttemptedRevision": applied},
        }
        obj = kustomization(X, over=over)
        assert told(FluxWaiter(LONG).sees(obj)) == (State.PENDING, "NOT_ATTEMPTED")
        with_origin = merged(obj, {"status": {"lastAppliedOriginRevision": rev(X)}})
        assert told(FluxWaiter().sees(with_origin)) == (State.SUCCEEDED, "APPLIED")
        moving = merged(with_origin, {"status": {"lastAttemptedRevision": "latest@sha256:" + "1" * 64}})
        assert told(FluxWaiter().sees(moving)) == (State.PENDING, "NOT_ATTEMPTED")

    def test_an_inventory_is_read_as_it_is_written(self):
        assert inventory_id("ns_web_apps_Deployment") == Resource("Deployment", "web", "ns", "apps")
        assert inventory_id("_reader__view_rbac.authorization.k8s.io_ClusterRole") == Resource(
            "ClusterRole", "reader:view", "", "rbac.authorization.k8s.io"
        )
        assert inventory_id("ns_settings__ConfigMap") == Resource("ConfigMap", "settings", "ns", "")
        assert inventory_id("nonsense") is None
        entries = [{"id": "ns_web_apps_Deployment", "v": "v1"}, {"id": "x"}, "y"]
        obj = kustomization(over={"status": {"inventory": {"entries": entries}}})
        assert [one.name for one in flux_verdict.inventory(obj)] == ["web"]

    def test_a_dependency_is_told_as_the_reason(self):
        waits = FluxWaiter().sees(failing(P, "DependencyNotReady", "dependency 'team/infra' is not ready"))
        assert told(waits) == (State.PENDING, "DependencyNotReady")
        bad = (Resource("Deployment", "db", status="Failed"),)
        failed = with_dependency(
            waits, "team/infra", Verdict(State.FAILED, "HealthCheckFailed", "too late", resources=bad)
        )
        assert told(failed) == (State.FAILED, "DEPENDENCY_FAILED")
        assert failed.message == "waits for team/infra: HealthCheckFailed: too late"
        assert failed.resources == bad
        blocked = with_dependency(waits, "team/infra", Verdict(State.BLOCKED, "SUSPENDED"))
        assert told(blocked) == (State.BLOCKED, "DEPENDENCY_BLOCKED")
        pending = with_dependency(waits, "team/infra", Verdict(State.PENDING, "PROGRESSING"))
        assert told(pending) == (State.PENDING, "DependencyNotReady")
        done = FluxWaiter().sees(kustomization())
        assert with_dependency(done, "team/infra", failed) is done


class TestObjects:
    """Health read from the objects themselves, where Flux does not look."""

    STRICT = Tolerance(settle=0, strict_health=True, degraded_grace=60)
    WEB = Resource("Deployment", "web", "ns", "apps")

    def live(self, available):
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), available)
        conditions = [{"type": "Available", "status": "True" if available else "False"}]
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "generation": 1},
            "spec": {"replicas": 1},
            "status": {"observedGeneration": 1, **counts, "conditions": conditions},
        }

    def unchecked(self):
        return kustomization(over={"spec": {"wait": None}})

    def test_they_are_wanted_only_when_strict_and_unchecked(self):
        assert reads_objects(self.unchecked(), self.STRICT)
        assert not reads_objects(kustomization(), self.STRICT)
        assert not reads_objects(self.unchecked(), QUICK)
        assert not reads_objects(
            merged(self.unchecked(), {"spec": {"healthChecks": [{"kind": "Deployment"}]}}), self.STRICT
        )

    def test_ready_is_applied_and_the_objects_decide(self):
        waiter = FluxWaiter(tolerance=self.STRICT)
        assert told(waiter.sees(self.unchecked())) == (State.PENDING, "HEALTH_NOT_CHECKED")
        assert told(waiter.sees(self.unchecked(), objects=[(self.WEB, None)])) == (State.PENDING, "OBJECTS_NOT_READY")
        rolling = waiter.sees(self.unchecked(), objects=[(self.WEB, self.live(0))])
        assert told(rolling) == (State.PENDING, "OBJECTS_NOT_READY")
        assert str(rolling.resources[0]).startswith("Deployment/ns/web InProgress")
        assert told(waiter.sees(self.unchecked(), objects=[(self.WEB, self.live(1))])) == (State.SUCCEEDED, "APPLIED")

    def test_a_failed_object_is_a_failure_after_its_grace(self):
        stalled = merged(
            self.live(0), {"status": {"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}}
        )
        waiter = FluxWaiter(tolerance=self.STRICT)
        objects = [(self.WEB, stalled)]
        assert told(waiter.sees(self.unchecked(), 0, objects=objects)) == (State.PENDING, "OBJECTS_FAILED")
        assert told(waiter.sees(self.unchecked(), 30, objects=[(self.WEB, self.live(0))])) == (
            State.PENDING,
            "OBJECTS_NOT_READY",
        )
        assert told(waiter.sees(self.unchecked(), 61, objects=objects)) == (State.PENDING, "OBJECTS_FAILED")
        assert told(waiter.sees(self.unchecked(), 121, objects=objects)) == (State.FAILED, "OBJECTS_FAILED")

    def test_none_at_all_is_fine(self):
        assert judge_objects([], 0.0, self.STRICT) is None


class TestHelmRelease:
    READY = condition("Ready", "True", "UpgradeSucceeded")

    @pytest.mark.parametrize(
        ("obj", "expected"),
        [
            (release([READY]), (State.SUCCEEDED, "UpgradeSucceeded")),
            (release([condition("Ready", "True", generation=2)]), (State.PENDING, "Because")),
            (release([]), (State.PENDING, "NO_STATUS")),
            (release([condition("Ready", "False", "DependencyNotReady")]), (State.PENDING, "DependencyNotReady")),
            (release([condition("Ready", "False", "UpgradeFailed")]), (State.PENDING, "UpgradeFailed")),
            (
                release(
                    [condition("Ready", "False", "UpgradeFailed"), condition("Remediated", "True", "RollbackSucceeded")]
                ),
                (State.FAILED, "UpgradeFailed"),
            ),
            (release([condition("Ready", "False", "RollbackSucceeded")]), (State.FAILED, "RollbackSucceeded")),
            (release([condition("Ready", "False", "UninstallSucceeded")]), (State.FAILED, "UninstallSucceeded")),
            (
                release(
                    [condition("Ready", "False", "UpgradeFailed"), condition("Stalled", "True", "RetriesExceeded")]
                ),
                (State.FAILED, "RetriesExceeded"),
            ),
            (
                release(
                    [
                        condition("Ready", "False", "InstallFailed"),
                        condition("Stalled", "True", "RetriesExceeded", generation=2),
                    ]
                ),
                (State.PENDING, "InstallFailed"),
            ),
            (release([READY], {"metadata": {"deletionTimestamp": at(0)}}), (State.FAILED, "DELETING")),
            ({}, (State.PENDING, "NO_STATUS")),
        ],
    )
    def test_one_look(self, obj, expected):
        assert told(judge_helm_release(obj, QUICK)) == expected

    def test_a_rollback_of_an_older_generation_is_not_ours(self):
        obj = release([condition("Ready", "False", "RollbackSucceeded")], {"status": {"lastAttemptedGeneration": 2}})
        said = judge_helm_release(obj, QUICK)
        assert told(said) == (State.PENDING, "RollbackSucceeded")
        assert said.action is Action.NUDGE

    def test_the_chart_of_the_commit_must_have_been_tried(self):
        obj = release([self.READY], {"status": {"lastAttemptedRevision": "1.2.3+abc"}})
        assert told(judge_helm_release(obj, QUICK, chart_revision="1.2.3+abc")) == (State.SUCCEEDED, "UpgradeSucceeded")
        assert told(judge_helm_release(obj, QUICK, chart_revision="v1.2.3+abc")) == (
            State.SUCCEEDED,
            "UpgradeSucceeded",
        )
        assert told(judge_helm_release(obj, QUICK, chart_revision="1.2.4")) == (State.PENDING, "UpgradeSucceeded")

    def test_values_from_elsewhere_need_our_request_to_be_answered(self):
        assert judge_helm_release(release([self.READY]), QUICK, config_token="t").state is State.PENDING
        answered = release([self.READY], {"status": {"lastHandledReconcileAt": "t"}})
        assert judge_helm_release(answered, QUICK, config_token="t").state is State.SUCCEEDED


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (
            "health check failed after 30.01s: timeout waiting for: [Deployment/ns/web status: 'InProgress']",
            ["Deployment/ns/web InProgress"],
        ),
        (
            STALLED,
            [
                "Deployment/ns/web Failed",
                "Job/ns/mig InProgress: context, deadline [x] exceeded",
                "ClusterRole/reader:view Unknown",
            ],
        ),
        (
            'Deployment/ns/web dry-run failed (Invalid): Deployment.apps "web" is invalid: spec.replicas: must be >= 0\n',
            [
                'Deployment/ns/web dry-run failed (Invalid): Deployment.apps "web" is invalid: spec.replicas: must be >= 0'
            ],
        ),
        ("Namespace/x apply failed: forbidden", ["Namespace/x apply failed: forbidden"]),
        ("Widget.acme.io/ns/w not found: no matches for kind", ["Widget.acme.io/ns/w not found: no matches for kind"]),
        ("can't determine status for Widget/ns/w", ["Widget/ns/w Unknown"]),
        ("dependency 'ns/infra' is not ready", []),
        ("", []),
        ("timeout waiting for: [", []),
    ],
)
def test_the_objects_that_a_message_names(message, named):
    assert [str(one) for one in bad_resources(message)] == named


def test_a_message_without_end_is_cut_and_quick():
    hostile = "timeout waiting for: [" + "A/b/c status: 'x': " * 100_000
    assert len(bad_resources(hostile)) <= 50
    assert bad_resources("Kind/" * 100_000 + " dry-run failed") == ()


def test_revisions_and_questions_name_all_that_a_judge_asks_for():
    asked = set()

    def listening(one, other):
        asked.add((one, other))
        return ask(one, other)

    memory = {"reached": [Z]}
    obj = progressing(Y, X)
    flux_verdict.judge_kustomization(obj, Z, listening, 0.0, memory, QUICK)
    assert revisions(obj) == {X, Y}
    assert revisions(repository(P)) == {P}
    assert revisions({}) == frozenset()
    assert {pair for pair in asked if pair[0] != pair[1]} <= questions(obj, Z, memory)
