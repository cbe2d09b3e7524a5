"""What both engines ask before a commit: can this branch, can these files ever be what the application reads?

Lives here: the questions that need no knowledge of an engine, and short names for findings. Does not: asking a peer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from loopseal.net import clean
from loopseal.ports import Finding, Level

_COMMIT: Final = re.compile(r"[0-9a-f]{7,64}")
_RANGE: Final = re.compile(r"[\^~<>=*]|\bx\b|^v?\d+(\.\d+){1,2}([-+].*)?$")
_WILD: Final = re.compile(r"[*?]")


def error(code: str, message: str, hint: str) -> Finding:
    """The change can never arrive."""
    return Finding(Level.ERROR, code, clean(message, 1000), hint=hint)


def warning(code: str, message: str, hint: str) -> Finding:
    """The change may not arrive, or not as it is thought to."""
    return Finding(Level.WARNING, code, clean(message, 1000), hint=hint)


def note(code: str, message: str, hint: str = "") -> Finding:
    """Good to know."""
    return Finding(Level.NOTE, code, clean(message, 1000), hint=hint)


def follows(engine: str, revision: str, branch: str) -> Iterator[Finding]:
    """Whether an application that tracks `revision` sees commits on `branch`; findings when it does not, or may not."""
    tracked = revision.removeprefix("refs/heads/")
    if tracked == branch.removeprefix("refs/heads/"):
        return
    if tracked in {"", "HEAD"}:
        yield warning(
            f"{engine}.default_branch",
            f"the application tracks the repository's default branch; the change goes to {branch!r}",
            "Is that the default branch? If not, the commit never arrives.",
        )
        return
    what = "a commit" if _COMMIT.fullmatch(tracked) else "a version" if _RANGE.search(tracked) else "the ref"
    yield error(
        f"{engine}.other_revision",
        f"the application tracks {what} {tracked[:200]!r}; the change goes to branch {branch!r} and never arrives",
        "Change the target's branch or what the application tracks.",
    )


def touches(patterns: Sequence[str], folder: str) -> bool:
    """Whether a file that one of these globs names can lie in or below `folder`; when in doubt, yes."""
    place = "/".join(part for part in folder.split("/") if part not in {"", "."})
    return any(_may_meet(pattern.lstrip("/"), place) for pattern in patterns)


def _may_meet(pattern: str, place: str) -> bool:
    fixed = _WILD.split(pattern, maxsplit=1)[0]
    if not place or fixed == place or fixed.startswith(place + "/"):
        return True
    return fixed != pattern and f"{place}/".startswith(fixed)
