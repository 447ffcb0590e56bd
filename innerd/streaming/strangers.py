"""Which peers' routers mind a stranger's packet: they remember it, and give the peer's own packets to that stranger
another port than everybody knows. Towards such a router a way must be opened from within first, which takes time.

A peer that asks (`POST /v1/user/router`) names a port of its host that it has not sent from yet. A packet goes there
from a socket that it does not know: to its router a stranger's. Then the peer sends from that port to that socket. If
it comes from the same port at the address where the peer is seen, the router let go of the stranger. Nothing that is
used for anything else was risked for it: neither WireGuard's port there nor ours here.
"""

import asyncio
import contextlib
from collections.abc import Callable

from innerd.coordinator.presence import Presence
from innerd.domain.network import Peer
from innerd.domain.values import Endpoint, endpoint_of, split_endpoint, version_of
from innerd.streaming.limits import Buckets

_ASKS, _ASKS_RATE = 10, 0.2  # a peer's, at once, and a second after that
_STRANGER = b"innerd: a stranger"


class Strangers(asyncio.DatagramProtocol):
    def __init__(self, presence: Presence, clock: Callable[[], float]) -> None:
        self._presence = presence
        self._asks = Buckets("tests of routers", _ASKS, _ASKS_RATE, clock)
        self._expected: dict[bytes, tuple[int, Endpoint]] = {}  # what whose packet says, and where it should come from
        self._nonces: dict[int, bytes] = {}
        self._at_ease: dict[int, str] = {}  # the address of a router that does not mind
        self._transport: asyncio.DatagramTransport | None = None

    async def ask(self, peer: Peer, port: int, nonce: bytes) -> int | None:
        """Be a stranger to a peer's router; the port at which its answer is awaited. None where that says nothing: it
        is not seen by IPv4. Raises Refused where it asks too often."""
        self._asks.take(peer.id)
        seen = self._presence.learned(peer.id)
        self.forget(peer.id)
        if seen is None or version_of(seen) != 4:
            return None
        address = split_endpoint(seen)[0]
        self._nonces[peer.id], self._expected[nonce] = nonce, (peer.id, endpoint_of(address, port))
        with contextlib.suppress(OSError):
            transport = await self._opened()
            transport.sendto(_STRANGER, (address, port))
            return int(transport.get_extra_info("sockname")[1])
        return None

    def is_at_ease(self, peer: int) -> bool:
        """Whether the router in front of a peer is known not to mind strangers, where the peer is seen now."""
        seen, address = self._presence.learned(peer), self._at_ease.get(peer)
        return seen is not None and split_endpoint(seen)[0] == address

    def note(self, peer: int, address: str) -> None:
        """The router at an address, in front of a peer, does not mind strangers."""
        self._at_ease[peer] = address

    def forget(self, peer: int) -> None:
        self._at_ease.pop(peer, None)
        self._expected.pop(self._nonces.pop(peer, b""), None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    async def _opened(self) -> asyncio.DatagramTransport:
        if self._transport is None:
            loop = asyncio.get_running_loop()
            self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("0.0.0.0", 0))  # noqa: S104
        return self._transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        peer, endpoint = self._expected.get(data, (0, None))
        if endpoint == endpoint_of(*addr[:2]):
            self.note(peer, addr[0])
