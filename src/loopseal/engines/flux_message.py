"""The objects that a message of Flux complains about.

Lives here: the texts that fluxcd/pkg/ssa writes (`manager_wait.go`, `errors`). Does not: decide; the raw message is
always kept beside what is found here. The words that follow an object are looked for first, and the object in the word
before them: linear in the message, whatever stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from loopseal.domain.revision import Resource
from loopseal.engines.fields import MAX_RESOURCES, MAX_TEXT, resource

_LISTED: Final = re.compile(r"(?:failed early due to stalled resources|timeout waiting for): \[")
_STATUS: Final = re.compile(r" status: '(\w{1,40})'")
_REFUSED: Final = re.compile(
    r" (dry-run failed|apply failed|delete failed|not found|namespace not specified)(?: \((\w{1,80})\))?: "
)
_UNDETERMINED: Final = re.compile(r"can't determine status for (\S{1,600})")
_OBJECT: Final = re.compile(
    r"(?P<kind>[A-Za-z][A-Za-z0-9.]{0,99})/(?:(?P<namespace>[^/]{1,253})/)?(?P<name>[^/]{1,253})"
)
_LONGEST: Final = 620


def bad_resources(message: str) -> tuple[Resource, ...]:
    """The objects named in a Ready message: of a health check each with its status, else the one that was refused."""
    message = message[:MAX_TEXT]
    if listed := _LISTED.search(message):
        return tuple(_entries(message[listed.end() :]))
    if refused := _REFUSED.search(message):
        status = refused[1] + (f" ({refused[2]})" if refused[2] else "")
        return _named(_word_before(message, refused.start()), status, message[refused.end() :])
    if unknown := _UNDETERMINED.search(message):
        return _named(unknown[1].rstrip(".,:;]"), "Unknown", "")
    return ()


def _entries(listed: str) -> Iterator[Resource]:
    """`Kind/ns/name status: 'Failed': why, Kind/ns/name status: 'InProgress']`: whys may hold commas and brackets."""
    found = list(_STATUS.finditer(listed))[:MAX_RESOURCES]
    words = [_word_before(listed, one.start()) for one in found]
    ends = [one.start() - len(word) for one, word in zip(found[1:], words[1:], strict=True)] + [len(listed)]
    for one, word, end in zip(found, words, ends, strict=False):
        yield from _named(word, one[1], listed[one.end() : end].strip(" ,]").removeprefix(":"))


def _word_before(message: str, end: int) -> str:
    words = message[max(0, end - _LONGEST) : end].split()
    return words[-1] if words else ""


def _named(word: str, status: str, why: str) -> tuple[Resource, ...]:
    found = _OBJECT.fullmatch(word)
    return (resource(found.groupdict(), status, why.strip()),) if found else ()
