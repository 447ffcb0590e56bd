"""Sockets that only hear what came through a WireGuard interface: identity is a source address, so it must."""

import contextlib
import errno
import socket
from collections.abc import Iterable

from innerd.domain.values import Address
from innerd.wireguard.device import DeviceError
from innerd.wireguard.holders import holder

KNOCK = 9  # the UDP port to which a coordinator knocks: discard (RFC 863)
_USER_TIMEOUT = 20_000  # milliseconds until a peer that acknowledges nothing is gone
_SEND_BUFFER = 131_072


_FIXES = {
    errno.EADDRINUSE: "stop what holds it (ss -lnptu shows all)",
    errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE, or the sysctl net.ipv4.ip_unprivileged_port_start=0",
}


def bound(
    interface: str, address: Address, port: int, kind: socket.SocketKind, *, shared: bool = False
) -> socket.socket:
    """A socket bound to an address and, before that, to the interface; `shared`: with others of ours. TCP sockets
    listen. Raises DeviceError."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    bound_socket = socket.socket(family, kind)
    try:
        bound_socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
        if shared:
            bound_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if kind == socket.SOCK_STREAM:
            bound_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            bound_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT)
            bound_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound_socket.bind((str(address), port))
        if kind == socket.SOCK_STREAM:
            bound_socket.listen(1024)
        bound_socket.setblocking(False)
    except OSError as error:
        bound_socket.close()
        what = "TCP" if kind == socket.SOCK_STREAM else "UDP"
        code = "port_in_use" if error.errno == errno.EADDRINUSE else "device_failed"
        by = holder(what.lower(), port) if code == "port_in_use" else None
        raise DeviceError(
            code,
            f"can't listen on {what} {address} port {port} of {interface}: {error.strerror}"
            + (f" (by {by})" if by else ""),
            _FIXES.get(error.errno or 0),
        ) from error
    return bound_socket


def knock(interface: str, addresses: Iterable[Address]) -> None:
    """Send each of some peers an empty datagram through the interface, which nobody answers: WireGuard shakes hands
    with whom it has no session with, and an agent that waits hears it. What can't leave is lost."""
    for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        there = [str(address) for address in addresses if address.version == version]
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as knocking:
            knocking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
            knocking.setblocking(False)
            for address in there:
                with contextlib.suppress(OSError):
                    knocking.sendto(b"", (address, KNOCK))


def port_is_free(port: int) -> None:
    """Ask before an interface is made: WireGuard itself says only that something failed. Raises DeviceError, which
    names who has the port."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(("", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise DeviceError(
                    "port_in_use",
                    f"UDP port {port} is in use by {holder('udp', port) or 'another program'}",
                    "stop it, or change listen-port in the config",
                ) from None
