"""DNS on the WireGuard address. Where another server has the port, the network is served without names, which is said,
and it is tried again."""

import asyncio
import socket
from collections.abc import Iterator

import structlog

from inndns.server import DnsServer
from innerd.domain.values import Address
from innerd.wire.ours import Trouble
from innerd.wireguard.device import DeviceError
from innerd.wireguard.sockets import bound

DNS_PORT = 53
_AGAIN = 5.0  # seconds

_log = structlog.get_logger("innerd")


class Answering:
    """Keeps a DNS server on its sockets. `config` is the file in which it can be switched off."""

    def __init__(self, server: DnsServer, interface: str, address: Address, config: str) -> None:
        self._server, self._interface, self._address = server, interface, address
        self._config = config
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
        await self._server.close()
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
        await self._server.listen(*sockets)
        return None
