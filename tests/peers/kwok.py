"""A kubelet that does not exist (kwok): pods on its one node come up, fail or get stuck as the tag of their image says.

:broken   never becomes ready (ImagePullBackOff): a Deployment never becomes available, a Job never ends
:slow     is ready after 8 s
:fail     ends with phase Failed (a Job with `backoffLimit: 0` then fails)
else      ready at once; the pod of a Job succeeds half a second later
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tests.peers.kube import Kube, Object
from tests.peers.ports import HOST, Ports
from tests.peers.processes import Command

NODE: Final = "node-0"
SLOW: Final = 8_000
"""Milliseconds until a pod with the tag `slow` is ready."""

_TAG: Final = '.spec.containers[0].image | split(":") | last'
_READY: Final = '.status.conditions.[] | select(.type == "Ready") | .status'
_NOW: Final = "{{ Now | Quote }}"


def command(folder: Path, ports: Ports, admin: Path, kube: Kube) -> Command:
    """kwok with our stages; ready when the node is."""
    config = folder / "kwok.yaml"
    config.write_text("\n---\n".join(map(json.dumps, stages())))
    argv = [
        "kwok",
        f"--kubeconfig={admin}",
        f"--config={config}",
        "--manage-all-nodes=true",
        "--node-lease-duration-seconds=40",  # without a lease the node, and then all its pods, turn NotReady
        f"--node-ip={HOST}",
        "--cidr=10.244.0.0/16",
        f"--server-address={ports.address('kwok')}",
    ]
    return Command("kwok", argv, lambda: _is_up(kube) and _serves(folder, ports))


def node() -> Object:
    """The node that kwok plays."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {"type": "kwok"}}}


def stages() -> list[Object]:
    """kwok's rules, in its own language (kwok.x-k8s.io/v1alpha1 Stage)."""
    alive = _expect(".metadata.deletionTimestamp", "DoesNotExist")
    pending, running = (_expect(".status.phase", "In", phase) for phase in ("Pending", "Running"))
    fresh = _expect(".status.containerStatuses.[0].name", "DoesNotExist")
    unready = _expect(_READY, "NotIn", "True")
    ordinary = _expect(_TAG, "NotIn", "broken", "slow", "fail")
    up = f"{{running: {{startedAt: {_NOW}}}}}"
    stuck = '{waiting: {reason: ImagePullBackOff, message: "image tag does not exist"}}'
    either = _expect(".status.phase", "In", "Pending", "Running")
    job = _expect(".metadata.ownerReferences.[].kind", "In", "Job")
    gone = _expect(".metadata.deletionTimestamp", "Exists")
    return [
        _stage("pod-ready", "Pod", [alive, either, unready, ordinary], _pod("Running", up, ready=True)),
        _stage("pod-slow", "Pod", [alive, pending, fresh, _tagged("slow")], _pod("Running", up, ready=True), SLOW),
        _stage("pod-stuck", "Pod", [alive, pending, fresh, _tagged("broken")], _pod("Pending", stuck, ready=False)),
        _stage("pod-fail", "Pod", [alive, pending, _tagged("fail")], _pod("Failed", _ended(1, "Error"), ready=False)),
        _stage("pod-done", "Pod", [alive, running, job], _pod("Succeeded", _ended(0, "Completed"), ready=False), 500),
        _stage("pod-delete", "Pod", [gone], {"delete": True}),
        _stage("node-up", "Node", [unready], {"statusTemplate": _NODE_STATUS}),
    ]


def _stage(name: str, kind: str, when: list[Object], then: Object, delay: int = 0) -> Object:
    spec: dict[str, Any] = {
        "resourceRef": {"apiGroup": "v1", "kind": kind},
        "selector": {"matchExpressions": when},
        "next": then,
    }
    if delay:
        spec["delay"] = {"durationMilliseconds": delay}
    return {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage", "metadata": {"name": name}, "spec": spec}


def _expect(key: str, operator: str, *values: str) -> Object:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def _tagged(tag: str) -> Object:
    return _expect(_TAG, "In", tag)


def _ended(code: int, reason: str) -> str:
    return f"{{terminated: {{exitCode: {code}, reason: {reason}, startedAt: {_NOW}, finishedAt: {_NOW}}}}}"


def _pod(phase: str, state: str, *, ready: bool) -> Object:
    """A pod's status, as a Go template of YAML."""
    flags = {"Initialized": True, "Ready": ready, "ContainersReady": ready}
    conditions = "\n".join(
        f'- {{type: {kind}, status: "{flag}", lastTransitionTime: {_NOW}}}' for kind, flag in flags.items()
    )
    container = "name: {{ .name | Quote }}, image: {{ .image | Quote }}, restartCount: 0"
    return {
        "statusTemplate": f"""\
phase: {phase}
conditions:
{conditions}
containerStatuses:
{{{{ range .spec.containers }}}}
- {{{container}, ready: {str(ready).lower()}, state: {state}}}
{{{{ end }}}}
podIP: {{{{ PodIP | Quote }}}}
hostIP: {HOST}
startTime: {{{{ .metadata.creationTimestamp | Quote }}}}
"""
    }


_NODE_STATUS: Final = """\
phase: Running
conditions:
{{ range NodeConditions }}
- type: {{ .type | Quote }}
  status: {{ .status | Quote }}
  reason: {{ .reason | Quote }}
  message: {{ .message | Quote }}
  lastHeartbeatTime: {{ Now | Quote }}
  lastTransitionTime: {{ Now | Quote }}
{{ end }}
allocatable: {cpu: 64, memory: 256Gi, pods: 500}
capacity: {cpu: 64, memory: 256Gi, pods: 500}
"""


def _is_up(kube: Kube) -> bool:
    found = kube.get("Node", "", NODE) or {}
    conditions = found.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _serves(folder: Path, ports: Ports) -> bool:
    """After a restart the node's old status says Ready at once: kwok itself has to answer as well."""
    from tests.peers.control_plane import http_ok

    return http_ok(f"http://{ports.address('kwok')}/healthz")()
