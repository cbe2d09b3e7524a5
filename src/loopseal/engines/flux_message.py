"""The objects that a message of Flux complains about.

Lives here: the texts that fluxcd/pkg/ssa writes (`manager_wait.go`, `errors`). Does not: decide; the raw message is
always kept beside what is found here.
"""

from __future__ import annotations

import re
from typing import Final

from loopseal.domain.revision import Resource
from loopseal.engines.fields import MAX_RESOURCES, MAX_TEXT, resource

_LISTED: Final = re.compile(r"(?:failed early due to stalled resources|timeout waiting for): \[")
_OBJECT: Final = r"(?P<kind>[A-Za-z][A-Za-z0-9.]{0,99})/(?:(?P<namespace>[^/\s]{1,253})/)?(?P<name>[^/\s]{1,253}?)"
_ENTRY: Final = re.compile(rf"{_OBJECT} status: '(?P<status>\w{{1,40}})'")
_REFUSED: Final = re.compile(
    rf"{_OBJECT} (?P<status>dry-run failed|apply failed|delete failed|not found|namespace not specified)"
    r"(?: \((?P<why>\w{1,80})\))?: "
)
_UNDETERMINED: Final = re.compile(rf"can't determine status for {_OBJECT}(?=[\s:,\]]|$)")


def bad_resources(message: str) -> tuple[Resource, ...]:
    """The objects named in a Ready message: of a health check each with its status, else the one that was refused."""
    message = message[:MAX_TEXT]
    if listed := _LISTED.search(message):
        return _entries(message[listed.end() :])
    if refused := _REFUSED.search(message):
        status = refused["status"] + (f" ({refused['why']})" if refused["why"] else "")
        return (resource(refused.groupdict(), status, message[refused.end() :].strip()),)
    if unknown := _UNDETERMINED.search(message):
        return (resource(unknown.groupdict(), "Unknown"),)
    return ()


def _entries(listed: str) -> tuple[Resource, ...]:
    """`Kind/ns/name status: 'Failed': why, Kind/ns/name status: 'InProgress']`: whys may hold commas and brackets."""
    found = list(_ENTRY.finditer(listed))[:MAX_RESOURCES]
    ends = [one.start() for one in found[1:]] + [len(listed)]
    return tuple(
        resource(one.groupdict(), one["status"], listed[one.end() : end].strip(" ,]").removeprefix(":").strip())
        for one, end in zip(found, ends, strict=True)
    )
