"""What a network may claim of the hosts that join it: ranges and names that are nobody else's. Pure.

A host sends all packets for the network's range into the tunnel, and asks nobody else for names below its domain:
whoever writes an invitation would have the host's LAN, or somebody's whole domain, if it were not for these rules.
"""

from ipaddress import IPv4Network, IPv6Network

from innerd.domain.errors import Refused
from innerd.domain.values import Range, overlaps, parse_name, parse_range, within

MAX_SUFFIX = 160  # characters; with it every name stays within DNS' 255 bytes
USUAL_SUFFIX = "wg"

# RFC 1918, RFC 6598 (carriers), RFC 4193.
_PRIVATE: tuple[Range, ...] = (
    *map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")),
    IPv6Network("fc00::/7"),
)
# This host, link-local, multicast and what is above it: nobody can live there. In IPv6 only global unicast is left.
_NOBODYS = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")))
_GLOBAL = IPv6Network("2000::/3")

# Not delegated by anybody (`wg` by custom; ICANN's resolution 2024.07.29.06; RFC 8375).
_OWN_SUFFIXES = (USUAL_SUFFIX, "internal", "home.arpa")


def exact_range(text: str) -> Range:
    """A range as it is meant: one with host bits is a mistake, or an address. Raises Refused."""
    block = parse_range(text)
    given = parse_range(f"{text.partition('/')[0]}/{block.max_prefixlen}").network_address
    if given != block.network_address:
        raise Refused("invalid_range", f"{text} has host bits set", f"did you mean {block}?")
    return block


def is_private(block: Range) -> bool:
    return any(within(block, private) for private in _PRIVATE)


def check_range(block: Range, *, public: bool = False) -> None:
    """Refuse a range that no network can have, or, unless `public` ones are wanted, one that is somebody else's."""
    if is_private(block):
        return
    nobodys = isinstance(block, IPv6Network) and not within(block, _GLOBAL)
    if nobodys or any(overlaps(block, other) for other in _NOBODYS):
        raise Refused(
            "invalid_range", f"{block} holds addresses that no peer can have", "take one such as 10.42.0.0/16"
        )
    if not public:
        raise Refused(
            "range_public",
            f"{block} is not private: hosts in the network would not reach whoever has these addresses elsewhere",
            "take one of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 or fc00::/7; or --public-range",
        )


def parse_suffix(text: str, what: str = "suffix") -> str:
    """A domain to end names in. Raises Refused."""
    if len(text) > MAX_SUFFIX:
        raise Refused("invalid_name", f"the {what} {text[:40]}… has more than {MAX_SUFFIX} characters")
    return ".".join(parse_name(label, what) for label in text.split("."))


def is_own_suffix(suffix: str) -> bool:
    """Whether names below a suffix are nobody else's."""
    return any(suffix == own or suffix.endswith(f".{own}") for own in _OWN_SUFFIXES)
