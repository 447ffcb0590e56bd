"""Why there is no way to a peer, in words: what the agent knows of it, and nothing that it does not."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from innclient.core.netmap import Whereabouts
from innclient.core.peer_path import PeerPath
from innerd.domain.values import Endpoint
from innerd.wireguard.device import Device, DevicePeer
from tests.client.support import session_at

OVEN = 5
LAN = Endpoint("192.168.1.7:51820")
HOME, AWAY = Endpoint("192.0.2.5:5"), Endpoint("198.51.100.9:40000")


def known(online: bool = True, seen: Endpoint | None = AWAY, own: tuple[Endpoint, ...] = (HOME,)) -> Whereabouts:
    return Whereabouts(tuple(filter(None, (seen, *own))), online, seen, own)


def behind(seen: Endpoint) -> Whereabouts:
    return Whereabouts((seen,), True, seen, (HOME,))


CASES: dict[str, tuple[Whereabouts | None, dict[str, Any], str]] = {
    "nothing is known": (None, {}, "it is not online"),
    "it is offline": (known(online=False), {}, "it is not online"),
    "the coordinator is away": (None, {"connected": None}, "the coordinator is not there"),
    "no way is looked for": (known(), {"try_endpoints": False}, "looks for no ways"),
    "no endpoint is known": (known(seen=None, own=()), {}, "nobody knows an endpoint"),
    "not yet": (known(), {}, "not been looked for yet"),
    "attempts failed": (known(), {"failures": 3}, "3 attempts failed"),
    "both are behind NATs": (known(), {"failures": 1, "me": behind(AWAY)}, "both are behind NATs"),
    "no raw sockets": (known(), {"failures": 1, "probes": False}, "without CAP_NET_RAW"),
    "it is in the coordinator's LAN": (
        known(seen=LAN, own=(LAN,)),
        {"failures": 1, "me": behind(AWAY)},
        "it is in the co",
    ),
    "this one is": (
        known(seen=HOME),
        {"failures": 1, "me": known(seen=LAN, own=(LAN,))},
        "this machine is in the coord",
    ),
    "both are": (
        known(seen=LAN, own=(LAN,)),
        {"failures": 1, "me": known(seen=LAN, own=(LAN,))},
        "see to the firewalls",
    ),
    "it is open": (known(seen=HOME), {"failures": 1}, "dropped on the way"),
}


@pytest.mark.parametrize(("presence", "state", "said"), CASES.values(), ids=CASES)
async def test_the_reason_is_said(
    presence: Whereabouts | None, state: dict[str, Any], said: str, tmp_path: Path
) -> None:
    session = session_at(tmp_path, "ryo", "127.42.128.1", 1, try_endpoints=state.get("try_endpoints", True))
    session.membership.netmap = replace(session.netmap, me=2)
    if presence is not None:
        session.membership.presence[OVEN] = presence
    if "me" in state:
        session.membership.presence[2] = state["me"]
    ways = session.peer_paths
    if state.get("probes", True):
        ways.probing(True)
    if "failures" in state:
        ways.known[OVEN] = PeerPath(failures=state["failures"], failed_at=1.0)
    is_connected = state.get("connected", 1.0) is not None
    assert said in (ways.seen(OVEN, None, 2.0, connected=is_connected).missing or "")
    assert ways.seen(OVEN, AWAY, 2.0, connected=is_connected).missing is None
    await session.http.aclose()


@pytest.mark.parametrize("mine", [AWAY, LAN], ids=["outside", "inside"])
async def test_a_private_address_is_open_inside_only(mine: Endpoint, tmp_path: Path) -> None:
    """The coordinator is in the LAN of one peer: it sees that one at a private address."""
    session = session_at(tmp_path, "ryo", "127.42.128.1", 1)
    ways, server = session.peer_paths, session.membership.me.server_key
    session.membership.netmap = replace(session.netmap, me=2)
    session.membership.presence = {OVEN: known(seen=LAN, own=(LAN,)), 2: known(seen=mine, own=(mine,))}
    entry = DevicePeer(public_key=server, endpoint=Endpoint("198.51.100.1:51820"))
    device = Device(private_key="", listen_port=1, peers={server: entry})
    assert ways.is_open(OVEN, by=2) is (mine == LAN)
    tried = [candidate.endpoint for candidate in ways._candidates(OVEN, device)]
    assert (Endpoint("198.51.100.1:51820") in tried) is (mine == AWAY)
    await session.http.aclose()
