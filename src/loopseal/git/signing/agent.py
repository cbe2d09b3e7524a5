"""SSH signatures by a key that the ssh-agent holds: also keys in hardware, which never leave it.

Source: draft-miller-ssh-agent. Two questions are asked: which keys there are, and to sign with one of them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import struct
from contextlib import suppress
from typing import Final

from loopseal.errors import Code, ConfigError, Unreachable
from loopseal.git.signing import sshsig

_REQUEST_IDENTITIES: Final = 11
_IDENTITIES: Final = 12
_SIGN_REQUEST: Final = 13
_SIGNATURE: Final = 14
_RSA_SHA2_512: Final = 4
_MAX_ANSWER: Final = 256 * 1024
_MAX_KEYS: Final = 1000
_HINT: Final = "Start an ssh-agent, add the key (ssh-add), and let SSH_AUTH_SOCK name its socket."


class AgentSigner:
    """Signs with one key of an ssh-agent; each signature is one short connection to it."""

    def __init__(self, socket: str, public: bytes, *, timeout: float = 60.0) -> None:
        self._socket, self._public, self._timeout = socket, public, timeout

    @property
    def name(self) -> str:
        """For people: `SSH agent ssh-ed25519 SHA256:…`."""
        return f"SSH agent {sshsig.key_type(self._public).decode()} {sshsig.fingerprint(self._public)}"

    @property
    def public(self) -> str:
        """`ssh-ed25519 AAAA…`."""
        return sshsig.public_text(self._public)

    async def sign(self, data: bytes, *, at: int) -> str:
        """The armoured signature. The agent may ask its owner, so this waits up to the time limit."""
        del at
        question = sshsig.string(self._public) + sshsig.string(sshsig.signed_data(data))
        request = bytes([_SIGN_REQUEST]) + question + struct.pack(">I", _RSA_SHA2_512)
        kind, answer = await _ask(self._socket, request, self._timeout)
        if kind != _SIGNATURE:
            raise ConfigError(
                Code.CONFIG_SIGNING_KEY,
                "the ssh-agent refuses to sign",
                where=self.name,
                hint="Is the key still there (ssh-add -l), and did somebody confirm or touch it?",
            )
        try:
            signature, _ = sshsig.take_string(answer)
            algorithm, _ = sshsig.take_string(signature)
        except ValueError:
            raise _broken(self._socket) from None
        if algorithm != sshsig.ALGORITHMS[sshsig.key_type(self._public)]:
            raise ConfigError(
                Code.CONFIG_SIGNING_KEY,
                f"the ssh-agent signs as {algorithm[:60]!r}, which is too old",
                where=self.name,
                hint="Update the agent, or use an Ed25519 key.",
            )
        return sshsig.armoured(self._public, signature)


async def connect(socket: str, wanted: str, *, timeout: float = 60.0) -> AgentSigner:
    """The signer for the key `wanted`: `ssh-ed25519 AAAA…` or `SHA256:…`. Raises ConfigError, Unreachable.

    `socket` is the path of the agent's socket; `timeout` in seconds is for one answer.
    """
    if not socket:
        raise ConfigError(
            Code.CONFIG_SIGNING_KEY, "there is no ssh-agent: its socket is not known", where="sign.agent", hint=_HINT
        )
    kind, answer = await _ask(socket, bytes([_REQUEST_IDENTITIES]), timeout)
    try:
        keys = _identities(answer) if kind == _IDENTITIES else []
    except ValueError:
        raise _broken(socket) from None
    for public in keys:
        if _is(public, wanted):
            return AgentSigner(socket, public, timeout=timeout)
    raise ConfigError(
        Code.CONFIG_SIGNING_KEY,
        f"the ssh-agent does not hold this key; it holds {len(keys)} others",
        where=f"sign.agent: {wanted[:80]}",
        hint="Compare with ssh-add -L, and add the key: ssh-add.",
    )


def _identities(answer: bytes) -> list[bytes]:
    """The public keys of an agent's answer that can sign commits. Raises ValueError."""
    count, rest = int.from_bytes(answer[:4], "big"), answer[4:]
    if count > _MAX_KEYS:
        raise ValueError("too many keys")
    keys = []
    for _ in range(count):
        public, rest = sshsig.take_string(rest)
        _comment, rest = sshsig.take_string(rest)
        if sshsig.key_type(public) in sshsig.ALGORITHMS:
            keys.append(public)
    return keys


def _is(public: bytes, wanted: str) -> bool:
    if wanted.startswith("SHA256:"):
        return sshsig.fingerprint(public) == wanted.strip().rstrip("=")
    parts = wanted.split()
    with suppress(binascii.Error, ValueError, IndexError):
        return base64.b64decode(parts[1], validate=True) == public
    return False


async def _ask(socket: str, request: bytes, timeout: float) -> tuple[int, bytes]:
    """One question to the agent: (type, body) of its answer."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(sshsig.string(request))
                await writer.drain()
                size = int.from_bytes(await reader.readexactly(4), "big")
                if not 1 <= size <= _MAX_ANSWER:
                    raise _broken(socket)
                answer = await reader.readexactly(size)
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError as error:
        raise Unreachable(
            Code.NET_TIMEOUT, f"the ssh-agent did not answer within {timeout:g} s", where=socket, hint=_HINT
        ) from error
    except (OSError, asyncio.IncompleteReadError) as error:
        raise Unreachable(
            Code.NET_UNREACHABLE, f"cannot speak to the ssh-agent: {type(error).__name__}", where=socket, hint=_HINT
        ) from error
    return answer[0], answer[1:]


def _broken(socket: str) -> Unreachable:
    return Unreachable(Code.NET_UNREACHABLE, "the ssh-agent answers nonsense", where=socket, hint=_HINT)
