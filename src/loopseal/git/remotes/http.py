"""Smart HTTP(S): Git's requests as POSTs on one kept connection.

Source: gitprotocol-http(5). Smart HTTP is stateless, so the request is posted straight away, with the credential; the
`GET info/refs` that git itself begins with happens only where a host insists. Redirects are told, never followed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from loopseal.errors import Code, ConfigError, LoopsealError, Refused, Unreachable
from loopseal.git.pktline import malformed
from loopseal.git.protocol import Advertisement, Service, advertisement
from loopseal.git.remote import AmbiguousPush
from loopseal.git.remotes.access import Access
from loopseal.net import Http, Response, clean, never_sent

if TYPE_CHECKING:
    import httpx2

_PATIENCE: Final = 20
"""Times the silence limit until a host that drips bytes is given up."""


class HttpChannel:
    """One repository over smart HTTP. `limit` bounds one answer, in bytes; `timeout` is for silence, in seconds."""

    def __init__(
        self,
        url: str,
        access: Access,
        *,
        ca: str = "",
        timeout: float = 30.0,
        limit: int = 64 * 1024 * 1024,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._access, self._total = access, timeout * _PATIENCE
        self._http = Http(url, peer="git", ca=ca, timeout=timeout, limit=limit, transport=transport)

    @property
    def url(self) -> str:
        """Where it is."""
        return self._http.base_url

    async def advertise(self, service: Service) -> Advertisement:
        """What `GET info/refs` answers, asked in version 2 where the service knows it."""
        headers = {"Git-Protocol": "version=2"} if service is Service.UPLOAD else {}
        answer = await self._sent("GET", "/info/refs", {"service": service}, headers, None)
        _expect_type(answer, f"application/x-{service}-advertisement")
        return advertisement(answer.body)

    async def ask(self, service: Service, body: bytes, version: int) -> bytes:
        """One POST and its answer."""
        headers = {"Content-Type": f"application/x-{service}-request", "Accept": f"application/x-{service}-result"}
        if version == 2:  # noqa: PLR2004 - of the protocol
            headers["Git-Protocol"] = "version=2"
        try:
            answer = await self._sent("POST", f"/{service}", None, headers, body)
        except _Uncertain as error:
            if service is Service.RECEIVE:
                raise AmbiguousPush(self._access.redact(str(error.error))) from error.error
            raise error.error from error.error.__cause__
        if service is Service.UPLOAD:
            _expect_type(answer, f"application/x-{service}-result")
        return answer.body

    def redact(self, text: str) -> str:
        """`text` without our credential."""
        return self._access.redact(text)

    async def aclose(self) -> None:
        """Close the kept connections."""
        await self._http.aclose()

    async def _sent(
        self, method: str, path: str, params: Mapping[str, str] | None, headers: Mapping[str, str], body: bytes | None
    ) -> Response:
        """One call; a refused credential is read anew, once: what was answered with 401 was not acted upon."""
        answer = await self._once(method, path, params, headers, body)
        if answer.status == HTTPStatus.UNAUTHORIZED and self._access.reference:
            self._access.forget()
            answer = await self._once(method, path, params, headers, body)
        if answer.status == HTTPStatus.OK:
            return answer
        error = refusal(answer, self.url, self._access)
        if method == "POST" and isinstance(error, Unreachable) and error.code is Code.GIT_UNREACHABLE:
            raise _Uncertain(error)
        raise error

    async def _once(
        self, method: str, path: str, params: Mapping[str, str] | None, headers: Mapping[str, str], body: bytes | None
    ) -> Response:
        authorization = await self._access.authorization()
        own = {**headers, "Accept-Encoding": "identity"} | ({"Authorization": authorization} if authorization else {})
        try:
            async with asyncio.timeout(self._total):
                return await self._http.request(method, path, params=params, headers=own, content=body)
        except Unreachable as error:
            if method == "POST" and not never_sent(error):
                raise _Uncertain(error) from error
            raise
        except TimeoutError as error:
            late = Unreachable(Code.NET_TIMEOUT, "git did not end its answer in time", where=self.url)
            if method == "POST":
                raise _Uncertain(late) from error
            raise late from error


class _Uncertain(Exception):
    """The request may have been acted upon; only a push cares."""

    def __init__(self, error: Unreachable) -> None:
        super().__init__(str(error))
        self.error = error


def _expect_type(answer: Response, kind: str) -> None:
    found = answer.headers.get("content-type", "").partition(";")[0].strip()
    if found != kind:
        raise malformed(f"the host answered with {clean(found, 80) or 'no content type'} instead of {kind}")


def refusal(answer: Response, where: str, access: Access) -> LoopsealError:
    """The error that a status other than 200 means."""
    status, words = answer.status, access.redact(answer.text(200))
    told = f"the host answered {status}" + (f": {words}" if words and "<" not in words else "")
    if status == HTTPStatus.UNAUTHORIZED:
        named = f"the credential {access.reference!r} was refused" if access.reference else "the host asks who we are"
        return Refused(
            Code.GIT_AUTHENTICATION,
            named,
            where=where,
            hint="Is the token still valid, and is its user name right? Set `credential` of the repository.",
        )
    if status == HTTPStatus.FORBIDDEN:
        return Refused(
            Code.GIT_FORBIDDEN, told, where=where, hint="The credential is known but may not do this. Ask for access."
        )
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        return ConfigError(
            Code.GIT_NOT_FOUND,
            "no such repository, or no permission to see it",
            where=where,
            hint="Check `url`. Hosts answer the same when the credential may not read it.",
        )
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return ConfigError(
            Code.GIT_MOVED,
            f"the repository moved to {access.redact(clean(answer.headers.get('location', ''), 300)) or 'elsewhere'}",
            where=where,
            hint="Redirects are not followed, they would carry the credential along. Change `url`.",
        )
    limited = status == HTTPStatus.SERVICE_UNAVAILABLE and answer.retry_after is not None
    if status == HTTPStatus.TOO_MANY_REQUESTS or limited:
        return Unreachable(
            Code.GIT_RATE_LIMITED,
            told,
            where=where,
            hint="Set `pushes_per_minute` to the host's budget; waiting changes then share a push.",
            retry_after=answer.retry_after,
        )
    code = Code.GIT_UNREACHABLE if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Code.GIT_PROTOCOL
    return Unreachable(code, told, where=where, hint="Is this address a Git repository, and is the host well?")
