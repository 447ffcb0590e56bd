"""Keeps ways to peers: runs the traversal for those that are silent or stuck, sets what it finds on the device, and
knows of each peer what kind of way there is, since when, and what was tried."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct

from innclient.agent import stream
from innclient.agent.raw_udp import Prober
from innclient.core.netmap import COORDINATOR, KnownPeer, Presence
from innclient.core.status import Path
from innclient.core.traversal import Action, Candidate, Found, GaveUp, Send, Traversal, candidates_of, path_kind
from innclient.core.trials import HEAD_START, is_silent
from innerd.domain.values import (
    Endpoint,
    PublicKey,
    Range,
    endpoint_address,
    endpoint_of,
    is_private,
    split_endpoint,
    version_of,
)
from innerd.wire.ours import ConnectTo
from innerd.wire.probe import decode, encode, probe_key, sender_of
from innerd.wire.stream import Connect, Hello
from innerd.wireguard import links
from innerd.wireguard.device import Device, DeviceError, DevicePeer
from innerd.wireguard.keys import shared_secret

if TYPE_CHECKING:
    from innclient.agent.session import Keeper

_log = structlog.get_logger("agent")

_PAUSES = (5.0, 10.0, 30.0, 60.0)  # seconds between attempts that failed; the last for ever
_ALONE = HEAD_START + 0.2  # seconds
_FOLLOWS = 0.5  # seconds that the peer with the lower key waits for the other's handshake
_DEAF = 40.0  # seconds without a byte from a peer: keepalives come every 25
_UNANSWERED = 12.0  # seconds without a byte from a peer that was sent data: it answers within 10
_A_KEEPALIVE = 32  # bytes: nobody answers these
_TURNS = 4  # attempts that fail until the device has another turn
_OPENS_AGAIN = 30.0  # seconds until it is looked whether the device has another port
_MOST_ASKS = 4  # at a time


class Way(Struct, kw_only=True):
    """What is known of the way to a peer. Times are of this host's clock."""

    since: float = 0.0
    endpoint: Endpoint | None = None
    tried: list[Endpoint] = []
    failures: int = 0
    failed_at: float = 0.0
    seen: Endpoint | None = None  # by the coordinator
    doubted: bool = False  # one of us is somewhere else now, and nothing was heard since
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


class Ways:
    def __init__(self, keeper: "Keeper") -> None:
        self.known: dict[int, Way] = {}
        self.networks: list[Range] = []  # of this host's links
        self._is_between_ports = False
        self._may_probe = True  # until the system refuses
        self._seen: Endpoint | None = None  # where the coordinator sees us
        self._keeper = keeper
        self._traversal = Traversal(0, secrets.randbits(63))
        self._prober: Prober | None = None
        self._opened_at = 0.0
        self._keys: dict[PublicKey, bytes] = {}
        self.ahead = 0.0  # the coordinator's clock less ours
        self._wake = asyncio.Event()
        self._room = asyncio.Semaphore(_MOST_ASKS)

    # -- what is known ------------------------------------------------------------------------------------------

    def _presence(self, number: int) -> Presence | None:
        return self._keeper.core.presence.get(number)

    def is_open(self, number: int, by: int, version: int = 4) -> bool | None:
        """Whether a peer can be reached `by` another where it says that it is: no NAT is in front of it. None where
        that is not known. The two families (`version` 4 or 6) are two matters: where the coordinator sees a peer says
        nothing of the other, and its own addresses must tell."""
        known, peer = self._presence(number), self._keeper.netmap.peers.get(number)
        if peer is not None and peer.endpoint is not None:
            return True  # somebody says so
        if known is None or not known.seen:
            return None
        own = [endpoint for endpoint in known.own if version_of(endpoint) == version]
        if not own:
            return None
        if version_of(known.seen) != version:
            return not all(map(is_private, own))
        return known.seen in own and not self._is_beside_coordinator(number, by)

    def _is_beside_coordinator(self, number: int, other: int) -> bool:
        """Whether a peer is in the coordinator's own LAN and another is not: a private address is where the coordinator
        sees it, and nobody out there reaches it at that."""
        here, there = (known.seen if (known := self._presence(n)) else None for n in (number, other))
        return here is not None and there is not None and is_private(here) and not is_private(there)

    def _family(self, number: int) -> int:
        """By what IP a peer and we can meet: 6 where both have it, as no NAT is in the way there."""
        both = [self._presence(n) for n in (number, self._keeper.netmap.me)]
        return 6 if all(known and any(map(_is_global6, known.endpoints)) for known in both) else 4

    def _openness(self, number: int) -> tuple[bool | None, bool | None]:
        """Ours and a peer's, as far as it matters between us."""
        version = self._family(number)
        me = self._keeper.netmap.me
        return self.is_open(me, number, version), self.is_open(number, me, version)

    def begins(self, number: int) -> bool | None:
        """Whether we send a peer the first packet, where that is not a matter of keys: who is behind a NAT does, as
        a NAT may remember a stranger's packet, and give the peer's own packets another port because of it."""
        mine, theirs = self._openness(number)
        return None if mine is None or theirs is None or mine == theirs else theirs

    def holds(self, number: int) -> bool:
        """Whether the device should not try a peer by itself: between two NATs an unannounced packet does harm, and a
        traversal is going to find the way. Where that failed, the device has its turn now and then: innernet's clients
        answer no probes."""
        (mine, theirs), known = self._openness(number), self._presence(number)
        if mine or theirs or known is None or not known.online:
            return False
        if not self._keeper.core.stays:  # one cycle: the agent that follows finds the way, if nothing is in it
            return theirs is False
        if not self._may_probe:
            return False
        way = self.known.get(number)
        return way is None or way.failures % _TURNS != 1

    def kind(self, number: int, endpoint: Endpoint | None) -> str:
        known = self._presence(number)
        version = 4 if endpoint is None else version_of(endpoint)
        mine = self.is_open(self._keeper.netmap.me, number, version) is not False
        theirs = () if known is None else known.own
        if number == COORDINATOR and endpoint is not None:
            mine, theirs = True, (endpoint,)  # it is where it says, or nobody would be here
        return path_kind(endpoint, self.networks, mine_is_open=mine, theirs=theirs)

    def seen(self, number: int, endpoint: Endpoint | None) -> Path:
        """What is said of the way to a peer that answers at an endpoint (None: it does not)."""
        way = self.known.get(number) or Way()
        since = way.since if endpoint is not None and endpoint == way.endpoint else None
        missing = self._missing(number, way) if endpoint is None else None
        return Path(self.kind(number, endpoint), since or None, [str(tried) for tried in way.tried], missing)

    def _missing(self, number: int, way: Way) -> str:
        """Why there is no way to a peer, so far as we know."""
        known, peer, keeper = self._presence(number), self._keeper.netmap.peers.get(number), self._keeper
        if keeper.connected_since is None and known is None:
            return "the coordinator is not there to say where it is"
        if peer is not None and peer.ip in keeper.core.overrides:
            return f"it is only tried at {keeper.core.overrides[peer.ip]}, its override on this machine"
        if known is None or (not known.online and number != COORDINATOR):
            return "it is not online: it has no connection to the coordinator"
        if not keeper.choices.making.try_endpoints:
            return "this machine looks for no ways (--no-nat-traversal)"
        if not known.endpoints:
            return "nobody knows an endpoint of it"
        if self._traversal.is_trying(number):
            return "it is being looked for"
        if not way.failures:
            return "it has not been looked for yet"
        return f"{way.failures} attempts failed, the last {time.time() - way.failed_at:.0f} s ago: {self._nats(number)}"

    def _nats(self, number: int) -> str:
        mine, theirs = self._openness(number)
        if self._prober is None:
            return "without CAP_NET_RAW no way between two NATs is found"
        me = self._keeper.netmap.me
        for one, other, whose in ((number, me, "it is"), (me, number, "this machine is")):
            if self._is_beside_coordinator(one, other):
                return (
                    f"{whose} in the coordinator's own LAN, at a private address that says nothing outside; a port "
                    "that is forwarded there helps (inn override-endpoint on that machine tells it)"
                )
        if mine is False and theirs is False:
            return (
                "both are behind NATs, and one of these gives every destination another port, or drops UDP; "
                "a forwarded port on either side helps (override-endpoint), or IPv6"
            )
        return "its packets or ours are dropped on the way: see to the firewalls on both sides"

    # -- what happens -------------------------------------------------------------------------------------------

    def greeted(self, hello: Hello) -> None:
        self.ahead = hello.time - time.time()
        self._traversal.me = hello.peer

    def connect(self, told: Connect) -> None:
        """The coordinator names a moment."""
        peer = self._keeper.netmap.peers.get(told.peer)
        if self._prober is None or peer is None or peer not in self._keeper.core.believed({told.peer}):
            return
        now = time.monotonic()
        go_at = now + (told.go_at - self.ahead - time.time())
        if self._traversal.meet(told.peer, told.epoch, go_at, self._candidates(told.peer), now):
            self._wake.set()

    def consider(self, device: Device, now: float, numbers: set[int] | None) -> None:
        """Look at peers (None: at all), and for ways to those that are there but silent, or stuck."""
        if not self._keeper.choices.making.try_endpoints:
            return
        moved = self._has_moved(numbers)
        for peer in self._there(numbers):
            entry = device.peers.get(peer.public_key)
            way = self.known.setdefault(peer.id, Way(since=now))
            if entry is not None:
                way.note(entry, now)
            self._compare(peer.id, way, moved=moved)
            if is_silent(entry, now) or way.is_stuck(now):
                self._begin(peer, way, now)
            elif way.failures:
                way.failures = 0

    def _has_moved(self, numbers: set[int] | None) -> bool:
        """Whether the coordinator sees us somewhere else: of ways through a NAT that forgot us nobody tells."""
        me = self._keeper.netmap.me
        known = self._presence(me)
        if known is None or known.seen is None or (numbers is not None and me not in numbers):
            return False
        before, self._seen = self._seen, known.seen
        return before is not None and before != known.seen

    def _compare(self, number: int, way: Way, *, moved: bool) -> None:
        """A way through a NAT is in doubt when one of its ends is seen somewhere else."""
        known = self._presence(number)
        before, way.seen = way.seen, known.seen if known is not None else None
        was_seen = before is not None and way.seen is not None
        if (moved or (was_seen and before != way.seen)) and self.kind(number, way.endpoint) == "punched":
            way.doubted = True
        if self._traversal.is_trying(number):
            self._traversal.learn(number, self._candidates(number))

    def _there(self, numbers: set[int] | None) -> Iterator[KnownPeer]:
        """The others, of some peers (None: of all), that are online."""
        for peer in self._keeper.core.believed(numbers):
            known = self._presence(peer.id)
            if peer.id not in (COORDINATOR, self._keeper.netmap.me) and known is not None and known.online:
                yield peer

    def _begin(self, peer: KnownPeer, way: Way, now: float) -> None:
        pause = _PAUSES[min(way.failures, len(_PAUSES)) - 1] if way.failures else 0.0
        if self._prober is None or 0 <= now - way.failed_at < pause or peer.ip in self._keeper.core.overrides:
            return
        candidates = self._candidates(peer.id)
        if candidates and self._traversal.begin(peer.id, candidates, time.monotonic()):
            way.tried = [candidate.endpoint for candidate in candidates]
            self._wake.set()
            self._ask(peer.id)

    def _candidates(self, number: int) -> tuple[Candidate, ...]:
        known = self._presence(number)
        endpoints = [e for e in (known.endpoints if known else ()) if endpoint_address(e) is not None]
        return candidates_of([*self._by_coordinators_address(number), *endpoints], self.networks)

    def _by_coordinators_address(self, number: int) -> Iterator[Endpoint]:
        """Where a peer in the coordinator's LAN may be: one router is in front of both, and most keep ports."""
        device, known = self._keeper.applier.device, self._presence(number)
        entry = device.peers.get(self._keeper.core.me.server_key) if device is not None else None
        if entry is None or entry.endpoint is None or is_private(entry.endpoint) or known is None or not known.seen:
            return
        if self._is_beside_coordinator(number, self._keeper.netmap.me):
            yield endpoint_of(split_endpoint(entry.endpoint)[0], split_endpoint(known.seen)[1])

    def _ask(self, number: int) -> None:
        async def ask() -> None:
            async with self._room:
                if not self.holds(number):
                    await asyncio.sleep(_ALONE)  # the device tries it by itself, and mostly that is enough
                if self._traversal.is_trying(number):
                    await stream.post(self._keeper.http, "/v1/user/connect", ConnectTo(peer=number))

        self._keeper.errands.send(ask())

    @contextlib.contextmanager
    def without_probes(self) -> Iterator[None]:
        """While the device gets another port: what is answered from the old one, others would take for a way."""
        self._close()
        self._is_between_ports = True
        try:
            yield
        finally:
            self._is_between_ports = False
            self._wake.set()

    async def moved(self) -> None:
        """This host has other addresses: tell those that we spoke with, look for ways to who can't hear it."""
        self.networks = await asyncio.to_thread(links.host_networks)
        device, now = await asyncio.to_thread(self._keeper.tunnel.get), time.time()
        spoken_with = [entry for entry in device.peers.values() if not is_silent(entry, now)]
        await asyncio.to_thread(self._keeper.tunnel.greet, spoken_with)
        self._traversal.forget()
        for peer in self._there(None):
            way = self.known.setdefault(peer.id, Way(since=now))
            way.doubted = True
            self._begin(peer, way, now)

    # -- the loop -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        self.networks = await asyncio.to_thread(links.host_networks)
        try:
            while True:
                if self._prober is None or time.monotonic() - self._opened_at > _OPENS_AGAIN:
                    await self._open()
                await self._act(self._traversal.tick(time.monotonic()))
                due = self._traversal.next_at()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if due is None else max(0.0, due - time.monotonic())):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            self._close()

    def _close(self) -> None:
        if self._prober is not None:
            self._prober.close()
            self._prober = None

    async def _open(self) -> None:
        """The raw sockets, for the port that the device has now."""
        self._opened_at = time.monotonic()
        device = await asyncio.to_thread(self._keeper.tunnel.get)
        if not device.listen_port or self._is_between_ports:
            return
        if self._prober is not None and self._prober.port == device.listen_port:
            return
        self._close()
        try:
            self._prober = Prober(device.listen_port, self._heard)
            self._may_probe = True
        except OSError as error:
            if self._may_probe:
                _log.warning("no probes: endpoints of silent peers are tried one by one", why=error.strerror)
            self._may_probe = False

    def _heard(self, data: bytes, source: Endpoint) -> None:
        sender = sender_of(data)
        peers = self._keeper.core.believed({sender}) if sender is not None else []
        if not peers or (probe := decode(data, self._key(peers[0].public_key))) is None:
            return
        self._keeper.errands.send(self._act(self._traversal.hear(probe, source, time.monotonic())))
        self._wake.set()

    def _key(self, public_key: PublicKey) -> bytes:
        key = self._keys.get(public_key)
        if key is None:
            key = self._keys[public_key] = probe_key(shared_secret(self._keeper.core.me.private_key, public_key))
        return key

    async def _act(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send():
                    peer = self._keeper.netmap.peers.get(action.peer)
                    if self._prober is not None and peer is not None:
                        self._prober.send(action.endpoint, encode(action.probe, self._key(peer.public_key)), action.ttl)
                case Found():
                    await self._found(action)
                case GaveUp():
                    way = self.known.setdefault(action.peer, Way(since=time.time()))
                    way.failures, way.failed_at = way.failures + 1, time.time()
                    _log.info("no way found", peer=action.peer, tried=way.tried)
                    with contextlib.suppress(DeviceError):
                        await self._keeper.apply()  # now the device tries it by itself

    async def _found(self, found: Found) -> None:
        """Set the way on the device. Both find it at the same moment: the one with the lower key waits for the other's
        handshake, as two that cross cost five seconds."""
        way = self.known.setdefault(found.peer, Way(since=time.time()))
        way.failures = 0
        way.heard(time.time())
        peers = self._keeper.core.believed({found.peer})
        if not peers:
            return
        peer = peers[0]
        if self._keeper.core.me.public_key < peer.public_key:
            await asyncio.sleep(_FOLLOWS)
        with contextlib.suppress(DeviceError):
            await self._keeper.place(peer, found.endpoint)
        _log.info("a way was found", peer=peer.name, endpoint=found.endpoint)


def _is_global6(endpoint: Endpoint) -> bool:
    return version_of(endpoint) == 6 and not is_private(endpoint)
