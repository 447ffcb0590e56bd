"""WireGuard in memory: a real backend under the same contract suite, for tests and simulations.

It behaves as the kernel does: an allowed IP given to one peer is taken from the other, unknown peers to remove are
no error, a change brings back no peer that went, and two devices can't share a port.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from innerd.domain.values import Address
from innerd.wireguard.device import Device, DeviceError, NoSuchDevice
from innerd.wireguard.plan import Change, SetPort, applied


class MemoryBackend:
    name = "memory"

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}
        self.links: dict[str, tuple[str, int, bool]] = {}
        self.owners: dict[str, str] = {}
        self._made = 0
        self._indexes: dict[str, int] = {}
        self.applied: list[Change] = []  # every change ever, for tests that count

    def exists(self, interface: str) -> bool:
        return interface in self.devices

    def index(self, interface: str) -> int:
        self.get(interface)
        return self._indexes[interface]

    def await_end(self, interface: str) -> None:
        """There is no port."""

    def create(self, interface: str) -> None:
        if interface not in self.devices:
            self.devices[interface] = Device()
            self._indexes[interface] = self._made = self._made + 1

    def configure(self, interface: str, address: Address, prefix: int, mtu: int, *, routing: bool) -> list[str]:
        self.get(interface)
        before, wanted = self.links.get(interface), (f"{address}/{prefix}", mtu, routing)
        self.links[interface] = wanted
        return [] if before == wanted else [f"set address, MTU and route to {wanted}"]

    def link(self, interface: str) -> str:
        return "lo"  # what is in memory has no link of its own

    def mark(self, interface: str, owner: str) -> None:
        self.get(interface)
        self.owners[interface] = owner

    def owner(self, interface: str) -> str:
        self.get(interface)
        return self.owners.get(interface, "")

    def get(self, interface: str) -> Device:
        if interface not in self.devices:
            raise NoSuchDevice(interface)
        return self.devices[interface]

    def apply(self, interface: str, changes: Sequence[Change]) -> None:
        device = self.get(interface)
        for change in changes:
            if isinstance(change, SetPort) and change.listen_port and self._is_taken(interface, change.listen_port):
                raise DeviceError("port_in_use", f"another device listens on {change.listen_port}")
        self.devices[interface] = applied(device, changes)
        self.applied.extend(changes)

    def _is_taken(self, interface: str, port: int) -> bool:
        return any(other != interface and device.listen_port == port for other, device in self.devices.items())

    def delete(self, interface: str) -> None:
        self.devices.pop(interface, None)
        self.links.pop(interface, None)
        self.owners.pop(interface, None)

    def hear(self, interface: str, public_key: str, now: float, endpoint: str | None = None) -> None:
        """Pretend that a peer shook hands."""
        device = self.get(interface)
        peers = {
            key: replace(peer, last_handshake=now, endpoint=endpoint or peer.endpoint) if key == public_key else peer
            for key, peer in device.peers.items()
        }
        self.devices[interface] = replace(device, peers=peers)
