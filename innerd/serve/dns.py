"""DNS on the WireGuard address. Where another server has the port, the network is served without names, which is said,
and it is tried again.

Questions are answered in a thread with a loop of its own: a name takes a fraction of a millisecond, and must not wait
for a turn of the coordinator's loop, which hostile peers can make ten times as long. What is shared is the zone, a
value that is replaced and never changed.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import structlog

from inndns.server import DnsServer
from innerd.domain.values import Address
from innerd.wire.ours import Trouble
from innerd.wireguard.device import DeviceError
from innerd.wireguard.sockets import bound

DNS_PORT = 53
_AGAIN = 5.0  # seconds

_log = structlog.get_logger("innerd")


Loops = Callable[[], asyncio.AbstractEventLoop]


class Apart:
    """A loop in a thread of its own."""

    def __init__(self, new_loop: Loops) -> None:
        self._loop = new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="dns", daemon=True)

    async def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done there; return when it is."""
        if not self._thread.is_alive():
            self._thread.start()
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def end(self, work: Coroutine[Any, Any, None]) -> None:
        """The last that is done there."""
        await self.do(work)
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()


class Answering:
    """Keeps a DNS server on its sockets. `config` is the file in which it can be switched off."""

    def __init__(self, server: DnsServer, interface: str, address: Address, config: str, new_loop: Loops) -> None:
        self._server, self._interface, self._address = server, interface, address
        self._config, self._apart = config, Apart(new_loop)
        self._refused: DeviceError | None = None

    def troubles(self) -> Iterator[Trouble]:
        if self._refused is not None:
            in_use = (
                "stop what holds the port, or have it listen on addresses of its own only (dnsmasq: bind-interfaces; "
                f"unbound: interface; named: listen-on); or serve no names: [dns] enabled = false in {self._config}"
            )
            hint = in_use if self._refused.code == "port_in_use" else self._refused.hint
            text = f"names are not answered: {self._refused.message}"
            yield Trouble(kind="dns", code=self._refused.code, text=text, hint=hint)

    async def begin(self) -> None:
        """Listen anew: the interface may be another one. Where that is refused it is tried again (`run`)."""
        await self._apart.do(self._server.close())
        self._refused = await self._listen()
        if self._refused is not None:
            _log.error(
                "serving WITHOUT DNS",
                why=self._refused.message,
                help=self._refused.hint or "",
                setting=f"[dns] enabled in {self._config}",
            )

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_AGAIN)
            if self._refused is not None:
                self._refused = await self._listen()
                if self._refused is None:
                    _log.warning("DNS is served now", interface=self._interface)

    async def _listen(self) -> DeviceError | None:
        """Why it can't be; None where it is served."""
        sockets: list[socket.socket] = []
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                sockets.append(bound(self._interface, self._address, DNS_PORT, kind))
        except DeviceError as error:
            for one in sockets:
                one.close()
            return error
        await self._apart.do(self._server.listen(*sockets))
        return None

    async def end(self) -> None:
        await self._apart.end(self._server.close())
