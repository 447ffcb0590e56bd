"""The interface of a client: made, filled, read and removed. Blocks; on an event loop, use a thread."""

import contextlib
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from innerd.admin.invitation import Parsed
from innerd.domain.values import (
    KEEPALIVE,
    Address,
    Endpoint,
    PublicKey,
    Range,
    endpoint_address,
    endpoint_of,
)
from innerd.wireguard import links
from innerd.wireguard.backend import Backend
from innerd.wireguard.device import Device, DeviceError, DevicePeer, NoSuchDevice, only
from innerd.wireguard.ownership import PEER, claim, finish, make, refuse_foreign, release
from innerd.wireguard.plan import Change, RemovePeer, SetKey, SetPeer, SetPort, greeting, identity
from innerd.wireguard.sockets import port_is_free


class Making(Struct, frozen=True, kw_only=True):
    """How the interface is to be made. `mtu` None: what the routes carry."""

    mtu: int | None
    routing: bool = True
    try_endpoints: bool = True
    take_relay: bool = True


class Tunnel:
    """`home`: the folder that the membership is run from; an interface that is run from another one is not ours."""

    def __init__(self, backend: Backend, interface: str, home: Path | None = None) -> None:
        self.backend = backend
        self.interface = interface
        self._home = home
        self._index = 0

    @property
    def link(self) -> str:
        """What sockets are bound to that shall speak through it."""
        return self.backend.link(self.interface)

    def is_up(self) -> bool:
        return self.backend.exists(self.interface)

    def is_same(self) -> bool:
        """Whether the link is there, and the one that we brought up. One system call: it may be asked on the loop."""
        try:
            return self.backend.index(self.interface) == self._index
        except NoSuchDevice:
            return False

    def finish(self) -> None:
        """Take up an interface that an installation of ours has begun to make. Raises DeviceError."""
        finish(self.backend, self.interface, PEER, self._home)

    def bring_up(
        self,
        values: Parsed,
        making: Making,
        *,
        last_port: int | None = None,
        endpoint: Endpoint | None = None,
    ) -> list[str]:
        """The interface with its key, port, address and route; what is there is put right. A new one without a port of
        its own takes the one it had last, if it is free: others know us there. What the routes carry is that to the
        coordinator (at `endpoint`, resolved) and to all others. What was done to the link, in words. Raises
        DeviceError."""
        port, backend, interface = values.listen_port, self.backend, self.interface
        private_key, mtu = values.private_key, making.mtu
        if not claim(backend, interface, PEER, (private_key,), self._home):
            if port is not None:
                port_is_free(port)
            elif last_port:
                with contextlib.suppress(DeviceError):
                    port_is_free(last_port)
                    port = last_port
            make(backend, interface, PEER, self._home)
        self._index = backend.index(interface)
        backend.apply(interface, identity(backend.get(interface), private_key, port))
        address = values.address
        if mtu is None:
            to = endpoint_address(endpoint) if endpoint is not None else None
            mtu = links.mtu_towards(to, address.ip, interface)
        return backend.configure(interface, address.ip, address.network.prefixlen, mtu, routing=making.routing)

    def listen(self, port: int | None) -> None:
        """Another UDP port; None is any that is free. Tunnels stay: who was spoken with is greeted from it. Raises
        DeviceError: then the port is as it was."""
        device = self.get()
        before = device.listen_port
        if port == before:
            return
        if port is not None:
            port_is_free(port)
        try:
            self.change([SetPort(port or 0)])
        except DeviceError:
            self.change([SetPort(before)])  # wireguard-go has none now
            raise
        self.greet(peer for peer in device.peers.values() if peer.last_handshake is not None)

    def get(self) -> Device:
        return self.backend.get(self.interface)

    def change(self, changes: Sequence[Change]) -> None:
        """Never of an interface that somebody else made in the place of ours. Raises DeviceError."""
        if changes:
            if self._index and self.backend.index(self.interface) != self._index:
                raise NoSuchDevice(self.interface)
            self.backend.apply(self.interface, changes)

    def greet(self, peers: Iterable[DevicePeer]) -> None:
        """Send each of some peers a packet at once, so that they see where we are."""
        self.change([change for peer in peers for change in greeting(peer.public_key, peer.endpoint)])

    def forget(self, key: PublicKey) -> None:
        """Take one entry off; the next plan makes it anew, with a handshake at once."""
        self.change([RemovePeer(key)])

    def meet(self, private_key: str, server: PublicKey, ip: Address, endpoint: Endpoint) -> None:
        """One key, one peer, from scratch: a new entry shakes hands at once, an old one waits for its turn."""
        # The old entry first, and by itself: else it shakes hands with the new key, and the second of two initiations
        # in one millisecond gets no answer.
        self.change([RemovePeer(key) for key in self.get().peers])
        entry = SetPeer(public_key=server, is_new=True, allowed_ips=only(ip), endpoint=endpoint, keepalive=KEEPALIVE)
        self.change([SetKey(private_key), entry])

    def has_met(self, server: PublicKey, seconds: float) -> bool:
        """Whether the server answers our handshake within a time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            entry = self.get().peers.get(server)
            if entry is not None and entry.last_handshake is not None:
                return True
            time.sleep(0.01)
        return False

    def down(self, private_keys: Iterable[str] = ()) -> None:
        """Take the interface away, if it is ours: by its mark, or as it has one of our keys. Raises DeviceError."""
        release(self.backend, self.interface, PEER, private_keys, self._home)

    def refuse_foreign(self, private_keys: Iterable[str]) -> None:
        """Raises DeviceError where there is an interface, and it is somebody else's."""
        if self.is_up():
            refuse_foreign(self.backend, self.interface, PEER, private_keys, self._home)


def candidates(port: int, excluded: list[Range]) -> list[str]:
    """The addresses of this host at which WireGuard may be reached. Ten at most, as the coordinator takes."""
    usable = [a for a in links.host_addresses() if not any(a in block for block in excluded)]
    return [endpoint_of(str(address), port) for address in usable[:10]]
