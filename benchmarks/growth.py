"""What grows with the network: each verb and each kind of change on coordinators of more and more peers and CIDRs, in
memory. How long the loop was held at the longest, what it cost in all, and both as an exponent: 0 does not grow, 1 is
linear in the number of peers (or CIDRs).

`python -m benchmarks growth`; the sizes are `SIZES` and `TREES`.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from typing import Any

import httpx2

from benchmarks.figures import quantile, say, title
from innerd.domain import commands as c
from innerd.domain.values import Name
from tests.world import LOCAL, World, crowded, key, world

SIZES = (100, 1_000, 10_000, 60_000)  # peers
TREES = (100, 1_000, 3_000)  # CIDRs
ROUNDS = 5
ADMIN, WIDE, MANY = "ryo", "10.0.0.0/8", "10.128.0.0/9"

Ask = Callable[[httpx2.AsyncClient, World, int], Awaitable[Any]]


async def _look(path: str, client: httpx2.AsyncClient) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text


def _contents(turn: int) -> dict[str, Any]:
    contents = {"name": f"new-{turn}", "ip": None, "cidr_id": 3, "public_key": key(f"new {turn}"), "is_admin": False}
    return {**contents, "is_disabled": False, "is_redeemed": True}


async def _made(client: httpx2.AsyncClient, method: str, path: str, body: object) -> None:
    answer = await client.request(method, path, json=body)
    assert answer.status_code in (200, 201, 204), answer.text


VERBS: dict[str, Ask] = {
    "status": lambda client, w, turn: _look("/v1/admin/status", client),
    "list-peers": lambda client, w, turn: _look("/v1/admin/peers", client),
    "show (the whole network)": lambda client, w, turn: _look("/v1/network", client),
    "convergence": lambda client, w, turn: _look("/v1/admin/convergence", client),
    "add-peer, the first free address": lambda client, w, turn: _made(
        client, "POST", "/v1/admin/peers", _contents(turn)
    ),
    "rename-peer": lambda client, w, turn: _made(client, "PATCH", f"/v1/admin/peers/{9 + turn}", {"name": f"x{turn}"}),
    "disable-peer": lambda client, w, turn: _made(client, "DELETE", f"/v1/admin/peers/{20 + turn}", None),
    "add-association, dry": lambda client, w, turn: _made(
        client, "POST", "/v1/admin/associations?dry_run=true", {"cidr_id_1": 3, "cidr_id_2": 4}
    ),
    "disable-peer, dry": lambda client, w, turn: _made(
        client, "DELETE", f"/v1/admin/peers/{30 + turn}?dry_run=true", None
    ),
}


async def held(work: Awaitable[None]) -> tuple[float, float]:
    """Seconds of CPU of the loop's thread between two turns of others, at the longest, and of the process in all."""
    longest, ended = 0.0, False

    async def others() -> None:
        nonlocal longest
        last = time.thread_time()
        while not ended:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    beside = asyncio.create_task(others())
    await asyncio.sleep(0)
    began = time.process_time()
    await work
    spent, ended = time.process_time() - began, True
    await beside
    return longest, spent


async def measured(w: World) -> dict[str, tuple[float, float]]:
    found = {}
    async with w.client(ADMIN) as client:
        for what, ask in VERBS.items():
            both = [await held(ask(client, w, turn)) for turn in range(ROUNDS)]
            found[what] = quantile([one[0] for one in both], 0.5), quantile([one[1] for one in both], 0.5)
    return found


async def of_peers(count: int) -> dict[str, tuple[float, float]]:
    w = await world(WIDE)
    w.provide(proof_required=False)
    await w.add_cidr("humans", MANY)
    await w.add_cidr("ovens", "10.64.0.0/24")
    await w.join(ADMIN, "humans", admin=True)
    await crowded(w, "humans", "10.128.0.9", count)
    return await measured(w)


async def of_cidrs(count: int) -> dict[str, tuple[float, float]]:
    """In a tree of so many, each with two peers."""
    w = await world()
    w.provide(proof_required=False)
    await w.add_cidr("humans", "127.42.250.0/24")
    await w.add_cidr("ovens", "127.42.251.0/24")
    await w.join(ADMIN, "humans", admin=True)
    blocks = list(ip_network("127.42.0.0/17").subnets(new_prefix=29))[1 : count + 1]
    for number, block in enumerate(blocks):
        await w.writer.submit(c.AddCidr(Name(f"c{number}"), block, 1), LOCAL)
    for number in range(count):
        for which in range(2):
            name = f"p{number}-{which}"
            added = c.AddPeer(name=Name(name), cidr=5 + number, ip=None, public_key=key(name), is_redeemed=True)
            await w.writer.submit(added, LOCAL)
    return await measured(w)


def shown(what: str, sizes: tuple[int, ...], found: list[dict[str, tuple[float, float]]]) -> None:
    title(f"{what}: the loop held at the longest / CPU in all, ms, at {' / '.join(f'{size:,}' for size in sizes)}")
    for verb in VERBS:
        cells = [f"{1e3 * one[verb][0]:.1f} / {1e3 * one[verb][1]:.1f}" for one in found]
        first, last = found[0][verb], found[-1][verb]
        span = math.log(sizes[-1] / sizes[0])
        grows = [math.log(max(b, 1e-6) / max(a, 1e-6)) / span for a, b in zip(first, last, strict=True)]
        say(f"  {verb:<34}{''.join(f'{cell:>18}' for cell in cells)}   grows by {grows[0]:.2f} / {grows[1]:.2f}")


def run() -> None:
    shown("peers", SIZES, [asyncio.run(of_peers(size)) for size in SIZES])
    shown("CIDRs", TREES, [asyncio.run(of_cidrs(size)) for size in TREES])
