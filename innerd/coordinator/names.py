"""The network's names as a zone that follows the feed."""

from collections.abc import Callable, Iterable, Iterator

from inndns.records import Host
from inndns.zone import Zone, empty
from innerd.coordinator.feed import Committed
from innerd.domain.cidrs import INFRA_NAME
from innerd.domain.maps import Map
from innerd.domain.network import Network, Peer
from innerd.domain.records import addresses
from innerd.domain.values import COORDINATOR, Address
from innerd.domain.visibility import View, structural, touched


class NetworkNames:
    """`zone` is always the zone of the newest committed network. `is_shut_out` says of an address that whoever has it
    is not its peer yet."""

    def __init__(
        self, view: View, suffix: str, ttl: int, is_shut_out: Callable[[Address], bool] = lambda address: False
    ) -> None:
        self.zone: Zone
        self._is_shut_out = is_shut_out
        self._suffix, self._ttl = suffix, ttl
        self._begin(view)

    def _begin(self, view: View) -> None:
        network = view.network
        self.zone = empty(network.name, self._suffix, network.root.range, INFRA_NAME, self._ttl, Map())
        self._update(view, view, (), network.peers)

    def asker(self, source: str) -> Host | None:
        """Who is answered at an address."""
        host = self.zone.asker(source)
        return None if host is None or self._is_shut_out(host.address) else host

    def follow(self, change: Committed) -> None:
        """A follower of the feed. A change of the tree may move peers to other classes: then all are looked at."""
        if self.zone.serial != change.before.network.revision:
            self._begin(change.after)  # a change was missed: what is there can't be built upon
            return
        numbers: Iterable[int] = touched(change.events)
        if structural(change.events):
            numbers = change.after.network.peers
        self._update(change.before, change.after, numbers, numbers)

    def _update(self, before: View, after: View, gone: Iterable[int], come: Iterable[int]) -> None:
        old = {number: host for number in gone if (host := _host(before, number)) is not None}
        new = {number: host for number in come if (host := _host(after, number)) is not None}
        unchanged = {number for number in old if old[number] == new.get(number)}
        self.zone = self.zone.change(
            after.network.revision,
            after.topology.seen,
            [host for number, host in old.items() if number not in unchanged],
            [host for number, host in new.items() if number not in unchanged],
        )


def with_addresses(
    network: Network, numbers: Iterable[int] | None
) -> Iterator[tuple[int, Iterable[tuple[Address, str]]]]:
    """What a hosts file can have of the names of some peers (None: of all), by peer; nothing of who is none now."""
    for number in network.peers if numbers is None else numbers:
        peer = network.peers.get(number)
        is_active = peer is not None and peer.is_active
        yield number, addresses(peer.name, peer.ip, _records(peer), network.root.range) if peer and is_active else ()


def _records(peer: Peer) -> tuple[tuple[str, str, str], ...]:
    return tuple((record.owner, record.rrtype, record.value) for record in peer.records)


def _host(view: View, number: int) -> Host | None:
    peer: Peer | None = view.network.peers.get(number)
    if peer is None or not peer.is_active:
        return None
    return Host(peer.name, peer.ip, None if peer.id == COORDINATOR else view.class_of(peer), _records(peer))
