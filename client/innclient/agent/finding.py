"""Where peers and the coordinator may be reached, as addresses: domains are looked up aside, as the device knows none
and never waits for somebody's name server."""

import asyncio
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from innclient.agent.disk import Last
from innclient.agent.reconcile import Server
from innclient.agent.state import COORDINATOR, KnownPeer, Netmap, Presence
from innclient.agent.tunnel import resolve
from innclient.config import Loaded
from innerd.domain.values import Endpoint, endpoint_address
from innerd.wireguard.device import Device

_RESOLVE = 60.0  # seconds after which the coordinator's name is looked up again


class Finder:
    """`last` is for a start without the coordinator: our port, and where peers were reached."""

    def __init__(self, loaded: Loaded, last: Last) -> None:
        self.last = last
        self._loaded = loaded
        self._resolved: dict[Endpoint, Endpoint | None] = {}
        self._server_name: Endpoint | None = None  # what was resolved last, and to what, and when
        self._server_endpoints: list[Endpoint] = []  # of the name: the one that is in use first
        self._resolved_at = 0.0

    def reload(self, loaded: Loaded) -> None:
        self._loaded = loaded

    def remembered(self, netmap: Netmap) -> dict[int, Presence]:
        """Where peers were reached last, until the coordinator tells."""
        known = self.last.endpoints
        peers = [peer for peer in netmap.peers.values() if str(peer.ip) in known]
        return {peer.id: Presence((Endpoint(known[str(peer.ip)]),), online=False) for peer in peers}

    def note(self, device: Device, believed: Iterable[KnownPeer]) -> bool:
        """Note our port and where peers are; whether that is news."""
        entries = {str(peer.ip): device.peers.get(peer.public_key) for peer in believed}
        reached = {ip: str(entry.endpoint) for ip, entry in entries.items() if entry is not None and entry.endpoint}
        before, self.last = self.last, Last(listen_port=device.listen_port, endpoints=reached)
        return before != self.last

    async def look_up(self, told: Iterable[Endpoint]) -> None:
        """Look the domains among endpoints and overrides up."""
        domains = {e for e in (*told, *self._loaded.overrides.values()) if endpoint_address(e) is None}
        self._resolved = {
            domain: next(iter(await asyncio.to_thread(resolve, domain)), None) for domain in sorted(domains)
        }

    def address_of(self, endpoint: Endpoint) -> Endpoint | None:
        return endpoint if endpoint_address(endpoint) is not None else self._resolved.get(endpoint)

    def tried(self, presence: Mapping[int, Presence]) -> dict[int, Presence]:
        """Where peers may be tried."""
        return {
            number: replace(known, endpoints=tuple(filter(None, map(self.address_of, known.endpoints))))
            for number, known in presence.items()
        }

    def server(self, netmap: Netmap, now: float) -> Server:
        """The coordinator: at its override on this machine, else where the network tells, else where the config does.
        Blocks on a name."""
        values = self._loaded.values
        told = netmap.peers.get(COORDINATOR)
        override = self._loaded.overrides.get(values.internal_address)
        endpoint = override or (told.endpoint if told else None) or values.external
        before = self._server_endpoints
        if not before or endpoint != self._server_name or not 0 <= now - self._resolved_at <= _RESOLVE:
            self._resolved_at, self._server_name = now, endpoint
            found = resolve(endpoint) or before
            # What is in use stays so while the name has it: name servers give addresses in any order.
            self._server_endpoints = sorted(found, key=lambda at: at not in before[:1])
        using = next(iter(self._server_endpoints), None)
        return Server(values.server_key, values.internal_address, using, moved=before[:1] not in ([], [using]))

    def try_another(self) -> None:
        """The coordinator is silent where it was tried: at its name's next address from now on, if it has more."""
        first, self._server_endpoints = self._server_endpoints[:1], self._server_endpoints[1:]
        self._server_endpoints += first
