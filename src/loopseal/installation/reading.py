"""Manifests out of YAML files that anybody may have written: bounded, and told where they are broken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from loopseal.errors import Code, ConfigError

LARGEST: Final = 20 * 1024 * 1024
"""Bytes of one file; the official Airflow chart renders 90 KB."""
ALIASES: Final = 100
"""Aliases in one file: more are no manifests but a bomb that grows when it is read."""
_ENDINGS: Final = frozenset({".yaml", ".yml", ".json"})


def read(paths: Iterable[Path]) -> dict[str, list[Mapping[str, Any]]]:
    """The documents of every file, by path; a folder stands for all YAML files in it. Links are not followed.

    Documents without content are left out; the items of a `List` count as documents. Raises ConfigError.
    """
    return {str(file): list(_documents(file)) for path in paths for file in _files(path)}


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        inside = (one for one in sorted(path.rglob("*")) if one.suffix in _ENDINGS)
        return [one for one in inside if one.is_file() and not one.is_symlink()]
    return [path]


def _documents(file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        if file.stat().st_size > LARGEST:
            raise _broken(file, f"has more than {LARGEST // 1024 // 1024} MiB")
        text = file.read_bytes()
    except OSError as error:
        raise _broken(file, f"cannot be read ({error.strerror})") from error
    try:
        if sum(isinstance(one, yaml.AliasEvent) for one in yaml.parse(text, Loader=yaml.CSafeLoader)) > ALIASES:
            raise _broken(file, f"has more than {ALIASES} aliases")
        found = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise _broken(
            file, f"is no YAML ({getattr(error, 'problem', None) or 'it cannot be decoded'})", line
        ) from error
    for one in found:
        if one is None:
            continue
        if not isinstance(one, Mapping):
            raise _broken(file, "holds a document that is no mapping")
        items = one.get("items")
        yield from (items if str(one.get("kind", "")).endswith("List") and isinstance(items, list) else [one])


def _broken(file: Path, why: str, line: str = "") -> ConfigError:
    hint = "Give files of rendered manifests: `helm template` and `kustomize build` write them."
    return ConfigError(Code.CONFIG_INVALID, f"the file {why}", where=f"{file}{line}", hint=hint)
