"""The HTTP seam, over transports within the process: statuses, bounds, failures, and what never gets out."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopseal import net
from loopseal.errors import Code, ConfigError, Unreachable
from loopseal.net.bodies import plain

T = TypeVar("T")
SECRET = "hunter2-S3cr3t"
Handler = Callable[[httpx2.Request], httpx2.Response]


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


class Body(httpx2.AsyncByteStream):
    """A body that arrives in pieces, and may break."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces
        self.sent = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            self.sent += 1
            yield piece

    async def aclose(self) -> None:
        self.closed = True


def http(handler: Handler, **options: Any) -> net.Http:
    options.setdefault("base_url", "https://peer.example.com/api/")
    return net.Http(options.pop("base_url"), peer="Peer", transport=httpx2.MockTransport(handler), **options)


def ask(handler: Handler, **options: Any) -> net.Response:
    async def work() -> net.Response:
        client = http(handler, **options)
        try:
            return await client.request("GET", "/x")
        finally:
            await client.aclose()

    return run(work())


def failing(error: Exception) -> Handler:
    def handler(_request: httpx2.Request) -> httpx2.Response:
        raise error

    return handler


def refused(handler: Handler, **options: Any) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        ask(handler, **options)
    assert caught.value.hint
    assert caught.value.where == "https://peer.example.com/api"
    return caught.value


# Answers.


@pytest.mark.parametrize("status", [200, 204, 301, 304, 400, 401, 403, 404, 409, 429, 500, 503])
def test_statuses_are_answers(status: int):
    answer = ask(lambda _: httpx2.Response(status, headers={"X-Y": "z"}, content=b"text"))
    assert (answer.status, answer.body, answer.headers["x-y"]) == (status, b"text", "z")


def test_what_is_sent():
    seen: list[httpx2.Request] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200)

    async def headers() -> Mapping[str, str]:
        return {"authorization": "Bearer abc", "accept": "a"}

    async def work() -> None:
        client = http(handler, headers=headers)
        await client.request("POST", "/x", params={"a": "b c"}, headers={"accept": "b"}, content=b"body", timeout=3)
        await client.aclose()

    run(work())
    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", "https://peer.example.com/api/x?a=b+c")
    assert (request.headers["authorization"], request.headers["accept"]) == ("Bearer abc", "b")
    assert request.headers["accept-encoding"] == "gzip"
    assert request.read() == b"body"
    assert request.extensions["timeout"] == {"connect": 3, "read": 3, "write": 3, "pool": 3}


def test_headers_are_asked_for_each_time():
    tokens = iter(["one", "two"])
    seen: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["authorization"])
        return httpx2.Response(200)

    async def headers() -> Mapping[str, str]:
        return {"authorization": next(tokens)}

    async def work() -> None:
        client = http(handler, headers=headers)
        await client.request("GET", "/")
        await client.request("GET", "/")
        await client.aclose()

    run(work())
    assert seen == ["one", "two"]


def test_redirects_are_not_followed_so_no_credential_goes_elsewhere():
    hosts: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        hosts.append(request.url.host)
        return httpx2.Response(302, headers={"location": "https://evil.example.com/"})

    assert ask(handler).status == 302
    assert hosts == ["peer.example.com"]


def test_an_application_in_the_same_process_is_a_peer():
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 201, "headers": [(b"x-path", scope["path"].encode())]})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    async def work() -> net.Response:
        client = net.Http("http://app", peer="App", transport=httpx2.ASGITransport(app=app))
        answer = await client.request("GET", "/deep/path")
        await client.aclose()
        return answer

    answer = run(work())
    assert (answer.status, answer.body, answer.headers["x-path"]) == (201, b"ab", "/deep/path")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0 "}, 0.0),
        ({"retry-after": "9" * 7}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "٧"}, None),  # noqa: RUF001 - a digit, and none of HTTP's
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, None),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT", "date": "Sun, 06 Nov 1994 08:49:07 GMT"}, 30.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT", "date": "Sun, 06 Nov 1994 09:49:07 GMT"}, 0.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT", "date": "yesterday"}, None),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 -0000", "date": "Sun, 06 Nov 1994 08:49:07 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None):
    assert net.Response(429, httpx2.Headers({k: v for k, v in headers.items() if v.isascii()}), b"").retry_after == (
        seconds if all(v.isascii() for v in headers.values()) else None
    )
    assert net.Response(429, headers, b"").retry_after == seconds


@given(st.text(max_size=40), st.text(max_size=40))
def test_retry_after_never_breaks(value: str, date: str):
    seconds = net.Response(429, {"retry-after": value, "date": date}, b"").retry_after
    assert seconds is None or seconds >= 0


# Bounds.


def test_a_body_within_the_limit_passes():
    assert ask(lambda _: httpx2.Response(200, stream=Body(b"1234", b"5")), limit=5).body == b"12345"


def test_a_body_beyond_the_limit_is_given_up_early():
    body = Body(*[b"x" * 100] * 1000)
    error = refused(lambda _: httpx2.Response(200, stream=body), limit=250)
    assert error.code is Code.NET_TOO_LARGE
    assert body.sent == 3
    assert body.closed


@pytest.mark.parametrize("size", [0, 1, 65536, 300_000])
def test_a_compressed_body(size: int):
    packed = gzip.compress(b"ab" * size)
    pieces = [packed[i : i + 1000] for i in range(0, len(packed), 1000)]
    answer = ask(lambda _: httpx2.Response(200, headers={"content-encoding": "GZIP"}, stream=Body(*pieces)))
    assert answer.body == b"ab" * size


def test_a_bomb_does_not_go_off():
    bomb = gzip.compress(gzip.compress(b"\0" * 50_000_000))
    assert len(bomb) < 5000

    async def pieces() -> int:
        async def raw() -> AsyncIterator[bytes]:
            yield gzip.decompress(bomb)

        largest = 0
        async for piece in plain(raw(), "gzip"):
            largest = max(largest, len(piece))
        return largest

    assert run(pieces()) <= 64 * 1024
    inner = gzip.decompress(bomb)
    error = refused(
        lambda _: httpx2.Response(200, headers={"content-encoding": "gzip"}, stream=Body(inner)), limit=100_000
    )
    assert error.code is Code.NET_TOO_LARGE


@pytest.mark.parametrize(
    ("encoding", "body", "says"),
    [
        ("br", b"x", "not asked for"),
        ("gzip, gzip", gzip.compress(b"x", mtime=0), "not asked for"),
        ("gzip", b"plain", "not compressed as it says"),
        ("gzip", zlib.compress(b"x"), "not compressed as it says"),
        ("gzip", gzip.compress(b"x", mtime=0)[:-1], "ends too early"),
        ("gzip", b"", "ends too early"),
        ("gzip", gzip.compress(b"x", mtime=0) + b"more", "goes on after its end"),
    ],
)
def test_bodies_that_are_not_what_they_say(encoding: str, body: bytes, says: str):
    error = refused(lambda _: httpx2.Response(200, headers={"content-encoding": encoding}, stream=Body(body)))
    assert error.code is Code.NET_UNREACHABLE
    assert says in error.message


def test_text_for_people_is_bounded_and_clean():
    answer = ask(lambda _: httpx2.Response(500, content=f"password={SECRET}&x\x00\x1b[31m".encode() + b"\xff" * 9000))
    assert SECRET not in answer.text()
    assert answer.text().isprintable()
    assert len(answer.text(100)) == 100


# Failures.


@pytest.mark.parametrize("kind", [httpx2.ConnectTimeout, httpx2.ReadTimeout, httpx2.WriteTimeout, httpx2.PoolTimeout])
def test_time_is_up(kind: type[httpx2.TimeoutException]):
    error = refused(failing(kind("slow")))
    assert (error.code, kind.__name__ in error.message) == (Code.NET_TIMEOUT, True)


@pytest.mark.parametrize(
    "kind", [httpx2.ConnectError, httpx2.ReadError, httpx2.RemoteProtocolError, httpx2.ProxyError, httpx2.CloseError]
)
def test_the_way_is_broken(kind: type[httpx2.TransportError]):
    error = refused(failing(kind(f"[Errno 111] refused https://u:{SECRET}@h/")))
    assert error.code is Code.NET_UNREACHABLE
    assert SECRET not in error.diagnostics()


def test_an_error_without_words_tells_its_kind():
    assert "ReadError" in refused(failing(httpx2.ReadError(""))).message


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer"),
        caused(httpx2.ConnectError("handshake"), ssl.SSLError(1, "wrong version number")),
    ],
)
def test_no_trusted_connection(error: Exception):
    told = refused(failing(error))
    assert told.code is Code.NET_TLS
    assert "`ca`" in told.hint


@pytest.mark.parametrize(
    ("error", "never"),
    [
        (httpx2.ConnectError("x"), True),
        (httpx2.ConnectTimeout("x"), True),
        (httpx2.PoolTimeout("x"), True),
        (httpx2.ReadTimeout("x"), False),
        (httpx2.ReadError("x"), False),
        (httpx2.RemoteProtocolError("x"), False),
    ],
)
def test_what_was_certainly_never_sent(error: Exception, never: bool):
    assert net.never_sent(refused(failing(error))) is never


def test_a_body_that_breaks_off():
    body = Body(b"abc", httpx2.ReadError("reset"))
    assert refused(lambda _: httpx2.Response(200, stream=body)).code is Code.NET_UNREACHABLE
    assert body.closed


@pytest.mark.parametrize("base_url", ["https://[::1", "https://peer:notaport", "ftp://peer", "peer.example.com"])
def test_addresses_that_are_none(base_url: str):
    with pytest.raises((ConfigError, Unreachable)) as caught:
        run(net.Http(base_url, peer="Peer").request("GET", "/x"))
    assert caught.value.hint


def test_credentials_in_an_address_are_not_shown():
    with pytest.raises(Unreachable) as caught:
        ask(failing(httpx2.ConnectError("x")), base_url=f"https://u:{SECRET}@peer.example.com")
    assert SECRET not in caught.value.diagnostics()


@pytest.mark.parametrize("value", [f"Bearer {SECRET}\n", f"Bearer {SECRET}\r\nx: y", f"Bearer {SECRET}ü", "\0"])
def test_a_header_that_cannot_be_sent_is_not_told(value: str):
    async def headers() -> Mapping[str, str]:
        return {"authorization": value}

    with pytest.raises(ConfigError) as caught:
        ask(lambda _: httpx2.Response(200), headers=headers)
    assert caught.value.code is Code.CONFIG_SECRET
    assert SECRET not in caught.value.diagnostics()
    assert "newline" in caught.value.hint


def test_authorities_that_cannot_be_read(tmp_path: Path):
    for name in ("nope.pem", "bad.pem"):
        (tmp_path / "bad.pem").write_text("no certificate")
        with pytest.raises(ConfigError) as caught:
            net.Http("https://x", peer="P", ca=str(tmp_path / name))
        assert caught.value.code is Code.CONFIG_UNREADABLE


def test_one_context_for_one_set_of_authorities():
    assert net.tls_context() is net.tls_context()
    assert net.tls_context().verify_mode is ssl.CERT_REQUIRED
    assert net.tls_context().check_hostname


# Streams.


def test_a_stream_gives_pieces_as_they_come():
    body = Body(b"data: 1\n", b"data: 2\n", b"data: 3\n")

    async def work() -> list[bytes]:
        client = http(lambda _: httpx2.Response(200, stream=body))
        seen = []
        async with client.stream("GET", "/x", read_timeout=60) as answer:
            async for chunk in answer.chunks:
                seen.append(chunk)
                if len(seen) == 2:
                    break
        await client.aclose()
        return seen

    assert run(work()) == [b"data: 1\n", b"data: 2\n"]
    assert body.closed


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ({}, {"connect": 7, "read": 7, "write": 7, "pool": 7}),
        ({"read_timeout": 90}, {"connect": 7, "read": 90, "write": 7, "pool": 7}),
        ({"timeout": 40}, {"connect": 10, "read": 40, "write": 40, "pool": 40}),
    ],
)
def test_limits_of_a_stream(options: dict[str, float], limits: dict[str, float]):
    seen: list[Any] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.extensions["timeout"])
        return httpx2.Response(200)

    async def work() -> None:
        client = http(handler, timeout=7)
        async with client.stream("GET", "/x", **options):
            pass
        await client.aclose()

    run(work())
    assert seen == [limits]


@pytest.mark.parametrize(
    "error", [KeyError("x"), UnicodeDecodeError("utf-8", b"", 0, 1, "x"), httpx2.ReadError("mine")]
)
def test_what_the_caller_raises_passes_through(error: Exception):
    body = Body(b"x")

    async def work() -> None:
        client = http(lambda _: httpx2.Response(200, stream=body))
        try:
            async with client.stream("GET", "/x"):
                raise error
        finally:
            await client.aclose()

    with pytest.raises(type(error)) as caught:
        run(work())
    assert caught.value is error
    assert body.closed


def test_a_stream_that_breaks_off_says_so_where_it_is_read():
    async def work() -> list[bytes]:
        client = http(lambda _: httpx2.Response(200, stream=Body(b"1", httpx2.ReadTimeout("silent"))))
        seen = []
        try:
            async with client.stream("GET", "/x") as answer:
                async for chunk in answer.chunks:
                    seen.append(chunk)  # noqa: PERF401 - what came before the break counts
        except Unreachable as error:
            assert error.code is Code.NET_TIMEOUT  # noqa: PT017 - what was read before is looked at as well
            return seen
        finally:
            await client.aclose()
        return []

    assert run(work()) == [b"1"]
