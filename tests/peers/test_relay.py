"""The relay between a client and a peer: what goes through, what breaks, what is counted."""

from __future__ import annotations

import socket
import threading

import pytest

from loopseal.testing.background import Background
from tests.peers.relay import relay


@pytest.fixture
def peer():
    """A server that answers every piece with the same piece; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def echo(one: socket.socket) -> None:
            with one:
                try:
                    while piece := one.recv(4096):
                        one.sendall(piece)
                except OSError:
                    return

        def serve() -> None:
            while True:
                try:
                    one, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=echo, args=(one,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def way(peer):
    with Background() as background, relay(background, peer) as made:
        yield made


def connected(way) -> socket.socket:
    port = int(way.url.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def broken(client: socket.socket) -> bool:
    """Whether the other end has gone, with a reset or without."""
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


def test_what_is_sent_comes_back_and_requests_are_counted(way):
    with connected(way) as client:
        request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
        client.sendall(request * 2)
        answer = b""
        while len(answer) < 2 * len(request):
            answer += client.recv(4096)
        assert answer == request * 2
    assert way.requests == 2


def test_a_cut_breaks_what_is_open_and_nothing_else(way):
    with connected(way) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        way.cut()
        assert broken(client)
    with connected(way) as client:
        client.sendall(b"y")
        assert client.recv(1) == b"y"


def test_a_frozen_connection_stays_and_says_nothing(way):
    with connected(way) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        way.freeze(on=True)
        client.settimeout(0.3)
        client.sendall(b"y")
        with pytest.raises(TimeoutError):
            client.recv(1)
        way.freeze(on=False)
    with connected(way) as client:
        client.sendall(b"z")
        assert client.recv(1) == b"z"


def test_a_peer_that_is_away_refuses(way, peer):
    with Background() as background, relay(background, "http://127.0.0.1:1") as nowhere, connected(nowhere) as client:
        assert broken(client)
