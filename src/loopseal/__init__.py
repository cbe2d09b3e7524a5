"""loopseal: Airflow and GitOps in one closed, trusted loop.

    from loopseal import SetValue, load_settings, open_world

This flat list is what is public outside of Airflow (`loopseal.airflow` has its own); all else may change.
Nothing that does I/O is imported until it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from loopseal.domain.change import Change, Phase, replay
    from loopseal.domain.identity import Actor, ActorKind
    from loopseal.domain.proposal import (
        ABSENT,
        ANYTHING,
        Application,
        DeleteFile,
        Edit,
        Proposal,
        PutFile,
        RemoveKey,
        SetImage,
        SetValue,
        Target,
        change_id,
    )
    from loopseal.domain.revision import Relation, State, Tolerance, Verdict, relation
    from loopseal.errors import Code, ConfigError, Conflict, LoopsealError, Refused, Unreachable
    from loopseal.settings import Settings
    from loopseal.settings import load as load_settings
    from loopseal.usecases.commit import commit
    from loopseal.usecases.drive import drive
    from loopseal.usecases.observe import observe
    from loopseal.usecases.propose import draft, propose
    from loopseal.usecases.revert import revert
    from loopseal.usecases.watch import watch
    from loopseal.usecases.world import World
    from loopseal.wiring import open_world

__version__ = "0.1.0"

_HOMES: Final = {
    "loopseal.domain.change": ("Change", "Phase", "replay"),
    "loopseal.domain.identity": ("Actor", "ActorKind"),
    "loopseal.domain.proposal": (
        "ABSENT",
        "ANYTHING",
        "Application",
        "DeleteFile",
        "Edit",
        "Proposal",
        "PutFile",
        "RemoveKey",
        "SetImage",
        "SetValue",
        "Target",
        "change_id",
    ),
    "loopseal.domain.revision": ("Relation", "State", "Tolerance", "Verdict", "relation"),
    "loopseal.errors": ("Code", "ConfigError", "Conflict", "LoopsealError", "Refused", "Unreachable"),
    "loopseal.settings": ("Settings", "load_settings"),
    "loopseal.usecases": ("World", "commit", "draft", "drive", "observe", "propose", "revert", "watch"),
    "loopseal.wiring": ("open_world",),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ABSENT",
    "ANYTHING",
    "Actor",
    "ActorKind",
    "Application",
    "Change",
    "Code",
    "ConfigError",
    "Conflict",
    "DeleteFile",
    "Edit",
    "LoopsealError",
    "Phase",
    "Proposal",
    "PutFile",
    "Refused",
    "Relation",
    "RemoveKey",
    "SetImage",
    "SetValue",
    "Settings",
    "State",
    "Target",
    "Tolerance",
    "Unreachable",
    "Verdict",
    "World",
    "__version__",
    "change_id",
    "commit",
    "draft",
    "drive",
    "load_settings",
    "observe",
    "open_world",
    "propose",
    "relation",
    "replay",
    "revert",
    "watch",
]


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives when it is first used (PEP 562)."""
    home = _HOME_OF.get(name)
    if home is None:
        message = f"module 'loopseal' has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(home), name.removesuffix("_settings") if name == "load_settings" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
