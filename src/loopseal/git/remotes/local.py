"""A repository in a folder of this machine, through git's own services as subprocesses.

They are run in the stateless form that smart HTTP uses (`--stateless-rpc`), so requests and answers are the same bytes.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote, urlsplit

from loopseal.errors import Code, ConfigError, Unreachable
from loopseal.git.protocol import Advertisement, Service, advertisement
from loopseal.git.remote import AmbiguousPush
from loopseal.git.remotes.process import Bounds, run
from loopseal.net import clean

V2: Final = {"GIT_PROTOCOL": "version=2"}
"""How a client asks for protocol version 2 beside the protocol itself (gitprotocol-v2(5))."""


class LocalChannel:
    """One repository by `file://` address or absolute path."""

    def __init__(self, url: str, bounds: Bounds) -> None:
        self._url, self._bounds = url, bounds
        self._path = unquote(urlsplit(url).path) if url.startswith("file://") else url

    @property
    def url(self) -> str:
        """Where it is."""
        return self._url

    async def advertise(self, service: Service) -> Advertisement:
        """What the service says of itself."""
        command = [*_program(service), "--stateless-rpc", "--advertise-refs", self._path]
        variables = V2 if service is Service.UPLOAD else {}
        ended = await run(command, variables=variables, bounds=self._bounds, where=self._url)
        if ended.code and not ended.out:
            raise ConfigError(
                Code.GIT_NOT_FOUND,
                f"no repository that can be used here: {clean(ended.words, 200)}",
                where=self._url,
                hint="Check `url`, and that this user owns the folder or git's `safe.directory` names it.",
            )
        return advertisement(ended.out)

    async def ask(self, service: Service, body: bytes, version: int) -> bytes:
        """One request, one run of the service."""
        command = [*_program(service), "--stateless-rpc", self._path]
        variables = V2 if version == 2 else {}  # noqa: PLR2004 - of the protocol
        try:
            ended = await run(command, body, variables=variables, bounds=self._bounds, where=self._url)
        except Unreachable as error:
            if service is Service.RECEIVE:
                raise AmbiguousPush(str(error)) from error
            raise
        if ended.code and not ended.out and service is Service.UPLOAD:
            said = f"git ended with {ended.code}: {clean(ended.words, 200)}"
            raise Unreachable(Code.GIT_PROTOCOL, said, where=self._url, hint="See what git says.")
        return ended.out

    def redact(self, text: str) -> str:
        """There is no credential."""
        return text

    async def aclose(self) -> None:
        """There is nothing to let go of."""


def _program(service: Service) -> list[str]:
    return ["git", service.removeprefix("git-")]
