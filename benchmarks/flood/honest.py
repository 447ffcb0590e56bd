"""Who must not suffer: an administrator that changes the network, and a peer that asks for names."""

import asyncio
import contextlib
import json
import secrets
import socket
import time
from collections import Counter

from benchmarks.flood.wire import DNS, PORT, SERVER, Peer, Target, peer_socket, question

_EVERY = 0.06  # seconds between two commands
_ASKED_EVERY = 0.01  # and between two questions
_PATIENCE = 10.0  # seconds for a command, as inn's
_LOST = 1.0  # seconds after which an answer of DNS is none


class Admin:
    """One command after the other, each on a connection of its own and with a proof: what `inn` does."""

    def __init__(self, me: Peer, target: Target, cidr: int) -> None:
        self.took: list[float] = []  # seconds, of each command that was begun
        self.failed: Counter[str] = Counter()
        self._me, self._target, self._cidr = me, target, cidr

    async def run(self, until: float) -> None:
        number = 0
        while (began := time.monotonic()) < until:
            number += 1
            failure = await self._command(number)
            self.took.append(time.monotonic() - began)
            if failure:
                self.failed[failure] += 1
            await asyncio.sleep(max(0.0, began + _EVERY - time.monotonic()))

    async def _command(self, number: int) -> str:
        """Rename a CIDR; what went wrong."""
        body = json.dumps({"name": f"spare-{number}", "cidr": "10.42.131.0/24", "parent": 1}).encode()
        key = {"Idempotency-Key": secrets.token_hex(16)}
        path = f"/v1/admin/cidrs/{self._cidr}"
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._ask(self._target.request("PUT", path, body, key, self._me.secret))
        except TimeoutError:
            return "no answer"
        except (OSError, asyncio.IncompleteReadError) as error:
            return type(error).__name__

    async def _ask(self, request: bytes) -> str:
        mine = peer_socket(self._me.ip, is_root=True)
        await asyncio.get_running_loop().sock_connect(mine, (SERVER, PORT))
        reader, writer = await asyncio.open_connection(sock=mine)
        try:
            writer.write(request)
            status = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        return "" if status.startswith("2") else status


class Asker(asyncio.DatagramProtocol):
    """A question every ten milliseconds, whether or not the one before was answered."""

    def __init__(self) -> None:
        self.took: list[float] = []
        self.lost = 0
        self._asked: dict[int, float] = {}

    def datagram_received(self, data: bytes, addr: object) -> None:
        began = self._asked.pop(int.from_bytes(data[:2], "big"), None)
        if began is not None and data[3] & 0x0F == 0:
            self.took.append(time.monotonic() - began)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens: it counts as lost."""

    async def run(self, me: Peer, until: float) -> None:
        loop = asyncio.get_running_loop()
        mine = peer_socket(me.ip, socket.SOCK_DGRAM)
        mine.connect((SERVER, DNS))
        transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=mine)
        number = 0
        while (began := time.monotonic()) < until:
            number += 1
            self._asked[number & 0xFFFF] = began
            transport.sendto(question("honest-2.floodnet.wg", number))
            await asyncio.sleep(max(0.0, began + _ASKED_EVERY - time.monotonic()))
        await asyncio.sleep(_LOST)
        transport.close()
        self.lost = len(self._asked)
        self.took += [_LOST] * self.lost
