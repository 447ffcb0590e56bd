"""Run on a peer's host: many `POST /v1/admin/peers` at once over the tunnel, from raw sockets with requests prepared
beforehand, so that what is measured is the server. Prints how many a second.

    python -m benchmarks.commands ADDRESS:PORT SERVER_KEY [PRIVATE_KEY NETWORK_ID]   (these two: with a proof)

`--clients`, `--count` and `--first` say how many ask at once, for how many peers, and which number the first has.
"""

import argparse
import asyncio
import json
import secrets
import sys
import time

from innerd.domain.values import PublicKey
from innerd.wire import proof
from innerd.wireguard import keys

CLIENTS, COUNT, CIDR = 16, 1_600, 3


def requests(
    where: str, server_key: str, key: bytes | None, block: str = "10.42", *, count: int = COUNT, first: int = 0
) -> list[bytes]:
    """Peers in `block`.200 and the blocks behind it."""
    made = []
    for number in range(first, first + count):
        body = json.dumps(
            {
                "name": f"p{number}",
                "ip": f"{block}.{200 + number // 200}.{1 + number % 200}",
                "cidr_id": CIDR,
                "public_key": keys.public_key(keys.generate()),
                "endpoint": None,
                "persistent_keepalive_interval": 25,
                "is_admin": False,
                "is_disabled": False,
                "is_redeemed": False,
                "invite_expires": {"secs_since_epoch": int(time.time()) + 3600, "nanos_since_epoch": 0},
                "candidates": [],
            }
        ).encode()
        head = f"POST /v1/admin/peers HTTP/1.1\r\nHost: {where}\r\nX-Innernet-Server-Key: {server_key}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        if key is not None:
            bound = proof.Request(method="POST", target="/v1/admin/peers", host=where, body=body)
            head += f"{proof.HEADER}: {proof.prove(key, bound, int(time.time()), secrets.token_hex(12))}\r\n"
        made.append(head.encode() + b"\r\n" + body)
    return made


async def rate(where: str, todo: list[bytes], source: str | None = None, *, clients: int = CLIENTS) -> float:
    host, _, port = where.rpartition(":")
    count = len(todo)

    async def client() -> None:
        reader, writer = await asyncio.open_connection(
            host.strip("[]"), int(port), local_addr=(source, 0) if source else None
        )
        while todo:
            writer.write(todo.pop())
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 201 " not in head.split(b"\r\n")[0]:
                raise SystemExit(head.decode())
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.partition(b":")[2]))
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("where")
    parser.add_argument("server_key", type=PublicKey)
    parser.add_argument("secret", nargs="*")
    for name, default in (("--clients", CLIENTS), ("--count", COUNT), ("--first", 0)):
        parser.add_argument(name, type=int, default=default)
    asked = parser.parse_args()
    key = None
    if asked.secret:
        private, network_id = asked.secret
        key = proof.derive_key(keys.shared_secret(private, asked.server_key), network_id)
    todo = requests(asked.where, asked.server_key, key, count=asked.count, first=asked.first)
    sys.stdout.write(f"{asyncio.run(rate(asked.where, todo, clients=asked.clients)):.1f}\n")


if __name__ == "__main__":
    main()
