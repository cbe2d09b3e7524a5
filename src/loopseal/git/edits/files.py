"""Whole files: PutFile and DeleteFile, with their expectations by blob id."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from loopseal.domain.proposal import DeleteFile, Expect, PutFile, Scalar
from loopseal.errors import Code, Conflict, Refused
from loopseal.git.edits.source import MAX_BYTES


class Difference(NamedTuple):
    """One thing that an edit changed. `key` is a selector as canonical text, empty for a whole file."""

    path: str
    key: str
    old: Scalar | Expect
    new: Scalar | Expect


def put(edit: PutFile, before: bytes | None, blob: str) -> bytes:
    """The new content of the file."""
    try:
        content = edit.content.encode() if isinstance(edit.content, str) else edit.content
    except UnicodeEncodeError as error:
        raise Refused(
            Code.EDIT_VALUE, "the text cannot be written as UTF-8", where=edit.path, hint="Give bytes instead."
        ) from error
    if len(content) > MAX_BYTES:
        raise Refused(
            Code.EDIT_TOO_LARGE,
            f"the content has {len(content)} bytes, at most {MAX_BYTES} are written",
            where=edit.path,
            hint="Large files do not belong in a repository that is reconciled.",
        )
    if edit.expect is Expect.ABSENT and before is not None:
        raise Conflict(
            Code.EDIT_FILE_EXISTS,
            "the file is there already",
            where=edit.path,
            hint="Expect its blob id to replace it, or nothing to overwrite whatever is there.",
        )
    _expect_blob(edit.path, edit.expect, before, blob)
    return content


def delete(edit: DeleteFile, before: bytes | None, blob: str) -> None:
    """Nothing is left of the file; what is asked is whether that may be."""
    if edit.expect is Expect.ABSENT:
        if before is not None:
            raise Conflict(
                Code.EDIT_FILE_EXISTS, "the file is there", where=edit.path, hint="Look, then propose again."
            )
        return
    _expect_blob(edit.path, edit.expect, before, blob)
    if before is None:
        raise missing(edit.path)


def missing(path: str) -> Refused:
    """The refusal to edit a file that is not there."""
    return Refused(
        Code.EDIT_FILE_MISSING, "there is no such file", where=path, hint="Check the path, or write it with PutFile."
    )


def _expect_blob(path: str, expect: str | Expect, before: bytes | None, blob: str) -> None:
    if isinstance(expect, Expect):
        return
    found = "" if before is None else blob or blob_id(before)
    if found != expect:
        raise Conflict(
            Code.EDIT_EXPECTATION,
            f"expected blob {expect[:64]}, found {found or 'no file'}",
            where=path,
            hint="Somebody changed the file: look at it, then propose again.",
        )


def blob_id(data: bytes) -> str:
    """The id that Git gives this content, in repositories with SHA-1."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
