"""One peer's membership as a state machine: frames come in, what the device should be goes out. Pure: no I/O, and the
time is an argument.

`take` believes what came, in one step or not at all; `changes` says what that means for the device as it is. In which
order what comes of it is done is `agent`'s. What one change costs does not grow with the network: only the peers that
it speaks of are looked at.
"""

from collections.abc import Collection, Iterable

from msgspec import Struct
from msgspec.structs import replace

from innclient.core.changes import Entry, differences
from innclient.core.netmap import (
    KnownPeer,
    LogForked,
    Netmap,
    Whereabouts,
    emptied,
    greet,
    take_delta,
    take_presence,
    take_snapshot,
)
from innclient.core.pins import Pins, check, seeded
from innclient.core.relays import RelayPlaces
from innclient.core.trials import (
    BY_KEYS,
    Entries,
    Server,
    Trial,
    Turns,
    entry_of,
    is_silent,
    next_trials,
    wanted,
)
from innclient.core.witness import Witnessed, agrees, meet, take_note, with_proof
from innerd.domain.errors import Refused
from innerd.domain.values import COORDINATOR, Address, Endpoint, PublicKey, is_by_tcp
from innerd.wire.ours import Applied, RefusedPeer
from innerd.wire.stream import SHUT_OUT, Bye, CheckpointJson, Connect, DeltaJson, Hello, PresenceJson, Relays, Snapshot
from innerd.wireguard.device import Device, Wanted
from innerd.wireguard.plan import Change, RemovePeer, applied, greeting, plan, plan_some

_MOST_PAIRS = 100_000  # of CIDRs: a coordinator tells 20,000 at most
_MOST_REFUSED = 1000  # wire.ours.Applied
_NOTHING_SIGNED = Witnessed()


class Identity(Struct, frozen=True, kw_only=True):
    """Who this peer is, and whom it believes to be the coordinator: from its own config."""

    private_key: str
    public_key: PublicKey
    ip: Address
    server_key: PublicKey
    server_ip: Address


class Taken(Struct, kw_only=True):
    """What came of some frames. `peers` and `keys` are those that may be other than before; None: all."""

    hello: Hello | None = None
    is_caught_up: bool = False
    bye: str | None = None
    meetings: list[Connect] = []
    peers: set[int] | None = set()
    keys: set[PublicKey] = set()
    entries: list[Entry] = []
    names_changed: bool = False


class Membership:
    def __init__(
        self,
        me: Identity,
        netmap: Netmap,
        pins: Pins,
        overrides: dict[Address, Endpoint],
        witnessed: Witnessed = _NOTHING_SIGNED,
    ) -> None:
        self.me = me
        self.netmap = netmap
        # Our own address and the coordinator's are known from the invitation, before anybody tells us of them.
        self.pins = seeded(pins, {me.server_ip: me.server_key, me.ip: me.public_key})
        self.witnessed = witnessed
        self.presence: dict[int, Whereabouts] = {}
        self.overrides = overrides
        self.trials: dict[int, Trial] = {}
        self._misled: set[int] = set()  # peers that were tried from memory, though they have overrides elsewhere
        self._is_greeted = False  # on the connection that is open
        self.matched = netmap  # what the device matches: told to nobody, and written nowhere, before it does
        self.applied: int | None = None  # the revision of it that the coordinator knows of
        self.takes_relay = True  # whether this machine is relayed where there is no other way
        self.coordinator_at: Endpoint | None = None  # as this machine reaches it; so is who is relayed
        self._places = RelayPlaces()
        self._relay_peers = {number for number, peer in netmap.peers.items() if peer.is_relay}
        self.sights: Relays | None = None  # who sees whom, where this machine may relay
        self._entries = Entries()
        self._everybody: tuple[object, Pins, list[KnownPeer]] | None = None  # who is believed, and what that is made of

    def connected(self) -> None:
        """A new connection: nobody has said yet who they are."""
        self._is_greeted = False

    # -- what comes in ------------------------------------------------------------------------------------------

    def take(self, frames: Iterable[Struct], now: float) -> Taken:
        """Believe what came together, in one step. Raises LogForked and Refused; then everything stays as it was, but
        for the proof of a fork, which is kept."""
        frames = list(frames)
        try:
            return self._take(frames, now)
        except LogForked:
            self.witnessed = with_proof(self.witnessed, frames, now)
            raise

    def _take(self, frames: list[Struct], now: float) -> Taken:
        before, netmap, presence, taken = self.netmap, self.netmap, self.presence, Taken()
        is_greeted, witnessed, sights = self._is_greeted, self.witnessed, self.sights
        for frame in frames:
            if isinstance(frame, Hello) is is_greeted:
                raise Refused("protocol_unknown", "a stream has one hello, and begins with it", "is that innerd?")
            match frame:
                case Hello():
                    is_greeted, taken.hello = True, frame
                    netmap, witnessed = greet(netmap, frame), meet(witnessed, frame, now)
                case CheckpointJson():
                    witnessed = take_note(witnessed, frame.note, netmap.generation, now)
                case Snapshot():
                    netmap, taken.peers = take_snapshot(netmap, frame), None
                case DeltaJson():
                    netmap = take_delta(netmap, frame)
                    _touch(taken, [peer.id for peer in frame.peers] + frame.gone)
                case PresenceJson():
                    after = take_presence(presence, frame.peers, whole=frame.whole, block=netmap.block)
                    told = presence.keys() | after.keys() if frame.whole else {peer.peer for peer in frame.peers}
                    _touch(taken, [number for number in told if presence.get(number) != after.get(number)])
                    presence, taken.is_caught_up = after, taken.is_caught_up or frame.whole
                case Relays():
                    sights = frame if len(frame.pairs) <= _MOST_PAIRS else Relays(pairs=[])
                case Connect():
                    taken.meetings = [*taken.meetings, frame]
                case Bye():
                    taken.bye = frame.reason
                    if frame.reason in SHUT_OUT:
                        netmap, presence, taken.peers = emptied(netmap, frame.reason), {}, None
            if netmap.revision:
                agrees(witnessed, netmap.generation, netmap.revision, netmap.head_hash)
        self.netmap, self.presence, self._is_greeted, self.witnessed = netmap, presence, is_greeted, witnessed
        self.sights = sights
        if taken.is_caught_up:
            self._forget_memories()
        if taken.hello is not None:
            self.applied = None  # a coordinator that started anew knows of no receipt: say it again
        self._compare(before, taken, now)
        return taken

    def _forget_memories(self) -> None:
        """What was tried from memory, before anybody told us where peers are, is not waited for."""
        known, tried = self.presence, self.trials
        self.trials = {
            number: trial
            for number, trial in tried.items()
            if trial.endpoint is None or (number in known and trial.endpoint in self._said(number, known[number]))
        }
        peers = self.netmap.peers
        self._misled = {n for n in tried.keys() - self.trials.keys() if n in peers and peers[n].endpoint is not None}

    def _said(self, number: int, known: Whereabouts) -> Iterable[Endpoint]:
        """Where a peer is said to be: at its override, if it has one, whatever else is known."""
        peer = self.netmap.peers.get(number)
        return known.endpoints if peer is None or peer.endpoint is None else (peer.endpoint,)

    def _compare(self, before: Netmap, taken: Taken, now: float) -> None:
        """Note what is other than before: keys for the device, words for people."""
        after = self.netmap
        numbers = {*before.peers, *after.peers} if taken.peers is None else taken.peers
        for number in numbers:
            old, new = before.peers.get(number), after.peers.get(number)
            taken.keys |= {peer.public_key for peer in (old, new) if peer is not None}
            taken.names_changed |= _named(old) != _named(new)
            (self._relay_peers.add if new is not None and new.is_relay else self._relay_peers.discard)(number)
        if taken.peers is None or before is not after:
            taken.entries += differences(before, after, numbers, now)

    # -- what is believed ---------------------------------------------------------------------------------------

    def check_pins(self, numbers: set[int] | None, now: float) -> Pins:
        """The pins after what was told of some peers (None: of all). Not yet ours: they must be saved first."""
        return check(self.pins, self._told(numbers), now, known=None if numbers is None else numbers)

    def _told(self, numbers: set[int] | None) -> list[KnownPeer]:
        peers = self.netmap.peers
        return list(peers.values()) if numbers is None else [peers[n] for n in sorted(numbers) if n in peers]

    def believed(self, numbers: set[int] | None = None) -> list[KnownPeer]:
        """The visible peers (or some) whose keys agree with the pins, and are not ours."""
        if numbers is not None:
            return self._believed(self._told(numbers))
        made_of, kept = (self.netmap.peers, self.pins), self._everybody
        if kept is None or kept[0] is not made_of[0] or kept[1] is not made_of[1]:
            kept = self._everybody = (*made_of, self._believed(self._told(None)))
            self._entries.keep(kept[2])
        return kept[2]

    def _believed(self, peers: list[KnownPeer]) -> list[KnownPeer]:
        keys, me = self.pins.keys, self.me.public_key
        return [
            peer
            for peer in peers
            if keys.get(str(peer.ip)) == peer.public_key and (peer.public_key != me or peer.id == self.netmap.me)
        ]

    def refused(self, netmap: Netmap) -> list[RefusedPeer]:
        """Whom we do not take, of a netmap: as many as a receipt may name."""
        told = [RefusedPeer(peer=b.peer, reason="pin") for b in self.pins.broken.values()]
        return (told + [RefusedPeer(peer=number, reason=why) for number, why in netmap.refused.items()])[:_MOST_REFUSED]

    # -- what goes out ------------------------------------------------------------------------------------------

    def changes(
        self,
        device: Device,
        server: Server,
        presence: dict[int, Whereabouts],
        now: float,
        touched: Taken | None = None,
        turns: Turns = BY_KEYS,
        unsure: Collection[int] = (),
    ) -> tuple[tuple[Change, ...], Device]:
        """What must change on a device, and the device after that. With `touched`, only what that concerns is looked
        at, and the rest of the device believed to be as it is. `presence` is where silent peers may be tried, as
        addresses; `turns` who may be, and who begins; `unsure` who is not tried now, as it may answer since the device
        was looked at."""
        numbers = None if touched is None else touched.peers
        peers = self.believed(numbers)
        due = self._due(peers, device, server, presence, now, numbers, turns, unsure)
        want = self._wanted(peers, due, device, server, now)
        device = _as_if_untried(device, self._came(due))
        if numbers is None or touched is None:
            changes = plan(device, want)
            return changes, applied(device, changes)
        keys = {*touched.keys, *(p.public_key for p in self._told(numbers)), server.public_key}
        return plan_some(device, want, keys)

    def _wanted(
        self, peers: list[KnownPeer], due: dict[int, Trial], device: Device, server: Server, now: float
    ) -> Wanted:
        return wanted(
            private_key=self.me.private_key,
            me=self.netmap.me,
            server=server,
            peers=peers,
            trials=due,
            overrides=self.overrides,
            presence=self.presence,
            device=device,
            now=now,
            entries=self._entries,
        )

    def _due(
        self,
        peers: list[KnownPeer],
        device: Device,
        server: Server,
        presence: dict[int, Whereabouts],
        now: float,
        numbers: set[int] | None,
        turns: Turns,
        unsure: Collection[int],
    ) -> dict[int, Trial]:
        """The trials whose endpoint is to be set now."""
        tried, me = self.trials, self.me.public_key
        known = [peer for peer in peers if peer.id in presence and peer.id not in unsure]
        silent = [peer for peer in known if is_silent(device.peers.get(peer.public_key), now)]
        entry = device.peers.get(self.me.server_key)
        self.coordinator_at = None if entry is None else entry.endpoint
        if server.moved and server.endpoint is not None:
            self.coordinator_at = server.endpoint
        relays = self._find_relays(device, now)
        free = silent if relays else [peer for peer in silent if not turns.holds(peer.id)]
        trials = next_trials(tried, me, free, presence, device, now, turns, relays)
        kept = {} if numbers is None else {n: trial for n, trial in tried.items() if n not in numbers or n in unsure}
        self.trials = kept | trials
        due = {number: trial for number, trial in trials.items() if trial.is_turn_after(tried.get(number))}
        due |= self._led_along(known, device, now)
        misled, self._misled = self._misled, set()
        for peer in known if misled else ():  # even if it answers where it was
            if peer.id in misled and presence[peer.id].endpoints and not turns.holds(peer.id):
                due[peer.id] = Trial(now, 0, presence[peer.id].endpoints[0])
        return due

    def _led_along(self, known: list[KnownPeer], device: Device, now: float) -> dict[int, Trial]:
        """Who was relayed by way of where the coordinator was is relayed by way of where it is."""
        at = self.coordinator_at
        if at is None or at not in self.relays:
            return {}
        entries = ((peer, device.peers.get(peer.public_key)) for peer in known)
        led = [peer for peer, entry in entries if entry is not None and self._was_by_way(peer.id, entry.endpoint)]
        return {peer.id: Trial(now, 0, at, online=True) for peer in led}

    def _was_by_way(self, number: int, endpoint: Endpoint | None) -> bool:
        if endpoint is None or endpoint == self.coordinator_at:
            return False
        return is_by_tcp(endpoint) or self.via(number, endpoint) == COORDINATOR

    def _find_relays(self, device: Device, now: float) -> tuple[Endpoint, ...]:
        """See where those are now by way of whom others may be reached."""
        coordinator, reached = self.netmap.peers.get(COORDINATOR), list[tuple[int, Endpoint]]()
        for peer in self.believed(self._relay_peers - {COORDINATOR, self.netmap.me}):
            entry = device.peers.get(peer.public_key)
            if entry is not None and entry.endpoint is not None and not is_silent(entry, now):
                reached.append((peer.id, entry.endpoint))
        may = coordinator is not None and coordinator.is_relay
        self._places.see(self.coordinator_at, reached, self._endpoints_of, now, may_coordinator=may)
        return self.relays

    def _endpoints_of(self, number: int) -> tuple[Endpoint, ...]:
        known, peer = self.presence.get(number), self.netmap.peers.get(number)
        override = () if peer is None or peer.endpoint is None else (peer.endpoint,)
        return override if known is None else (*known.endpoints, *override)

    @property
    def relays(self) -> tuple[Endpoint, ...]:
        """Where those are that may be used now."""
        return self._places.open if self.takes_relay else ()

    def via(self, number: int, endpoint: Endpoint | None) -> int | None:
        """Who relays what is sent to an endpoint of a peer, or did lately."""
        return self._places.via(number, endpoint, self._endpoints_of)

    def _came(self, due: dict[int, Trial]) -> list[KnownPeer]:
        """Those whose first turn begins, and who were tried before they were there."""
        begun = [self.netmap.peers[number] for number, trial in due.items() if trial.came and trial.turn == 0]
        return [peer for peer in begun if peer.ip not in self.overrides]

    def placed(
        self, peer: KnownPeer, endpoint: Endpoint | None, device: Device, now: float
    ) -> tuple[tuple[Change, ...], Device]:
        """What must change for a peer to be reached at an endpoint, and the device after that. One with whom there is a
        session is greeted from there at once: what it sends until then may come by the way before, and lead back."""
        key, entry = peer.public_key, device.peers.get(peer.public_key)
        entries = Wanted(private_key=self.me.private_key, peers={key: entry_of(peer, endpoint)})
        changes, after = plan_some(_as_if_untried(device, [peer]), entries, (key,))
        if not is_silent(entry, now):
            changes += greeting(key, endpoint)
        return changes, after

    def silenced(self, peers: Iterable[KnownPeer], device: Device) -> tuple[tuple[Change, ...], Device]:
        """What must change for WireGuard to send some peers nothing by itself, and the device after that. Only an entry
        that is made anew has no endpoint."""
        gone = [RemovePeer(peer.public_key) for peer in peers]
        entries = {p.public_key: entry_of(p, None, keepalive=0) for p in peers}
        anew = Wanted(private_key=self.me.private_key, peers=entries)
        changes = (*gone, *plan(replace(device, peers={}), anew))
        return changes, applied(device, changes)

    def to_be_tried(self, told: Taken, device: Device, now: float) -> set[int]:
        """Those who were told of, are on the device, were silent when it was looked at, and may answer."""
        found = set()
        for peer in self._told(told.peers):
            entry, known = device.peers.get(peer.public_key), self.presence.get(peer.id)
            if entry is not None and is_silent(entry, now) and known is not None and known.may_answer:
                found.add(peer.id)
        return found

    @property
    def due(self) -> float | None:
        """When the next turn of a peer comes that must not wait for the next look."""
        return min((due for trial in self.trials.values() if (due := trial.due) is not None), default=None)

    def receipt(self) -> Applied | None:
        """What must be reported of what the device matches; None where the coordinator knows it."""
        if self.matched.revision in (0, self.applied) or self.matched.is_emptied:
            return None
        self.applied = self.matched.revision
        return Applied(revision=self.applied, refused=self.refused(self.matched))


def _as_if_untried(device: Device, peers: Iterable[KnownPeer]) -> Device:
    """A device that has sent nothing to those of some peers who never answered: so their entries are made anew where
    they are to be sent to. WireGuard begins one handshake in five seconds, and may have done so before they were
    there."""
    sent_to = {
        peer.public_key: replace(entry, endpoint=None)
        for peer in peers
        if (entry := device.peers.get(peer.public_key)) is not None and entry.last_handshake is None
    }
    return replace(device, peers=device.peers | sent_to) if sent_to else device


def _named(peer: KnownPeer | None) -> tuple[object, ...]:
    """What names are made of: who is believed depends on the key."""
    return () if peer is None else (peer.name, peer.ip, peer.public_key, peer.records)


def _touch(taken: Taken, numbers: Iterable[int]) -> None:
    if taken.peers is not None:
        taken.peers = taken.peers | set(numbers)
