"""A make-believe kubelet with the controllers for Deployments and Jobs: rollouts that end as their image tag says.

| tag of the image | Deployment | Job |
|---|---|---|
| `broken` | never available; after `progressDeadlineSeconds` its rollout has failed | never ends |
| `slow` | available after 8 s | done after 8 s |
| `fail` | as `broken` | fails after 2 s |
| any other | available after 0.2 s | done after 2 s |

Old replicas stay until the new ones are available, and a Deployment that cannot pull gets a Pod and an Event that say
so. Without an image (`replicas: 0`, no containers) all is well at once.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, Final

from loopseal.testing.clock import LoopClock
from loopseal.testing.store import Change, Object, Store

NEVER: Final = float("inf")


def tag(item: Object) -> str:
    """The tag of the first container's image."""
    containers = item["spec"].get("template", {}).get("spec", {}).get("containers") or [{}]
    image = str(containers[0].get("image", ""))
    return image.rpartition(":")[2] if ":" in image.rpartition("/")[2] else "latest"


def rollout_takes(item: Object) -> float:
    """Seconds until the new replicas are available."""
    return {"broken": NEVER, "fail": NEVER, "slow": 8.0}.get(tag(item), 0.2)


def job_takes(item: Object) -> float:
    """Seconds until the Job's pod has ended."""
    return {"broken": NEVER, "slow": 8.0}.get(tag(item), 2.0)


class Workloads:
    """Watches Deployments and Jobs in a store and writes their status. One task per object and generation."""

    def __init__(self, store: Store, clock: LoopClock) -> None:
        self._store, self._clock = store, clock
        self._tasks: dict[tuple[str, str, str], asyncio.Task[None]] = {}
        self._stop = store.listen(self._changed)

    async def aclose(self) -> None:
        """Stop every rollout where it is."""
        self._stop()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _changed(self, change: Change) -> None:
        item = change.object
        if item["kind"] not in {"Deployment", "Job"}:
            return
        key = (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])
        if change.type == "DELETED":
            if task := self._tasks.pop(key, None):
                task.cancel()
            return
        known = (item.get("status") or {}).get("observedGeneration") == item["metadata"]["generation"]
        if known or (key in self._tasks and self._tasks[key].get_name() == _run_name(item)):
            return
        if task := self._tasks.get(key):
            task.cancel()
        work = self._rollout if item["kind"] == "Deployment" else self._run_job
        self._tasks[key] = asyncio.get_running_loop().create_task(work(item), name=_run_name(item))

    async def _rollout(self, item: Object) -> None:
        started, wanted = self._clock.monotonic(), item["spec"].get("replicas", 1)
        old = int((item.get("status") or {}).get("availableReplicas", 0))
        takes = rollout_takes(item) if wanted else 0.0
        template = hashlib.sha256(str(item["spec"].get("template")).encode()).hexdigest()[:10]
        await self._clock.sleep(0.03)
        self._status(item, _counts(old, wanted, ready=False), "NewReplicaSetCreated", template)
        deadline = float(item["spec"].get("progressDeadlineSeconds", 600))
        if takes == NEVER:
            self._complain(item, template)
        if takes > deadline:
            await self._clock.sleep(deadline)
            self._status(item, _counts(old, wanted, ready=False), "ProgressDeadlineExceeded", template)
            if takes == NEVER:
                return
        await self._clock.sleep(max(0.0, started + takes - self._clock.monotonic()))
        self._status(item, _counts(old, wanted, ready=True), "NewReplicaSetAvailable", template)

    def _status(self, item: Object, counts: dict[str, int], reason: str, template: str) -> None:
        available = reason == "NewReplicaSetAvailable" or counts.get("availableReplicas", 0) > 0
        conditions = [
            {
                "type": "Available",
                "status": str(available),
                "reason": "MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable",
                "message": f"Deployment {'has' if available else 'does not have'} minimum availability.",
            },
            {
                "type": "Progressing",
                "status": str(reason != "ProgressDeadlineExceeded"),
                "reason": reason,
                "message": _PROGRESS[reason].format(f"{item['metadata']['name']}-{template}"),
            },
        ]
        now = self._clock.stamp()
        stamped = [{**one, "lastTransitionTime": now, "lastUpdateTime": now} for one in conditions]
        self._write(item, {**counts, "conditions": stamped})

    async def _run_job(self, item: Object) -> None:
        await self._clock.sleep(0.05)
        self._write(item, {"active": 1, "ready": 0, "startTime": self._clock.stamp()})
        takes = job_takes(item)
        if takes == NEVER:
            return
        await self._clock.sleep(takes)
        if tag(item) == "fail":
            reason, kind = "BackoffLimitExceeded", "Failed"
            message = "Job has reached the specified backoff limit"
            counts: dict[str, Any] = {"failed": 1}
        else:
            reason, kind, message = "CompletionsReached", "Complete", "Reached expected number of succeeded pods"
            counts = {"succeeded": 1, "completionTime": self._clock.stamp()}
        done = {"type": kind, "status": "True", "reason": reason, "message": message}
        self._write(item, {**counts, "conditions": [{**done, "lastTransitionTime": self._clock.stamp()}]})

    def _write(self, item: Object, status: dict[str, Any]) -> None:
        metadata = item["metadata"]
        now = self._store.get(item["kind"], metadata.get("namespace", ""), metadata["name"])
        if now is not None and now["metadata"]["uid"] == metadata["uid"]:
            self._store.update({**now, "status": {"observedGeneration": metadata["generation"], **status}})

    def _complain(self, item: Object, template: str) -> None:
        """The Pod that cannot start and the Event that tells why: what evidence is made of."""
        namespace, name = item["metadata"].get("namespace", ""), item["metadata"]["name"]
        image = item["spec"]["template"]["spec"]["containers"][0].get("image", "")
        pod, text = f"{name}-{template}-x", f'Failed to pull image "{image}": not found'
        self._store.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": pod, "namespace": namespace, "labels": {"app": name}},
                "spec": {"containers": [{"name": name, "image": image}]},
                "status": {
                    "phase": "Pending",
                    "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
                    "containerStatuses": [
                        {"name": name, "state": {"waiting": {"reason": "ImagePullBackOff", "message": text}}}
                    ],
                },
            }
        )
        self._store.apply(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"{pod}.1", "namespace": namespace},
                "involvedObject": {"kind": "Pod", "namespace": namespace, "name": pod},
                "type": "Warning",
                "reason": "Failed",
                "message": text,
                "lastTimestamp": self._clock.stamp(),
            }
        )


_PROGRESS: Final = {
    "NewReplicaSetCreated": 'Created new replica set "{}"',
    "NewReplicaSetAvailable": 'ReplicaSet "{}" has successfully progressed.',
    "ProgressDeadlineExceeded": 'ReplicaSet "{}" has timed out progressing.',
}


def _run_name(item: Object) -> str:
    return f"{item['metadata']['uid']}/{item['metadata']['generation']}"


def _counts(old: int, wanted: int, *, ready: bool) -> dict[str, int]:
    if ready:
        return {"replicas": wanted, "updatedReplicas": wanted, "readyReplicas": wanted, "availableReplicas": wanted}
    kept = min(old, wanted)
    return {
        "replicas": wanted + kept,
        "updatedReplicas": wanted,
        "readyReplicas": kept,
        "availableReplicas": kept,
        "unavailableReplicas": wanted,
    }
