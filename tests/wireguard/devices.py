"""Devices and wishes for the tests of this room, and random ones for its properties."""

from hypothesis import strategies as st

from innerd.domain.values import Endpoint, PublicKey
from innerd.wireguard.device import Device, DevicePeer, Wanted, WantedPeer
from tests.world import key, private_key

KEYS = tuple(key(name) for name in ("ryo", "mari", "oven", "tama", "yuki"))
IPS = tuple(f"10.42.0.{n}/32" for n in range(1, 7)) + ("fd42::1/128",)
ENDPOINTS = (None, Endpoint("203.0.113.9:40001"), Endpoint("[2001:db8::9]:40001"))


@st.composite
def owners(draw: st.DrawFn) -> dict[PublicKey, frozenset[str]]:
    """Some of the keys, each with its addresses: an address belongs to one key at most."""
    there = draw(st.sets(st.sampled_from(KEYS)))
    owned: dict[PublicKey, set[str]] = {k: set() for k in KEYS if k in there}
    for ip in IPS:
        owner = draw(st.sampled_from([None, *KEYS]))
        if owner in owned:
            owned[owner].add(ip)
    order = draw(st.permutations(list(owned)))
    return {k: frozenset(owned[k]) for k in order}


@st.composite
def devices(draw: st.DrawFn) -> Device:
    peers = {
        k: DevicePeer(
            public_key=k,
            allowed_ips=ips,
            endpoint=draw(st.sampled_from(ENDPOINTS)),
            keepalive=draw(st.sampled_from((0, 25))),
            last_handshake=draw(st.sampled_from((None, 1000.0))),
        )
        for k, ips in draw(owners()).items()
    }
    names = st.sampled_from(("", private_key("coordinator"), private_key("old")))
    return Device(private_key=draw(names), listen_port=draw(st.sampled_from((0, 51820))), peers=peers)


@st.composite
def wishes(draw: st.DrawFn) -> Wanted:
    peers = {
        k: WantedPeer(
            public_key=k,
            allowed_ips=ips,
            keepalive=draw(st.sampled_from((0, 25))),
            endpoint=draw(st.sampled_from(ENDPOINTS)),
            force_endpoint=draw(st.booleans()),
        )
        for k, ips in draw(owners()).items()
    }
    port = draw(st.sampled_from((None, 51820, 51821)))
    return Wanted(private_key=private_key("coordinator"), listen_port=port, peers=peers)
