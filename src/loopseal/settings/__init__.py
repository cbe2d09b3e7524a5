"""Settings: one frozen tree, read once from a YAML file and the environment.

May live here: the tree, reading and checking it, its JSON Schema and reference page. May not: secrets (the file only
says where they are), anything that acts on the settings. No other room reads `os.environ`.

    # yaml-language-server: $schema=loopseal.schema.json
    repositories:
      platform: {url: https://git.example.com/platform/apps.git, credential: connection:git_platform}
    engines:
      argo: {kind: argocd, url: https://argocd.example.com, credential: connection:argocd}
    targets:
      payments-staging:
        repository: platform
        paths: ["apps/payments/**"]
        applications: [{engine: argo, name: payments-staging}]
        timeout: 20m
        dags: ["payments_*"]

The first line makes editors check and complete the file; `python -m loopseal.settings schema` prints that schema.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from loopseal.domain.decision import admits
from loopseal.domain.identity import Actor
from loopseal.domain.proposal import Target
from loopseal.errors import Code, ConfigError
from loopseal.settings.document import MAX_BYTES, Lines, Place
from loopseal.settings.document import read as _read
from loopseal.settings.identity import actor_of
from loopseal.settings.reader import duration, near, record
from loopseal.settings.tree import (
    CallsSettings,
    EngineSettings,
    Kubeconfig,
    LedgerSettings,
    PerMinute,
    Reference,
    RepositorySettings,
    Settings,
    SignSettings,
    TargetSettings,
)

__all__ = [
    "VARIABLE", "CallsSettings", "EngineSettings", "Kubeconfig", "LedgerSettings", "PerMinute", "Reference",
    "RepositorySettings", "Settings", "SignSettings", "TargetSettings",
    "caller", "dag_allowed", "duration", "environment", "load", "near", "parse", "resolve_target",
    "schema",
]  # fmt: skip

VARIABLE: Final = "LOOPSEAL_CONFIG"
"""The environment variable that names the file, where the caller names none."""


def environment() -> Mapping[str, str]:
    """The environment of this process, live. Whoever needs it takes it as an argument; `wiring` passes this."""
    return os.environ


def caller() -> Actor:
    """Who runs this process: a CI job or a person."""
    return actor_of(environment())


def load(path: str | None = None) -> Settings:
    """Read the tree from `path`, or from the file that `LOOPSEAL_CONFIG` names. Raises ConfigError."""
    environ = environment()
    name = path or environ.get(VARIABLE, "")
    if not name:
        raise ConfigError(
            Code.CONFIG_MISSING,
            "no settings file is named",
            hint=f"Set `[loopseal] config` of Airflow, the variable {VARIABLE}, or --config.",
        )
    content = _content(name)
    document, lines = _read(content, name)
    settings = parse(document, source=name, lines=lines)
    ledger = replace(settings.ledger, path=settings.ledger.path or _default_ledger(environ))
    return replace(settings, ledger=ledger, sha256=hashlib.sha256(content).hexdigest())


def _content(name: str) -> bytes:
    try:
        with Path(name).expanduser().open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            Code.CONFIG_MISSING, "there is no such file", where=name, hint="Create it, or correct the name."
        ) from None
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name, no home folder
        raise ConfigError(
            Code.CONFIG_UNREADABLE,
            f"cannot be read: {getattr(error, 'strerror', None) or error}",
            where=name,
            hint="This process needs the right to read it.",
        ) from None


def _default_ledger(environ: Mapping[str, str]) -> str:
    """Below $XDG_STATE_HOME, which counts only when absolute (XDG Base Directory Specification 0.8)."""
    state = environ.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path(environ.get("HOME", "/")) / ".local" / "state"
    return str(base / "loopseal" / "ledger.jsonl")


def parse(document: Any, *, source: str = "", lines: Lines | None = None) -> Settings:
    """The tree that this parsed YAML document means. Raises ConfigError with the place and the near name.

    `lines` gives the line of each path, as `load` knows them.
    """
    place = Place(source, lines or {})
    if not isinstance(document, dict) or not document:
        raise place.error("must be a mapping", "Declare `repositories`, `engines` and `targets` in it.")
    settings: Settings = record(Settings, document, place)
    return replace(settings, source=source)


def resolve_target(settings: Settings, name: str) -> Target:
    """The target of that name, its branch filled in. Raises ConfigError (`config.unknown_target`)."""
    if name not in settings.targets:
        raise ConfigError(
            Code.CONFIG_UNKNOWN_TARGET,
            f"there is no target {name!r:.120}",
            where=settings.source,
            hint=near(name, settings.targets),
        )
    one = settings.targets[name]
    branch = one.branch or settings.repositories[one.repository].branch
    return Target(name, one.repository, branch, one.paths, one.applications)


def dag_allowed(target: TargetSettings, dag_id: str) -> bool:
    """Whether this Dag may use the target: one pattern covers the whole id. No pattern allows none."""
    return admits(target.dags, dag_id)


def schema() -> dict[str, Any]:
    """The JSON Schema of the file, for editors."""
    from loopseal.settings import reference  # noqa: PLC0415 - reads source code; only who asks for a schema pays

    return reference.schema()
