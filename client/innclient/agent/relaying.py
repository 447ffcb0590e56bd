"""This machine as a relay for peers that it sees, where the network lets it and its own config agrees (`[relay]
serve`). The relay is the coordinator's; who sees whom is told by the stream, where they are by the device."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from innclient.config import Loaded
from innclient.core.membership import Membership
from innclient.core.netmap import KnownPeer
from innclient.core.trials import is_silent
from innerd.domain.values import COORDINATOR, PublicKey
from innerd.relay.kernel import clear
from innerd.relay.limits import limits_of
from innerd.relay.relay import Relay, Setup
from innerd.wire.relaying import Relaying
from innerd.wire.stream import Relays
from innerd.wireguard.device import Device, DeviceError

_log = structlog.get_logger("relay")

_AGAIN = 30.0  # seconds until what failed is tried again


class PeersSight:
    """Who sees whom, of those that this machine sees. Who a CIDR sees is kept until it was told of others."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._made_of: tuple[object, ...] = (None, None)
        self._told: Relays | None = None
        self._pairs: set[tuple[int, int]] = set()
        self._unrelayed: set[int] = set()
        self._listed: dict[int, list[tuple[int, PublicKey]]] = {}

    def _peer(self, number: int) -> KnownPeer | None:
        membership = self._membership
        if number in (COORDINATOR, membership.netmap.me):
            return None
        self._turn_to(membership)
        return next(iter(membership.believed({number})), None)

    def _turn_to(self, membership: Membership) -> None:
        told, made_of = membership.sights, (membership.netmap.peers, membership.pins)
        if told is not self._told:
            self._told, self._made_of = told, (None, None)
            self._pairs = set() if told is None else {*told.pairs, *((b, a) for a, b in told.pairs)}
            self._unrelayed = set() if told is None else set(told.unrelayed)
        if any(a is not b for a, b in zip(self._made_of, made_of, strict=True)):
            self._made_of, self._listed = made_of, {}

    def _see(self, one: int, other: int) -> bool:
        """Whether peers of two CIDRs see each other. Of who told nothing of sights nobody is known to see anybody."""
        return self._membership.sights is not None and (one == other or (one, other) in self._pairs)

    def seen_by(self, peer: int) -> Sequence[tuple[int, PublicKey]]:
        known = self._peer(peer)
        if known is None:
            return ()
        found = self._listed.get(known.cidr_id)
        if found is None:
            own = (COORDINATOR, self._membership.netmap.me)
            others = [p for p in self._membership.believed() if p.id not in own and self._see(known.cidr_id, p.cidr_id)]
            found = self._listed[known.cidr_id] = sorted((p.id, p.public_key) for p in others)
        return found

    def sees(self, one: int, other: int) -> bool:
        a, b = self._peer(one), self._peer(other)
        if a is None or b is None or {one, other} & self._unrelayed:
            return False
        return self._see(a.cidr_id, b.cidr_id)

    def key_of(self, peer: int) -> PublicKey | None:
        known = self._peer(peer)
        return None if known is None else known.public_key


class PeerRelay:
    """`look` reads the device. `trouble`: why this machine does not relay, though it should."""

    def __init__(
        self,
        interface: str,
        membership: Membership,
        loaded: Callable[[], Loaded],
        look: Callable[[], Awaitable[Device]],
    ) -> None:
        self._interface, self._membership, self._loaded, self._look = interface, membership, loaded, look
        self._sight = PeersSight(membership)
        self._relay: Relay | None = None
        self._peers: Mapping[int, KnownPeer] = {}  # what was revoked by last
        self._beside: tuple[object, ...] = (None, None)
        self._asked = (False, False)  # what it was stirred for last
        self._stirred = asyncio.Event()
        self._is_clear = False
        self.trouble: DeviceError | None = None

    @property
    def may(self) -> bool:
        """Whether the network lets this machine relay."""
        me = self._membership.netmap.peers.get(self._membership.netmap.me)
        return me is not None and me.is_relay

    @property
    def _agrees(self) -> bool:
        return self.may and self._loaded().config.relay.serve

    @property
    def is_wanted(self) -> bool:
        """Before it was told who sees whom it can't decide anything: what the kernel carries since the last run it goes
        on carrying until then."""
        return self._agrees and self._membership.sights is not None

    def follow(self) -> None:
        """Something may have been told: who sees the other no more is relayed no more, at once."""
        asked = self.is_wanted, self._agrees
        if asked != self._asked:
            self._asked = asked
            self._stirred.set()
        if self._relay is not None:
            self._revoke(self._relay)

    def _revoke(self, relay: Relay) -> None:
        """Of one delta those alone who are others now; of another pin, or other sights, all."""
        peers, beside = self._membership.netmap.peers, (self._membership.pins, self._membership.sights)
        before, self._peers = self._peers, peers
        was, self._beside = self._beside, beside
        if any(a is not b for a, b in zip(was, beside, strict=True)):
            relay.forget([number for number in relay.table.places if self._sight.key_of(number) is None])
            relay.revoke()
        elif peers is not before:
            others = [number for number in relay.table.places if peers.get(number) is not before.get(number)]
            relay.forget([number for number in others if self._sight.key_of(number) is None])
            relay.revoke(others)

    def see(self, device: Device) -> None:
        """Where the device sees them."""
        relay = self._relay
        if relay is None or not relay.is_on:
            return
        if device.listen_port != relay.setup.port:
            self._stirred.set()
            return
        self._place(relay, device)

    def _place(self, relay: Relay, device: Device) -> None:
        now, keys = time.time(), {peer.public_key: peer.id for peer in self._membership.believed()}
        for entry in device.peers.values():
            number = keys.get(entry.public_key)
            if number is None or entry.endpoint is None or is_silent(entry, now):
                continue
            if self._membership.via(number, entry.endpoint) is not None:
                relay.forget([number])  # it is relayed to us by another one, and is where that is
            elif self._sight.key_of(number) is not None:
                relay.place(number, entry.endpoint)

    def _strange(self) -> None:
        self._stirred.set()

    async def run(self) -> None:
        """On and off, until cancelled."""
        while True:
            self._stirred.clear()
            await self._clear()
            device = await self._look() if self.is_wanted else None
            await self._switch(device)
            if device is not None:
                self.see(device)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN if self.trouble is not None else None):
                    await self._stirred.wait()

    async def _clear(self) -> None:
        """What a run before left in the kernel goes where this machine may not relay, or not any more."""
        if not self._agrees and self._relay is None and not self._is_clear:
            with contextlib.suppress(DeviceError):
                await asyncio.to_thread(clear, self._interface)
        self._is_clear = not self._agrees

    def _made(self, port: int) -> Relay:
        config = self._loaded()
        setup = Setup(
            network=self._interface,
            interface=self._interface,
            port=port,
            own_key=self._membership.me.public_key,
            limits=limits_of(config.config.relay),
            mode=config.config.relay.mode,
        )
        return Relay(setup, self._sight, self._strange)

    async def _switch(self, device: Device | None) -> None:
        relay = self._relay
        if relay is not None and (device is None or not self.is_wanted or relay.setup.port != device.listen_port):
            self._relay = None
            await relay.stop(for_good=True)
            _log.info("this machine relays no more for others")
        if not self.is_wanted:
            self.trouble = None
        if self._relay is not None or device is None or not self.is_wanted or not device.listen_port:
            return
        made = self._made(device.listen_port)
        self._place(made, device)  # whose what the kernel has is, is told by where they are
        try:
            await made.start()
            self._relay, self.trouble = made, None
        except DeviceError as error:
            if self.trouble is None:
                _log.error("this machine can't relay for others", why=error.message)
            self.trouble = error
            await made.stop(for_good=True)
            await made.clear()

    async def stop(self) -> None:
        """What the kernel carries it goes on carrying: the tunnel stays."""
        if self._relay is not None:
            await self._relay.stop(for_good=False)
            self._relay = None

    async def status(self) -> Relaying | None:
        """None where the network does not let this machine relay."""
        if not self.may:
            return None
        relay = self._relay
        if relay is None:
            why = (
                "it was not told yet who sees whom"
                if self._agrees
                else "its config does not agree ([relay] serve = true)"
            )
            return Relaying(mode="off", why=self.trouble.message if self.trouble is not None else why)
        return await relay.status()
