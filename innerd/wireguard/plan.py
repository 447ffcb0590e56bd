"""The difference between a device and what it should be, as changes in a safe order.

1. Peers that should not be there go first: their addresses are free then.
2. Peers that lose addresses come before those that gain: an address given to a second peer would silently be
   taken from the first, and a later change of the first must not take it back.
"""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from innerd.domain.values import KEEPALIVE, Endpoint, PublicKey
from innerd.wireguard.device import Device, DevicePeer, Wanted, WantedPeer, clamped


class SetKey(Struct, frozen=True):
    private_key: str

    def __repr__(self) -> str:
        return "SetKey()"


class SetPort(Struct, frozen=True):
    listen_port: int


class RemovePeer(Struct, frozen=True):
    public_key: PublicKey


class SetPeer(Struct, frozen=True, kw_only=True):
    """Add or change a peer. None leaves a property as it is; `allowed_ips` replaces the whole set."""

    public_key: PublicKey
    is_new: bool
    allowed_ips: frozenset[str] | None = None
    endpoint: Endpoint | None = None
    keepalive: int | None = None


Change = SetKey | SetPort | RemovePeer | SetPeer


def identity(current: Device, private_key: str, listen_port: int | None) -> list[Change]:
    """The changes of key and port alone; no port asked for leaves the one that it has."""
    changes: list[Change] = []
    if clamped(current.private_key) != clamped(private_key):
        changes.append(SetKey(private_key))
    if listen_port is not None and current.listen_port != listen_port:
        changes.append(SetPort(listen_port))
    return changes


def plan(current: Device, wanted: Wanted) -> tuple[Change, ...]:
    """The changes that turn `current` into `wanted`; none if it is so already."""
    changes = identity(current, wanted.private_key, wanted.listen_port)
    changes += [RemovePeer(key) for key in current.peers if key not in wanted.peers]
    losing: list[Change] = []
    others: list[Change] = []
    for key, peer in wanted.peers.items():
        now = current.peers.get(key)
        change = _peer_change(now, peer)
        if now is not None and change is not None and change.endpoint is not None and now.last_handshake is None:
            changes.append(RemovePeer(key))
            change = _peer_change(None, peer)
            now = None
        if change is not None:
            loses = now is not None and bool(now.allowed_ips - peer.allowed_ips)
            (losing if loses else others).append(change)
    return (*changes, *losing, *others)


def _peer_change(now: DevicePeer | None, peer: WantedPeer) -> SetPeer | None:
    if now is None:
        return SetPeer(
            public_key=peer.public_key,
            is_new=True,
            allowed_ips=peer.allowed_ips,
            endpoint=peer.endpoint,
            keepalive=peer.keepalive,
        )
    if peer.endpoint is None and now.keepalive == peer.keepalive and now.allowed_ips == peer.allowed_ips:
        return None  # mostly
    sets_endpoint = peer.endpoint is not None and (
        now.endpoint is None or (peer.force_endpoint and now.endpoint != peer.endpoint)
    )
    change = SetPeer(
        public_key=peer.public_key,
        is_new=False,
        allowed_ips=None if now.allowed_ips == peer.allowed_ips else peer.allowed_ips,
        endpoint=peer.endpoint if sets_endpoint else None,
        keepalive=None if now.keepalive == peer.keepalive else peer.keepalive,
    )
    nothing = change.allowed_ips is None and change.endpoint is None and change.keepalive is None
    return None if nothing else change


def plan_some(device: Device, wanted: Wanted, keys: Iterable[PublicKey]) -> tuple[tuple[Change, ...], Device]:
    """The changes for some entries alone, and the device after them: the rest of it is believed to be as it is, so what
    one change costs does not grow with the network."""
    looked_at = set(keys)
    part = replace(device, peers={key: device.peers[key] for key in looked_at if key in device.peers})
    changes = plan(part, wanted)
    if not changes:
        return changes, device
    after, peers = applied(part, changes), dict(device.peers)
    for key in part.peers.keys() - after.peers.keys():
        del peers[key]
    peers.update(after.peers)
    return changes, replace(after, peers=peers)


def greeting(key: PublicKey, endpoint: Endpoint | None) -> tuple[Change, ...]:
    """What makes WireGuard send a peer a packet at once: its keepalive is switched on anew. Setting the endpoint again
    makes wireguard-go forget the source address that it used until now."""
    return tuple(
        SetPeer(public_key=key, is_new=False, endpoint=endpoint, keepalive=seconds) for seconds in (0, KEEPALIVE)
    )


def edits(before: Device, now: Device) -> list[str]:
    """What somebody else did to a device since we knew it, in words: all that is ours to say, so not endpoints."""
    found = []
    if clamped(before.private_key) != clamped(now.private_key):
        found.append("the private key is another one")
    if before.listen_port != now.listen_port:
        found.append(f"the listen port is {now.listen_port}, not {before.listen_port}")
    found += [f"peer {key} was added" for key in now.peers.keys() - before.peers.keys()]
    for key, was in before.peers.items():
        peer = now.peers.get(key)
        if peer is was:
            continue
        if peer is None:
            found.append(f"peer {key} was removed")
        elif peer.allowed_ips != was.allowed_ips:
            found.append(f"the allowed IPs of peer {key} are {', '.join(sorted(peer.allowed_ips)) or 'none'}")
        elif peer.keepalive != was.keepalive:
            found.append(f"the keepalive of peer {key} is {peer.keepalive} s")
    return found


def applied(device: Device, changes: Iterable[Change]) -> Device:
    """The device after changes, as the kernel makes them: an allowed IP given to one peer is taken from the other, and
    a change brings back no peer that went."""
    if not (changes := tuple(changes)):
        return device
    peers = dict(device.peers)
    owners = {ip: key for key, peer in peers.items() for ip in peer.allowed_ips}
    for change in changes:
        match change:
            case SetKey():
                device = replace(device, private_key=clamped(change.private_key))
            case SetPort():
                device = replace(device, listen_port=change.listen_port)
            case RemovePeer():
                gone = peers.pop(change.public_key, None)
                for ip in gone.allowed_ips if gone is not None else ():
                    owners.pop(ip, None)
            case SetPeer():
                _set(peers, owners, change)
    return replace(device, peers=peers)


def _set(peers: dict[PublicKey, DevicePeer], owners: dict[str, PublicKey], change: SetPeer) -> None:
    key = change.public_key
    if not change.is_new and key not in peers:
        return
    now = peers.get(key) or DevicePeer(public_key=key)
    peer = peers[key] = replace(
        now,
        allowed_ips=now.allowed_ips if change.allowed_ips is None else change.allowed_ips,
        endpoint=change.endpoint or now.endpoint,
        keepalive=now.keepalive if change.keepalive is None else change.keepalive,
    )
    for ip in now.allowed_ips - peer.allowed_ips:
        owners.pop(ip, None)
    for ip in peer.allowed_ips:
        other = owners.get(ip)
        if other is not None and other != key:
            peers[other] = replace(peers[other], allowed_ips=peers[other].allowed_ips - {ip})
        owners[ip] = key
