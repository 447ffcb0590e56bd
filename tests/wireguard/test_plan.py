"""A plan turns a device into the one that is wished for, in an order in which nobody loses what is theirs."""

from base64 import b64encode

from hypothesis import given, settings
from msgspec.structs import replace

from innerd.domain.values import Endpoint
from innerd.wireguard.device import Device, DevicePeer, Wanted, WantedPeer
from innerd.wireguard.memory import MemoryBackend
from innerd.wireguard.plan import Change, RemovePeer, SetKey, SetPeer, SetPort, identity, plan
from tests.wireguard.devices import ENDPOINTS, IPS, KEYS, devices, wishes
from tests.world import private_key

A, B, C = KEYS[:3]
SECRET = private_key("coordinator")
OLD, NEW = ENDPOINTS[1], ENDPOINTS[2]


def applied(device: Device, changes: tuple[Change, ...]) -> Device:
    backend = MemoryBackend()
    backend.create("wg0")
    backend.devices["wg0"] = device
    backend.apply("wg0", changes)
    return backend.get("wg0")


def endpoint_afterwards(now: DevicePeer | None, wish: WantedPeer) -> Endpoint | None:
    """In the rule's words: roaming owns it, unless there is none yet or an override says so."""
    if now is None or now.endpoint is None or (wish.force_endpoint and wish.endpoint is not None):
        return wish.endpoint
    return now.endpoint


@settings(deadline=None, max_examples=120)
@given(devices(), wishes())
def test_a_device_becomes_what_was_wished_for(device: Device, wanted: Wanted) -> None:
    after = applied(device, plan(device, wanted))
    assert set(after.peers) == set(wanted.peers)
    for key, wish in wanted.peers.items():
        peer = after.peers[key]
        assert (peer.allowed_ips, peer.keepalive) == (wish.allowed_ips, wish.keepalive)
        assert peer.endpoint == endpoint_afterwards(device.peers.get(key), wish)
    assert after.private_key == wanted.private_key
    assert after.listen_port == (device.listen_port if wanted.listen_port is None else wanted.listen_port)


@settings(deadline=None, max_examples=120)
@given(devices(), wishes())
def test_an_applied_plan_leaves_nothing_to_plan(device: Device, wanted: Wanted) -> None:
    assert plan(applied(device, plan(device, wanted)), wanted) == ()


@settings(deadline=None, max_examples=120)
@given(devices(), wishes())
def test_removals_come_before_losses_and_losses_before_gains(device: Device, wanted: Wanted) -> None:
    ranks, removed = [], set()
    for change in plan(device, wanted):
        match change:
            case SetKey() | SetPort():
                ranks.append(0)
            case RemovePeer():
                removed.add(change.public_key)
                ranks.append(1)
            case SetPeer():
                now = None if change.public_key in removed else device.peers.get(change.public_key)
                had = frozenset() if now is None else now.allowed_ips
                loses = change.allowed_ips is not None and had - change.allowed_ips
                ranks.append(2 if loses else 3)
    assert ranks == sorted(ranks)


@settings(deadline=None, max_examples=120)
@given(devices(), wishes())
def test_an_address_that_stays_with_its_peer_never_leaves_it_on_the_way(device: Device, wanted: Wanted) -> None:
    changes = plan(device, wanted)
    remade = {change.public_key for change in changes if isinstance(change, RemovePeer)}
    for done in range(1, len(changes) + 1):
        half = applied(device, changes[:done])
        for key in set(device.peers) & set(wanted.peers) - remade:
            stays = device.peers[key].allowed_ips & wanted.peers[key].allowed_ips
            assert stays <= half.peers[key].allowed_ips


@settings(deadline=None, max_examples=80)
@given(devices(), wishes())
def test_a_peer_with_a_session_is_changed_and_never_made_anew(device: Device, wanted: Wanted) -> None:
    for change in plan(device, wanted):
        now = device.peers.get(change.public_key) if isinstance(change, RemovePeer | SetPeer) else None
        if now is not None and now.last_handshake is not None and now.public_key in wanted.peers:
            assert isinstance(change, SetPeer)
            assert not change.is_new


def device(**peers: DevicePeer) -> Device:
    return Device(private_key=SECRET, listen_port=51820, peers={peer.public_key: peer for peer in peers.values()})


def wish(*peers: WantedPeer) -> Wanted:
    return Wanted(private_key=SECRET, listen_port=51820, peers={peer.public_key: peer for peer in peers})


def entry(key: str, *ips: str, **more: object) -> DevicePeer:
    return DevicePeer(public_key=key, allowed_ips=frozenset(ips), keepalive=25, **more)


def wanted(key: str, *ips: str, **more: object) -> WantedPeer:
    return WantedPeer(public_key=key, allowed_ips=frozenset(ips), keepalive=25, **more)


def test_only_what_differs_is_set() -> None:
    there = device(a=entry(A, IPS[0], endpoint=OLD, last_handshake=1.0), b=entry(B, IPS[1]))
    changes = plan(there, wish(replace(wanted(A, IPS[0]), keepalive=5), wanted(B, IPS[1], IPS[2])))
    assert changes == (
        SetPeer(public_key=A, is_new=False, keepalive=5),
        SetPeer(public_key=B, is_new=False, allowed_ips=frozenset({IPS[1], IPS[2]})),
    )


def test_an_address_is_taken_from_one_before_it_is_given_to_the_other() -> None:
    changes = plan(device(a=entry(A), b=entry(B, IPS[0])), wish(wanted(A, IPS[0]), wanted(B)))
    assert [change.public_key for change in changes] == [B, A]


def test_a_new_peer_comes_whole() -> None:
    assert plan(device(), wish(wanted(A, IPS[0], endpoint=NEW))) == (
        SetPeer(public_key=A, is_new=True, allowed_ips=frozenset({IPS[0]}), endpoint=NEW, keepalive=25),
    )


def test_an_endpoint_of_roaming_is_left_alone_and_an_override_is_not() -> None:
    there = device(a=entry(A, IPS[0], endpoint=OLD, last_handshake=1.0))
    assert plan(there, wish(wanted(A, IPS[0], endpoint=NEW))) == ()
    assert plan(there, wish(wanted(A, IPS[0], endpoint=NEW, force_endpoint=True))) == (
        SetPeer(public_key=A, is_new=False, endpoint=NEW),
    )


def test_a_peer_that_never_shook_hands_is_made_anew_for_another_endpoint() -> None:
    """WireGuard sends no second initiation within 5 s: a new entry begins at once."""
    changes = plan(device(a=entry(A, IPS[0], endpoint=OLD)), wish(wanted(A, IPS[0], endpoint=NEW, force_endpoint=True)))
    whole = SetPeer(public_key=A, is_new=True, allowed_ips=frozenset({IPS[0]}), endpoint=NEW, keepalive=25)
    assert changes == (RemovePeer(A), whole)


def test_a_key_is_compared_as_the_device_gives_it_back() -> None:
    """Five bits of a private key are fixed: a key from elsewhere may have them otherwise."""
    raw, fixed = b"\xff" * 32, b"\xf8" + b"\xff" * 30 + b"\x7f"
    there = Device(private_key=b64encode(fixed).decode(), listen_port=1)
    assert identity(there, b64encode(raw).decode(), None) == []
    assert identity(there, private_key("other"), None) == [SetKey(private_key("other"))]


def test_a_device_without_a_key_gets_one_and_keeps_its_port_if_none_is_wished_for() -> None:
    assert identity(Device(listen_port=40000), SECRET, None) == [SetKey(SECRET)]
    assert identity(Device(private_key=SECRET, listen_port=40000), SECRET, 51820) == [SetPort(51820)]


def test_private_keys_are_never_shown() -> None:
    things = (SetKey(SECRET), device(), wish(), plan(Device(), wish()))
    assert not any(SECRET in repr(thing) or SECRET in str(thing) for thing in things)
