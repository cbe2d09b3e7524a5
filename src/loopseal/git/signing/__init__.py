"""Commit signatures: SSH in process, OpenPGP in process, by the ssh-agent, or by a program.

May live here: the formats of signatures and the ways to a key. May not: commits themselves, settings files.

    open_signer(secrets=…, ssh="file:/etc/loopseal/signing_key")     a key that we hold
    open_signer(secrets=…, agent="SHA256:…", agent_socket="/run/…")  a key that the ssh-agent holds
    await signer.sign(commit, at=…)                                  the text for the header `gpgsig`

Argo CD verifies OpenPGP only; Flux and the hosts of Git verify both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from loopseal.errors import Code, ConfigError
from loopseal.git.signing import agent as agents
from loopseal.git.signing import openpgp as pgp
from loopseal.git.signing import ssh as keys
from loopseal.git.signing.command import CommandSigner
from loopseal.ports import Secrets

__all__ = ["Signer", "open_signer"]


class Signer(Protocol):
    """One key that signs commits. Safe to share between tasks of one event loop."""

    @property
    def name(self) -> str:
        """How and with what it signs, for people. Shows nothing secret."""
        ...

    @property
    def public(self) -> str:
        """The public half as people compare it: `ssh-ed25519 AAAA…`, an OpenPGP fingerprint, or empty if unknown."""
        ...

    async def sign(self, data: bytes, *, at: int) -> str:
        """The armoured signature over `data` (a commit object without its signature), for the header `gpgsig`.

        `at` is the commit time in seconds since the epoch, for formats that carry a time and libraries that let us
        say it (none does today). Lines end with a line feed, the last one too.
        Raises ConfigError (`config.signing_key`), or Unreachable (an agent or a program that is away).
        """
        ...


async def open_signer(
    *,
    secrets: Secrets,
    ssh: str = "",
    openpgp: str = "",
    agent: str = "",
    command: Sequence[str] = (),
    passphrase: str = "",
    agent_socket: str = "",
) -> Signer:
    """The signer that exactly one of `ssh`, `openpgp` (references), `agent` and `command` names.

    `passphrase` is a reference too; `agent_socket` is the path of the ssh-agent's socket (SSH_AUTH_SOCK).
    Raises ConfigError; Unreachable when the agent is away.
    """
    if sum(map(bool, (ssh, openpgp, agent, command))) != 1:
        raise ConfigError(
            Code.CONFIG_SIGNING_KEY,
            "a repository signs in exactly one way",
            where="sign",
            hint="Set one of `ssh`, `openpgp`, `agent` and `command`.",
        )
    if agent:
        return await agents.connect(agent_socket, agent)
    if command:
        return CommandSigner(command)
    key = (await secrets.resolve(ssh or openpgp)).secret
    opened = (await secrets.resolve(passphrase)).secret if passphrase else None
    if ssh:
        return await asyncio.to_thread(keys.load, key, opened, "sign.ssh")
    return await asyncio.to_thread(pgp.load, key, opened, "sign.openpgp")
