"""Several listening sockets on one port, each with a queue of its own: whose connections wait in which, the kernel
decides by the source's address (SO_ATTACH_REUSEPORT_CBPF, socket(7)).

In one queue an honest connection waits behind all that hostile peers open and drop, and is not let in at all while the
queue is full: its SYN comes again after one second, then three. Administrators have the first lane for themselves; all
others are spread over the rest.
"""

import socket
from collections.abc import Iterable, Sequence

from innerd.domain.values import Address
from innerd.wireguard.filters import JUMP_EQUAL, LOAD_WORD, RETURN, Program, attach
from innerd.wireguard.sockets import bound

LANES = 16
MOST_FIRST = 1000  # administrators that have the first lane; a program has 4096 steps at most
_SO_ATTACH_REUSEPORT_CBPF = 51
_NETWORK_HEADER = 0xFFF00000  # SKF_NET_OFF: places are counted from the IP header on
_SOURCE = {4: 12, 6: 20}  # where the last word of the source is in it
_MULTIPLY, _SHIFT_RIGHT, _MODULO, _RETURN_A, _ADD = 0x24, 0x74, 0x94, 0x16, 0x04
_SPREAD = 2_654_435_761  # Knuth's: neighbours are far apart


def lanes(interface: str, address: Address, port: int) -> list[socket.socket]:
    """Sockets to listen on, the first of which is administrators' once it is said who they are (`assign`). Raises
    DeviceError, OSError."""
    made: list[socket.socket] = []
    try:
        for _ in range(LANES):
            made.append(bound(interface, address, port, socket.SOCK_STREAM, shared=True))
        assign(made, address.version, ())  # else the kernel spreads strangers over all, the first lane too
    except BaseException:
        for one in made:
            one.close()
        raise
    return made


def assign(made: Sequence[socket.socket], version: int, first: Iterable[Address]) -> None:
    """Have connections of some addresses wait in the first lane, and of all others in the others. Raises OSError."""
    attach(made[0], program(version, first, len(made)), _SO_ATTACH_REUSEPORT_CBPF)


def program(version: int, first: Iterable[Address], count: int) -> Program:
    """Of IPv6 addresses the last word is compared: a stranger that shares it is in the first lane too, and read as
    early; it has no rights by that."""
    words = sorted({int(address) & 0xFFFFFFFF for address in first if address.version == version})[:MOST_FIRST]
    steps: Program = [(LOAD_WORD, 0, 0, _NETWORK_HEADER + _SOURCE[version])]
    for word in words:
        steps += [(JUMP_EQUAL, 0, 1, word), (RETURN, 0, 0, 0)]
    others = [(_MULTIPLY, 0, 0, _SPREAD), (_SHIFT_RIGHT, 0, 0, 16), (_MODULO, 0, 0, count - 1), (_ADD, 0, 0, 1)]
    return [*steps, *others, (_RETURN_A, 0, 0, 0)]
