"""What a backend can do, and which one to take. All calls block; all errors are DeviceError."""

import os
import random
from collections.abc import Sequence
from typing import Literal, Protocol

from innerd.domain.values import Address
from innerd.wireguard.device import Device, DeviceError
from innerd.wireguard.plan import Change

BackendName = Literal["auto", "kernel", "userspace"]
MIN_MTU, MAX_MTU = 576, 65_535
DEFAULT_MTU = 1280  # innernet's: goes through every path that IPv6 goes through


class Backend(Protocol):
    """One way to have WireGuard interfaces."""

    name: str

    def exists(self, interface: str) -> bool:
        """Whether a WireGuard interface of this backend has this name."""
        ...

    def index(self, interface: str) -> int:
        """The link's number, another one when it is made anew. Raises NoSuchDevice."""
        ...

    def create(self, interface: str) -> None:
        """Make the interface, down and bare. Raises `interface_taken` where the name is somebody else's."""
        ...

    def configure(self, interface: str, address: Address, prefix: int, mtu: int, *, routing: bool) -> None:
        """Give it its address, MTU and route, and set it up. Does nothing where it is so already."""
        ...

    def get(self, interface: str) -> Device: ...

    def apply(self, interface: str, changes: Sequence[Change]) -> None:
        """Carry out a plan."""
        ...

    def delete(self, interface: str) -> None: ...


def choose(name: BackendName, interface: str) -> Backend:
    """The backend asked for; for `auto` the one that the interface has, else the kernel's if it has WireGuard."""
    from innerd.wireguard.kernel import KernelBackend
    from innerd.wireguard.userspace import UserspaceBackend

    if os.geteuid() != 0:
        raise DeviceError("not_root", "WireGuard interfaces need root (CAP_NET_ADMIN)", "run it as root, or with sudo")
    if name == "kernel":
        return KernelBackend()
    userspace = UserspaceBackend()
    if name == "userspace" or userspace.exists(interface):
        return userspace
    kernel = KernelBackend()
    return kernel if kernel.exists(interface) or kernel.works() else userspace


def random_port() -> int:
    """A port for a peer without a fixed one (IANA's dynamic range)."""
    return random.SystemRandom().randint(49152, 65535)
