"""The plugin of this provider: macros that read what an upstream change did.

Airflow imports this module in every component, so nothing is imported here that Airflow has not loaded anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.plugins_manager import AirflowPlugin


def revision(outcome: Mapping[str, Any] | None) -> str:
    """The commit of an upstream change: ``{{ macros.loopseal.revision(ti.xcom_pull('deploy_model')) }}``.

    `outcome` is what a change's task returned; empty when there is none or it has not landed.
    """
    return str((outcome or {}).get("revision") or "")


class LoopsealPlugin(AirflowPlugin):
    """Registers the macros as ``macros.loopseal.…``."""

    name = "loopseal"
    macros = [revision]  # noqa: RUF012 - Airflow declares it as an instance's list
