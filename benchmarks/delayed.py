"""A loopback proxy that puts distance between a client and a server: every byte half a round trip late, each way.

A new connection costs `connect` round trips more, as TCP and TLS 1.3 do. Runs as a process of its own, so that it takes
nothing from those it stands between.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def program(*command: str) -> Iterator[str]:
    """The first word that this program prints, while it runs."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().split()[0]
        finally:
            process.terminate()


@contextmanager
def delayed(target: int, rtt: float, *, connect: int = 2) -> Iterator[int]:
    """The port of a proxy to 127.0.0.1:`target` that is `rtt` seconds away."""
    with program(__file__, str(target), str(rtt), str(connect)) as port:
        yield int(port)


@contextmanager
def served(root: str) -> Iterator[int]:
    """The port of a Git server for the bare repositories below `root`, as a process of its own."""
    with program("-m", "loopseal.testing.git_server", root) as address:
        yield int(address.rpartition(":")[2])


async def _serve(target: int, rtt: float, connect: int) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", target)
        for one in (writer, up_writer):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(ConnectionError):
            await asyncio.gather(
                _pump(reader, up_writer, rtt / 2, rtt * connect), _pump(up_reader, writer, rtt / 2, 0.0)
            )
        writer.close()
        up_writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=512)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)  # whatever is on its way is let go
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float, first: float) -> None:
    loop = asyncio.get_running_loop()
    began, queue = loop.time(), asyncio.Queue[tuple[float, bytes]]()

    async def send() -> None:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                with suppress(OSError):
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    sending = asyncio.create_task(send())
    while data := await reader.read(1 << 18):
        queue.put_nowait((max(loop.time() + delay, began + first + delay), data))
    queue.put_nowait((loop.time() + delay, b""))
    await sending


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
