"""The interface of a client: made, filled, read and removed. Blocks; on an event loop, use a thread."""

import contextlib
import socket
import time
from collections.abc import Iterable, Sequence

from innclient.invitation import Parsed
from innerd.domain.values import (
    KEEPALIVE,
    Address,
    Endpoint,
    PublicKey,
    Range,
    endpoint_address,
    endpoint_of,
    split_endpoint,
)
from innerd.wireguard.backend import Backend
from innerd.wireguard.device import Device, DeviceError, DevicePeer, only
from innerd.wireguard.plan import Change, RemovePeer, SetKey, SetPeer, identity
from innerd.wireguard.sockets import port_is_free


class Tunnel:
    def __init__(self, backend: Backend, interface: str) -> None:
        self.backend = backend
        self.interface = interface

    def is_up(self) -> bool:
        return self.backend.exists(self.interface)

    def bring_up(
        self, values: Parsed, private_key: str, mtu: int, *, routing: bool, last_port: int | None = None
    ) -> None:
        """The interface with its key, port, address and route; what is there is put right. A new one without a port of
        its own takes the one it had last, if it is free: others know us there. Raises DeviceError."""
        port = values.listen_port
        if not self.is_up():
            if port is not None:
                port_is_free(port)
            elif last_port:
                with contextlib.suppress(DeviceError):
                    port_is_free(last_port)
                    port = last_port
            self.backend.create(self.interface)
        device = self.backend.get(self.interface)
        self.backend.apply(self.interface, identity(device, private_key, port))
        address = values.address
        self.backend.configure(self.interface, address.ip, address.network.prefixlen, mtu, routing=routing)

    def get(self) -> Device:
        return self.backend.get(self.interface)

    def change(self, changes: Sequence[Change]) -> None:
        if changes:
            self.backend.apply(self.interface, changes)

    def greet(self, peers: Iterable[DevicePeer]) -> None:
        """Send each of some peers a packet at once, so that they see where we are: WireGuard does when its keepalive is
        switched on. Setting the endpoint again makes wireguard-go forget the source address that it used until now."""
        self.change(
            [
                SetPeer(public_key=peer.public_key, is_new=False, endpoint=peer.endpoint, keepalive=seconds)
                for peer in peers
                for seconds in (0, KEEPALIVE)
            ]
        )

    def forget(self, key: PublicKey) -> None:
        """Take one entry off; the next plan makes it anew, with a handshake at once."""
        self.backend.apply(self.interface, [RemovePeer(key)])

    def meet(self, private_key: str, server: PublicKey, ip: Address, endpoint: Endpoint) -> None:
        """One key, one peer, from scratch: a new entry shakes hands at once, an old one waits for its turn."""
        device = self.get()
        changes: list[Change] = [
            SetKey(private_key),
            *(RemovePeer(key) for key in device.peers),
            SetPeer(
                public_key=server,
                is_new=True,
                allowed_ips=only(ip),
                endpoint=endpoint,
                keepalive=KEEPALIVE,
            ),
        ]
        self.backend.apply(self.interface, changes)

    def has_met(self, server: PublicKey, seconds: float) -> bool:
        """Whether the server answers our handshake within a time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            entry = self.get().peers.get(server)
            if entry is not None and entry.last_handshake is not None:
                return True
            time.sleep(0.01)
        return False

    def down(self) -> None:
        self.backend.delete(self.interface)


def resolve(endpoint: Endpoint) -> Endpoint | None:
    """An endpoint with an address: domains are looked up. None where that fails."""
    if endpoint_address(endpoint) is not None:
        return endpoint
    host, port = split_endpoint(endpoint)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError:
        return None
    return endpoint_of(str(found[0][4][0]), port) if found else None


def candidates(port: int, excluded: list[Range]) -> list[str]:
    """The addresses of this host at which WireGuard may be reached. Ten at most, as the coordinator takes."""
    from innerd.wireguard import links

    usable = [a for a in links.host_addresses() if not any(a in block for block in excluded)]
    return [endpoint_of(str(address), port) for address in usable[:10]]
