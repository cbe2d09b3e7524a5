"""The verbs: draft, propose, commit, observe, revert, drive, watch, show.

May live here: what a verb does with the ports, in which order, and what it records.
May not: third parties, settings files, anything that knows which adapter stands behind a port.

Every verb can be run again at any point: it reads the change's events, finds what is done, and does the rest.
"""

from loopseal.usecases.commit import commit
from loopseal.usecases.drive import OnFailure, drive
from loopseal.usecases.history import load, record
from loopseal.usecases.observe import Progress, baselines, observe
from loopseal.usecases.propose import draft, preflight, propose
from loopseal.usecases.revert import revert, revert_id
from loopseal.usecases.show import ApplicationStatus, TargetStatus, check, status
from loopseal.usecases.watch import Outlook, watch
from loopseal.usecases.world import Route, World

__all__ = [
    "ApplicationStatus",
    "OnFailure",
    "Outlook",
    "Progress",
    "Route",
    "TargetStatus",
    "World",
    "baselines",
    "check",
    "commit",
    "draft",
    "drive",
    "load",
    "observe",
    "preflight",
    "propose",
    "record",
    "revert",
    "revert_id",
    "status",
    "watch",
]
