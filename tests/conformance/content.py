"""What the scenarios put into their repository: one Deployment in `apps/NAME`, and what may be wrong with it."""

from __future__ import annotations

from typing import Any, Final

import yaml

from loopseal.testing import objects

MANIFEST: Final = "apps/web/web.yaml"
IMAGE: Final = "spec.template.spec.containers[0].image"
DEADLINE: Final = 4
"""Seconds until a rollout that makes no progress has failed."""

REFUSED: Final = "conformance.test/refused"
"""A label that the admission policy of both worlds refuses."""
REFUSAL: Final = "no such label here"
"""What the admission policy says about it."""

NOT_YAML: Final = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  : {{{ not yaml\n"


def image(tag: str) -> str:
    """`registry.test/web:TAG`; how a rollout of it ends is told by the tag."""
    return f"registry.test/web:{tag}"


def deployment(tag: str, app: str = "web", *, labels: dict[str, str] | None = None) -> dict[str, str | None]:
    """A commit with this image."""
    made: dict[str, Any] = objects.deployment(app, image(tag), deadline=60 if tag == "slow" else DEADLINE)
    if labels:
        made["metadata"]["labels"] = labels
    return {f"apps/{app}/web.yaml": yaml.safe_dump(made, sort_keys=False)}


def failing_job(hook: str = "") -> dict[str, str | None]:
    """A Job that fails, as a hook of Argo CD where `hook` names one."""
    return {"apps/web/smoke.yaml": yaml.safe_dump(objects.job("smoke", image("fail"), hook=hook), sort_keys=False)}
