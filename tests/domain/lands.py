"""The network of these tests, "kermpany", once in IPv4 and once in IPv6: 16 bits of hosts in both.

A place is written as its last two octets, so one table serves both families: "128.1" is 10.42.128.1 and
fd00:42::8001, "128.0/17" is 10.42.128.0/17 and fd00:42::8000/113.
"""

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address, ip_network

from innerd.domain import commands as c
from innerd.domain import events as e
from innerd.domain.values import Address, Endpoint, Name, PublicKey, Range

NOW = 1_790_000_000
DAY = 86_400
ROOT, INFRA, COORDINATOR = 1, 2, 1
HOME = Endpoint("192.0.2.1:51820")  # of the coordinator


def key(name: str) -> PublicKey:
    """The public key that belongs to a name."""
    return PublicKey(b64encode(sha256(name.encode()).digest()).decode())


@dataclass(frozen=True)
class Land:
    base: Address
    family: str

    def at(self, place: str) -> Address:
        high, low = place.split(".")
        return self.base + (int(high) << 8) + int(low)

    def block(self, place: str) -> Range:
        start, prefix = place.split("/")
        return ip_network((self.at(start), int(prefix) + self.base.max_prefixlen - 32))

    @property
    def root(self) -> Range:
        return self.block("0.0/16")

    def founding(self, name: str = "kermpany") -> tuple[e.AnyEvent, ...]:
        return (
            e.NetworkCreated(id="ab" * 16, name=name, range=str(self.root)),
            e.CidrCreated(id=ROOT, name=name, range=str(self.root), parent=None),
            self.cidr(INFRA, "innernet-server", "0.1/32"),
            self.peer(COORDINATOR, "innernet-server", "0.1", key="coordinator", admin=True, endpoint=HOME),
        )

    def cidr(self, number: int, name: str, place: str, parent: int = ROOT) -> e.CidrCreated:
        return e.CidrCreated(id=number, name=name, range=str(self.block(place)), parent=parent)

    def peer(
        self, number: int, name: str, place: str, *, key: str = "", admin: bool = False, endpoint: str | None = None
    ) -> e.PeerAdded:
        """A peer that has redeemed."""
        return self._added(number, name, place, key or name, admin, True, None, endpoint)

    def invited(
        self, number: int, name: str, place: str, *, key: str = "", expires: int | None = None, admin: bool = False
    ) -> e.PeerAdded:
        """A peer that has not; its invitation has the key "<name> invitation"."""
        return self._added(number, name, place, key or f"{name} invitation", admin, False, expires, None)

    def _added(
        self,
        number: int,
        name: str,
        place: str,
        whose: str,
        admin: bool,
        redeemed: bool,
        expires: int | None,
        endpoint: str | None,
    ) -> e.PeerAdded:
        return e.PeerAdded(
            id=number,
            name=name,
            ip=str(self.at(place)),
            public_key=key(whose),
            is_admin=admin,
            is_redeemed=redeemed,
            invite_expires=expires,
            endpoint=endpoint,
        )

    # -- wishes ---------------------------------------------------------------------------------------------------

    def add_cidr(self, name: str, place: str, parent: int | None = None) -> c.AddCidr:
        return c.AddCidr(Name(name), self.block(place), parent)

    def add_peer(self, name: str, cidr: int, place: str | None = None, **more: object) -> c.AddPeer:
        wish = {"public_key": key(f"{name} invitation"), "ip": None if place is None else self.at(place)}
        return c.AddPeer(name=Name(name), cidr=cidr, **wish | more)


LANDS = {
    "ipv4": Land(ip_address("10.42.0.0"), "ipv4"),
    "ipv6": Land(ip_address("fd00:42::"), "ipv6"),
}
