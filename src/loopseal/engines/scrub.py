"""Taking secrets out of what an engine answered, before it is written down.

Lives here: what is removed and what is masked. A masked value is replaced by a keyed digest, so that equal values stay
equal within one recording (a judge compares the spec with what was compared) and nobody can guess them back.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from loopseal.net import clean

MAX_DEPTH: Final = 64
_DROPPED: Final = frozenset({"managedFields", "kubectl.kubernetes.io/last-applied-configuration"})
_SECRET_KEY: Final = re.compile(
    r"(?:proxy-)?authorization|(?:set-)?cookie|pass(?:word|wd|phrase)?|(?:access_?|refresh_?|id_?|bearer_?)?token"
    r"|(?:client_?)?secret|(?:api|private|secret)[_-]?key|x-.*-(?:token|key)",
    re.IGNORECASE,
)
_SECRET_NAME: Final = re.compile(r"pass(?:word|wd|phrase)|token|secret|credential|api_?key|private_?key", re.IGNORECASE)
_VALUES: Final = frozenset({"values", "valuesObject", "valuesInline", "data", "stringData"})
"""Keys below which every text may be a secret: Helm values, and the data of a Secret."""
_USERINFO: Final = re.compile(r"(?<=://)[^/\s@]+@")


class Scrubber:
    """Removes and masks. `key` makes its masks; another key makes others."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of `body` that may be shown to others; what lies deeper than 64 levels is left out."""
        found = self._scrubbed(body, MAX_DEPTH)
        return found if isinstance(found, dict) else {}

    def _scrubbed(self, value: Any, depth: int) -> Any:
        if depth == 0:
            return None
        match value:
            case Mapping():
                return {key: self._entry(value, key, depth - 1) for key in value if key not in _DROPPED}
            case list() | tuple():
                return [self._scrubbed(one, depth - 1) for one in value]
            case str():
                return clean(_USERINFO.sub("", value), len(value) + 1)
            case _:
                return value

    def _entry(self, whole: Mapping[str, Any], key: str, depth: int) -> Any:
        value = whole[key]
        if key in _VALUES and _holds_values(whole, key):
            return self._masked(value, depth)
        if isinstance(value, str) and (_SECRET_KEY.fullmatch(key) or (key == "value" and _names_secret(whole))):
            return self.mask(value)
        return self._scrubbed(value, depth)

    def _masked(self, value: Any, depth: int) -> Any:
        if depth == 0:
            return None
        match value:
            case Mapping():
                return {key: self._masked(one, depth - 1) for key, one in value.items()}
            case list() | tuple():
                return [self._masked(one, depth - 1) for one in value]
            case None | bool():
                return value
            case _:
                return self.mask(json.dumps(value))

    def mask(self, secret: str) -> str:
        """`***` and eight digits that tell only whether two values of one recording are equal."""
        return f"***{hmac.new(self._key, secret.encode(), hashlib.sha256).hexdigest()[:8]}" if secret else ""


def _holds_values(whole: Mapping[str, Any], key: str) -> bool:
    """Helm values wherever they stand; `data` only of a Secret: that of others is what people want to see."""
    return whole.get("kind") == "Secret" if key in {"data", "stringData"} else True


def _names_secret(whole: Mapping[str, Any]) -> bool:
    name = whole.get("name")
    return isinstance(name, str) and _SECRET_NAME.search(name) is not None
