"""What this Airflow says about loopseal: the section `[loopseal]` of its configuration, and the settings file.

Each option is described in `get_provider_info`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loopseal.airflow import compat

if TYPE_CHECKING:
    from loopseal.settings import Settings

_read: dict[tuple[str, int, int], Settings] = {}


def option(name: str) -> str:
    """One option of the section, or an empty string."""
    return str(compat.configuration().get("loopseal", name, fallback="") or "").strip()


def check_targets() -> bool:
    """Whether Dags are checked against the declared targets while they are parsed."""
    return bool(compat.configuration().getboolean("loopseal", "check_targets", fallback=True))


def require_target_for() -> frozenset[str]:
    """Tags of Dags whose tasks must name a declared target; `*` stands for all Dags."""
    return frozenset(_listed("require_target_for"))


def restrict_labels() -> frozenset[tuple[str, str]]:
    """Labels (name, value) of targets that only Dags tagged with the value may use."""
    pairs = (part.partition("=") for part in _listed("restrict_labels"))
    return frozenset((name.strip(), value.strip()) for name, _, value in pairs)


def _listed(name: str) -> list[str]:
    return [part.strip() for part in option(name).split(",") if part.strip()]


def instance() -> str:
    """Who this Airflow is, as the issuer of its tasks' identities."""
    return option("instance") or str(compat.configuration().get("api", "base_url", fallback="") or "") or "airflow"


def settings_path() -> str | None:
    """The settings file that Airflow's configuration names; None leaves it to LOOPSEAL_CONFIG."""
    return option("config") or None


def load_settings() -> Settings:
    """The settings tree, read anew when the file has changed. Raises ConfigError."""
    from loopseal import settings

    path = settings_path()
    if path is None:
        return settings.load()
    try:
        stat = Path(path).stat()
    except OSError:
        return settings.load(path)
    key = (path, stat.st_mtime_ns, stat.st_size)
    if key not in _read:
        tree = settings.load(path)
        _read.clear()
        _read[key] = tree
    return _read[key]
