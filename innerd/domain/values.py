"""Values that look like text or numbers but are not: each is parsed once, at the edge, and is valid from then on.

A `Name` that reached the core is a legal DNS label; a `PublicKey` decodes to 32 bytes that are no low-order
point; an `Endpoint` is canonical text. All parsers raise `Refused` with a code of their own and the value.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NewType

from innerd.domain.errors import Refused

Name = NewType("Name", str)
PublicKey = NewType("PublicKey", str)
Endpoint = NewType("Endpoint", str)
Address = IPv4Address | IPv6Address
Range = IPv4Network | IPv6Network

KEEPALIVE = 25  # seconds, on every peer, as innernet
COORDINATOR = 1  # the coordinator's peer id
MAX_CANDIDATES = 10
MAX_NAME = 63

_NAME = re.compile(r"(?:[a-z0-9]-?)*[a-z0-9]")
_NO_INTERFACE = {"lo", "all", "default"}  # the loopback interface, and what sysctl takes for every interface
_INTERFACE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_HOST_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_PORT = re.compile(r"\+?[0-9]{1,16}")


def shown(text: object, most: int = 80) -> str:
    """A value as an error may quote it: what is not seen is escaped, so that no input reaches a terminal raw, and it is
    not endless."""
    signs = (sign if sign.isprintable() and sign != "\\" else ascii(sign)[1:-1] for sign in str(text))
    quoted = "".join(signs).replace('"', '\\"')
    return f'"{quoted}"' if len(quoted) <= most else f'"{quoted[:most]}…"'


def parse_name(text: str, what: str = "name") -> Name:
    """A host name label: lower-case ASCII letters and digits with single inner dashes, under 64 characters.

    innernet's rule (RFC 1123 letters-digits-hyphen, narrower); a name of it is a legal DNS label and can't
    carry anything into a hosts file or a terminal.
    """
    if len(text) > MAX_NAME or not _NAME.fullmatch(text):
        raise Refused(
            "invalid_name",
            f"{what} {shown(text)} is not a host name",
            "use 1 to 63 lower-case letters, digits and single dashes inside, such as ryo-laptop",
        )
    return Name(text)


def parse_interface(text: str) -> str:
    """A network's or interface's name: a host name that Linux takes as an interface, so at most 15 characters."""
    if len(text) > 15 or not _INTERFACE.fullmatch(text) or text in _NO_INTERFACE:
        raise Refused(
            "invalid_name",
            f"network name {shown(text)} can't name an interface",
            "use 1 to 15 lower-case letters, digits and single dashes inside",
        )
    return text


def parse_address(text: str) -> Address:
    """An IPv4 or IPv6 address in text; IPv4-mapped addresses, zones and leading zeros are refused."""
    try:
        address = ip_address(text)
    except ValueError:
        raise Refused("invalid_address", f"{shown(text)} is not an IP address") from None
    if isinstance(address, IPv6Address) and (address.ipv4_mapped is not None or address.scope_id is not None):
        raise Refused("invalid_address", f"{shown(text)} is an IPv4-mapped or scoped address", "write it plainly")
    return address


def whole_number(text: str, most: int = 2**63 - 1) -> int | None:
    """What ASCII digits say, with as many zeros before them as may be; None for all else, and for more than `most`.
    Python's own int() takes other digits too, and raises at 4,300 of them."""
    digits = text.lstrip("0")
    if not text or len(digits) > len(str(most)) or not text.isascii() or not text.isdecimal():
        return None
    number = int(digits or "0")
    return number if number <= most else None


def stored_address(text: str) -> Address:
    """An address as we wrote it ourselves, canonical: IPv4 is read without the checks, which are most of a replay."""
    if ":" in text:
        return ip_address(text)
    before, _, last = text.rpartition(".")
    return IPv4Address(_three_octets(before) | int(last))


@lru_cache(4096)
def _three_octets(text: str) -> int:
    """What an IPv4 address begins with: neighbours share it."""
    a, b, c = text.split(".")
    return int(a) << 24 | int(b) << 16 | int(c) << 8


_RANGE_V4 = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})/(0|[1-9][0-9]?)")


def parse_range(text: str) -> Range:
    """A CIDR `address/prefix`: the prefix is required, host bits are cleared (innernet keeps them; a range is
    a range), leading zeros of IPv4 octets are dropped as innernet drops them."""
    if four := _RANGE_V4.fullmatch(text):
        text = ".".join(str(int(octet)) for octet in four.groups()[:4]) + "/" + four[5]
    try:
        if not re.fullmatch(r"[0-9A-Fa-f:.]+/(0|[1-9][0-9]{0,2})", text):
            raise ValueError(text)
        block = ip_network(text, strict=False)
        if isinstance(block, IPv6Network) and block.network_address.ipv4_mapped is not None:
            raise ValueError(text)  # no peer could have an address in it
        return block
    except ValueError:
        raise Refused("invalid_range", f"{shown(text)} is not a CIDR", "write it as 10.42.0.0/16") from None


# Points of small order on Curve25519: with one of these as a "key" every shared secret is the same zero.
_P = 2**255 - 19
_LOW_ORDER = frozenset({
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    _P - 1,
})  # fmt: skip


def parse_public_key(text: str) -> PublicKey:
    """A WireGuard public key: standard base64 of exactly 32 bytes (`=` optional), no low-order point.

    Returned as canonical text, so that one key has one spelling (innernet compares texts: 10.R21 there).
    """
    try:
        raw = b64decode(text + "=" if len(text) == 43 else text, validate=True)
    except (Base64Error, ValueError):
        raw = b""
    canonical = b64encode(raw).decode()
    if len(raw) != 32 or canonical.rstrip("=") != text.rstrip("="):
        raise Refused("invalid_key", f"{shown(text)} is not a WireGuard key", "a key is 32 bytes in base64")
    # RFC 7748 section 5: the top bit is ignored, values are taken modulo p.
    if (int.from_bytes(raw, "little") & (2**255 - 1)) % _P in _LOW_ORDER:
        raise Refused("invalid_key", f"{shown(text)} is a low-order point, not a key", "make a new key pair")
    return PublicKey(canonical)


def key_bytes(key: PublicKey) -> bytes:
    """The 32 bytes of a key."""
    return b64decode(key)


def parse_endpoint(text: str) -> Endpoint:
    """`host:port` where WireGuard may be reached: a WHATWG URL host (innernet's grammar) and a port 0 to 65535.

    IPv4 in any WHATWG form, bracketed IPv6, or a domain (lower-cased, IDNA to punycode, letters-digits-hyphen
    and `_`). Canonical text is returned; IPv4-mapped addresses keep their IPv6 spelling.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not _PORT.fullmatch(port) or int(port) > 65535:
        raise Refused("invalid_endpoint", f"{shown(text)} is not an endpoint", "write host:port, [IPv6]:port")
    return Endpoint(f"{_parse_host(host, text)}:{int(port)}")


def _parse_host(host: str, whole: str) -> str:
    from ada_url import URL, idna  # a compiled parser; most processes never meet an endpoint

    is_v6 = host.startswith("[") and host.endswith("]")
    if any(sign in host for sign in "/\\?#@|^<> \t\r\n") or (":" in host and not is_v6):
        raise Refused("invalid_endpoint", f"{shown(whole)} has a character no host name has")
    try:
        parsed: str = URL(f"http://{host}/").hostname
    except ValueError:
        raise Refused("invalid_endpoint", f"{shown(whole)} is not an endpoint", "write host:port") from None
    if parsed.startswith("["):
        return parsed
    labels = parsed.removesuffix(".").split(".")
    undecodable = any(label.startswith("xn--") and idna.decode(label).startswith("xn--") for label in labels)
    if len(parsed) > 253 or undecodable or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        raise Refused("invalid_endpoint", f"{shown(whole)} is neither an address nor a domain name")
    return parsed


def parse_listen(text: str, key: str) -> tuple[str, int]:
    """Where a config key says that this host is to listen: an address of it and a port. Raises Refused."""
    try:
        host, port = split_endpoint(parse_endpoint(text))
        parse_address(host)
    except Refused as error:
        raise Refused("invalid_endpoint", f"{key}: {error.message}", "write address:port") from None
    return host, port


_KEPT = 4096  # endpoints whose addresses are kept: each look at a device asks for those of all its peers again


def split_endpoint(endpoint: Endpoint) -> tuple[str, int]:
    """The host (brackets of IPv6 taken off) and port of an endpoint."""
    host, _, port = endpoint.rpartition(":")
    return host.strip("[]"), int(port)


def endpoint_of(host: str, port: int) -> Endpoint:
    """The endpoint of an address as sockets give it."""
    return Endpoint(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


@lru_cache(_KEPT)
def endpoint_address(endpoint: Endpoint) -> Address | None:
    """The address of an endpoint, or None where its host is a domain."""
    try:
        return ip_address(split_endpoint(endpoint)[0])
    except ValueError:
        return None


def plain(address: Address) -> Address:
    """What an address is to be judged as: an IPv4 address that is written as an IPv6 one (::ffff:0:0/96) is the IPv4
    address. Python's own answers for such a one differ by release."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


BY_TCP = "127.73.78.78"  # where WireGuard sees who comes by TCP: this address of the loopback is used for nothing else
_BY_TCP = f"{BY_TCP}:"


def is_by_tcp(endpoint: Endpoint) -> bool:
    """Whether an endpoint stands for a TCP connection of this host: it means nothing to anybody else."""
    return endpoint.startswith(_BY_TCP)


_UNSPECIFIED: frozenset[Address] = frozenset({IPv4Address(0), IPv6Address(0)})


def stands_for_seen(endpoint: Endpoint) -> bool:
    """Whether an endpoint has an address in the place of which the one that was seen is to be taken: 0.0.0.0 or ::, and
    no other spelling."""
    return endpoint_address(endpoint) in _UNSPECIFIED


def version_of(endpoint: Endpoint) -> int:
    """4 or 6: by what IP an endpoint is reached. A domain counts as 4 until it is looked up. Asked for thousands of
    peers at a time, so it looks no further than at the bracket that canonical text begins with."""
    return 6 if endpoint.startswith("[") else 4


# RFC 1918, RFC 6598 (carriers), RFC 3927, RFC 4193, RFC 4291 2.5.6.
_PRIVATE = [
    ip_network(block)
    for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16")
    + ("fc00::/7", "fe80::/10")
]


@lru_cache(_KEPT)
def is_private(endpoint: Endpoint) -> bool:
    """Whether an endpoint has an address that means something on its own site only."""
    address = endpoint_address(endpoint)
    return address is not None and any(address in block for block in _PRIVATE if block.version == address.version)


def can_be_tried(endpoint: Endpoint, overlay: Range | None) -> bool:
    """Whether WireGuard of a peer may listen here: a unicast address that is not this host's own, link-local or of the
    tunnel itself, and a port. What peers say of themselves is input of an attacker: others send packets there."""
    address, port = endpoint_address(endpoint), split_endpoint(endpoint)[1]
    if address is None or not port:
        return False
    address = plain(address)
    odd = address.is_loopback or address.is_multicast or address.is_unspecified or address.is_link_local
    broadcast = address == IPv4Address("255.255.255.255")
    return not (odd or broadcast or (overlay is not None and address in overlay))


def parse_own_endpoint(text: str, overlay: Range | None = None) -> Endpoint:
    """Where a peer says that it may be reached: an address, at which it can be tried, and never a name, as others would
    have to ask whose answers it likes. An unspecified one stands for the address that is seen of it (innernet's)."""
    endpoint = parse_endpoint(text)
    if endpoint_address(endpoint) is None:
        raise Refused(
            "invalid_endpoint",
            f"{shown(text)} is a name, and a peer is reached at an address",
            "write address:port; an administrator may give a peer a name (PATCH /v1/admin/peers/ID)",
        )
    seen = stands_for_seen(endpoint) and split_endpoint(endpoint)[1] != 0
    if not seen and not can_be_tried(endpoint, overlay):
        raise Refused(
            "invalid_endpoint",
            f"{shown(text)} is nowhere that others could come to",
            "use the address and port at which this host is reached from outside, or 0.0.0.0 for the one that is seen",
        )
    return endpoint


def assignable(address: Address, block: Range) -> bool:
    """Whether a peer of `block` may have this address: not IPv4's network and broadcast addresses (up to /30),
    not IPv6's subnet-router anycast address (RFC 4291 2.6.1, up to /126)."""
    if block.num_addresses <= 2:
        return True
    if address == block.network_address:
        return False
    return isinstance(address, IPv6Address) or address != block.broadcast_address


def first_address(block: Range) -> Address:
    """The first assignable address of a range: where the coordinator lives."""
    return block.network_address if block.num_addresses <= 2 else block.network_address + 1


def within(inner: Range, outer: Range) -> bool:
    """Whether one range lies in another (families that differ never do)."""
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)


def overlaps(one: Range, other: Range) -> bool:
    return one.version == other.version and one.overlaps(other)
