"""Generic netlink messages: what goes out means what was planned, whatever the splitting; what comes in is merged, and
what is no message is an error with its reason."""

import contextlib
import socket
import struct
from base64 import b64decode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from innerd.domain.values import Endpoint
from innerd.wireguard import netlink
from innerd.wireguard.device import Device, DeviceError, DevicePeer, Wanted, WantedPeer
from innerd.wireguard.genetlink import messages
from innerd.wireguard.netlink import DeviceReader, attribute, attributes, emptying, setting
from innerd.wireguard.plan import Change, RemovePeer, SetKey, SetPeer, SetPort, applied, plan
from tests.contract.test_backend import key
from tests.wireguard.devices import IPS, KEYS, devices, wishes
from tests.world import private_key

A, B, C = KEYS[:3]
NESTED = 0x8000


def nested(kind: int, *values: bytes) -> bytes:
    return attribute(kind | NESTED, b"".join(attribute(NESTED, value) for value in values))


def allowed(text: str) -> bytes:
    host, _, prefix = text.partition("/")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    packed = socket.inet_pton(family, host)
    return attribute(1, struct.pack("=H", family)) + attribute(2, packed) + attribute(3, bytes([int(prefix)]))


def peer(public_key: str, *ips: str, more: bytes = b"") -> bytes:
    """WGDEVICE_A_PEERS' entry, as the kernel writes it."""
    return attribute(1, b64decode(public_key)) + more + (nested(9, *map(allowed, ips)) if ips else b"")


class Kernel:
    """What the kernel does with messages, by the header's words (linux/uapi/linux/wireguard.h), on `applied`'s device:
    an independent reading of our own writing."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def take(self, message: bytes) -> None:
        for kind, value in attributes(message):
            match kind:
                case 3:
                    self._do(SetKey(netlink.b64encode(value).decode()))
                case 6:
                    self._do(SetPort(struct.unpack("=H", value)[0]))
                case 5 if struct.unpack("=I", value)[0] & 1:
                    for known in list(self.device.peers):
                        self._do(RemovePeer(known))
                case 8:
                    for _, entry in attributes(value):
                        self._peer(dict(attributes(entry)))

    def _do(self, change: Change) -> None:
        self.device = applied(self.device, [change])

    def _peer(self, entry: dict[int, bytes]) -> None:
        public_key = netlink.b64encode(entry[1]).decode()
        (flags,) = struct.unpack("=I", entry.get(3, bytes(4)))
        if flags & 1:
            self._do(RemovePeer(public_key))
            return
        ips = frozenset(netlink._range(dict(attributes(ip))) for _, ip in attributes(entry.get(9, b"")))
        if not flags & 2 and public_key in self.device.peers:
            ips |= self.device.peers[public_key].allowed_ips
        self._do(
            SetPeer(
                public_key=public_key,
                is_new=not flags & 4,
                allowed_ips=ips,
                endpoint=netlink._endpoint(entry[4]) if 4 in entry else None,
                keepalive=struct.unpack("=H", entry[5])[0] if 5 in entry else None,
            )
        )


@settings(max_examples=300)
@given(devices(), wishes())
def test_what_is_sent_does_what_was_planned(device: Device, wanted: Wanted) -> None:
    changes = plan(device, wanted)
    kernel = Kernel(device)
    for message in setting("wg0", changes):
        kernel.take(message)
    assert kernel.device == applied(device, changes)


def test_five_thousand_peers_go_out_in_messages_that_fit() -> None:
    entries = [
        WantedPeer(
            public_key=key(f"{n}"),
            allowed_ips=frozenset({f"10.{n >> 8}.{n & 255}.1/32", f"fd42::{n + 1:x}/128"}),
            keepalive=25,
            endpoint=Endpoint(f"203.0.113.9:{n + 1}"),
        )
        for n in range(5000)
    ]
    changes = plan(Device(), Wanted(private_key=private_key("c"), peers={p.public_key: p for p in entries}))
    sent = setting("wg0", changes)
    kernel = Kernel(Device())
    for message in sent:
        assert len(message) <= 32_000
        kernel.take(message)
    assert kernel.device == applied(Device(), changes)


def test_thousands_of_allowed_ips_of_one_peer_go_out_in_parts_and_only_the_first_replaces() -> None:
    ips = frozenset(f"10.1.{n >> 8}.{n & 255}/32" for n in range(3000))
    change = SetPeer(public_key=A, is_new=False, allowed_ips=ips)
    kernel = Kernel(Device(peers={A: DevicePeer(public_key=A, allowed_ips=frozenset(IPS))}))
    for message in setting("wg0", [change]):
        kernel.take(message)
    assert kernel.device.peers[A].allowed_ips == ips


def test_one_changed_peer_is_one_small_message() -> None:
    (message,) = setting("wg0", [SetPeer(public_key=A, is_new=False, endpoint=Endpoint("203.0.113.9:1"))])
    assert len(message) < 120


def test_all_peers_go_by_one_flag() -> None:
    kernel = Kernel(Device(peers={k: DevicePeer(public_key=k) for k in KEYS}))
    kernel.take(emptying("wg0"))
    assert kernel.device.peers == {}


def test_a_peer_that_was_cut_in_two_is_one_again() -> None:
    counted = attribute(7, struct.pack("=Q", 7)) + attribute(8, struct.pack("=Q", 8))
    shook = attribute(6, struct.pack("=qq", 1790000000, 250000000))
    endpoint = attribute(
        4, struct.pack("=H", socket.AF_INET) + struct.pack(">H", 40001) + bytes([203, 0, 113, 9, *[0] * 8])
    )
    more = attribute(5, struct.pack("=H", 25)) + endpoint + shook + counted
    first = attribute(3, b64decode(private_key("c"))) + attribute(6, struct.pack("=H", 51820))
    device = DeviceReader().read(
        [
            first + nested(8, peer(A), peer(B, *IPS[:2], more=more)),
            nested(8, peer(B, *IPS[2:4]), peer(C, IPS[4])),
        ]
    )
    assert device == Device(
        private_key=private_key("c"),
        listen_port=51820,
        peers={
            A: DevicePeer(public_key=A),
            B: DevicePeer(
                public_key=B,
                allowed_ips=frozenset(IPS[:4]),
                endpoint=Endpoint("203.0.113.9:40001"),
                keepalive=25,
                last_handshake=1790000000.25,
                rx_bytes=7,
                tx_bytes=8,
            ),
            C: DevicePeer(public_key=C, allowed_ips=frozenset({IPS[4]})),
        },
    )


def test_a_link_local_endpoint_keeps_its_link() -> None:
    """pyroute2 packs scope ids the wrong way round."""
    index = socket.if_nametoindex("lo")
    (message,) = setting("wg0", [SetPeer(public_key=A, is_new=True, endpoint=Endpoint("[fe80::1%lo]:51820"))])
    value = next(dict(attributes(e))[4] for k, v in attributes(message) if k == 8 for _, e in attributes(v))
    assert struct.unpack_from("=I", value, 24) == (index,)
    assert DeviceReader().read([nested(8, peer(A, more=attribute(4, value)))]).peers[A].endpoint == "[fe80::1%lo]:51820"


GARBAGE = {
    "an attribute longer than what is there": struct.pack("=HH", 200, 1) + b"x",
    "an attribute shorter than its head": struct.pack("=HH", 2, 1),
    "a port of one byte": attribute(6, b"\1"),
    "a peer without a key": nested(8, attribute(7, bytes(8))),
    "an allowed IP of three bytes": nested(8, peer(A) + nested(9, attribute(2, b"abc") + attribute(3, b"\1"))),
    "an endpoint cut short": nested(8, peer(A, more=attribute(4, b"\2\0"))),
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_message_is_an_error_with_its_reason(data: bytes) -> None:
    with pytest.raises(DeviceError, match="what came is no message") as refused:
        DeviceReader().read([data])
    assert refused.value.code == "device_failed"


@pytest.mark.parametrize("time", [(-1, 0), (2**62, 0), (0, -1), (0, 10**9)])
def test_a_handshake_at_no_time_is_an_error_with_its_reason(time: tuple[int, int]) -> None:
    peer = attribute(netlink._PUBLIC_KEY, bytes(32)) + attribute(netlink._HANDSHAKE, struct.pack("=qq", *time))
    with pytest.raises(DeviceError, match="a handshake at"):
        DeviceReader().read([nested(netlink._PEERS, peer)])


@settings(max_examples=1000)
@given(st.binary(max_size=300))
def test_whatever_comes_is_a_device_or_an_error(data: bytes) -> None:
    with contextlib.suppress(DeviceError):
        assert isinstance(DeviceReader().read([data]), Device)
    with contextlib.suppress(DeviceError):
        assert all(len(payload) <= len(data) for *_, payload in messages(data))
