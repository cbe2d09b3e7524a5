"""One server that we call with a token: kept connections for calls, one more for each stream, one renewal of a token.

Lives here: what Argo CD's API and the Kubernetes API have in common. Does not: what their answers mean.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import httpx2

from loopseal.engines.answers import UNAUTHORIZED, Gone, Missing, failure
from loopseal.engines.bearer import Bearer
from loopseal.errors import Code, LoopsealError, Refused
from loopseal.net import Http, Response, Stream
from loopseal.net.calls import CallLog

_BAD: Final = 400
_JSON: Final = "application/json"


class Peer:
    """Calls and streams of one server. A refused token is fetched anew, once for each call."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        bearer: Bearer,
        timeout: float,
        calls: CallLog,
        ca: str = "",
        tls: ssl.SSLContext | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.url, self._bearer, self._simulated = url, bearer, transport is not None
        self._make: Callable[[], Http] = lambda: Http(
            url, peer=name, ca=ca, tls=tls, timeout=timeout, transport=transport, calls=calls
        )
        self._calls = self._make()

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        media: str = _JSON,
    ) -> Response:
        """One call and its answer, whatever its status. Raises Unreachable."""
        for last in (False, True):
            token = await self._bearer.headers()
            headers = {**token, "accept": f"{_JSON}, */*"}
            if method != "GET":
                headers["content-type"] = media  # without it Argo CD answers 415, to DELETE as well
            answer = await self._calls.request(method, path, params=params, headers=headers, content=content)
            if answer.status != UNAUTHORIZED or last:
                break
            self._bearer.refused(token)
        return answer

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str], accept: str, silence: float
    ) -> AsyncIterator[Stream]:
        """One call whose answer goes on; `silence` seconds without a byte break it. Raises LoopsealError, or Gone."""
        http = self._calls if self._simulated else self._make()  # it must not take a connection from the calls
        try:
            token = await self._bearer.headers()
            for last in (False, True):
                headers = {**token, "accept": accept}
                async with http.stream("GET", path, params=params, headers=headers, read_timeout=silence) as answer:
                    if answer.status < _BAD:
                        yield answer
                        return
                    if answer.status != UNAUTHORIZED or last:
                        raise _broken(Response(answer.status, answer.headers, b""), self.url)
                self._bearer.refused(token)
                token = await self._bearer.headers()
        finally:
            if http is not self._calls:
                await http.aclose()

    async def aclose(self) -> None:
        """Let go of the kept connections."""
        await self._calls.aclose()


def _broken(answer: Response, where: str) -> LoopsealError | Gone:
    """A stream that is not there is no missing application, but another kind of server."""
    found = failure(answer, where)
    if isinstance(found, Missing):
        hint = "Is `url` the API's own address, with its root path?"
        return Refused(Code.ENGINE_PROTOCOL, "there is no such stream", where=where, hint=hint)
    return found
