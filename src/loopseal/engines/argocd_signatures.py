"""Which signatures a project of Argo CD wants on commits, and whether ours are among them.

Argo CD verifies OpenPGP with GnuPG and nothing else: a project that lists keys never accepts a commit signed by SSH.
`spec.signatureKeys` up to 3.4; since 3.5 also `spec.sourceIntegrity.git.policies`, per repository. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from loopseal.engines.fields import Object, items, mapping, text, texts
from loopseal.engines.preflight import error, note
from loopseal.engines.repository_url import same_repository
from loopseal.ports import Finding, Signing, SigningFormat

_KEY_ID: Final = 16
"""Hexadecimal digits of the long key id, which is what Argo CD compares."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of commits. `keys` are ids as the project writes them; None where we may not read them."""

    required: bool = False
    keys: tuple[str, ...] | None = None


def of_project(project: Object, url: str) -> Demand:
    """What the project wants of commits in the repository at `url`."""
    keys = [text(one, "keyID") for one in items(project, "spec", "signatureKeys")]
    for policy in items(project, "spec", "sourceIntegrity", "git", "policies"):
        if any(_matches(text(one, "url"), url) for one in items(policy, "repos")):
            if text(policy, "gpg", "mode") not in {"", "none"}:
                keys += texts(policy, "gpg", "keys")
            break
    named = tuple(key for key in keys if key)
    return Demand(bool(named), named)


def of_metadata(metadata: Object) -> Demand:
    """What the metadata of any commit gives away: Argo CD tells of its signature only where the project wants one."""
    told = text(metadata, "signatureInfo") or mapping(metadata, "sourceIntegrityResult")
    return Demand(bool(told))


def _matches(pattern: str, url: str) -> bool:
    return bool(pattern) and (same_repository(pattern, url) or fnmatchcase(url, pattern))


def findings(demand: Demand, signing: Signing) -> Iterator[Finding]:
    """Whether commits that are signed like this pass."""
    if not demand.required:
        return
    wanted = f"OpenPGP signatures of {', '.join(demand.keys[:5])}" if demand.keys else "OpenPGP signatures"
    match signing.format:
        case SigningFormat.NONE:
            hint = "Configure `sign: {openpgp: …}` for the repository."
            yield error("argocd.signature", f"the project wants {wanted}; our commits are not signed", hint)
        case SigningFormat.SSH | SigningFormat.OTHER:
            yield error(
                "argocd.signature",
                f"the project wants {wanted}, the only ones that Argo CD verifies; ours are made by {signing.format}",
                "Sign with an OpenPGP key: `sign: {openpgp: …}` for the repository.",
            )
        case SigningFormat.OPENPGP:
            yield from _key(demand, signing.key)


def _key(demand: Demand, key: str) -> Iterator[Finding]:
    if demand.keys is None or not key:
        yield note(
            "argocd.signature_unproven",
            f"the project wants signed commits; whether {key[-_KEY_ID:] or 'our key'} is accepted cannot be read here",
            "The right `projects, get` shows it before anything is committed.",
        )
    elif key[-_KEY_ID:] not in {one.upper()[-_KEY_ID:] for one in demand.keys}:
        yield error(
            "argocd.signature",
            f"the project wants signatures of {', '.join(demand.keys[:5])}; ours are made by {key[-_KEY_ID:]}",
            "Add our key to the project and to Argo CD's keyring (`argocd gpg add`), or sign with one that is there.",
        )
