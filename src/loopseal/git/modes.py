"""The modes of files that a revert brings back: an edit carries content and no mode.

A script that a change deleted was executable, and is to be so again. Which mode it had stands in the commit before the
change that the proposal reverts; only a file with the very same bytes gets it. Does not live here: edits.
"""

from __future__ import annotations

from collections.abc import Mapping

from loopseal.domain.proposal import Proposal, PutFile
from loopseal.git.history import Landings
from loopseal.git.objects import EXECUTABLE, oid_of
from loopseal.git.reader import Ask, Reader
from loopseal.git.remote import ObjectKind
from loopseal.git.view import View


async def executables(proposal: Proposal, tip: View, reader: Reader, landings: Landings) -> frozenset[str]:
    """The paths that `proposal` makes anew on `tip` and that were executable before the change it reverts.

    Asks the host only for a revert that makes files. Raises Unreachable; Conflict (`git.contended`).
    """
    made = {
        edit.path: oid_of(ObjectKind.BLOB, edit.content.encode() if isinstance(edit.content, str) else edit.content)
        for edit in proposal.edits
        if isinstance(edit, PutFile) and proposal.reverts and tip.file(edit.path) is None
    }
    place = await landings.find(proposal.reverts, base="", tip=tip.revision) if made else None
    if place is None:
        return frozenset()
    views: Mapping[str, View] = await reader.views([Ask(place.parent, path, content=False) for path in made])
    before = {path: views[place.parent].file(path) for path in made}
    return frozenset(
        path for path, file in before.items() if file and (file.mode, file.oid) == (EXECUTABLE, made[path])
    )
