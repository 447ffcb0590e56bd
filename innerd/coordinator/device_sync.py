"""The coordinator's own interface: it holds exactly the enabled peers and the open invitations, always.

`wanted_device` says what should be there; the loop compares and applies after every change, every few seconds
(somebody may have edited the device by hand; less often where looking takes long), and more often while a redeem is
under way.

Nobody is sent keepalives: peers keep their own ways open, and for 10,000 who are not there they cost a core.

The redeem transition. The answer to a redeem travels through the temporary key, and an address belongs to one key
on a device. So after a redeem the new key is there at once, without the address, and its handshake succeeds; the
temporary key keeps the address until that first handshake, or for a minute; then the address moves.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_interface

import structlog
from msgspec import Struct

from innerd.coordinator.feed import Committed
from innerd.coordinator.looks import Looks
from innerd.coordinator.presence import Observed, Presence
from innerd.domain.events import KeyPinned
from innerd.domain.invitations import is_open
from innerd.domain.network import Network, Peer
from innerd.domain.values import COORDINATOR, Address, Endpoint, PublicKey
from innerd.domain.visibility import touched
from innerd.wireguard.backend import Backend
from innerd.wireguard.device import Device, DeviceError, NoSuchDevice, Wanted, WantedPeer, only
from innerd.wireguard.plan import Change, RemovePeer, SetPeer, edits, plan, plan_some

_log = structlog.get_logger("device")

TRANSITION = 60.0  # seconds a temporary key may keep the address
_POLL, _POLL_IDLE, _GROWS = 2.0, 5.0, 1.25  # seconds between two looks; while they show nothing new; what that grows by
_POLL_TRANSITION = 0.02
_REST, _REST_TRANSITION = 100.0, 20.0  # times as long as a look took until the next
_LONGEST = 10.0  # seconds that it waits at most
_MANY = 500  # peers, whose entries are compared aside
_SETTLE = 3.0  # seconds a request waits for the device at most


def in_transition(peer: Peer, device: Device, now: float) -> bool:
    """Whether a redeemed peer has not yet shown itself with its own key."""
    if peer.redeemed_at is None or peer.invitation_key is None or abs(now - peer.redeemed_at) >= TRANSITION:
        return False
    own = device.peers.get(peer.public_key)
    return own is None or own.last_handshake is None


def _unseen(peer: int) -> Endpoint | None:
    return None


class Entries:
    """Peers as they should be on the device, kept from one look to the next: most are what they were."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Peer, WantedPeer]] = {}

    def of(self, peer: Peer, endpoint: Endpoint | None) -> WantedPeer:
        made = self._made.get(peer.id)
        if made is None or made[0] is not peer or made[1].endpoint != endpoint:
            made = self._made[peer.id] = peer, _entry(peer.public_key, only(peer.ip), endpoint)
        return made[1]

    def forget(self, number: int) -> None:
        self._made.pop(number, None)


def _entry(key: PublicKey, ips: frozenset[str], endpoint: Endpoint | None = None) -> WantedPeer:
    return WantedPeer(public_key=key, allowed_ips=ips, keepalive=0, endpoint=endpoint)


def wanted_device(
    network: Network,
    device: Device,
    private_key: str,
    port: int,
    now: float,
    learned: Callable[[int], Endpoint | None] = _unseen,
    transits: Callable[[Peer], bool] | None = None,
    entries: Entries | None = None,
) -> Wanted:
    """What the coordinator's interface should be at this moment. `learned` is where a peer was seen last: a peer that
    comes back (enabled, or after the interface was made anew) is greeted there at once. `transits` says whose redeem is
    under way, where more is known of that than the device shows."""
    transits = transits or (lambda peer: in_transition(peer, device, now))
    peers = wanted_peers(network.peers.values(), now, learned, transits, entries or Entries())
    return Wanted(private_key=private_key, listen_port=port, peers=peers)


def wanted_peers(
    peers: Iterable[Peer],
    now: float,
    learned: Callable[[int], Endpoint | None],
    transits: Callable[[Peer], bool],
    entries: Entries,
) -> dict[PublicKey, WantedPeer]:
    """The entries of some peers, by key."""
    found: dict[PublicKey, WantedPeer] = {}
    for peer in peers:
        if peer.id == COORDINATOR or peer.is_disabled:
            continue
        if not peer.is_redeemed:
            if is_open(peer, now):
                found[peer.public_key] = entries.of(peer, None)
        elif peer.invitation_key is not None and transits(peer):
            found[peer.public_key] = _entry(peer.public_key, frozenset())
            found[peer.invitation_key] = _entry(peer.invitation_key, only(peer.ip))
        else:
            found[peer.public_key] = entries.of(peer, learned(peer.id))
    return found


class OwnInterface(Struct, frozen=True, kw_only=True):
    """The coordinator's interface. `bring_up` makes it where it is missing, and puts right what others did to its link;
    it gives what it did in words, blocks, and raises DeviceError. `knock` sends peers a packet through it."""

    backend: Backend
    name: str
    private_key: str
    port: int
    bring_up: Callable[[], list[str]]
    knock: Callable[[Iterable[Address]], None]


class DeviceSync:
    """Keeps one interface in step. `farewells` is awaited before a peer is let go of, `remade` when the interface is
    another one than before.

    After a change only the entries of its peers are looked at (`catch_up`), on the device as it was last seen: what a
    change costs does not grow with the network. The whole device is read and compared every few seconds (`sync`).
    """

    def __init__(
        self,
        interface: OwnInterface,
        network: Callable[[], Network],
        presence: Presence,
        looks: Looks,
        farewells: Callable[[], Awaitable[None]],
        remade: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.device = Device()
        self.errors = 0
        self.synced = 0
        self.trouble: str | None = None  # of the device, at the last try
        self._interface, self._backend = interface, interface.backend
        self._network, self._presence, self._looks = network, presence, looks
        looks.want()  # nothing was seen yet
        self._farewells, self._remade = farewells, remade
        self._clock = clock
        self._index = 0
        self._entries = Entries()
        self._took = 0.0  # seconds, of the last look at a large device
        self._pause = _POLL  # seconds until the next look
        self._is_disturbed = False
        self._dirty: dict[int, set[PublicKey]] = {}  # changed peers, with all keys that they had or have
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        # A redeem may have been under way when the coordinator stopped.
        self._watch = {peer.id for peer in network().peers.values() if peer.redeemed_at is not None}

    def disturbed(self) -> None:
        """Somebody may have touched the interface: look at it at once."""
        self._is_disturbed = True
        self._looks.want()

    def follow(self, change: Committed) -> None:
        """A follower of the feed."""
        for number in touched(change.events):
            if number not in change.after.network.peers:
                self._entries.forget(number)
            keys = self._dirty.setdefault(number, set())
            for view in (change.before, change.after):
                peer = view.network.peers.get(number)
                if peer is not None:
                    keys |= {key for key in (peer.public_key, peer.invitation_key) if key is not None}
        self._watch |= {event.peer for event in change.events if isinstance(event, KeyPinned)}
        self._looks.stirred.set()

    def is_redeeming(self, peer: Peer) -> bool:
        """Whether the peer's requests still come through its temporary key."""
        return peer.id in self._watch and in_transition(peer, self.device, self._clock())

    def has_spent_key(self, address: Address) -> bool:
        """Whether what comes from an address still comes through the temporary key of an invitation that was used."""
        peers = self._network().peers
        watched = (peers[number] for number in self._watch if number in peers)
        return any(peer.ip == address and self.is_redeeming(peer) for peer in watched)

    async def settle(self, revision: int) -> None:
        """Return when the device is at a revision that was followed, or after three seconds: the change is committed
        either way."""
        if self.synced >= revision:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiters.append((revision, future))
        try:
            await asyncio.wait_for(future, _SETTLE)
        except TimeoutError:
            _log.warning("the device is behind", revision=revision, synced=self.synced)

    async def run(self) -> None:
        self._looks.serve()
        while True:
            try:
                await (self.sync() if self._until_look() <= 0 else self.catch_up())
                pause, self.trouble = max(0.0, self._until_look()), None
            except DeviceError as error:
                self.errors += 1
                self.trouble = error.message
                self._looks.at = float("-inf")  # what is there is not known any more
                pause = _POLL
                _log.error("device", interface=self._interface.name, error=error.message, code=error.code)
            # Not wait_for: on Python 3.11 it swallows a cancellation that meets the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._looks.stirred.wait()
            self._looks.stirred.clear()

    def _until_look(self) -> float:
        """Seconds until the whole device should be looked at again."""
        pause, rest = (_POLL_TRANSITION, _REST_TRANSITION) if self._watch else (self._pause, _REST)
        return self._looks.at + max(pause, min(_LONGEST, rest * self._took)) - time.monotonic()

    async def sync(self) -> None:
        """One look at everything and, if need be, one change."""
        self._dirty = {}
        before, began = self.device, time.monotonic()
        self.device, index = await asyncio.to_thread(self._look)
        if index == self._index and (found := edits(before, self.device)):
            _log.warning("the device was changed by somebody else: put right", what=found)
        self._took = time.monotonic() - began if len(self.device.peers) > _MANY else 0.0
        self._looks.rest = _REST_TRANSITION * self._took
        network = self._network()  # after the look: what was committed meanwhile counts
        was_remade = self._index not in (0, index)
        self._looks.looking()
        self._watch = {n for n in self._watch if self._transits(network, n)}
        changes = await self._compared(network)
        if changes:
            await self._apply(changes)
            self.device = await asyncio.to_thread(self._backend.get, self._interface.name)
        is_news = self._observe(network, before) or bool(changes)
        self._pause = _POLL if is_news else min(_POLL_IDLE, _GROWS * self._pause)
        self._looks.looked()
        self._release(network.revision)
        if was_remade:
            await self._remade()
        self._index = index  # last: what failed is done again

    async def _compared(self, network: Network) -> tuple[Change, ...]:
        """What must be changed; of many peers compared aside, and the loop goes on meanwhile."""
        if len(network.peers) <= _MANY:
            return plan(self.device, self._wanted(network))
        return await asyncio.to_thread(lambda: plan(self.device, self._wanted(network)))

    async def catch_up(self) -> None:
        """Bring the entries of changed peers in step, believing the rest of the device to be as it was."""
        network, dirty = self._network(), self._dirty
        self._dirty = {}
        peers = [network.peers[number] for number in dirty if number in network.peers]
        learned = self._presence.learned
        wanted = wanted_peers(peers, self._clock(), learned, self.is_redeeming, self._entries)
        keys = {*wanted, *(key for keys in dirty.values() for key in keys)}
        own = self._interface
        entries = Wanted(private_key=own.private_key, listen_port=own.port, peers=wanted)
        changes, after = plan_some(self.device, entries, keys)
        if changes:
            await self._apply(changes)
            self.device = after
        self._release(network.revision)

    async def _apply(self, changes: Sequence[Change]) -> None:
        if any(isinstance(change, RemovePeer) for change in changes):
            await self._farewells()
        await asyncio.to_thread(self._backend.apply, self._interface.name, changes)
        new = {
            ip_interface(ip).ip
            for change in changes
            if isinstance(change, SetPeer) and change.is_new and change.endpoint is not None
            for ip in change.allowed_ips or ()
        }
        if new:  # they may wait for a sign that they are let in again, and can't know when it is time to ask
            await asyncio.to_thread(self._interface.knock, new)

    def _wanted(self, network: Network) -> Wanted:
        own, known = self._interface, (self._presence.learned, self.is_redeeming, self._entries)
        return wanted_device(network, self.device, own.private_key, own.port, self._clock(), *known)

    def _transits(self, network: Network, number: int) -> bool:
        peer = network.peers.get(number)
        return peer is not None and in_transition(peer, self.device, self._clock())

    def _look(self) -> tuple[Device, int]:
        """The device and its index, which tells whether it was made anew (by us or by somebody)."""
        is_same = self._is_same()
        if not is_same and not self._backend.exists(self._interface.name):
            _log.warning("the interface is gone: making it anew", interface=self._interface.name)
        if self._is_disturbed or not is_same:
            self._is_disturbed = False
            done = self._interface.bring_up()
            if done and is_same:
                _log.warning("the interface was changed by somebody else: put right", what=done)
        return self._backend.get(self._interface.name), self._backend.index(self._interface.name)

    def _is_same(self) -> bool:
        """Whether the link is the one that was seen last."""
        try:
            return self._backend.index(self._interface.name) == self._index
        except NoSuchDevice:
            return False

    def _observe(self, network: Network, before: Device) -> bool:
        """Note what the device says of those of whom it says something else. Whether somebody came, or moved."""
        is_news = False
        for key, entry in self.device.peers.items():
            was = before.peers.get(key)
            if was is entry:
                continue
            is_news |= was is None or was.endpoint != entry.endpoint or was.last_handshake is None
            peer = network.peers.get(network.keys.get(key, 0))
            is_own = peer is not None and peer.is_active and peer.public_key == key
            # Only who shook hands was seen: an endpoint without a handshake is somebody's claim.
            if peer is not None and is_own and entry.last_handshake is not None:
                seen = Observed(entry.endpoint, entry.last_handshake, entry.rx_bytes, entry.tx_bytes)
                self._presence.observe(peer.id, seen)
        return is_news

    def _release(self, revision: int) -> None:
        self.synced = revision
        ready = [waiter for waiter in self._waiters if waiter[0] <= revision]
        self._waiters = [waiter for waiter in self._waiters if waiter[0] > revision]
        for _, future in ready:
            if not future.done():
                future.set_result(None)
