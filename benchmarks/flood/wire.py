"""Requests and questions as bytes, and sockets that are a peer's: for hostile and honest alike."""

import secrets
import socket
import time
from contextlib import suppress
from random import sample

from msgspec import Struct

from innerd.wire import proof

DEVICE, SERVER, PORT, DNS = "floodnet", "10.42.0.1", 51820, 53
_LOW_PORTS = range(600, 1024)
_NO_PORT_YET = 24  # IP_BIND_ADDRESS_NO_PORT


class Peer(Struct, frozen=True, kw_only=True):
    """Who a socket is: an address, and the key of its proofs."""

    ip: str
    name: str
    secret: bytes


class Target(Struct, frozen=True, kw_only=True):
    """Where the coordinator is asked."""

    where: str  # its Host
    server_key: str

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        secret: bytes | None = None,
        server_key: bool = True,
    ) -> bytes:
        """One request; with a proof of its own where a secret is given."""
        sent = {"Host": self.where} | ({"X-Innernet-Server-Key": self.server_key} if server_key else {})
        if method != "GET":
            sent |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        sent |= headers or {}
        if secret is not None:
            bound = proof.Request(
                method=method,
                target=path,
                host=self.where,
                body=body,
                idempotency_key=sent.get("Idempotency-Key", ""),
            )
            sent[proof.HEADER] = proof.prove(secret, bound, int(time.time()), secrets.token_hex(12))
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def peer_socket(ip: str, kind: socket.SocketKind = socket.SOCK_STREAM, *, is_root: bool = False) -> socket.socket:
    """A socket of a peer: on the device, from its address; from a port that only root may send from, where it is
    root's, as inn's are."""
    made = socket.socket(socket.AF_INET, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, DEVICE.encode() + b"\0")
    made.setblocking(False)
    if not is_root:
        made.setsockopt(socket.IPPROTO_IP, _NO_PORT_YET, 1)
        made.bind((ip, 0))
        return made
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for port in sample(_LOW_PORTS, len(_LOW_PORTS)):
        with suppress(OSError):
            made.bind((ip, port))
            return made
    made.close()
    raise OSError("all low ports are taken")


def question(name: str, number: int, qtype: int = 1) -> bytes:
    """A DNS query (RFC 1035 4.1) for a name."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    head = (number & 0xFFFF).to_bytes(2, "big") + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    return head + labels + b"\x00" + qtype.to_bytes(2, "big") + b"\x00\x01"
