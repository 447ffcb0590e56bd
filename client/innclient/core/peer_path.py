"""The path to one peer, as it is known at a moment, and doubts whether it still leads anywhere. Pure."""

from msgspec import Struct
from msgspec.structs import replace

from innclient.core.netmap import Whereabouts
from innclient.core.trials import HEAD_START
from innerd.domain.values import Endpoint
from innerd.wireguard.device import DevicePeer

# Seconds between attempts that failed; the last for ever. It outlasts what a router remembers of a stranger, and of the
# port that it gave the peer's own packets because of it: Linux keeps both for 30 s after their last packet, and sweeps
# once a minute. If a packet that came too early stands in the way, it is forgotten by then.
_PAUSES = (5.0, 10.0, 95.0)
_DEAF = 40.0  # seconds without a byte from a peer: keepalives come every 25
_UNANSWERED = 12.0  # seconds without a byte from a peer that was sent data: it answers within 10
_A_KEEPALIVE = 32  # bytes: nobody answers these
_TURNS, _TURN = 4, 2  # attempts that fail until the device has another turn; its first is after so many
_RELAYED_PAUSES = (5.0, 10.0, 30.0, 60.0)  # the same while a relay carries, and what is sent is worth a better way
_RELAYED_IDLE = 600.0  # while nothing is sent
_LITTLE = 2000  # bytes that handshakes and keepalives make in ten minutes, and less than what people send
_GONE = 2  # attempts that fail until a session through which nothing comes is given up
_FALLS = 1.5  # seconds that a path in doubt has to be heard from, or found again, before it is given up for a relay


class Instant(Struct, frozen=True):
    """A moment by both clocks of this host, in seconds: that of the wall (since 1970), and the one that nobody sets."""

    wall: float
    steady: float


class PeerPath(Struct, kw_only=True):
    """What is known of the path to a peer. Times are of this host's clock."""

    since: float = 0.0
    endpoint: Endpoint | None = None
    tried: list[Endpoint] = []
    failures: int = 0
    failed_at: float = 0.0
    seen: Endpoint | None = None  # by the coordinator
    said: Whereabouts | None = None  # all that is told of it
    doubted: bool = False  # one of us is somewhere else now, and nothing was heard since
    looked_tx: int = 0  # bytes that were sent when a better way than a relay was looked for last
    rx: int = 0
    tx: int = 0
    heard_at: float = 0.0
    asked_at: float | None = None  # data was sent, and nothing came since

    def note(self, entry: DevicePeer, now: float) -> None:
        """What the device says of it at this moment."""
        if entry.endpoint != self.endpoint:
            self.endpoint, self.since = entry.endpoint, now
        if entry.rx_bytes != self.rx or not self.heard_at:
            self.heard(now)
        elif entry.tx_bytes - self.tx > _A_KEEPALIVE and self.asked_at is None:
            self.asked_at = now
        self.rx, self.tx = entry.rx_bytes, entry.tx_bytes

    def heard(self, now: float) -> None:
        self.heard_at, self.asked_at, self.doubted = now, None, False

    def is_stuck(self, now: float) -> bool:
        """Whether nothing comes, though there was a way."""
        if self.doubted or (self.asked_at is not None and now - self.asked_at > _UNANSWERED):
            return True
        return self.heard_at > 0 and now - self.heard_at > _DEAF

    def stuck_since(self, now: float) -> float:
        """From when on something should have come."""
        if self.doubted:
            return now
        return self.asked_at if self.asked_at is not None else now - _DEAF

    def is_gone(self, now: float) -> bool:
        """Whether nothing comes, and looking for it did not help."""
        return self.failures >= _GONE and self.is_stuck(now)

    def failed(self, now: float) -> None:
        self.failures, self.failed_at = self.failures + 1, now

    def rests(self, now: float, *, is_relayed: bool = False) -> bool:
        """Whether it is too early for another attempt."""
        pauses = _RELAYED_PAUSES if is_relayed else _PAUSES
        pause = pauses[min(self.failures, len(pauses)) - 1] if self.failures else 0.0
        if is_relayed and self.failures > len(pauses) and self.tx - self.looked_tx < _LITTLE:
            pause = _RELAYED_IDLE
        return 0 <= now - self.failed_at < pause

    @property
    def is_devices_turn(self) -> bool:
        """Whether the device may try the peer by itself, as attempts failed: innernet's clients answer no probes. Not
        after the first: the peer may only be about to start, and must not find that its router knows us already."""
        return self.failures % _TURNS == _TURN


class _Doubt(Struct, frozen=True):
    """When a session is to be given up for a relay, and since when something should have come by it."""

    ends: float
    since: float


class Doubts:
    """Sessions that may lead nowhere any more, and when each is given up: who begins of the two does so sooner, as
    handshakes that cross cost five seconds. While the coordinator is not heard either it is this host that hears
    nothing, and no session is to blame."""

    def __init__(self) -> None:
        self._noted: dict[int, _Doubt] = {}
        self._rx = 0  # bytes from the coordinator
        self._heard_at = 0.0  # when there were more, at a look

    def see(self, coordinator: DevicePeer | None, now: float) -> None:
        """What the device says of the coordinator."""
        if coordinator is not None and coordinator.rx_bytes != self._rx:
            self._rx, self._heard_at = coordinator.rx_bytes, now

    def note(self, number: int, path: PeerPath, now: float, *, begins: bool) -> None:
        """Nothing comes from a peer, as it seems."""
        ends = now + (0.0 if begins else HEAD_START) + (_FALLS if path.doubted else 0.0)
        self._noted.setdefault(number, _Doubt(ends, path.stuck_since(now)))

    def dispel(self, number: int) -> None:
        self._noted.pop(number, None)

    @property
    def due(self) -> float | None:
        """When the first is over, in seconds since 1970."""
        return min((doubt.ends for doubt in self._noted.values()), default=None)

    def over(self, now: float) -> set[int]:
        """The peers whose sessions are to be given up now."""
        found = set()
        for number, doubt in list(self._noted.items()):
            if doubt.ends > now:
                continue
            if self._heard_at < doubt.since:
                self._noted[number] = replace(doubt, ends=now + _FALLS)
            else:
                found.add(number)
                del self._noted[number]
        return found
