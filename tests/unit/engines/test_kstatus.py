"""The status of Kubernetes objects, kind by kind, after kstatus's own tables."""

from __future__ import annotations

import pytest

from loopseal.engines.kstatus import CURRENT, FAILED, IN_PROGRESS, TERMINATING, UNKNOWN, status


def obj(api, kind, spec=None, **fields):
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": "x", "generation": 1},
        "spec": spec or {},
        "status": fields,
    }


def conditions(**given):
    return [
        {"type": kind, "status": value[0], "reason": value[1], "message": f"{kind} {value[1]}"}
        for kind, value in given.items()
    ]


def deployment(replicas=2, *, available="True", progressing="NewReplicaSetAvailable", seen=1, **counts):
    have = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"), replicas) | counts
    told = conditions(Available=(available, "MinimumReplicas"), Progressing=("True", progressing))
    return obj("apps/v1", "Deployment", {"replicas": replicas}, observedGeneration=seen, conditions=told, **have)


def stateful(replicas=2, spec=None, **counts):
    have = dict.fromkeys(("replicas", "readyReplicas", "currentReplicas", "updatedReplicas"), replicas)
    revisions = {"currentRevision": "r1", "updateRevision": "r1"}
    return obj(
        "apps/v1",
        "StatefulSet",
        {"replicas": replicas, **(spec or {})},
        observedGeneration=1,
        **{**have, **revisions, **counts},
    )


def daemon(**counts):
    have = dict.fromkeys(
        (
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberReady",
        ),
        3,
    )
    return obj("apps/v1", "DaemonSet", **{"observedGeneration": 1, **have, **counts})


def replica_set(replicas=2, **counts):
    have = dict.fromkeys(("replicas", "fullyLabeledReplicas", "availableReplicas", "readyReplicas"), replicas)
    return obj("apps/v1", "ReplicaSet", {"replicas": replicas}, observedGeneration=1, **{**have, **counts})


def partition(number):
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": number}}}


CASES = [
    ("deployment", deployment(), CURRENT),
    ("deployment-none-wanted", deployment(0), CURRENT),
    ("deployment-deadline", deployment(progressing="ProgressDeadlineExceeded"), FAILED),
    ("deployment-few", deployment(replicas=2, availableReplicas=1), IN_PROGRESS),
    ("deployment-old-pods", deployment(replicas=2) | {"spec": {"replicas": 1}}, IN_PROGRESS),
    ("deployment-not-updated", deployment(updatedReplicas=1), IN_PROGRESS),
    ("deployment-not-ready", deployment(readyReplicas=1), IN_PROGRESS),
    ("deployment-not-available", deployment(available="False"), IN_PROGRESS),
    ("deployment-old-generation", deployment(seen=0), IN_PROGRESS),
    ("deployment-not-seen", deployment(seen=None), IN_PROGRESS),
    ("deployment-fresh", obj("apps/v1", "Deployment"), IN_PROGRESS),
    ("stateful-set", stateful(), CURRENT),
    ("stateful-set-on-delete", stateful(readyReplicas=0, spec={"updateStrategy": {"type": "OnDelete"}}), CURRENT),
    ("stateful-set-few", stateful(readyReplicas=1), IN_PROGRESS),
    ("stateful-set-many", stateful(replicas=2) | {"spec": {"replicas": 1}}, IN_PROGRESS),
    ("stateful-set-current", stateful(currentReplicas=1), IN_PROGRESS),
    ("stateful-set-revision", stateful(updateRevision="r2"), IN_PROGRESS),
    ("stateful-set-partition", stateful(updatedReplicas=1, updateRevision="r2", spec=partition(1)), CURRENT),
    ("stateful-set-partition-behind", stateful(updatedReplicas=0, spec=partition(1)), IN_PROGRESS),
    ("daemon-set", daemon(), CURRENT),
    ("daemon-set-behind", daemon(updatedNumberScheduled=1), IN_PROGRESS),
    ("daemon-set-not-scheduled", daemon(desiredNumberScheduled=None), IN_PROGRESS),
    ("daemon-set-not-seen", daemon(observedGeneration=None), IN_PROGRESS),
    ("replica-set", replica_set(), CURRENT),
    ("replica-set-few", replica_set(availableReplicas=1), IN_PROGRESS),
    ("replica-set-many", replica_set(2) | {"spec": {"replicas": 1}}, IN_PROGRESS),
    ("replica-set-refused", replica_set(conditions=conditions(ReplicaFailure=("True", "FailedCreate"))), IN_PROGRESS),
    ("pod-done", obj("v1", "Pod", phase="Succeeded"), CURRENT),
    ("pod-failed", obj("v1", "Pod", phase="Failed", message="OOM"), FAILED),
    ("pod-ready", obj("v1", "Pod", phase="Running", conditions=conditions(Ready=("True", ""))), CURRENT),
    ("pod-running", obj("v1", "Pod", phase="Running"), IN_PROGRESS),
    (
        "pod-crashing",
        obj(
            "v1",
            "Pod",
            phase="Running",
            containerStatuses=[{"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
        ),
        FAILED,
    ),
    ("pod-pending", obj("v1", "Pod", phase="Pending"), IN_PROGRESS),
    (
        "pod-unschedulable",
        obj("v1", "Pod", phase="Pending", conditions=conditions(PodScheduled=("False", "Unschedulable"))),
        FAILED,
    ),
    ("pod-odd", obj("v1", "Pod", phase="Odd"), IN_PROGRESS),
    ("claim-bound", obj("v1", "PersistentVolumeClaim", phase="Bound"), CURRENT),
    ("claim-pending", obj("v1", "PersistentVolumeClaim", phase="Pending"), IN_PROGRESS),
    ("service", obj("v1", "Service", {"type": "ClusterIP"}), CURRENT),
    ("load-balancer-without-address", obj("v1", "Service", {"type": "LoadBalancer"}), IN_PROGRESS),
    (
        "load-balancer",
        obj("v1", "Service", {"type": "LoadBalancer"}, loadBalancer={"ingress": [{"ip": "192.0.2.1"}]}),
        CURRENT,
    ),
    ("job-started", obj("batch/v1", "Job", active=1, startTime="x"), IN_PROGRESS),
    ("job-complete", obj("batch/v1", "Job", conditions=conditions(Complete=("True", ""))), CURRENT),
    ("job-failed", obj("batch/v1", "Job", conditions=conditions(Failed=("True", "BackoffLimitExceeded"))), FAILED),
    ("job-suspended", obj("batch/v1", "Job", conditions=conditions(Suspended=("True", ""))), IN_PROGRESS),
    ("cron-job", obj("batch/v1", "CronJob"), CURRENT),
    ("config-map", obj("v1", "ConfigMap"), CURRENT),
    ("secret", obj("v1", "Secret"), CURRENT),
    ("budget", obj("policy/v1", "PodDisruptionBudget", observedGeneration=1), CURRENT),
    ("budget-not-seen", obj("policy/v1", "PodDisruptionBudget"), IN_PROGRESS),
    (
        "definition",
        obj("apiextensions.k8s.io/v1", "CustomResourceDefinition", conditions=conditions(Established=("True", ""))),
        CURRENT,
    ),
    ("definition-new", obj("apiextensions.k8s.io/v1", "CustomResourceDefinition"), IN_PROGRESS),
    (
        "definition-installing",
        obj(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            conditions=conditions(Established=("False", "Installing")),
        ),
        IN_PROGRESS,
    ),
    (
        "definition-refused",
        obj(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            conditions=conditions(NamesAccepted=("False", "Conflict")),
        ),
        FAILED,
    ),
    (
        "definition-broken",
        obj("apiextensions.k8s.io/v1", "CustomResourceDefinition", conditions=conditions(Established=("False", "Bad"))),
        FAILED,
    ),
    ("custom-ready", obj("acme.io/v1", "Widget", conditions=conditions(Ready=("True", ""))), CURRENT),
    ("custom-not-ready", obj("acme.io/v1", "Widget", conditions=conditions(Ready=("False", ""))), IN_PROGRESS),
    ("custom-unknown", obj("acme.io/v1", "Widget", conditions=conditions(Ready=("Unknown", ""))), IN_PROGRESS),
    ("custom-silent", obj("acme.io/v1", "Widget"), CURRENT),
    ("custom-stalled", obj("acme.io/v1", "Widget", conditions=conditions(Stalled=("True", "Broken"))), FAILED),
    (
        "custom-busy",
        obj("acme.io/v1", "Widget", conditions=conditions(Reconciling=("True", ""), Stalled=("True", ""))),
        IN_PROGRESS,
    ),
    ("flux-without-status", obj("helm.toolkit.fluxcd.io/v2", "HelmRelease"), IN_PROGRESS),
    ("same-name-other-group", obj("acme.io/v1", "Deployment"), CURRENT),
    ("not-an-object", {}, UNKNOWN),
    ("going", {"metadata": {"deletionTimestamp": "x"}}, TERMINATING),
]


@pytest.mark.parametrize(
    ("given", "expected"), [(given, expected) for _, given, expected in CASES], ids=[one[0] for one in CASES]
)
def test_status(given, expected):
    said = status(given)
    assert said.status == expected
    assert said.message or expected == CURRENT


def test_the_message_tells_how_far_it_is():
    assert status(deployment(availableReplicas=1)).message == "availableReplicas: 1/2"
    assert (
        status(obj("batch/v1", "Job", conditions=conditions(Failed=("True", "DeadlineExceeded")))).message
        == "Failed DeadlineExceeded"
    )
