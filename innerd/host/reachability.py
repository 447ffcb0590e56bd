"""Is anybody there? What an endpoint's host says for itself when its WireGuard stays silent.

WireGuard never answers who it doesn't know, so an invitation that was used looks like a coordinator that is gone. The
host tells them apart: it refuses a closed port (ICMP port unreachable), and it mostly answers a ping (ICMP echo).
"""

import os
import socket
import time
from enum import Enum
from struct import pack

from innerd.domain.values import Address, Endpoint, endpoint_address, split_endpoint

_WAIT = 1.0  # seconds for both questions together


class Sign(Enum):
    """`refused`: the host is there and nothing listens; `alive`: it is there and the port is not refused."""

    REFUSED = "refused"
    ALIVE = "alive"
    SILENT = "silent"


def probe(endpoint: Endpoint) -> Sign:
    """Ask the host of a resolved endpoint. Needs root for the ping; without it, it counts as silent."""
    address = endpoint_address(endpoint)
    if address is None:
        return Sign.SILENT
    deadline = time.monotonic() + _WAIT
    if _is_refused(endpoint, address):
        return Sign.REFUSED
    return Sign.ALIVE if _pings(address, deadline) else Sign.SILENT


def _is_refused(endpoint: Endpoint, address: Address) -> bool:
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.settimeout(_WAIT / 3)
            asking.connect(split_endpoint(endpoint))
            asking.send(b"\0")  # no WireGuard message: nothing answers it but the refusal
            asking.recv(1)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _pings(address: Address, deadline: float, link: str | None = None) -> bool:
    """One ICMP echo request (RFC 792; RFC 4443 4.1) and its reply."""
    v6 = address.version == 6
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if v6 else (socket.AF_INET, socket.IPPROTO_ICMP)
    request, reply = (128, 129) if v6 else (8, 0)
    mark = os.urandom(8)
    body = pack(">BBHHH", request, 0, 0, 0x1EE2, 1) + mark
    if not v6:  # the kernel fills in ICMPv6's
        body = body[:2] + pack(">H", _checksum(body)) + body[4:]
    try:
        with socket.socket(family, socket.SOCK_RAW, protocol) as asking:
            if link is not None:
                asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode() + b"\0")
            asking.sendto(body, (str(address), 0))
            while (left := deadline - time.monotonic()) > 0:
                asking.settimeout(left)
                packet = asking.recv(256)
                answer = packet if v6 else packet[(packet[0] & 15) * 4 :]
                if answer[:1] == bytes((reply,)) and answer[8:16] == mark:
                    return True
    except OSError:
        return False
    return False


def pings(address: Address, link: str) -> bool:
    """Whether an address answers a ping over a link. Needs CAP_NET_RAW; without it, it counts as silent."""
    return _pings(address, time.monotonic() + _WAIT, link)


def _checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071) of an even number of bytes."""
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
