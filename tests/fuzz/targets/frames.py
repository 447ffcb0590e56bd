"""The event stream of a coordinator that says anything: the connection is given up, or what it says is refused, or it
is believed; and what is believed can be put on a device, into names, and into a receipt."""

import contextlib

import msgspec

from innclient.agent.stream import Lost, frames_of
from innclient.core.membership import Membership
from innclient.core.netmap import LogForked
from innerd.domain.errors import Refused
from innerd.domain.values import parse_name
from innerd.host.hostsfile import Block
from innerd.wire.stream import Bye, Connect, DeltaJson, FrameParser, PeerPresence, PresenceJson, frame
from innerd.wireguard.netlink import setting
from tests.client.test_core import EMPTY, MARI, NOW, OVEN, believe, new_core
from tests.client.told import COORDINATOR, ME, hello, peer_json, snapshot

_BOUND = 1 << 16  # bytes of a frame

_HELLO, _SNAPSHOT = frame("hello", hello()), frame("snapshot", snapshot(COORDINATOR, ME, MARI, revision=10))
_DELTA = frame("delta", DeltaJson(revision=11, head_hash="h11", peers=[OVEN], gone=[MARI.id]))
_SEEN = PeerPresence(peer=MARI.id, endpoint="198.51.100.7:51820", candidates=["192.168.1.9:51820"], online=True)
_PRESENCE = frame("presence", PresenceJson(whole=True, peers=[_SEEN]))
_RECORD = '{"owner":"git.@","type":"CNAME","value":"@"}'
_RECORDS = _DELTA.replace(b'"candidates":[]', b'"candidates":[],"records":[%s]' % _RECORD.encode())

# The first byte is the size of a chunk.
SEEDS = [
    b"\xff" + _HELLO + _SNAPSHOT + _PRESENCE,
    b"\x09" + _HELLO + _SNAPSHOT + _PRESENCE + _DELTA,
    b"\x40: \n\n" + _HELLO + _SNAPSHOT + _RECORDS + frame("connect", Connect(peer=MARI.id, epoch=1, go_at=NOW)),
    b"\xff" + _HELLO + _SNAPSHOT + _PRESENCE + frame("bye", Bye(reason="disabled")) + _DELTA,
    b"\xff" + _HELLO + frame("snapshot", snapshot(COORDINATOR, ME, peer_json(9, "six", "fd00::9"))) + _PRESENCE,
]
WORDS = [
    _HELLO,
    _SNAPSHOT,
    _DELTA,
    _PRESENCE,
    b"event: ",
    b"data: ",
    b"id: 1.7\n",
    b'"revision":',
    b'"peers":[]',
    b"xn--a",
]


def check(data: bytes) -> None:
    size, core = (data[0] if data else 0) + 1, new_core()
    parser = FrameParser(_BOUND)
    with contextlib.suppress(Lost, LogForked, Refused):
        for at in range(1, len(data), size):
            _, changes = believe(core, frames_of(parser, data[at : at + size]), EMPTY)
            setting("kermpany", changes)
            _holds(core)


def _holds(core: Membership) -> None:
    netmap = core.netmap
    for label in netmap.suffix.split("."):
        parse_name(label)
    keys = [peer.public_key for peer in netmap.peers.values()]
    assert len(keys) == len(set(keys))
    assert netmap.block is not None
    assert all(peer.ip in netmap.block for peer in netmap.peers.values())
    block = Block(netmap.domain)
    block.fill((peer.id, [(peer.ip, peer.name)]) for peer in core.believed())
    assert all(line.count(b" ") == 1 and line.isascii() and b"\n" not in line for line in block.lines())
    core.matched = netmap
    msgspec.json.encode(core.receipt())
    str(netmap.cursor).encode("ascii")
