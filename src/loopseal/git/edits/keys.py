"""Edits of keys, whatever the file's format: expectations first, then one byte-exact change."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from loopseal.domain.proposal import ABSENT, Expect, RemoveKey, Scalar, SetImage, SetValue
from loopseal.errors import Code, Conflict, Refused
from loopseal.git.edits import kustomization, scalars, selector, source
from loopseal.git.edits.json_file import JsonFile
from loopseal.git.edits.memory import LARGEST, Memory
from loopseal.git.edits.source import Format
from loopseal.git.edits.yaml_file import YamlFile

KeyedFile: TypeAlias = YamlFile | JsonFile

_SHOWN: Final = 80
"""Characters of a value in a message."""


def open_file(path: str, data: bytes, key: str) -> KeyedFile:
    """The file, and the place in it that `key` means. Raises Refused."""
    return _remembered((path, data, key))


def _opened(place: tuple[str, bytes, str]) -> KeyedFile:
    path, data, key = place
    steps = selector.parse(key)
    match source.format_of(path):
        case Format.YAML:
            return YamlFile(path, data, steps)
        case Format.JSON:
            return JsonFile(source.read(path, data), steps)


_remembered: Final = Memory(_opened, lambda place: len(place[1]), budget=LARGEST)
"""An edit opens the place, and so does the description of what it changed."""


def set_value(edit: SetValue, before: bytes) -> bytes:
    """The file with the value under the key."""
    where = f"{edit.path}: {edit.key}"
    scalars.check(edit.value, where)
    file = open_file(edit.path, before, edit.key)
    _refuse_own_match(file)
    expect(file, edit.expect)
    if not file.missing:
        return file.set(edit.value)
    if not edit.create:
        raise file.refusal(Code.EDIT_KEY_MISSING, file.missing)
    last = file.steps[-1]
    if isinstance(last, selector.Key):
        scalars.check(last.name, where)
    return file.add(edit.value)


def remove_key(edit: RemoveKey, before: bytes) -> bytes:
    """The file without the key."""
    file = open_file(edit.path, before, edit.key)
    _refuse_own_match(file)
    expect(file, edit.expect)
    if file.missing and edit.expect is ABSENT:
        return before
    return file.remove()


def set_image(edit: SetImage, before: bytes) -> bytes:
    """The kustomization with the image's entry changed: what is set comes first, what it replaces goes then."""
    wanted = kustomization.fields(edit)
    files = {
        field: open_file(edit.path, before, kustomization.key(edit.image, field)) for field in kustomization.FIELDS
    }
    if open_file(edit.path, before, kustomization.key(edit.image, "name")).missing:
        raise Refused(
            Code.EDIT_KEY_MISSING,
            f"no entry of `images` has the name {edit.image!r}",
            where=edit.path,
            hint="Add the entry to the kustomization first; `name` is the image as the manifests have it.",
        )
    if edit.expect is not Expect.ANYTHING:
        expect(kustomization.current(edit, files), edit.expect)
    after = before
    for field, value in sorted(wanted.items(), key=lambda pair: pair[1] is None):
        key = kustomization.key(edit.image, field)
        if value is not None:
            after = set_value(SetValue(edit.path, key, value, create=True), after)
        elif not files[field].missing:
            after = remove_key(RemoveKey(edit.path, key), after)
    return after


def _refuse_own_match(file: KeyedFile) -> None:
    if selector.hangs_on_itself(file.steps):
        raise Refused(
            Code.EDIT_SELECTOR,
            "the selector matches by the very key that would change",
            where=file.where,
            hint="Name the item by its number, or by another field.",
        )


def expect(file: KeyedFile, wanted: Scalar | Expect) -> None:
    """Raise Conflict unless the file holds what is expected under its key."""
    match wanted:
        case Expect.ANYTHING:
            return
        case Expect.ABSENT:
            met = bool(file.missing)
        case _:
            met = file.meets(wanted)
    if not met:
        raise Conflict(
            Code.EDIT_EXPECTATION,
            f"expected {shown(wanted)}, found {shown(file.value)}",
            where=file.where,
            hint="Somebody changed it: look at the file, then propose again.",
        )


def shown(value: Any) -> str:
    """A value for people, cut."""
    text = "no such key" if value is ABSENT else repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
