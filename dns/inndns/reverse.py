"""Names of the reverse zones (RFC 1035 3.5, 3596 2.5): of an address, of a range, and what one stands for. Pure.

Zones are cut at octets (IPv4) or nibbles (IPv6).
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from msgspec import Struct

from inndns import message as m

Address = IPv4Address | IPv6Address
Range = IPv4Network | IPv6Network

_V4_ROOT = m.wire_name("in-addr.arpa")
_V6_ROOT = m.wire_name("ip6.arpa")
_OCTETS = [m.wire_name(str(number))[:-1] for number in range(256)]
_NIBBLES = {ord(digit): number for number, digit in enumerate("0123456789abcdef")}


def step(block: Range) -> int:
    """How many bits a label stands for."""
    return 8 if isinstance(block, IPv4Network) else 4


def top_bits(block: Range) -> int:
    """Where the zone is cut: at the next octet or nibble, but never at a whole address."""
    bits = step(block)
    return min(-(-block.prefixlen // bits) * bits, block.max_prefixlen - bits)


def domains(block: Range) -> list[str]:
    """The reverse zones of a range: `42.10.in-addr.arpa`."""
    top = top_bits(block)
    cut = [block] if top <= block.prefixlen else block.subnets(new_prefix=top)
    drop = (block.max_prefixlen - top) // step(block)
    return [".".join(part.network_address.reverse_pointer.split(".")[drop:]) for part in cut]


def name_of(address: Address, block: Range) -> tuple[bytes, int]:
    """The name of an address of a range in wire format, and the offset in it at which its zone begins."""
    root, below = _root_of(block), (block.max_prefixlen - top_bits(block)) // step(block)
    if root is _V4_ROOT:
        labels = [_OCTETS[octet] for octet in address.packed[::-1]]
        return b"".join(labels) + root, sum(map(len, labels[:below]))
    nibbles = "\x01".join(address.packed.hex()[::-1])
    return b"\x01" + nibbles.encode() + root, 2 * below


def _root_of(block: Range) -> bytes:
    return _V4_ROOT if isinstance(block, IPv4Network) else _V6_ROOT


class Prefix(Struct, frozen=True, gc=False):
    """What a reverse name stands for."""

    value: int
    bits: int
    is_whole: bool  # no label was left over: one that is no number, or one too many
    top: int  # the offset in the name at which its zone begins


def read(name: bytes, block: Range) -> Prefix | None:
    """The prefix that a name in wire format stands for; None for one that is none of the zones of a range."""
    root, bits, most = _root_of(block), step(block), block.max_prefixlen // step(block)
    labels = _labels_above(name, root) if name.endswith(root) else None
    if labels is None:
        return None
    value = count = 0
    top, cut = len(name) - len(root), top_bits(block) // bits
    for label in reversed(labels):
        number = _number(label, bits) if count < most else None
        if number is None:
            break
        value, count = value << bits | number, count + 1
        if count <= cut:
            top -= len(label) + 1
    return Prefix(value, count * bits, count == len(labels), top) if count >= cut else None


def _labels_above(name: bytes, root: bytes) -> list[bytes] | None:
    """The labels before the root; None where it does not begin at a label's edge."""
    labels, at, edge = [], 0, len(name) - len(root)
    while at < edge:
        behind = at + 1 + name[at]
        labels.append(name[at + 1 : behind])
        at = behind
    return labels if at == edge else None


def _number(label: bytes, bits: int) -> int | None:
    if bits == 4:
        return _NIBBLES.get(label[0]) if len(label) == 1 else None
    if label.isdigit() and len(label) <= 3 and (label == b"0" or label[0] != 0x30) and int(label) < 256:
        return int(label)
    return None
