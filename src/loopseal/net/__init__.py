"""The one HTTP stack: time limits, size limits, redaction, a span and (for engines) a record of each call.

Peers are hostile until checked: bodies are bounded, redirects are not followed (a redirect would carry our credential
elsewhere), text for people is cut and stripped of secrets. Statuses are answers, not exceptions; only a broken way to
the peer raises, as `Unreachable`. Nothing is retried here: what may be repeated is for the caller to know.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Final

import httpx2
from opentelemetry import trace

from loopseal.errors import Code, ConfigError, Unreachable
from loopseal.net.bodies import plain
from loopseal.net.calls import Call, CallLog
from loopseal.net.redaction import clean

__all__ = ["MAX_BODY", "Headers", "Http", "Response", "Stream", "clean", "never_sent", "tls_context"]

MAX_BODY: Final = 32 * 1024 * 1024
"""Bytes of one answer. Unprojected Argo CD applications of more than 1 MiB exist; 32 MiB is nobody's answer."""

Headers = Callable[[], Awaitable[Mapping[str, str]]]
"""Gives the headers of one call: where credentials come from, fresh each time."""

_tracer = trace.get_tracer("loopseal.net")


@dataclass(frozen=True, slots=True)
class Response:
    """One whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait, where the peer named them (RFC 9110 §10.2.3): a number, or a date by its own clock."""
        value = self.headers.get("retry-after", "").strip()
        if re.fullmatch(r"[0-9]{1,6}", value):
            return float(value)
        try:
            pause = parsedate_to_datetime(value) - parsedate_to_datetime(self.headers.get("date", ""))
        except (TypeError, ValueError, OverflowError):  # no date at all, or one of them without its zone
            return None
        return max(0.0, pause.total_seconds())

    def text(self, limit: int = 500) -> str:
        """The beginning of the body for people, secrets removed."""
        return clean(self.body[: limit * 4].decode("utf-8", "replace"), limit)


@dataclass(frozen=True, slots=True)
class Stream:
    """One answer whose body arrives in pieces."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


async def _no_headers() -> Mapping[str, str]:
    return {}


class Http:
    """A client of one peer on one event loop: kept connections, nothing shared with other peers.

    `peer` names it in spans and errors; `tls` stands in for `ca` where there is a client certificate; `transport`
    replaces the network (a simulator in the same process); `calls` records each attempt.
    """

    def __init__(
        self,
        base_url: str,
        *,
        peer: str,
        headers: Headers = _no_headers,
        ca: str = "",
        tls: ssl.SSLContext | None = None,
        timeout: float = 30.0,
        limit: int = MAX_BODY,
        transport: httpx2.AsyncBaseTransport | None = None,
        calls: CallLog | None = None,
    ) -> None:
        self.base_url, self.peer = base_url.rstrip("/"), peer
        self._headers, self._limit, self._timeout = headers, limit, timeout
        self._where, self._calls = clean(self.base_url), calls
        self._client = httpx2.AsyncClient(
            verify=tls or tls_context(ca),
            transport=transport,
            headers={"accept-encoding": "gzip"},  # what `plain` can bound
            timeout=httpx2.Timeout(timeout, connect=min(timeout, 10.0)),
            limits=httpx2.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=55.0),
            follow_redirects=False,
            trust_env=True,
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout: float | None = None,
    ) -> Response:
        """One call and its whole answer, whatever its status. Raises Unreachable."""
        async with self.stream(
            method, path, params=params, headers=headers, content=content, timeout=timeout
        ) as answer:
            body = bytearray()
            async for chunk in answer.chunks:
                body += chunk
                if len(body) > self._limit:
                    raise Unreachable(
                        Code.NET_TOO_LARGE,
                        f"{self.peer} answered with more than {self._limit} bytes",
                        where=self._where,
                        hint="Look at what is so large there, or narrow what is asked for.",
                    )
            return Response(answer.status, answer.headers, bytes(body))

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout: float | None = None,
        read_timeout: float | None = None,
    ) -> AsyncIterator[Stream]:
        """One call whose body is read by the caller. `read_timeout` bounds the silence between two pieces.

        What the caller raises inside passes through untouched. Raises Unreachable, also while the body is read.
        """
        own = _sendable({**await self._headers(), **(headers or {})}, self.peer)
        whole = timeout or self._timeout
        limits = httpx2.Timeout(whole, connect=min(whole, 10.0), read=read_timeout or whole)
        with _tracer.start_as_current_span(f"{self.peer} {method}", kind=trace.SpanKind.CLIENT) as span:
            span.set_attribute("http.request.method", method)
            span.set_attribute("url.path", path.partition("?")[0])
            with _translated(self.peer, self._where):
                request = self._client.build_request(
                    method, self.base_url + path, params=params, headers=own, content=content, timeout=limits
                )
            with self._recorded(request) as call:
                request.headers.update(call.headers)
                with _translated(self.peer, self._where):
                    answer = await self._client.send(request, stream=True)
                call.status = answer.status_code
                span.set_attribute("http.response.status_code", answer.status_code)
                try:
                    async with aclosing(self._chunks(answer)) as chunks:
                        yield Stream(answer.status_code, answer.headers, chunks)
                finally:
                    with suppress(httpx2.HTTPError):
                        await answer.aclose()

    def _recorded(self, request: httpx2.Request) -> AbstractContextManager[Call]:
        if self._calls is None:
            return nullcontext(Call({}))
        return self._calls.call(request.method, request.url.raw_path.decode("ascii"))

    async def _chunks(self, answer: httpx2.Response) -> AsyncGenerator[bytes, None]:
        with _translated(self.peer, self._where):
            if answer.is_stream_consumed:  # a transport within the process gave it whole
                yield answer.content
                return
            async for piece in plain(answer.aiter_raw(), answer.headers.get("content-encoding", "")):
                yield piece

    async def aclose(self) -> None:
        """Close the kept connections."""
        await self._client.aclose()


def _sendable(headers: Mapping[str, str], peer: str) -> Mapping[str, str]:
    """`headers`, if a request can carry them. The client library would tell the value in its error: it is a secret."""
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise ConfigError(
                Code.CONFIG_SECRET,
                f"the header {name!r} for {peer} has characters that cannot be sent",
                hint="Does the credential have a newline in it, or at its end?",
            )
    return headers


@cache
def tls_context(ca: str = "") -> ssl.SSLContext:
    """One context per set of authorities: making one costs 38 ms and 0.8 MB, so clients share it."""
    try:
        return ssl.create_default_context(cafile=ca or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            Code.CONFIG_UNREADABLE,
            f"cannot read certificate authorities: {error}",
            where=ca,
            hint="`ca` must name a PEM file that this process may read.",
        ) from error


def never_sent(error: Unreachable) -> bool:
    """Whether the call certainly did not reach the peer: there was no connection to send it on."""
    return isinstance(
        error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout | httpx2.ProxyError
    )


@contextmanager
def _translated(peer: str, where: str) -> Iterator[None]:
    """Turn everything the client library raises into `Unreachable`."""
    try:
        yield
    except httpx2.TimeoutException as error:
        raise Unreachable(
            Code.NET_TIMEOUT,
            f"{peer} did not answer in time ({type(error).__name__})",
            where=where,
            hint="Is the host up, and is the way to it open? Retried where it is safe.",
        ) from error
    except httpx2.HTTPError as error:
        text = clean(str(error) or type(error).__name__, 300)
        if isinstance(error.__cause__ or error.__context__, ssl.SSLError) or "certificate" in text.lower():
            raise Unreachable(
                Code.NET_TLS,
                f"no trusted connection to {peer}: {text}",
                where=where,
                hint="Check the certificate, or name its authority in `ca`. There is no switch to skip the check.",
            ) from error
        raise Unreachable(
            Code.NET_UNREACHABLE,
            f"cannot reach {peer}: {text}",
            where=where,
            hint="Is the address right, the host up, and the way to it open?",
        ) from error
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise ConfigError(
            Code.CONFIG_INVALID,
            f"not a usable address: {clean(str(error), 200)}",
            where=where,
            hint="Check the `url` of this peer.",
        ) from error
