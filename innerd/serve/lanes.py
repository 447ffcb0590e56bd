"""The sockets of the tunnel's API, so that administrators have a queue of their own for as long as they are, and come
first in what is read."""

import contextlib
import socket

from innerd.api.sources import Sources
from innerd.coordinator.feed import Committed
from innerd.domain.network import Network
from innerd.domain.values import Address
from innerd.domain.visibility import touched
from innerd.wireguard import lanes


class Lanes:
    """`open` makes them for an interface, anew each time."""

    def __init__(self, interface: str, address: Address, port: int, sources: Sources) -> None:
        self._interface, self._address, self._port, self._sources = interface, address, port, sources
        self._open: list[socket.socket] = []

    def open(self, network: Network) -> list[socket.socket]:
        """Raises DeviceError."""
        self._open = lanes.lanes(self._interface, self._address, self._port)
        self._give(network)
        return self._open

    def follow(self, change: Committed) -> None:
        """A follower of the feed."""
        before, after = change.before.network, change.after.network
        if any(_admins(before, number) != _admins(after, number) for number in touched(change.events)):
            self._give(after)

    def _give(self, network: Network) -> None:
        admins = [address for number in network.peers for address in _admins(network, number)]
        self._sources.administrators = frozenset(map(str, admins))
        with contextlib.suppress(OSError):  # closed meanwhile; or a kernel without it, where all are spread
            lanes.assign(self._open, self._address.version, admins)


def _admins(network: Network, number: int) -> tuple[Address, ...]:
    """The address of a peer, where it is an administrator."""
    peer = network.peers.get(number)
    return (peer.ip,) if peer is not None and peer.is_admin and peer.is_active else ()
