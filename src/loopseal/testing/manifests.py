"""From the files below a path to the objects they mean. Pure. What is understood, and nothing else:

- **plain** `*.yaml`, `*.yml`, `*.json`: all files of the folder (Flux: of its subfolders, too), several documents each.
  As in Argo CD, a file that lacks one of the texts `apiVersion:`, `kind:`, `metadata:` is skipped without a word by
  Argo CD; Flux refuses it.
- **kustomization.yaml**: `resources` (files below the folder), `images` (`name`, `newName`, `newTag`, `digest`) and
  `namespace`.
- **chart**: `Chart.yaml`, `values.yaml` and `templates/*.yaml` with `{{ .Values.a.b }}` and `{{ .Release.Name }}`.
- **values.yaml alone** (no manifest beside it): one Deployment named as the folder with the image
  `image.repository:image.tag` and `replicaCount` replicas, and a ConfigMap with every other value, flattened.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import yaml

from loopseal.testing import objects

Files = Mapping[str, str]
"""Path relative to the application's folder -> text."""

_NEEDED: Final = ("apiVersion", "kind", "metadata")
_PLACE: Final = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Unreadable(ValueError):
    """The files mean nothing: `file` says which, the message why."""

    def __init__(self, file: str, why: str) -> None:
        super().__init__(why)
        self.file = file


def render(files: Files, name: str, *, recurse: bool = False) -> list[dict[str, Any]]:
    """The objects of one folder, in the order of their files. Raises Unreadable."""
    if "kustomization.yaml" in files:
        return _kustomized(files)
    if "Chart.yaml" in files:
        return _chart(files, name)
    chosen = [path for path in sorted(files) if _is_manifest(path) and (recurse or "/" not in path)]
    if chosen == ["values.yaml"]:
        return _values(files["values.yaml"], name)
    return [item for path in chosen for item in _documents(path, files[path], strict=recurse)]


def _is_manifest(path: str) -> bool:
    return PurePosixPath(path).suffix in {".yaml", ".yml", ".json"}


def _documents(path: str, text: str, *, strict: bool) -> Iterator[dict[str, Any]]:
    if not strict and not all(f"{word}:" in text or f'"{word}"' in text for word in _NEEDED):
        return
    for item in _load_all(path, text):
        if item is None:
            continue
        if not isinstance(item, dict) or not all(word in item for word in _NEEDED):
            raise Unreadable(path, "missing metadata.name in object {{ }}")
        yield item


def _load_all(path: str, text: str) -> list[Any]:
    try:
        return list(yaml.load_all(text, Loader=_LOADER))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise Unreadable(path, f"yaml: {line}did not find expected key") from error


def _kustomized(files: Files) -> list[dict[str, Any]]:
    [plan] = _load_all("kustomization.yaml", files["kustomization.yaml"]) or [{}]
    out = []
    for resource in plan.get("resources") or ():
        path = str(PurePosixPath(resource))
        if path not in files:
            raise Unreadable(path, f"accumulating resources from '{resource}': no such file or directory")
        out += list(_documents(path, files[path], strict=True))
    for entry in plan.get("images") or ():
        out = [_with_image(item, entry) for item in out]
    if namespace := plan.get("namespace"):
        out = [{**item, "metadata": {**item["metadata"], "namespace": namespace}} for item in out]
    return out


def _with_image(item: Any, entry: Mapping[str, Any]) -> Any:
    """`item` with every `image:` of that name replaced, wherever it stands."""
    if isinstance(item, list):
        return [_with_image(one, entry) for one in item]
    if not isinstance(item, dict):
        return item
    out = {key: _with_image(value, entry) for key, value in item.items()}
    image = out.get("image")
    if isinstance(image, str) and _repository(image) == entry["name"]:
        name = entry.get("newName", entry["name"])
        old = image[len(_repository(image)) :]
        new = f":{entry['newTag']}" if "newTag" in entry else old
        out["image"] = name + (f"@{entry['digest']}" if "digest" in entry else new)
    return out


def _repository(image: str) -> str:
    image = image.partition("@")[0]
    head, slash, last = image.rpartition("/")
    return head + slash + last.partition(":")[0]


def _chart(files: Files, name: str) -> list[dict[str, Any]]:
    [values] = _load_all("values.yaml", files.get("values.yaml", "{}")) or [{}]
    known = {"Release": {"Name": name}, "Values": values or {}}

    def filled(found: re.Match[str]) -> str:
        value: Any = known
        if not found[1].startswith("."):
            raise Unreadable(path, f"the simulator knows no template function: {found[1]}")
        for part in found[1][1:].split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return "" if value is None else str(value)

    out = []
    for path in sorted(file for file in files if file.startswith("templates/") and _is_manifest(file)):
        out += list(_documents(path, _PLACE.sub(filled, files[path]), strict=True))
    return out


def _values(text: str, name: str) -> list[dict[str, Any]]:
    loaded = _load_all("values.yaml", text)
    values = loaded[0] if loaded and isinstance(loaded[0], dict) else {}
    image = values.get("image") or {}
    repository = image.get("repository", f"registry.test/{name}")
    known = dict(_flat({key: value for key, value in values.items() if key not in {"image", "replicaCount"}}))
    deployment = objects.deployment(
        name,
        f"{repository}:{image.get('tag', 'latest')}",
        replicas=values.get("replicaCount", 1),
        deadline=values.get("progressDeadlineSeconds", 600),
    )
    return [objects.config_map(f"{name}-values", **known), deployment]


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    pairs: Iterator[tuple[Any, Any]]
    if isinstance(value, dict):
        pairs = iter(value.items())
    elif isinstance(value, list):
        pairs = iter(enumerate(value))
    else:
        yield prefix, str(value)
        return
    for key, one in pairs:
        yield from _flat(one, f"{prefix}.{key}" if prefix else str(key))
