"""Whose an interface is. What somebody else made is never adopted, changed or deleted, whatever its name.

An interface is ours if it says so (its mark), or, where it says nothing, if it holds one of our private keys:
innernet's does after a move. A mark names the program, the interface, and its home: the database or folder that the
program runs it from. So a copy of a network, with the same name and key, takes nothing from what it was copied of. (The
marks of earlier releases name no home: whoever runs such an interface next writes theirs on it.)
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from innerd.wireguard.backend import Backend, others
from innerd.wireguard.device import DeviceError, clamped

COORDINATOR, PEER = "innerd", "inn"  # who marks
_LONGEST = 200  # bytes of a home in a mark; the kernel takes 255 of all of it


def claim(backend: Backend, interface: str, who: str, private_keys: Iterable[str], home: Path | None = None) -> bool:
    """Whether the interface is there, and ours. One of ours that another backend made gives way: `--backend` says who
    is to have it. Raises `interface_taken` where it is somebody else's."""
    keys = tuple(private_keys)
    for other in others(backend):
        if other.exists(interface):
            release(other, interface, who, keys, home)
    if not backend.exists(interface):
        backend.await_end(interface)
        return False
    refuse_foreign(backend, interface, who, keys, home)
    if not backend.owner(interface) or (home is not None and not _home_in(backend.owner(interface))):
        backend.mark(interface, _mark(interface, who, home))
    return True


def finish(backend: Backend, interface: str, who: str, home: Path | None = None) -> None:
    """Mark what an installation of ours left that was killed between making an interface and marking it: one that says
    nothing, has no key and knows nobody. Only whoever knows that it was begun may take it for its own."""
    if backend.exists(interface) and not backend.owner(interface):
        device = backend.get(interface)
        if not device.peers and not device.private_key.strip("A="):
            backend.mark(interface, _mark(interface, who, home))


def make(backend: Backend, interface: str, who: str, home: Path | None = None) -> None:
    """Make the interface, as ours."""
    backend.create(interface)
    backend.mark(interface, _mark(interface, who, home))


def release(
    backend: Backend, interface: str, who: str, private_keys: Iterable[str] = (), home: Path | None = None
) -> None:
    """Delete the interface, if there is one. Raises `interface_taken` where it is somebody else's."""
    if backend.exists(interface):
        refuse_foreign(backend, interface, who, private_keys, home)
    backend.delete(interface)


def is_ours(backend: Backend, interface: str, who: str, private_keys: Iterable[str], home: Path | None = None) -> bool:
    """`home`: what we run it from; None for whoever asks for the program alone."""
    mark = backend.owner(interface)
    if mark:
        theirs = _home_in(mark)
        return mark.partition(" ")[0] == who and (home is None or theirs in ("", _written(home)))
    has = clamped(backend.get(interface).private_key)
    return bool(has) and has in map(clamped, private_keys)


def _mark(interface: str, who: str, home: Path | None) -> str:
    return f"{who} {interface}" if home is None else f"{who} {interface} {_written(home)}"


def _home_in(mark: str) -> str:
    _, _, home = [*mark.split(" ", 2), "", ""][:3]
    return home


def _written(home: Path) -> str:
    path = str(home.resolve())
    return path if len(path.encode()) <= _LONGEST else hashlib.sha256(path.encode()).hexdigest()


def refuse_foreign(backend: Backend, interface: str, who: str, private_keys: Iterable[str], home: Path | None) -> None:
    """Raises `interface_taken` where the interface, which is there, is somebody else's."""
    if is_ours(backend, interface, who, private_keys, home):
        return
    if is_ours(backend, interface, who, private_keys):
        raise DeviceError(
            "interface_taken",
            f"the interface {interface} belongs to {_home_in(backend.owner(interface))}, and not to"
            f" {_written(home or Path())}: it is left alone",
            f"where that is gone for good, take it away first: ip link del {interface}",
        )
    raise DeviceError(
        "interface_taken",
        f"there is a WireGuard interface {interface} already, and {who} did not make it: it is left alone",
        "remove it, if nobody needs it (ip link del), or choose another name",
    )
