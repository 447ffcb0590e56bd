"""WireGuard's generic netlink messages (linux/uapi/linux/wireguard.h), as bytes in and out. Pure.

Our own codec: that of libraries costs 0.17 ms a peer, writes no flags of the device and garbles IPv6 scope ids. An
attribute is a length (its header included), a type, a value, padded to four bytes. One attribute holds 64 KiB at most,
so many peers, and many allowed IPs of one, go out in several messages; a dump comes in several too, and a peer of it
may be cut in two: the second part has the same key and only more allowed IPs.
"""

import contextlib
import socket
import struct
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address, ip_network

from msgspec.structs import replace

from innerd.domain.values import Endpoint, PublicKey, endpoint_of, split_endpoint
from innerd.wireguard.device import Device, DeviceError, DevicePeer, handshake_of
from innerd.wireguard.plan import Change, RemovePeer, SetKey, SetPeer, SetPort

GET_DEVICE, SET_DEVICE = 0, 1
_IFNAME, _PRIVATE_KEY, _DEVICE_FLAGS, _LISTEN_PORT, _PEERS = 2, 3, 5, 6, 8  # WGDEVICE_A_
_PUBLIC_KEY, _FLAGS, _ENDPOINT, _KEEPALIVE, _HANDSHAKE, _RX, _TX, _ALLOWED_IPS = 1, 3, 4, 5, 6, 7, 8, 9  # WGPEER_A_
_FAMILY, _ADDRESS, _PREFIX = 1, 2, 3  # WGALLOWEDIP_A_
_REPLACE_PEERS = 1  # WGDEVICE_F_
_REMOVE, _REPLACE_IPS, _UPDATE_ONLY = 1, 2, 4  # WGPEER_F_
_NESTED, _TYPE = 0x8000, 0x3FFF
_FULL = 24_000  # bytes of peers in a message: far below what an attribute and a socket's buffer hold
_IPS = 500  # allowed IPs in one entry of a message


def attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The types and values of attributes. Raises DeviceError for what is cut short."""
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4 or at + length > len(data):
            raise garbled(f"an attribute of {length} bytes where {len(data) - at} are left")
        yield kind & _TYPE, data[at + 4 : at + length]
        at += (length + 3) & ~3


def garbled(why: str) -> DeviceError:
    return DeviceError("device_failed", f"WireGuard netlink: what came is no message: {why}")


# -- out ------------------------------------------------------------------------------------------------------------


def asking(interface: str) -> bytes:
    return attribute(_IFNAME, interface.encode() + b"\0")


def emptying(interface: str) -> bytes:
    """Take all peers off at once: one by one it takes the kernel 20 ms for each."""
    return asking(interface) + attribute(_DEVICE_FLAGS, struct.pack("=I", _REPLACE_PEERS))


def setting(interface: str, changes: Iterable[Change]) -> list[bytes]:
    """Changes, in their order, as the fewest messages that hold them."""
    messages: list[bytes] = []
    peers: list[bytes] = []
    size = 0

    def flush() -> None:
        nonlocal size
        if peers:
            messages.append(asking(interface) + attribute(_PEERS | _NESTED, b"".join(peers)))
            peers.clear()
            size = 0

    for change in changes:
        match change:
            case SetKey():
                flush()
                messages.append(asking(interface) + attribute(_PRIVATE_KEY, b64decode(change.private_key)))
            case SetPort():
                flush()
                messages.append(asking(interface) + attribute(_LISTEN_PORT, struct.pack("=H", change.listen_port)))
            case RemovePeer() | SetPeer():
                for part in _parts(change):
                    entry = attribute(_NESTED, part)
                    if size + len(entry) > _FULL:
                        flush()
                    peers.append(entry)
                    size += len(entry)
    flush()
    return messages


def _parts(change: RemovePeer | SetPeer) -> Iterator[bytes]:
    """A peer's entry, in as many parts as its allowed IPs need; only the first replaces what is there."""
    key = attribute(_PUBLIC_KEY, b64decode(change.public_key))
    if isinstance(change, RemovePeer):
        yield key + attribute(_FLAGS, struct.pack("=I", _REMOVE))
        return
    flags = 0 if change.is_new else _UPDATE_ONLY
    first = b""
    if change.endpoint is not None:
        first += attribute(_ENDPOINT, _sockaddr(change.endpoint))
    if change.keepalive is not None:
        first += attribute(_KEEPALIVE, struct.pack("=H", change.keepalive))
    ips = sorted(change.allowed_ips or ())
    replacing = _REPLACE_IPS if change.allowed_ips is not None else 0
    yield key + attribute(_FLAGS, struct.pack("=I", flags | replacing)) + first + _allowed(ips[:_IPS])
    for at in range(_IPS, len(ips), _IPS):
        yield key + attribute(_FLAGS, struct.pack("=I", _UPDATE_ONLY)) + _allowed(ips[at : at + _IPS])


def _allowed(ips: Sequence[str]) -> bytes:
    if not ips:
        return b""
    return attribute(_ALLOWED_IPS | _NESTED, b"".join(attribute(_NESTED, _allowed_ip(text)) for text in ips))


def _allowed_ip(text: str) -> bytes:
    block = ip_network(text)
    family = socket.AF_INET if block.version == 4 else socket.AF_INET6
    return (
        attribute(_FAMILY, struct.pack("=H", family))
        + attribute(_ADDRESS, block.network_address.packed)
        + attribute(_PREFIX, bytes((block.prefixlen,)))
    )


def _sockaddr(endpoint: Endpoint) -> bytes:
    """struct sockaddr_in or sockaddr_in6: the port in network order, the scope id in the host's."""
    host, port = split_endpoint(endpoint)
    plain, _, scope = host.partition("%")
    address = ip_address(plain)
    if address.version == 4:
        return struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) + address.packed + bytes(8)
    number = int(scope) if scope.isdecimal() else socket.if_nametoindex(scope) if scope else 0
    start = struct.pack("=H", socket.AF_INET6) + struct.pack(">HI", port, 0)
    return start + address.packed + struct.pack("=I", number)


# -- in -------------------------------------------------------------------------------------------------------------


class DeviceReader:
    """Reads dumps. Of peers that are as they were in the one before the value is the same object: most are, so that a
    look at thousands of them costs little."""

    def __init__(self) -> None:
        self._known: dict[bytes, DevicePeer] = {}  # by the bytes of each

    def read(self, messages: Iterable[bytes]) -> Device:
        """The device of the messages of a dump. Raises DeviceError."""
        private_key, port = "", 0
        peers: dict[PublicKey, DevicePeer] = {}
        before, self._known = self._known, {}
        try:
            for message in messages:
                for kind, value in attributes(message):
                    if kind == _PRIVATE_KEY:
                        private_key = b64encode(value).decode() if any(value) else ""
                    elif kind == _LISTEN_PORT:
                        (port,) = struct.unpack("=H", value)
                    elif kind == _PEERS:
                        self._take(peers, value, before)
        except (struct.error, ValueError, LookupError) as error:
            raise garbled(str(error)) from error
        return Device(private_key=private_key, listen_port=port, peers=peers)

    def _take(self, peers: dict[PublicKey, DevicePeer], value: bytes, before: dict[bytes, DevicePeer]) -> None:
        for _, entry in attributes(value):
            peer = self._known[entry] = before.get(entry) or _peer(dict(attributes(entry)))
            known = peers.get(peer.public_key)
            peers[peer.public_key] = (
                peer if known is None else replace(known, allowed_ips=known.allowed_ips | peer.allowed_ips)
            )


def _peer(entry: dict[int, bytes]) -> DevicePeer:
    if len(entry[_PUBLIC_KEY]) != 32:
        raise garbled(f"a key of {len(entry[_PUBLIC_KEY])} bytes")
    seconds, nanoseconds = struct.unpack("=qq", entry[_HANDSHAKE]) if _HANDSHAKE in entry else (0, 0)
    return DevicePeer(
        public_key=PublicKey(b64encode(entry[_PUBLIC_KEY]).decode()),
        allowed_ips=frozenset(_range(dict(attributes(ip))) for _, ip in attributes(entry.get(_ALLOWED_IPS, b""))),
        endpoint=_endpoint(entry[_ENDPOINT]) if _ENDPOINT in entry else None,
        keepalive=_number("=H", entry.get(_KEEPALIVE)),
        last_handshake=handshake_of(seconds, nanoseconds),
        rx_bytes=_number("=Q", entry.get(_RX)),
        tx_bytes=_number("=Q", entry.get(_TX)),
    )


def _number(form: str, value: bytes | None) -> int:
    return int(struct.unpack(form, value)[0]) if value is not None else 0


def _range(entry: dict[int, bytes]) -> str:
    family = socket.AF_INET if len(entry[_ADDRESS]) == 4 else socket.AF_INET6
    return f"{socket.inet_ntop(family, entry[_ADDRESS])}/{entry[_PREFIX][0]}"


def _endpoint(value: bytes) -> Endpoint:
    (family,) = struct.unpack_from("=H", value)
    (port,) = struct.unpack_from(">H", value, 2)
    if family == socket.AF_INET:
        return endpoint_of(socket.inet_ntop(family, value[4:8]), port)
    host = socket.inet_ntop(socket.AF_INET6, value[8:24])
    (scope,) = struct.unpack_from("=I", value, 24)
    if scope:
        name = str(scope)
        with contextlib.suppress(OSError):  # a link that is gone
            name = socket.if_indextoname(scope)
        host += f"%{name}"
    return endpoint_of(host, port)
