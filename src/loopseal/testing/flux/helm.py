"""A minimal helm-controller. NOT held to recordings: there are none of it.

After the controller's source (v1.6): a HelmRelease becomes one Deployment named as the release, with the image
`values.image.repository:values.image.tag`; install or upgrade waits for it up to `timeout` (5m). Success is
Released=True and Ready=True; failure is Ready=False with InstallFailed or UpgradeFailed and, as retries are 0 unless
set, Stalled=True RetriesExceeded. A suspended release still has its `observedGeneration` raised. Charts are not read.
"""

from __future__ import annotations

from loopseal.testing import health, objects
from loopseal.testing.clock import LoopClock, seconds
from loopseal.testing.faults import Faults
from loopseal.testing.flux.status import Said, Writer
from loopseal.testing.flux.worker import Queue, requested
from loopseal.testing.store import Object, Store


class HelmController:
    """Reconciles every HelmRelease of the store."""

    def __init__(self, store: Store, clock: LoopClock, faults: Faults) -> None:
        self._store, self._clock = store, clock
        self._queue = Queue("HelmRelease", store, clock, faults, self._reconcile)

    async def aclose(self) -> None:
        """Stop."""
        await self._queue.aclose()

    async def _reconcile(self, item: Object, why: str) -> float | None:
        del why  # every pass is the same
        spec, metadata = item["spec"], item["metadata"]
        writer = Writer(self._store, self._clock, item)
        handled = {"lastHandledReconcileAt": requested(item)} if requested(item) else {}
        observed = {"observedGeneration": metadata["generation"], **handled}
        if spec.get("suspend"):
            writer.write({}, **observed)
            return None
        status = item.get("status") or {}
        if status.get("lastAttemptedGeneration") == metadata["generation"]:
            writer.write({}, **observed)
            return seconds(spec["interval"])
        action = "upgrade" if status.get("history") else "install"
        running = f"Running '{action}' action with timeout of {spec.get('timeout', '5m0s')}"
        progress = Said("True", "Progressing", running)
        writer.write({"Reconciling": progress, "Ready": Said("Unknown", "Progressing", running), "Stalled": None})
        version = str(spec.get("chart", {}).get("spec", {}).get("version", "0.1.0"))
        attempted = {"lastAttemptedGeneration": metadata["generation"], "lastAttemptedRevision": version}
        namespace = spec.get("targetNamespace") or metadata["namespace"]
        image = spec.get("values", {}).get("image", {})
        repository = image.get("repository", f"registry.test/{metadata['name']}")
        wanted = objects.deployment(metadata["name"], f"{repository}:{image.get('tag', 'latest')}")
        wanted["metadata"]["namespace"] = namespace
        self._store.apply(wanted)
        well = await self._well(("Deployment", namespace, metadata["name"]), seconds(spec.get("timeout", "5m")))
        release = f"{namespace}/{metadata['name']}.v{len(status.get('history') or ()) + 1}"
        row = {"name": metadata["name"], "namespace": namespace, "chartVersion": version}
        row |= {"status": "deployed" if well else "failed", "version": len(status.get("history") or ()) + 1}
        history = [row, *(status.get("history") or ())][:5]
        if well:
            done = Said("True", f"{action.capitalize()}Succeeded", f"Helm {action} succeeded for release {release}")
            writer.write({"Released": done, "Ready": done, "Reconciling": None})
        else:
            reason = f"{action.capitalize()}Failed"
            failed = Said("False", reason, f"Helm {action} failed for release {release}: context deadline exceeded")
            stalled = Said("True", "RetriesExceeded", f"Failed to {action} after 1 attempt(s)")
            writer.write({"Released": failed, "Ready": failed, "Reconciling": None, "Stalled": stalled})
        writer.write({}, history=history, **attempted, **observed)
        return seconds(spec["interval"])

    async def _well(self, key: tuple[str, str, str], limit: float) -> bool:
        end = self._clock.monotonic() + limit
        while self._clock.monotonic() < end:
            await self._clock.sleep(1.0)
            state = health.kstatus(self._store.get(*key))
            if state in {"Current", "Failed"}:
                return state == "Current"
        return False
