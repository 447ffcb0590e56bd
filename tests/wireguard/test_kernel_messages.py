"""A dump of the kernel's comes in several messages, and a peer may be cut in two (svinota/pyroute2#1212)."""

from typing import Any

from innerd.wireguard.device import Device, DevicePeer
from innerd.wireguard.kernel import parse_messages
from tests.wireguard.devices import IPS, KEYS
from tests.world import private_key

A, B, C = KEYS[:3]


class Message:
    """What netlink gives: attributes by name, None for those that are not there."""

    def __init__(self, **attributes: Any) -> None:
        self._attributes = attributes

    def get_attr(self, name: str) -> Any:
        return self._attributes.get(name.removeprefix("WGDEVICE_A_").removeprefix("WGPEER_A_").lower())


def peer(key: str, *ips: str, **more: Any) -> Message:
    """A peer as in a dump: keys are bytes, each allowed IP is a dictionary."""
    return Message(public_key=key.encode(), allowedips=[{"addr": ip} for ip in ips] or None, **more)


def test_a_peer_that_was_cut_in_two_is_one_again() -> None:
    whole = {
        "endpoint": {"addr": "203.0.113.9", "port": 40001},
        "last_handshake_time": {"tv_sec": 1790000000, "tv_nsec": 250000000},
        "persistent_keepalive_interval": 25,
        "rx_bytes": 7,
        "tx_bytes": 8,
    }
    device = parse_messages(
        (
            Message(
                private_key=private_key("c").encode(), listen_port=51820, peers=[peer(A), peer(B, *IPS[:2], **whole)]
            ),
            Message(peers=[peer(B, *IPS[2:4]), peer(C, IPS[4])]),
        )
    )
    assert device == Device(
        private_key=private_key("c"),
        listen_port=51820,
        peers={
            A: DevicePeer(public_key=A),
            B: DevicePeer(
                public_key=B,
                allowed_ips=frozenset(IPS[:4]),
                endpoint="203.0.113.9:40001",
                keepalive=25,
                last_handshake=1790000000.25,
                rx_bytes=7,
                tx_bytes=8,
            ),
            C: DevicePeer(public_key=C, allowed_ips=frozenset({IPS[4]})),
        },
    )


def test_a_peer_may_go_through_many_messages() -> None:
    pieces = [Message(peers=[peer(A, ip)]) for ip in IPS]
    assert parse_messages(pieces).peers == {A: DevicePeer(public_key=A, allowed_ips=frozenset(IPS))}


def test_an_ipv6_endpoint_has_brackets() -> None:
    entry = peer(A, endpoint={"addr": "2001:db8::9", "port": 40001})
    assert parse_messages([Message(peers=[entry])]).peers[A].endpoint == "[2001:db8::9]:40001"


def test_a_handshake_at_zero_never_was() -> None:
    entry = peer(A, last_handshake_time={"tv_sec": 0, "tv_nsec": 0})
    assert parse_messages([Message(peers=[entry])]).peers[A].last_handshake is None


def test_a_device_without_peers_is_read() -> None:
    assert parse_messages([Message(listen_port=51820)]) == Device(listen_port=51820)
