"""Whether a name resolves on this host: asked of the host's own resolver, as any program would, and of one server."""

import os
import socket
import struct

from inndns.message import AAAA, IN, A, wire_name
from innerd.domain.values import Address
from innerd.host.domains import addresses

_WAIT = 3.0  # seconds


def resolved(name: str) -> list[str] | None:
    """The addresses of a name by the host's resolver (getaddrinfo(3)); None where it takes too long to say."""
    return addresses(name, _WAIT)


def exchange(server: str, question: bytes, seconds: float) -> bytes:
    """What a DNS server answers a packet over UDP. Raises OSError."""
    with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(seconds)
        asking.connect((server, 53))
        asking.send(question)
        return asking.recv(4096)


def answers(server: str, name: str, address: Address) -> str | None:
    """Whether a server says that a name has an address, asked over UDP (RFC 1035); if not, why."""
    number = os.urandom(2)
    kind = A if address.version == 4 else AAAA
    question = number + struct.pack(">HHHHH", 0, 1, 0, 0, 0) + wire_name(name) + struct.pack(">HH", kind, IN)
    try:
        answer = exchange(server, question, _WAIT)
    except TimeoutError:
        return "it does not answer"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    if answer[:2] != number or len(answer) < 12:
        return "its answer is none"
    if address.packed not in answer[len(question) :]:
        return f"it does not know {name} (rcode {answer[3] & 15})"
    return None
