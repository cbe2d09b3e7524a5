"""The demo: a Git server, an engine and a real Airflow, and four acts on them.

May live here: setting the stage, the acts, what they report. May not: how it looks on a terminal (`loopseal.cli.demo`).
The engine is a simulator, or whatever a `Cast` starts.
"""

from loopseal.testing.demo.acts import ACTS, Act, Row, run_act
from loopseal.testing.demo.stage import (
    APPLICATIONS,
    FILES,
    SIMULATED,
    Cast,
    Running,
    Site,
    Stage,
    open_stage,
    private,
)

__all__ = [
    "ACTS",
    "APPLICATIONS",
    "FILES",
    "SIMULATED",
    "Act",
    "Cast",
    "Row",
    "Running",
    "Site",
    "Stage",
    "open_stage",
    "private",
    "run_act",
]
