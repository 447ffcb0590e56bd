"""Where peers and the coordinator may be reached, as addresses: domains are looked up aside, as the device knows none
and never waits for somebody's name server. What was known of a name counts until it is known anew."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from innclient.agent.store import Last
from innclient.config import Loaded
from innclient.core.netmap import KnownPeer, Netmap, Whereabouts
from innclient.core.trials import Server
from innerd.domain.values import COORDINATOR, Endpoint, is_by_tcp
from innerd.host.domains import Lookups
from innerd.wireguard.device import Device

_PATIENCE, _MORE_PATIENCE = 1.0, 3.0  # seconds for the names at a start: where the coordinator was is known, and not


class Finder:
    """`last` is for a start without the coordinator: our port, and where it and peers were reached."""

    def __init__(self, loaded: Loaded, last: Last) -> None:
        self.last = last
        self._loaded = loaded
        self._stirred: Callable[[], None] = lambda: None
        self._news = threading.Event()
        self._own, self._told = Lookups(self._found), Lookups(self._found)  # so that nobody's names keep ours waiting
        self._server_endpoints: list[Endpoint] = []  # of the coordinator: the one that is in use first
        self.by_tcp: Endpoint | None = None  # the socket of this host that stands for it, while it is reached by TCP
        self._was_by_tcp: Endpoint | None = None

    def reload(self, loaded: Loaded) -> None:
        self._loaded = loaded

    def remembered(self, netmap: Netmap) -> dict[int, Whereabouts]:
        """Where peers were reached last, until the coordinator tells."""
        known = self.last.endpoints
        peers = [peer for peer in netmap.peers.values() if str(peer.ip) in known]
        return {
            peer.id: Whereabouts((Endpoint(known[str(peer.ip)]),), online=False, is_remembered=True) for peer in peers
        }

    def note(self, device: Device, believed: Iterable[KnownPeer], tcp: int | None) -> bool:
        """Note our port, where peers are, and the coordinator's port for TCP; whether that is news."""
        entries = ((peer, device.peers.get(peer.public_key)) for peer in believed)
        found = ((str(peer.ip), entry.endpoint) for peer, entry in entries if entry is not None)
        known = self.last.endpoints
        seen = ((ip, known.get(ip) if is_by_tcp(at) else str(at)) for ip, at in found if at is not None)
        reached = {ip: at for ip, at in seen if at is not None}
        before, self.last = self.last, Last(listen_port=device.listen_port, endpoints=reached, tcp=tcp)
        return before != self.last

    def look_up(self, netmap: Netmap, presence: Mapping[int, Whereabouts]) -> None:
        """See to it that names become known: the coordinator's, those of overrides, and what is told of peers."""
        self._own.want((self._server_name(netmap), *self._loaded.overrides.values()), netmap.block)
        named = (known for known in presence.values() if known.has_names)
        self._told.want((at for known in named for at in known.endpoints), netmap.block)

    def first_look(self, netmap: Netmap, presence: Mapping[int, Whereabouts]) -> None:
        """As `look_up`, with a moment for our own names to become known: this may be all the time there is. Blocks."""
        self.look_up(netmap, presence)
        self._own.wait(_PATIENCE if self.server(netmap).endpoint else _MORE_PATIENCE)

    def wakes(self, *events: asyncio.Event) -> None:
        """Set events of the running loop from now on where there is news."""
        loop = asyncio.get_running_loop()

        def stirred() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody wants to know
                for event in events:
                    loop.call_soon_threadsafe(event.set)

        self._stirred = stirred

    def _found(self) -> None:
        self._news.set()
        self._stirred()

    def has_news(self) -> bool:
        """Whether a name was found to be somewhere else than was known, since this was asked."""
        is_set = self._news.is_set()
        self._news.clear()
        return is_set

    def address_of(self, endpoint: Endpoint) -> Endpoint | None:
        return next(iter(self._own.of(endpoint) or self._told.of(endpoint)), None)

    def tried(self, presence: Mapping[int, Whereabouts]) -> dict[int, Whereabouts]:
        """Where peers may be tried."""
        return {number: self._resolved(known) if known.has_names else known for number, known in presence.items()}

    def _resolved(self, known: Whereabouts) -> Whereabouts:
        return replace(known, endpoints=tuple(filter(None, map(self.address_of, known.endpoints))))

    def _server_name(self, netmap: Netmap) -> Endpoint:
        """Its override on this machine, else where the network tells, else where the config does."""
        values = self._loaded.values
        told = netmap.peers.get(COORDINATOR)
        override = self._loaded.overrides.get(values.internal_address)
        return override or (told.endpoint if told else None) or values.external

    def server(self, netmap: Netmap) -> Server:
        """The coordinator, so far as its name is known: else it is where it was, or was reached last."""
        values, before = self._loaded.values, self._server_endpoints
        last = self.last.endpoints.get(str(values.internal_address))
        found = self._own.of(self._server_name(netmap)) or before or ([Endpoint(last)] if last else [])
        # What is in use stays so while the name has it: name servers give addresses in any order.
        self._server_endpoints = sorted(found, key=lambda at: at not in before[:1])
        using = next(iter(self._server_endpoints), None)
        return Server(values.server_key, values.internal_address, using, moved=before[:1] not in ([], [using]))

    def reached(self, netmap: Netmap) -> Server:
        """Where the device is to reach the coordinator: by way of ourselves, while that goes by TCP."""
        server, before = self.server(netmap), self._was_by_tcp
        self._was_by_tcp = self.by_tcp
        if self.by_tcp is None:
            return replace(server, moved=server.moved or before is not None)
        return replace(server, endpoint=self.by_tcp, moved=before != self.by_tcp)

    def reach_by(self, local: Endpoint | None, at: Endpoint | None) -> None:
        """The socket that stands for the coordinator; without one, the address of it that is tried first."""
        self.by_tcp = local
        self._server_endpoints.sort(key=lambda one: one != at)

    def addresses(self) -> list[Endpoint]:
        """Where the coordinator may be, the one that is tried at this time first."""
        return list(self._server_endpoints)

    def try_another(self) -> None:
        """The coordinator is silent where it was tried: at its name's next address from now on, if it has more."""
        first, self._server_endpoints = self._server_endpoints[:1], self._server_endpoints[1:]
        self._server_endpoints += first
