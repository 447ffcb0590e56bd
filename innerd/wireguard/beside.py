"""The routes and addresses of a host beside an interface of ours, and the kinds of its links."""

from collections.abc import Mapping
from typing import NamedTuple

from innerd.domain.values import Address, Range
from innerd.wireguard.rtnetlink import GLOBAL, LOCAL, HostRoute, route_socket

_HALF = 1  # prefix length: two such routes are a default route, as VPNs set it


class Route(NamedTuple):
    """What is reached by a link."""

    destination: Range
    link: str


def routes_and_addresses(interface: str) -> tuple[list[Route], list[tuple[str, Address]]]:
    """The routes of this host by other links, of all tables, without those to everywhere, the most telling first; and
    its global addresses on other links, with their links. Raises DeviceError."""
    with route_socket() as ip:
        names = {link.number: link.name for link in ip.links()}
        addresses = [(names.get(one.link, ""), one.address) for one in ip.addresses() if one.scope == GLOBAL]
        told = {_named(one, names) for one in ip.routes() if _is_a_range(one)}
    routes = [route for route in told if route.link != interface]
    routes.sort(key=lambda route: (route.destination.prefixlen, str(route.destination), route.link))
    return routes, [one for one in addresses if one[0] != interface]


def _is_a_range(route: HostRoute) -> bool:
    """Whether somebody is there: not of what leads nowhere, nor everywhere."""
    return not route.is_dead and route.table != LOCAL and route.destination.prefixlen > _HALF


def _named(route: HostRoute, names: Mapping[int, str]) -> Route:
    by = " and ".join(names.get(link, f"link {link}") for link in route.links)
    return Route(route.destination, by or "no link")


def kinds() -> dict[str, str]:
    """The kind of each link by its name: "wireguard", "tun", …; "" of a plain one. Raises DeviceError."""
    with route_socket() as ip:
        return {link.name: link.kind for link in ip.links()}
