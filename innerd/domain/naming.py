"""What a text may mean that somebody typed for a peer: its name, its name in DNS, its address or its number."""

from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import TypeVar

from msgspec import Struct

from innerd.domain.network import Network, Peer
from innerd.domain.values import Address, whole_number

T = TypeVar("T")
_MOST = 2**63 - 1


class Meant(Struct, frozen=True):
    """The readings of a text; where two fit, an earlier one counts."""

    name: str
    in_dns: str | None  # the peer's name in `db1.kermpany.wg`; each host may choose the suffix
    address: Address | None
    number: int | None

    def forms(self) -> tuple[Callable[[str, str, int], bool], ...]:
        """Whether a peer of this name, address and number fits, one reading after the other."""
        return (
            lambda name, ip, number: name == self.name,
            lambda name, ip, number: name == self.in_dns,
            lambda name, ip, number: self.address is not None and ip_address(ip) == self.address,
            lambda name, ip, number: number == self.number,
        )


def meant(text: str, network: str) -> Meant:
    """How a text may be read in a network of that name."""
    label, _, rest = text.rstrip(".").lower().partition(".")
    is_ours = bool(rest) and rest.partition(".")[0] == network.lower()
    try:
        address = ip_address(text)
    except ValueError:
        address = None
    return Meant(text, label if is_ours else None, address, whole_number(text.removeprefix("peer:"), _MOST))


def peer_meant(network: Network, text: str) -> Peer | None:
    """The peer of a network that a text means, by look-ups alone."""
    wanted = meant(text, network.name)
    found = network.peer_named(wanted.name) or network.peer_named(wanted.in_dns or "")
    if found is None and wanted.address is not None:
        found = network.peer_at(wanted.address)
    return network.peers.get(wanted.number or 0) if found is None else found


def among(things: Iterable[T], network: str, text: str, of: Callable[[T], tuple[str, str, int]]) -> T | None:
    """The first that a text means; `of` gives a thing's name, address and number."""
    known = [(thing, of(thing)) for thing in things]
    for fits in meant(text, network).forms():
        for thing, parts in known:
            if fits(*parts):
                return thing
    return None
