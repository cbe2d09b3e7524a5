"""The demo: a Git server, an engine simulator and a real Airflow, and four acts on them.

May live here: setting the stage, the acts, what they report. May not: how it looks on a terminal (`loopseal.cli.demo`).
"""

from loopseal.testing.demo.acts import ACTS, Act, Row, run_act
from loopseal.testing.demo.stage import Stage, open_stage

__all__ = ["ACTS", "Act", "Row", "Stage", "open_stage", "run_act"]
