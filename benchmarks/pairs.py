"""How many pairs a relay holds, and what a handshake costs it: run by `benchmarks.relay`, in a namespace of its own."""

import asyncio
import json
import sys
import time
from base64 import b64decode
from collections.abc import Sequence
from hashlib import blake2s
from pathlib import Path

from innerd.domain.values import Endpoint, PublicKey
from innerd.relay.limits import Limits
from innerd.relay.relay import Relay, Setup
from innerd.serve.coordinator import spare_the_collector
from tests.world import key

_PAGE = 4  # KiB


class Pairs:
    """Each odd peer sees the next one, and nobody else."""

    def __init__(self, count: int) -> None:
        self.keys = {number: key(f"peer {number}") for number in range(2, 2 * count + 2)}

    def _other(self, peer: int) -> int:
        return peer + 1 if peer % 2 == 0 else peer - 1

    def seen_by(self, peer: int) -> Sequence[tuple[int, PublicKey]]:
        other = self._other(peer)
        return [(other, self.keys[other])]

    def sees(self, one: int, other: int) -> bool:
        return self._other(one) == other

    def key_of(self, peer: int) -> PublicKey | None:
        return self.keys.get(peer)


def _sealed(body: bytes, receiver: PublicKey) -> bytes:
    """With its mac1, and no mac2."""
    inner = blake2s(b"mac1----" + b64decode(receiver)).digest()
    return body + blake2s(body, key=inner, digest_size=16).digest() + bytes(16)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def _endpoint(number: int) -> Endpoint:
    return Endpoint(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}:{20_000 + number % 20_000}")


async def measured(count: int) -> dict[str, float]:
    sight = Pairs(count)
    setup = Setup(network="bench", interface="wg", port=51820, own_key=key("relay"), limits=Limits())
    relay = Relay(setup, sight, lambda: None)
    for number in sight.keys:
        relay.place(number, _endpoint(number))
    await relay.start()
    assert relay.edges.mode == "kernel", relay.edges.why
    before = _resident()
    first = await _storm(relay, sight, count, 0)
    held = _resident() - before
    again = await _storm(relay, sight, count, 1)
    began = time.perf_counter()
    await relay.count()
    counted = time.perf_counter() - began
    await relay.stop(for_good=True)
    return {
        "handshake_us": 1e6 * again / (2 * count),
        "storm_s": first,
        "pair_kib": held / count,
        "count_s": counted,
    }


async def _storm(relay: Relay, sight: Pairs, count: int, turn: int) -> float:
    """All pairs shake hands; the seconds of CPU that it took."""
    made = []
    for a in range(2, 2 * count + 2, 2):
        ours, theirs = (2 * a + turn).to_bytes(4, "big"), (2 * a + turn + 2**31).to_bytes(4, "big")
        made.append((_endpoint(a), _sealed(b"\1\0\0\0" + ours + bytes(108), sight.keys[a + 1])))
        made.append((_endpoint(a + 1), _sealed(b"\2\0\0\0" + theirs + ours + bytes(48), sight.keys[a])))
    began, handled = time.process_time(), relay.handshakes
    for number, (source, datagram) in enumerate(made):
        relay._hear(datagram, source, "10.0.0.1")  # as the raw socket gives it
        if number % 64 == 63:
            await asyncio.sleep(0)
    took = time.process_time() - began
    assert relay.handshakes - handled == len(made), relay.refused
    return took


if __name__ == "__main__":
    spare_the_collector()  # as innerd serve does
    print(json.dumps(asyncio.run(measured(int(sys.argv[1])))))
