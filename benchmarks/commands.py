"""Run on a peer's host: many `POST /v1/admin/peers` at once over the tunnel, from raw sockets with requests prepared
beforehand, so that what is measured is the server. Prints how many a second.

    python -m benchmarks.commands ADDRESS:PORT SERVER_KEY [PRIVATE_KEY NETWORK_ID]   (these two: with a proof)
"""

import asyncio
import json
import secrets
import sys
import time

from innerd.wire import proof
from innerd.wireguard import keys

CLIENTS, COUNT, CIDR = 16, 1_600, 3


def requests(where: str, server_key: str, key: bytes | None, block: str = "10.42") -> list[bytes]:
    """Peers in `block`.200 and the blocks behind it."""
    made = []
    for number in range(COUNT):
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


async def rate(where: str, todo: list[bytes], source: str | None = None) -> float:
    host, _, port = where.rpartition(":")

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
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return COUNT / (time.perf_counter() - began)


def main() -> None:
    where, server_key, *secret = sys.argv[1:]
    key = proof.derive_key(keys.shared_secret(secret[0], server_key), secret[1]) if secret else None  # type: ignore[arg-type]
    sys.stdout.write(f"{asyncio.run(rate(where, requests(where, server_key, key))):.1f}\n")


if __name__ == "__main__":
    main()
