"""Byte-exact edits of files: the bytes of one scalar change, and nothing else.

May live here: where a key is in a file, how a value is written, the proofs that nothing else changed. Pure: bytes in,
bytes out. May not: Git, trees, commits, who may edit what.

    apply(edit, before)            the new bytes of the file, or None when the edit deletes it
    read_value(path, data, key)    what stands under a key, or ABSENT
    describe(edit, before, after)  what an edit changed, key by key: for trailers, for diffs and for reverts
"""

from __future__ import annotations

from loopseal.domain.proposal import ABSENT, DeleteFile, Edit, Expect, PutFile, RemoveKey, Scalar, SetImage, SetValue
from loopseal.git.edits import files, keys, kustomization, selector
from loopseal.git.edits.files import Difference

__all__ = ["Difference", "apply", "describe", "read_value"]


def apply(edit: Edit, before: bytes | None, *, blob: str = "") -> bytes | None:
    """What `edit` makes of the file that is `before` (None: there is none); None when it deletes it.

    `blob` is the file's blob id, for the expectations of PutFile and DeleteFile; without it, it is computed (SHA-1).
    Raises Refused (it is not safe; the code says why) and Conflict (`edit.expectation`, `edit.file_exists`). Work for
    the processor: some milliseconds for a file of 1 KiB, and some seconds for the largest.
    """
    match edit:
        case PutFile():
            return files.put(edit, before, blob)
        case DeleteFile():
            files.delete(edit, before, blob)
            return None
        case SetValue() | RemoveKey() | SetImage():
            if before is None:
                raise files.missing(edit.path)
            return _apply_keys(edit, before)


def _apply_keys(edit: SetValue | RemoveKey | SetImage, before: bytes) -> bytes:
    match edit:
        case SetValue():
            return keys.set_value(edit, before)
        case RemoveKey():
            return keys.remove_key(edit, before)
        case SetImage():
            return keys.set_image(edit, before)


def read_value(path: str, data: bytes, key: str) -> Scalar | Expect:
    """The scalar under `key` in the file `data`, or ABSENT. `path` says whether it is YAML or JSON.

    A plain YAML scalar is read as Go reads it (`yes` is true, `0644` is 420); what is no `Scalar`, such as a date or an
    integer beyond 2**53, is its text. Raises Refused, as an edit of that key would.
    """
    return keys.open_file(path, data, key).value


def describe(edit: Edit, before: bytes | None, after: bytes | None) -> tuple[Difference, ...]:
    """What `edit` changed between `before` and `after`, as `(path, key, old, new)`.

    For keys old and new are values, ABSENT where there was or is none; for whole files `key` is empty and they are
    blob ids (SHA-1). Empty when nothing changed.
    """
    if before == after:
        return ()
    match edit:
        case PutFile(path) | DeleteFile(path):
            return (Difference(path, "", _blob(before), _blob(after)),)
        case SetValue(path, key, value):  # proved to be read as it was wanted
            return (Difference(path, _name(key), _value(path, before, key), value),)
        case RemoveKey(path, key):
            return (Difference(path, _name(key), _value(path, before, key), ABSENT),)
        case SetImage(path, image):
            told = (kustomization.key(image, field) for field in kustomization.FIELDS)
            found = (Difference(path, key, _value(path, before, key), _value(path, after, key)) for key in told)
            return tuple(one for one in found if one.old != one.new)


def _name(key: str) -> str:
    return selector.render(selector.parse(key))


def _value(path: str, data: bytes | None, key: str) -> Scalar | Expect:
    return ABSENT if data is None else read_value(path, data, key)


def _blob(data: bytes | None) -> str | Expect:
    return ABSENT if data is None else files.blob_id(data)
