"""The frames of the event stream (`GET /v1/user/events`), server-sent events (WHATWG HTML 9.2).

A cursor is `<generation>.<revision>`. `snapshot` and `delta` move it and carry it as `id`; the others do not. One frame
is one `event:` with one line of JSON as `data:`; a line that begins with `:` keeps the connection alive. Frames are
encoded once for all members of a class.
"""

import re
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from innerd.domain.netmap import Delta
from innerd.domain.network import Network
from innerd.domain.values import Endpoint
from innerd.wire.innernet import C, CidrJson, P, PeerJson
from innerd.wire.soft import SoftState

KEEPALIVE = b": \n\n"
KEEPALIVE_INTERVAL = 20  # seconds

_encode = msgspec.json.Encoder().encode
_CURSOR = re.compile(r"([0-9]{1,9})\.([0-9]{1,15})")


class Hello(Struct, kw_only=True):
    """The first frame. `head` is the log's newest revision and `head_hash` its chain hash; `cursor_hash` is the
    chain hash at the client's cursor, null without one."""

    protocol: int
    network: str
    network_id: str
    suffix: str  # of the network's names
    generation: int
    head: int
    head_hash: str
    cursor_hash: str | None
    peer: int  # who you are to the coordinator
    time: float  # the server's, seconds since 1970
    keepalive: int  # seconds between keep-alive comments
    checkpoint_key: str | None = None  # the verifier key of checkpoints; null from a release that signs none
    checkpoint: str | None = None  # the newest, a signed note (`innerd.wire.checkpoint`)
    tcp: int | None = None  # the port to which you may come by TCP where UDP is blocked; null: you may not
    twins: list[str] | None = None  # two endpoints at which you are seen in turns: another machine has your key


class CheckpointJson(Struct, kw_only=True):
    """A signed note of where the log is."""

    note: str


class Snapshot(Struct, Generic[P, C], kw_only=True):
    """The whole visible state at a revision; `head_hash` is the log's chain hash there."""

    revision: int
    head_hash: str
    peers: list[P]
    cidrs: list[C]


class DeltaJson(Struct, Generic[P, C], kw_only=True):
    """What changed for you since the frame before: new or changed, and gone by id."""

    revision: int
    head_hash: str
    peers: list[P] = []
    gone: list[int] = []
    cidrs: list[C] = []
    cidrs_gone: list[int] = []


class PeerPresence(Struct, kw_only=True):
    """Soft state of one peer: where it may be reached, and whether it is online."""

    peer: int
    endpoint: str | None
    candidates: list[str]
    online: bool


S = TypeVar("S", bound=PeerPresence | Raw)


class PresenceJson(Struct, Generic[S], kw_only=True):
    """`whole`: everything about everybody visible; else only what changed."""

    whole: bool
    peers: list[S]


class Relays(Struct, kw_only=True):
    """For a peer that may relay: the pairs of CIDRs, by id, whose peers see each other, of those CIDRs whose peers it
    sees; peers of one CIDR do too. It comes whole each time. `unrelayed` are peers that want nothing relayed."""

    pairs: list[tuple[int, int]]
    unrelayed: list[int] = []


LEAD = 0.25  # seconds from when two peers are told of their moment to the moment, at most


class Connect(Struct, kw_only=True):
    """Look for a way to a peer, from `go_at` on (the coordinator's time, seconds since 1970); it does the same. `epoch`
    names the attempt. Without `prime` the router in front of that peer is known not to mind strangers."""

    peer: int
    epoch: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    go_at: float
    prime: bool = True


SHUT_OUT = ("disabled", "retired")  # the reasons of a `bye` that mean: you are no peer any more


class Bye(Struct, kw_only=True):
    """Why the stream ends: disabled, retired, replaced, too_slow, shutting_down or interface_remade."""

    reason: str


class Cursor(Struct, frozen=True):
    generation: int
    revision: int

    def __str__(self) -> str:
        return f"{self.generation}.{self.revision}"


def parse_cursor(text: str | None) -> Cursor | None:
    """A cursor as a client sends it; anything malformed is no cursor, and gets a snapshot."""
    match = _CURSOR.fullmatch(text or "")
    return Cursor(int(match[1]), int(match[2])) if match else None


def frame(event: str, data: Struct, cursor: Cursor | None = None) -> bytes:
    head = f"id: {cursor}\nevent: {event}\ndata: " if cursor else f"event: {event}\ndata: "
    return head.encode() + _encode(data) + b"\n\n"


def snapshot_frame(network: Network, peers: list[Raw], cidrs: list[Raw], head_hash: str) -> bytes:
    """Of peers and CIDRs that are encoded already."""
    data = Snapshot(revision=network.revision, head_hash=head_hash, peers=peers, cidrs=cidrs)
    return frame("snapshot", data, Cursor(network.generation, network.revision))


def delta_frame(network: Network, delta: Delta, peers: list[Raw], cidrs: list[Raw], head_hash: str) -> bytes:
    """A delta whose peers and CIDRs are encoded already."""
    data = DeltaJson(
        revision=delta.revision,
        head_hash=head_hash,
        peers=peers,
        gone=list(delta.gone),
        cidrs=cidrs,
        cidrs_gone=list(delta.cidrs_gone),
    )
    return frame("delta", data, Cursor(network.generation, delta.revision))


def delta_frame_of_nothing(network: Network, head_hash: str) -> bytes:
    """What moves the cursor of a client that nothing concerned."""
    return delta_frame(network, Delta(network.revision), [], [], head_hash)


def presence_frame(peers: list[Raw], *, whole: bool) -> bytes:
    """Soft state that is encoded already."""
    return frame("presence", PresenceJson(whole=whole, peers=peers))


def presence_of(peer: int, override: Endpoint | None, presence: SoftState, now: float) -> PeerPresence:
    shown = presence.shown_endpoint(peer, override)
    return PeerPresence(
        peer=peer,
        endpoint=shown,
        candidates=list(presence.shown_candidates(peer, shown)),
        online=presence.is_online(peer, now),
    )


class Event(Struct, frozen=True):
    """A frame as a client reads it. `data` is the JSON text."""

    event: str
    data: bytes
    id: str | None


DECODERS: dict[str, Any] = {
    name: msgspec.json.Decoder(type_)
    for name, type_ in {
        "hello": Hello,
        "snapshot": Snapshot[PeerJson, CidrJson],
        "delta": DeltaJson[PeerJson, CidrJson],
        "presence": PresenceJson[PeerPresence],
        "connect": Connect,
        "checkpoint": CheckpointJson,
        "relays": Relays,
        "bye": Bye,
    }.items()
}


class FrameParser:
    """Bytes in, frames out (WHATWG HTML 9.2.6, for one `data` line a frame). Raises ValueError past `most` bytes:
    a coordinator that sends an endless line must not take a client's memory."""

    def __init__(self, most: int = 64 << 20) -> None:
        self._buffer = bytearray()
        self._searched = 0  # bytes at the front that hold no end of a frame
        self._most = most

    def feed(self, chunk: bytes) -> list[Event]:
        found = []
        self._buffer += chunk
        start = 0
        while (end := self._buffer.find(b"\n\n", max(start, self._searched))) >= 0:
            self._within_bounds(end + 2 - start)
            event = _parse(bytes(self._buffer[start:end]))
            if event is not None:
                found.append(event)
            start = self._searched = end + 2
        del self._buffer[:start]
        self._within_bounds(len(self._buffer))
        self._searched = max(0, len(self._buffer) - 1)  # a frame's end may be cut in two
        return found

    def _within_bounds(self, size: int) -> None:
        if size > self._most:
            raise ValueError(f"a frame of more than {self._most} bytes")


def _parse(block: bytes) -> Event | None:
    fields: dict[bytes, bytes] = {}
    for line in block.split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon and name:
            fields[name] = value.removeprefix(b" ")
    if b"data" not in fields:
        return None
    identity = fields.get(b"id")
    return Event(
        fields.get(b"event", b"message").decode("ascii", "replace"),
        fields[b"data"],
        None if identity is None else identity.decode("ascii", "replace"),
    )
