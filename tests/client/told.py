"""What a coordinator tells, as tests write it: frames and their peers and CIDRs, with sensible defaults."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from innclient.core.membership import Membership, Taken
from innclient.core.netmap import KnownPeer, Netmap, take_snapshot
from innerd.domain.values import Name, parse_address
from innerd.wire.innernet import CidrJson, PeerJson
from innerd.wire.stream import Hello, Snapshot
from tests.world import key

ID = "a" * 32


def peer_json(number: int, name: str, ip: str, **changes: Any) -> PeerJson:
    fields: dict[str, Any] = {
        "id": number,
        "name": name,
        "ip": ip,
        "cidr_id": 3,
        "public_key": key(name),
        "endpoint": None,
        "persistent_keepalive_interval": 25,
        "is_admin": False,
        "is_disabled": False,
        "is_redeemed": True,
        "invite_expires": None,
        "candidates": [],
    }
    return PeerJson(**fields | changes)


def known(number: int, name: str, ip: str, **changes: Any) -> KnownPeer:
    fields: dict[str, Any] = {
        "id": number,
        "name": Name(name),
        "ip": parse_address(ip),
        "cidr_id": 3,
        "public_key": key(name),
        "endpoint": None,
        "is_admin": False,
    }
    return KnownPeer(**fields | changes)


def hello(**changes: Any) -> Hello:
    fields: dict[str, Any] = {
        "protocol": 1,
        "network": "kermpany",
        "network_id": ID,
        "suffix": "wg",
        "generation": 1,
        "head": 10,
        "head_hash": "head",
        "cursor_hash": None,
        "peer": 3,
        "time": 0.0,
        "keepalive": 20,
    }
    return Hello(**fields | changes)


ROOT = CidrJson(id=1, name="kermpany", cidr="10.42.0.0/16", parent=None)
HUMANS = CidrJson(id=3, name="humans", cidr="10.42.128.0/17", parent=1)
COORDINATOR = peer_json(1, "coordinator", "10.42.0.1", cidr_id=2, endpoint="192.0.2.1:51820")
ME = peer_json(3, "ryo", "10.42.128.1")
MARI = peer_json(4, "mari", "10.42.128.2")


def snapshot(*peers: PeerJson, revision: int = 10, **changes: Any) -> Snapshot:
    fields: dict[str, Any] = {"revision": revision, "head_hash": "head", "peers": list(peers), "cidrs": [ROOT, HUMANS]}
    return Snapshot(**fields | changes)


def netmap(*peers: PeerJson) -> Netmap:
    """What ryo knows at revision 10 when told of the coordinator, itself and these."""
    greeted = Netmap(network="kermpany", network_id=ID, me=3, generation=1)
    return take_snapshot(greeted, snapshot(COORDINATOR, ME, *peers))


def heard(core: Membership, frames: Sequence[Struct], now: float) -> Taken:
    """What a core takes of frames; those that begin with a hello come on a new connection."""
    if frames and isinstance(frames[0], Hello):
        core.connected()
    return core.take(frames, now)
