"""Whose an interface is. What somebody else made is never adopted, changed or deleted, whatever its name.

An interface is ours if it says so (its mark), or if it holds one of our private keys: innernet's does after a move, and
so does one that an earlier release of ours made.
"""

from collections.abc import Iterable

from innerd.wireguard.backend import Backend, others
from innerd.wireguard.device import DeviceError, clamped

COORDINATOR, PEER = "innerd", "inn"  # who marks


def claim(backend: Backend, interface: str, who: str, private_keys: Iterable[str]) -> bool:
    """Whether the interface is there, and ours. One of ours that another backend made gives way: `--backend` says who
    is to have it. Raises `interface_taken` where it is somebody else's."""
    keys = tuple(private_keys)
    for other in others(backend):
        if other.exists(interface):
            release(other, interface, who, keys)
    if not backend.exists(interface):
        backend.await_end(interface)
        return False
    _refuse_foreign(backend, interface, who, keys)
    if not backend.owner(interface):
        backend.mark(interface, f"{who} {interface}")
    return True


def make(backend: Backend, interface: str, who: str) -> None:
    """Make the interface, as ours."""
    backend.create(interface)
    backend.mark(interface, f"{who} {interface}")


def release(backend: Backend, interface: str, who: str, private_keys: Iterable[str] = ()) -> None:
    """Delete the interface, if there is one. Raises `interface_taken` where it is somebody else's."""
    if backend.exists(interface):
        _refuse_foreign(backend, interface, who, private_keys)
    backend.delete(interface)


def is_ours(backend: Backend, interface: str, who: str, private_keys: Iterable[str]) -> bool:
    mark = backend.owner(interface)
    if mark:
        return mark.partition(" ")[0] == who
    has = clamped(backend.get(interface).private_key)
    return bool(has) and has in map(clamped, private_keys)


def _refuse_foreign(backend: Backend, interface: str, who: str, private_keys: Iterable[str]) -> None:
    if not is_ours(backend, interface, who, private_keys):
        raise DeviceError(
            "interface_taken",
            f"there is a WireGuard interface {interface} already, and {who} did not make it: it is left alone",
            "remove it, if nobody needs it (ip link del), or choose another name",
        )
