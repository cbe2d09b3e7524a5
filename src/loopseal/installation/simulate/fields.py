"""Fields of the workloads' kinds, as far as a misspelt one must be told from a known one.

Source: the API reference of Kubernetes 1.36 (apps/v1, batch/v1, core/v1). What the API server does not know it drops
with a warning, so that Argo CD sees a difference for ever (recorded: the sync succeeds and the application stays
OutOfSync, with `Validate=false` too).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from loopseal.installation.manifests import Manifest

_SPECS: Final = {
    "Deployment": (
        "minReadySeconds paused progressDeadlineSeconds replicas revisionHistoryLimit selector strategy template"
    ),
    "StatefulSet": (
        "minReadySeconds ordinals persistentVolumeClaimRetentionPolicy podManagementPolicy replicas "
        "revisionHistoryLimit selector serviceName template updateStrategy volumeClaimTemplates"
    ),
    "DaemonSet": "minReadySeconds revisionHistoryLimit selector template updateStrategy",
    "ReplicaSet": "minReadySeconds replicas selector template",
    "Job": (
        "activeDeadlineSeconds backoffLimit backoffLimitPerIndex completionMode completions managedBy manualSelector "
        "maxFailedIndexes parallelism podFailurePolicy podReplacementPolicy selector successPolicy suspend template "
        "ttlSecondsAfterFinished"
    ),
    "CronJob": (
        "concurrencyPolicy failedJobsHistoryLimit jobTemplate schedule startingDeadlineSeconds "
        "successfulJobsHistoryLimit suspend timeZone"
    ),
}
_POD: Final = (
    "activeDeadlineSeconds affinity automountServiceAccountToken containers dnsConfig dnsPolicy enableServiceLinks "
    "ephemeralContainers hostAliases hostIPC hostNetwork hostPID hostUsers hostname hostnameOverride imagePullSecrets "
    "initContainers nodeName nodeSelector os overhead preemptionPolicy priority priorityClassName readinessGates "
    "resourceClaims resources restartPolicy runtimeClassName schedulerName schedulingGates securityContext "
    "serviceAccount serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain terminationGracePeriodSeconds "
    "tolerations topologySpreadConstraints volumes workloadRef schedulingGroup"
)
_CONTAINER: Final = (
    "args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe resizePolicy "
    "resources restartPolicy restartPolicyRules securityContext startupProbe stdin stdinOnce terminationMessagePath "
    "terminationMessagePolicy tty volumeDevices volumeMounts workingDir"
)
_KNOWN_SPECS: Final = {kind: frozenset(words.split()) for kind, words in _SPECS.items()}
_KNOWN_POD, _KNOWN_CONTAINER = frozenset(_POD.split()), frozenset(_CONTAINER.split())


def unknown(manifest: Manifest) -> Iterator[str]:
    """The paths of fields that the API server will drop from a workload, in order."""
    known = _KNOWN_SPECS.get(manifest.kind)
    if known is not None:
        yield from (f"spec.{name}" for name in manifest.spec if name not in known)
    where = "spec" if manifest.kind == "Pod" else "spec.template.spec"
    yield from (f"{where}.{name}" for name in manifest.pod if name not in _KNOWN_POD)
    for container in manifest.containers:
        yield from (f"{where}.containers.{name}" for name in container if name not in _KNOWN_CONTAINER)
