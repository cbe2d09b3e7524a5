"""`SetImage`: one entry of `images:` in a kustomization, as edits of single keys.

An entry is found by its `name`. A tag takes the place of a digest and the other way round, as `kustomize edit set
image` does; an entry with both is an error to kustomize (v5, `images` transformer).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from loopseal.domain.proposal import SetImage
from loopseal.errors import Code, Refused
from loopseal.git.edits.json_file import JsonFile
from loopseal.git.edits.selector import Key, Match, render
from loopseal.git.edits.yaml_file import YamlFile

_NAMES: Final = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
FIELDS: Final = ("newName", "newTag", "digest")
"""What an entry may say besides `name`."""

_File = TypeVar("_File", bound="YamlFile | JsonFile")


def key(image: str, field: str) -> str:
    """The selector of one field of an image's entry."""
    return render((Key("images"), Match(((("name",), image),)), Key(field)))


def fields(edit: SetImage) -> dict[str, str | None]:
    """What the entry's fields become: a text, or None for one that must go. Raises Refused for a senseless edit."""
    problem = _problem(edit)
    if problem:
        raise Refused(Code.EDIT_VALUE, problem, where=edit.path, hint="Give a tag or a digest, or a new name, or both.")
    out: dict[str, str | None] = {}
    if edit.new_name is not None:
        out["newName"] = edit.new_name
    if edit.tag is not None:
        out |= {"newTag": edit.tag, "digest": None}
    if edit.digest is not None:
        out |= {"digest": edit.digest, "newTag": None}
    return out


def current(edit: SetImage, files: Mapping[str, _File]) -> _File:
    """The field that `edit.expect` speaks of: the tag or digest that is there, or the new name if only that is set."""
    if edit.tag is None and edit.digest is None:
        return files["newName"]
    wanted, other = ("newTag", "digest") if edit.tag is not None else ("digest", "newTag")
    return files[other] if files[wanted].missing and not files[other].missing else files[wanted]


def _problem(edit: SetImage) -> str:
    if edit.path.rpartition("/")[2] not in _NAMES:
        return "images are set in a kustomization.yaml"
    if edit.tag is None and edit.digest is None and edit.new_name is None:
        return "nothing to set"
    if edit.tag is not None and edit.digest is not None:
        return "kustomize takes a tag or a digest, not both"
    if "" in {edit.image, edit.tag, edit.digest, edit.new_name}:
        return "an image, tag, digest or name cannot be empty"
    return ""
