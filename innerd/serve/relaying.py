"""The coordinator as a relay, while the log says that it is one: what it knows of peers goes to the relay, and what
that does is told."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence, Set

import structlog
from msgspec.structs import asdict

from innerd.coordinator.feed import Committed
from innerd.coordinator.looks import Looks
from innerd.coordinator.presence import Presence
from innerd.coordinator.writer import Writer
from innerd.domain.events import RelayAllowed, RelayDisallowed
from innerd.domain.maps import Map
from innerd.domain.network import Peer
from innerd.domain.values import COORDINATOR, Endpoint, PublicKey
from innerd.domain.visibility import Class, View, structural, touched
from innerd.relay.relay import Relay, Setup
from innerd.wire.ours import Trouble
from innerd.wire.reach import RelayedPair, RelayStatus
from innerd.wireguard.device import DeviceError

_log = structlog.get_logger("relay")

_SHOWN = 10  # pairs, by name
_AGAIN = 30.0  # seconds until what failed is tried again


class NetworkSight:
    """Who sees whom, as the log has it now, but for those who want nothing relayed. Who a class sees is kept until the
    members of it are others."""

    def __init__(self, writer: Writer, unrelayed: Set[int]) -> None:
        self._writer, self._unrelayed = writer, unrelayed
        self._kept: dict[Class, tuple[tuple[Map[int, Peer] | None, ...], list[tuple[int, PublicKey]]]] = {}

    def seen_by(self, peer: int) -> Sequence[tuple[int, PublicKey]]:
        view = self._writer.view
        known = view.network.peers.get(peer)
        if known is None or not known.is_active:
            return ()
        class_ = view.class_of(known)
        made_of = tuple(view.members.get(number) for number in sorted(view.topology.seen(class_)))
        kept = self._kept.get(class_)
        if kept is None or not _are_same(kept[0], made_of):
            kept = self._kept[class_] = made_of, _listed(view, class_)
        return kept[1]

    def sees(self, one: int, other: int) -> bool:
        if one in self._unrelayed or other in self._unrelayed:
            return False
        view = self._writer.view
        peers = view.network.peers
        return one in peers and other in peers and view.sees(peers[one], peers[other])

    def key_of(self, peer: int) -> PublicKey | None:
        known = self._writer.network.peers.get(peer)
        return known.public_key if known is not None and known.is_active else None


def _are_same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _listed(view: View, class_: Class) -> list[tuple[int, PublicKey]]:
    return sorted((peer.id, peer.public_key) for peer in view.seen_by(class_) if peer.id != COORDINATOR)


class Relaying:
    """Turns the relay on and off as the log says. `trouble`: why it is not on, though it should be."""

    def __init__(self, setup: Setup, writer: Writer, presence: Presence, looks: Looks) -> None:
        self._writer, self._presence = writer, presence
        self.relay = Relay(setup, NetworkSight(writer, presence.unrelayed), self._look)
        self._looks = looks
        self._looking: asyncio.Future[None] | None = None
        self.trouble: DeviceError | None = None
        self._turn = asyncio.Event()
        presence.on_place(self._placed)
        presence.on_progress(self._came)
        for number, seen in sorted(presence.observed.items(), key=lambda one: one[1].handshake or 0.0):  # recalled
            if seen.endpoint is not None:
                self._placed(number, seen.endpoint)

    def _look(self) -> None:
        """See where peers are, as soon as the device may be read again."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self._looks.now())

    @property
    def is_wanted(self) -> bool:
        return self._writer.network.coordinator.is_relay

    def _placed(self, peer: int, endpoint: Endpoint) -> None:
        known = self._writer.network.peers.get(peer)
        if known is not None and known.is_active:
            self.relay.place(peer, endpoint)

    def _came(self, peer: int) -> None:
        if peer in self._presence.unrelayed:
            self.relay.revoke([peer])

    def follow(self, change: Committed) -> None:
        """A follower of the feed: who sees each other no more is relayed no more, at once."""
        network = change.after.network
        spoken_of = touched(change.events)
        self.relay.forget(number for number in spoken_of if not _is_active(network.peers.get(number)))
        self.relay.revoke(None if structural(change.events) else spoken_of)
        for number in spoken_of:
            seen = self._presence.observed.get(number)
            if seen is not None and seen.endpoint is not None and self.relay.table.who(seen.endpoint) is None:
                self._placed(number, seen.endpoint)
        if any(isinstance(event, RelayAllowed | RelayDisallowed) for event in change.events):
            self._turn.set()

    # -- while it runs ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """On and off, until cancelled."""
        if not self.is_wanted:
            await self.relay.clear()
        while True:
            self._turn.clear()
            if self.is_wanted != self.relay.is_on:
                try:
                    await self._switch()
                except Exception as error:  # a bug of ours: it is tried again, and said
                    _log.exception("the relay can't be switched")
                    self.trouble = DeviceError("relay_failed", f"the relay can't be switched: {error}")
            pause = _AGAIN if self.trouble is not None else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._turn.wait()

    async def _switch(self) -> None:
        if not self.is_wanted:
            self.trouble = None
            await self.relay.stop(for_good=True)
            return
        try:
            await self.relay.start()
            self.trouble = None
        except DeviceError as error:
            if self.trouble is None:
                _log.error("can't relay", why=error.message)
            self.trouble = error
            await self.relay.stop(for_good=True)

    async def stop(self) -> None:
        """What the kernel carries it goes on carrying: the tunnel stays."""
        if self.relay.is_on:
            await self.relay.stop(for_good=False)

    # -- what is told -------------------------------------------------------------------------------------------

    async def status(self, *, with_pairs: bool = False) -> RelayStatus:
        relay = self.relay
        if not relay.is_on:
            why = self.trouble.message if self.trouble is not None else None
            return RelayStatus(mode="off", why=why)
        return RelayStatus(
            **asdict(await relay.status()),
            repairs=relay.repairs,
            busiest=(await self.pairs())[:_SHOWN] if with_pairs else [],
        )

    async def pairs(self) -> list[RelayedPair]:
        """Who is relayed to whom: those first through whom most has passed."""
        await self.relay.count()
        peers, table = self._writer.network.peers, self.relay.table
        ahead = time.time() - time.monotonic()
        found = [
            RelayedPair(a=peers[a].name, b=peers[b].name, since=pair.since + ahead, bytes=table.bytes_of((a, b)))
            for (a, b), pair in table.pairs.items()
            if a in peers and b in peers
        ]
        return sorted(found, key=lambda pair: (-pair.bytes, pair.a, pair.b))

    def troubles(self) -> Iterator[Trouble]:
        if self.trouble is not None:
            error = self.trouble
            yield Trouble(kind="relay", code=error.code, text=error.message, hint=error.hint)


def _is_active(peer: Peer | None) -> bool:
    return peer is not None and peer.is_active
