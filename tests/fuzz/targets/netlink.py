"""What comes out of netlink sockets: a dump of a device that can be worked with, or a DeviceError; the kernel's word
that something went wrong; and what is said of links and routes, as far as it can be read."""

import contextlib
import struct

from innerd.wireguard.device import DeviceError
from innerd.wireguard.genetlink import Conversation, messages
from innerd.wireguard.netlink import DeviceReader, attribute
from innerd.wireguard.watch import said
from tests.fuzz.targets.uapi import usable
from tests.wireguard.test_netlink import A, B, nested, peer

_HEADER = struct.Struct("=IHHII")


def _message(kind: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, 0, 1, 0) + body + bytes(-len(body) % 4)


_V4 = attribute(4, struct.pack("=H", 2) + struct.pack(">H", 51820) + bytes([198, 51, 100, 7]) + bytes(8))
_LOCAL = b"\xfe\x80" + bytes(14) + struct.pack("=I", 1)
_V6 = attribute(4, struct.pack("=H", 10) + struct.pack(">HI", 51820, 0) + _LOCAL)
_MORE = attribute(5, struct.pack("=H", 25)) + attribute(6, struct.pack("=qq", 1_790_000_000, 500_000_000))
_COUNTS = attribute(7, struct.pack("=Q", 2**64 - 1)) + attribute(8, struct.pack("=Q", 7))
_HEAD = bytes(4) + attribute(3, bytes(range(32))) + attribute(6, struct.pack("=H", 51820))

_PEERS = nested(8, peer(A, "10.42.0.1/32", more=_V4 + _MORE), peer(B, "fd00::6/128", more=_V6 + _COUNTS))
_PARTS = [bytes(4) + nested(8, peer(A, ip)) for ip in ("10.0.0.0/8", "fd00::/8")]

SEEDS = [
    _message(20, _HEAD + _PEERS),
    _message(20, _HEAD) + b"".join(_message(20, part) for part in _PARTS) + _message(3, bytes(4)),
    _message(2, struct.pack("=i", -19) + bytes(16)),
    _message(24, struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0) + attribute(4, struct.pack("=I", 3))),
    _message(16, struct.pack("=BBHiII", 0, 0, 1, 3, 1, 0) + attribute(3, b"kermpany\0")),
    _message(20, struct.pack("=BBBBI", 2, 24, 0, 0, 3)),
]
WORDS = [attribute(kind, b"") for kind in range(1, 10)] + [nested(9, b""), bytes(4), struct.pack("=i", -(2**31))]


def check(data: bytes) -> None:
    list(said(data))
    with contextlib.suppress(DeviceError):
        usable(DeviceReader().read(payload[4:] for _, _, _, payload in messages(data)))
    with contextlib.suppress(DeviceError):
        for _, _, _, payload in messages(data):
            with contextlib.suppress(OSError):
                Conversation._refuse(payload)
