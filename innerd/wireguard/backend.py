"""What a backend can do, and which one to take. All calls block; all errors are DeviceError."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from innerd.domain.values import Address
from innerd.wireguard.device import Device, DeviceError
from innerd.wireguard.plan import Change

CAP_NET_ADMIN, CAP_NET_RAW = 12, 13
BackendName = Literal["auto", "kernel", "userspace"]


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

    def configure(self, interface: str, address: Address, prefix: int, mtu: int, *, routing: bool) -> list[str]:
        """Give it its address, MTU and route, and set it up; what had to be done, in words. Does nothing where it is
        so already."""
        ...

    def link(self, interface: str) -> str:
        """The link that carries what goes through it: sockets that speak through the tunnel are bound to that."""
        ...

    def mark(self, interface: str, owner: str) -> None:
        """Write on the interface whose it is."""
        ...

    def owner(self, interface: str) -> str:
        """What is written on it; empty where nothing is. Raises NoSuchDevice."""
        ...

    def get(self, interface: str) -> Device: ...

    def apply(self, interface: str, changes: Sequence[Change]) -> None:
        """Carry out a plan."""
        ...

    def delete(self, interface: str) -> None: ...

    def await_end(self, interface: str) -> None:
        """Return when what had this name, and is gone, has let go of its port too."""
        ...


def choose(name: BackendName, interface: str) -> Backend:
    """The backend asked for; for `auto` the one that the interface has, else the kernel's if it has WireGuard."""
    from innerd.wireguard.kernel import KernelBackend
    from innerd.wireguard.userspace import UserspaceBackend

    if not has_capability(CAP_NET_ADMIN):
        raise DeviceError(
            "not_root", "WireGuard interfaces need the capability CAP_NET_ADMIN", "run it as root, or with sudo"
        )
    if name == "kernel":
        return KernelBackend()
    userspace = UserspaceBackend()
    if name == "userspace" or userspace.exists(interface):
        return userspace
    kernel = KernelBackend()
    return kernel if kernel.exists(interface) or kernel.works() else userspace


def others(backend: Backend) -> list[Backend]:
    """The backends that an interface may have been made by before, where this one is to have it now."""
    from innerd.wireguard.kernel import KernelBackend
    from innerd.wireguard.userspace import UserspaceBackend

    kinds: dict[str, type[KernelBackend] | type[UserspaceBackend]] = {
        UserspaceBackend.name: KernelBackend,
        KernelBackend.name: UserspaceBackend,
    }
    return [kinds[backend.name]()] if backend.name in kinds else []


def has_capability(number: int) -> bool:
    """Whether this process has a capability in effect (capabilities(7))."""
    status = Path("/proc/self/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> number & 1)


def random_port() -> int:
    """A port for a peer without a fixed one (IANA's dynamic range)."""
    return random.SystemRandom().randint(49152, 65535)
