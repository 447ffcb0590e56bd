"""The path to each peer: what kind there is, since when, who begins, and when one is looked for. Pure: the device, what
was heard and the time come in as values. The schedule of probes is `traversal`'s; `agent/paths` sends and hears them.
"""

from collections.abc import Iterator

from innclient.core.membership import Membership
from innclient.core.netmap import KnownPeer, Whereabouts
from innclient.core.peer_path import Doubts, Instant, PeerPath
from innclient.core.status import Path
from innclient.core.traversal import Candidate, Found, Traversal, candidates_of, path_kind
from innclient.core.trials import HEAD_START, MOMENT, Turns, is_silent
from innerd.domain.values import (
    COORDINATOR,
    Endpoint,
    Range,
    endpoint_address,
    endpoint_of,
    is_by_tcp,
    is_private,
    split_endpoint,
    version_of,
)
from innerd.wire.stream import LEAD, Connect, Hello
from innerd.wireguard.device import Device, DevicePeer

ALONE = HEAD_START + 0.2  # seconds in which a device mostly finds a peer by itself
_FOLLOWS = 0.5  # seconds that the peer with the lower key waits for the other's handshake


class PeerPaths:
    """`nonce` is where the nonces of probes begin: random. `tries`: whether paths are looked for at all."""

    def __init__(self, membership: Membership, nonce: int, *, tries: bool) -> None:
        self.known: dict[int, PeerPath] = {}
        self.networks: list[Range] = []  # of this host's links
        self.ahead = 0.0  # the coordinator's clock less ours
        self.traversal = Traversal(0, nonce)
        self.tries = tries
        self._is_probing = False  # there are sockets
        self.may_probe = True  # until the system refuses
        self.doubts = Doubts()
        self._seen: Endpoint | None = None  # where the coordinator sees us
        self._membership = membership

    def probing(self, may: bool | None) -> None:
        """Whether probes go out from now on. False: the system refuses; None: not at the moment."""
        self._is_probing = bool(may)
        if may is not None:
            self.may_probe = may

    # -- what is known ------------------------------------------------------------------------------------------

    @property
    def _me(self) -> int:
        return self._membership.netmap.me

    def _presence(self, number: int) -> Whereabouts | None:
        return self._membership.presence.get(number)

    def is_open(self, number: int, by: int, version: int = 4) -> bool | None:
        """Whether a peer can be reached `by` another where it says that it is: no NAT is in front of it. None where
        that is not known. The two families (`version` 4 or 6) are two matters: where the coordinator sees a peer says
        nothing of the other, and its own addresses must tell."""
        known, peer = self._presence(number), self._membership.netmap.peers.get(number)
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
        both = [self._presence(n) for n in (number, self._me)]
        return 6 if all(known and any(map(_is_global6, known.endpoints)) for known in both) else 4

    def _openness(self, number: int) -> tuple[bool | None, bool | None]:
        """Ours and a peer's, as far as it matters between us."""
        version = self._family(number)
        return self.is_open(self._me, number, version), self.is_open(number, self._me, version)

    def begins(self, number: int) -> bool | None:
        """Whether we send a peer the first packet, where that is not a matter of keys: who is behind a NAT does, as
        a NAT may remember a stranger's packet, and give the peer's own packets another port because of it."""
        mine, theirs = self._openness(number)
        return None if mine is None or theirs is None or mine == theirs else theirs

    def holds(self, number: int, *, stays: bool) -> bool:
        """Whether the device should not try a peer by itself: between two NATs an unannounced packet does harm, and a
        traversal is going to find the way. Where that failed, the device has its turn now and then: innernet's clients
        answer no probes."""
        (mine, theirs), known = self._openness(number), self._presence(number)
        if mine or theirs or known is None or not known.online:
            return False
        if not stays:  # one cycle: the agent that follows finds the way, if nothing is in it
            return theirs is False
        if not self.may_probe:
            return False
        path = self.known.get(number)
        return path is None or self.traversal.has_moment(number) or not path.is_devices_turn

    def unanswered(self, numbers: list[int], device: Device, now: float) -> list[KnownPeer]:
        """Those of some peers with whom we begin at a moment whom the device must not go on sending to, as they do not
        answer: a router would go on taking us for a stranger, and give its peer's own packets another port than we
        know."""
        found = []
        for peer in self._membership.believed(set(numbers)):
            entry, path = device.peers.get(peer.public_key), self.known.get(peer.id)
            is_silent_ = is_silent(entry, now) or (path is not None and path.is_gone(now))
            is_sent_to = entry is not None and entry.endpoint is not None and is_silent_
            if entry is not None and self._via(peer.id, entry.endpoint) is not None:
                continue
            if is_sent_to and self.holds(peer.id, stays=True) and peer.ip not in self._membership.overrides:
                found.append(peer)
        return found

    def turns(self, *, stays: bool) -> Turns:
        """What the device may try by itself. Who does not stay can't wait for the other to begin."""
        head_start, moment = (HEAD_START, MOMENT) if stays else (0.0, 0.0)
        return Turns(head_start, moment, lambda number: self.holds(number, stays=stays), self.begins)

    def _via(self, number: int, endpoint: Endpoint | None) -> int | None:
        return None if number == COORDINATOR else self._membership.via(number, endpoint)

    def kind(self, number: int, endpoint: Endpoint | None) -> str:
        if self._via(number, endpoint) is not None:
            return "relayed" if endpoint in self._membership.relays else "none"
        if endpoint is not None and is_by_tcp(endpoint):
            return "tcp" if number == COORDINATOR else "none"
        known = self._presence(number)
        version = 4 if endpoint is None else version_of(endpoint)
        mine = self.is_open(self._me, number, version) is not False
        theirs = () if known is None else known.own
        if number == COORDINATOR and endpoint is not None:
            mine, theirs = True, (endpoint,)  # it is where it says, or nobody would be here
        return path_kind(endpoint, self.networks, mine_is_open=mine, theirs=theirs)

    def seen(
        self, number: int, endpoint: Endpoint | None, now: float, *, connected: bool, by_tcp: Endpoint | None = None
    ) -> Path:
        """What is said of the path to a peer that answers at an endpoint (None: it does not). `by_tcp`: where the
        coordinator is reached by TCP, while it is."""
        path = self.known.get(number) or PeerPath()
        since = path.since if endpoint is not None and endpoint == path.endpoint else None
        kind = "none" if endpoint is None else self.kind(number, endpoint)
        is_missing = kind in ("none", "relayed")
        missing = self._missing(number, path, now, connected=connected) if is_missing else None
        relay = self._membership.netmap.peers.get(self._via(number, endpoint) or 0) if kind == "relayed" else None
        via = None if relay is None else str(relay.name)
        at = by_tcp if endpoint is not None and is_by_tcp(endpoint) else None
        return Path(kind, since or None, [str(tried) for tried in path.tried], missing, via, at)

    def _missing(self, number: int, path: PeerPath, now: float, *, connected: bool) -> str:
        """Why there is no way to a peer, so far as we know."""
        known, peer = self._presence(number), self._membership.netmap.peers.get(number)
        overrides = self._membership.overrides
        if not connected and known is None:
            return "the coordinator is not there to say where it is"
        if peer is not None and peer.ip in overrides:
            return f"it is only tried at {overrides[peer.ip]}, its override on this machine"
        if known is None or (not known.online and number != COORDINATOR):
            return "it is not online: it has no connection to the coordinator"
        if not self.tries:
            return "this machine looks for no ways (--no-nat-traversal)"
        if not known.endpoints:
            return "nobody knows an endpoint of it"
        if self.traversal.is_trying(number):
            return "it is being looked for"
        if not path.failures:
            return "it has not been looked for yet"
        return f"{path.failures} attempts failed, the last {now - path.failed_at:.0f} s ago: {self._nats(number)}"

    def _nats(self, number: int) -> str:
        mine, theirs = self._openness(number)
        if not self._is_probing:
            return "without CAP_NET_RAW no way between two NATs is found"
        me = self._me
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

    def greeted(self, hello: Hello, now: float) -> None:
        self.ahead = hello.time - now
        self.traversal.me = hello.peer

    def meet(self, told: Connect, device: Device | None, now: Instant) -> bool:
        """The coordinator names a moment. Whether there is something to send for it."""
        if not self._is_probing or not self._membership.believed({told.peer}):
            return False
        # What is known of the coordinator's clock is as late as its hello came; and it tells a moment shortly before.
        go_at = now.steady + min(told.go_at - self.ahead - now.wall, LEAD)
        path = self.known.get(told.peer)
        prime = told.prime or (path is not None and path.failures > 0)  # what is known of its router did not help
        candidates = self._candidates(told.peer, device)
        return self.traversal.meet(told.peer, told.epoch, go_at, candidates, now.steady, prime=prime)

    def consider(self, device: Device, now: Instant, numbers: set[int] | None) -> list[int]:
        """Look at peers (None: at all), and for paths to those that are there but silent, or stuck. For whom the
        coordinator is to be asked for a moment."""
        if not self.tries:
            return []
        begun: list[int] = []
        moved = self._has_moved(numbers)
        self.doubts.see(device.peers.get(self._membership.me.server_key), now.wall)
        for peer in self._there(numbers):
            entry = device.peers.get(peer.public_key)
            path = self.known.setdefault(peer.id, PeerPath(since=now.wall))
            if entry is not None:
                path.note(entry, now.wall)
            self._compare(peer.id, path, device, moved=moved)
            is_relayed = entry is not None and self._via(peer.id, entry.endpoint) is not None
            if is_relayed and entry is not None and entry.endpoint not in self._membership.relays:
                path.doubted = True  # it is relayed no more
            self._doubt(peer, path, entry, now)
            if is_silent(entry, now.wall) or path.is_stuck(now.wall) or is_relayed:
                begun += self._begin(peer, path, device, now, is_relayed=is_relayed)
            elif path.failures:
                path.failures = 0
        return begun

    def moved(self, device: Device, now: Instant) -> list[int]:
        """This host has other addresses: whatever was found from the old ones is in doubt. As `consider`."""
        self.traversal.forget()
        begun = []
        for peer in self._there(None):
            path = self.known.setdefault(peer.id, PeerPath(since=now.wall))
            path.doubted = True
            self._doubt(peer, path, device.peers.get(peer.public_key), now)
            begun += self._begin(peer, path, device, now)
        return begun

    def _doubt(self, peer: KnownPeer, path: PeerPath, entry: DevicePeer | None, now: Instant) -> None:
        """Note when a session that leads nowhere any more is given up, so that a relay carries the next."""
        if not path.is_stuck(now.wall) or is_silent(entry, now.wall) or not self.holds(peer.id, stays=True):
            self.doubts.dispel(peer.id)
        elif self._membership.relays:
            begins = self._membership.me.public_key > peer.public_key
            self.doubts.note(peer.id, path, now.wall, begins=begins)

    def fallen(self, now: Instant) -> list[KnownPeer]:
        """Those whose session is to be given up now."""
        numbers = self.doubts.over(now.wall)
        return self._membership.believed(numbers) if numbers else []

    def found(self, found: Found, now: float) -> tuple[KnownPeer, float] | None:
        """Whose the path is, and how long to wait until it is set on the device. Both find it at the same moment: the
        one with the lower key waits for the other's handshake, as two that cross cost five seconds. None where the
        peer is not believed any more."""
        path = self.known.setdefault(found.peer, PeerPath(since=now))
        path.failures = 0
        path.heard(now)
        believed = self._membership.believed({found.peer})
        if not believed:
            return None
        return believed[0], _FOLLOWS if self._membership.me.public_key < believed[0].public_key else 0.0

    def gave_up(self, number: int, now: float) -> PeerPath:
        path = self.known.setdefault(number, PeerPath(since=now))
        path.failed(now)
        return path

    def _has_moved(self, numbers: set[int] | None) -> bool:
        """Whether the coordinator sees us somewhere else: of ways through a NAT that forgot us nobody tells."""
        me = self._me
        known = self._presence(me)
        if known is None or known.seen is None or (numbers is not None and me not in numbers):
            return False
        before, self._seen = self._seen, known.seen
        return before is not None and before != known.seen

    def _compare(self, number: int, path: PeerPath, device: Device | None, *, moved: bool) -> None:
        """A path through a NAT is in doubt when one of its ends is seen somewhere else."""
        known = self._presence(number)
        if known != path.said:  # a better way than a relay may be at hand now
            path.said = known
            if self._via(number, path.endpoint) is not None:
                path.failures = 0
        before, path.seen = path.seen, known.seen if known is not None else None
        was_seen = before is not None and path.seen is not None
        if (moved or (was_seen and before != path.seen)) and self.kind(number, path.endpoint) == "punched":
            path.doubted = True
        if self.traversal.is_trying(number):
            self.traversal.learn(number, self._candidates(number, device))

    def _there(self, numbers: set[int] | None) -> Iterator[KnownPeer]:
        """The others, of some peers (None: of all), that are online."""
        for peer in self._membership.believed(numbers):
            known = self._presence(peer.id)
            if known is not None and known.online and peer.id not in (COORDINATOR, self._me):
                yield peer

    def _begin(
        self, peer: KnownPeer, path: PeerPath, device: Device, now: Instant, *, is_relayed: bool = False
    ) -> list[int]:
        rests = path.rests(now.wall, is_relayed=is_relayed)
        if not self._is_probing or rests or peer.ip in self._membership.overrides:
            return []
        candidates = self._candidates(peer.id, device)
        if not candidates or not self.traversal.begin(peer.id, candidates, now.steady):
            return []
        path.tried = [candidate.endpoint for candidate in candidates]
        path.looked_tx = path.tx
        return [peer.id]

    def _candidates(self, number: int, device: Device | None) -> tuple[Candidate, ...]:
        known = self._presence(number)
        endpoints = [e for e in (known.endpoints if known else ()) if endpoint_address(e) is not None]
        return candidates_of([*self._by_coordinators_address(number, device), *endpoints], self.networks)

    def _by_coordinators_address(self, number: int, device: Device | None) -> Iterator[Endpoint]:
        """Where a peer in the coordinator's LAN may be: one router is in front of both, and most keep ports."""
        known = self._presence(number)
        entry = device.peers.get(self._membership.me.server_key) if device is not None else None
        at = None if entry is None else entry.endpoint
        if at is None or is_private(at) or is_by_tcp(at) or known is None or not known.seen:
            return
        if self._is_beside_coordinator(number, self._me):
            yield endpoint_of(split_endpoint(at)[0], split_endpoint(known.seen)[1])


def _is_global6(endpoint: Endpoint) -> bool:
    return version_of(endpoint) == 6 and not is_private(endpoint)
