"""Text of a peer, fit to be shown: what looks like a credential is taken out before anybody cuts or stores it."""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = (
    r"(?i:passw(?:or)?d|passphrase|secret(?!s?[_-]?(?:name|ref|key))|token|credentials?|authorization"
    r"|api[_-]?key|access[_-]?key|private[_-]?key)[\w.-]{0,40}"
)
"""A name that says that its value is secret. `secretName` and `secretRef` of Kubernetes name an object."""

_RULES: Final = (
    # a private key, whole or cut
    (r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----.*?(?:-----END [A-Z0-9 ]{0,60}-----|\Z)", "***"),
    # user and password of a URL
    (r"(://)[^/\s]*@", r"\1***@"),
    # what follows a scheme of Authorization; `token` and `basic` are words, so those need a digit, capital or sign
    (r"(?i)\b(bearer|negotiate)\s+[^\s\"',;]{8,}", r"\1 ***"),
    (r"\b((?i:basic|token))\s+(?=[^\s\"',;]{0,400}[0-9A-Z=_+])[^\s\"',;]{8,}", r"\1 ***"),
    (r"(?i)\b((?:set-)?cookie\s{0,4}:)[^\n]*", r"\1 ***"),
    # JSON Web Tokens, and the prefixes that issuers give their tokens so that they can be found
    (r"\beyJ[\w-]{5,}(?:\.[\w-]*)*", "***"),
    (r"\b(?:gh[pousr]_|github_pat_|gl[a-z]{2,6}-|xox[a-z]-|hv[sbr]\.|dckr_pat_|npm_|pul-|sk-)[\w.-]{10,}", "***"),
    (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAGE-SECRET-KEY-1[A-Z0-9]{10,}", "***"),
    # a value in quotes
    (rf"""({_NAME}["']?\s{{0,4}}[:=]\s{{0,4}})("(?:[^"\\]|\\.)*"?|'[^']*'?)""", r"\1***"),
    # a name, an equals sign, and the value
    (rf"({_NAME}\s{{0,4}}=\s{{0,4}})(?!\*\*\*)[^\s,;&]+", r"\1***"),
    # name: value; of names that prose puts before a colon as well, only a value with a digit
    (r"(?i)((?:passw(?:or)?d|passphrase|[_-]key)\s{0,4}:\s{0,4})(?!\*\*\*)[^\s,;&\"']+", r"\1***"),
    (rf"({_NAME}\s{{0,4}}:\s{{0,4}})(?!\*\*\*)(?=[^\s,;&]{{0,200}}[0-9])[^\s,;&\"']{{8,}}", r"\1***"),
)
"""What looks like a credential, and what is shown instead. Repetitions are bounded, so that no text takes long."""

_SECRETS: Final = [(re.compile(pattern), shown) for pattern, shown in _RULES]


def clean(text: str, limit: int = 500) -> str:
    """`text` from a peer, fit to be shown: what looks like a credential removed, control characters gone, cut."""
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    text = "".join(char if char.isprintable() or char == "\n" else " " for char in text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"
