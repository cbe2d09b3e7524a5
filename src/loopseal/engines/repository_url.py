"""Whether two URLs name the same Git repository, however each is written.

Lives here: the normal form. Does not: reaching the repository.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote

_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[^/@]*@)?(?P<host>\[[^\]/]*\]|[^/:]*)(?::\d*)?(?P<path>/.*)?", re.IGNORECASE
)
_SCP = re.compile(r"(?:[^/@:]+@)?(?P<host>[^/:]+):(?P<path>[^/].*|/.*)")


@lru_cache(maxsize=4096)
def normal(url: str) -> str:
    """`host/path` without scheme, user, port, case of the host, `.git` and trailing slashes.

    `ssh://git@h:22/o/r.git`, `git@h:o/r` and `https://h/o/r/` are one repository. What is no URL stays as it is.
    """
    url = url.strip()[:4096]
    found = _URL.fullmatch(url) or _SCP.fullmatch(url)
    if found is None:
        return _plain(url)
    if (found.groupdict().get("scheme") or "").lower() == "file":
        return _plain(found["path"] or "")
    return f"{found['host'].lower()}/{_plain(found['path'] or '').lstrip('/')}"


def _plain(path: str) -> str:
    return unquote(path).rstrip("/").removesuffix(".git").rstrip("/")


def same_repository(one: str, other: str) -> bool:
    """Whether both name the same repository; nothing is the same as an empty URL."""
    return bool(one and other) and normal(one) == normal(other)


def is_git(url: str) -> bool:
    """Whether a Git repository can stand behind `url` at all: OCI registries are another world."""
    return bool(url) and not url.strip().lower().startswith("oci://")
