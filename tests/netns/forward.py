"""A door from this machine into a host of a lab: `forwarded(host, port)` gives a port of 127.0.0.1 here that leads to a
port of 127.0.0.1 there.

`python -m tests.netns.forward FD PORT` is the doorkeeper: it runs in the host's network, on a socket that was made in
ours. A socket belongs for ever to the network that it was made in, so no link and no route is needed.
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.netns.lab import Host

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def forwarded(host: Host, port: int, wanted: int = 0) -> Iterator[int]:
    """The port here: the wanted one where it is free."""
    with _listening(wanted) as ours:
        keeper = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "SIGKILL", "nsenter", "-t", str(host.pid), "-n", "--"),
                *(sys.executable, "-m", "tests.netns.forward", str(ours.fileno()), str(port)),
            ],
            pass_fds=[ours.fileno()],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
        )
        try:
            yield int(ours.getsockname()[1])
        finally:
            keeper.kill()
            keeper.wait()


def _listening(wanted: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", wanted))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))


async def _serve(number: int, port: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            inner, outer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_carry(reader, outer), _carry(inner, writer))
        writer.close()

    ours = socket.socket(fileno=number)
    server = await asyncio.start_server(connected, sock=ours)
    await server.serve_forever()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
