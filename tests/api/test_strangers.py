"""What a router does with a stranger's packet: asked for, tried with real packets, believed of where the peer is."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from innerd.coordinator.presence import Observed
from innerd.domain.errors import Refused
from innerd.domain.values import Endpoint
from tests.client.support import eventually
from tests.world import World

NONCE, OTHER = b"0" * 32, b"1" * 32
HERE = "127.0.0.1"


@pytest.fixture
def own() -> Iterator[socket.socket]:
    """The port of a peer's host that nothing was sent from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind((HERE, 0))
        made.settimeout(5)
        yield made


def seen(w: World, endpoint: str) -> None:
    w.presence.observe(w.peer("ryo").id, Observed(Endpoint(endpoint), w.now, 1, 1))


async def asked(w: World, own: socket.socket, nonce: bytes = NONCE) -> int:
    port = await w.hub.strangers.ask(w.peer("ryo"), own.getsockname()[1], nonce)
    assert port is not None
    return port


def at_ease(w: World) -> bool:
    return w.hub.strangers.is_at_ease(w.peer("ryo").id)


async def arrived(w: World, port: int) -> None:
    """All that was sent until now has been read: a peer of the world says so through the same socket."""
    mari = w.peer("mari")
    w.presence.observe(mari.id, Observed(Endpoint(f"{HERE}:1"), w.now, 1, 1))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
        last.bind((HERE, 0))
        assert await w.hub.strangers.ask(mari, last.getsockname()[1], b"2" * 32) == port
        last.sendto(b"2" * 32, (HERE, port))
        await eventually(lambda: w.hub.strangers.is_at_ease(mari.id))


async def test_a_router_that_keeps_the_port_is_at_ease(w: World, own: socket.socket) -> None:
    seen(w, f"{HERE}:51820")
    port = await asked(w, own)
    data, stranger = await asyncio.to_thread(own.recvfrom, 100)
    assert (data, stranger[1]) == (b"innerd: a stranger", port)
    assert not at_ease(w)
    own.sendto(NONCE, (HERE, port))
    await eventually(lambda: at_ease(w))
    seen(w, "198.51.100.1:51820")
    assert not at_ease(w), "it is behind another one now"


async def test_what_comes_from_another_port_or_says_something_else_proves_nothing(w: World, own: socket.socket) -> None:
    seen(w, f"{HERE}:51820")
    port = await asked(w, own)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as another:
        another.bind((HERE, 0))
        another.sendto(NONCE, (HERE, port))
    own.sendto(OTHER, (HERE, port))
    own.sendto(b"", (HERE, port))
    await arrived(w, port)
    assert not at_ease(w)


async def test_what_was_asked_before_counts_no_more_when_it_is_asked_again(w: World, own: socket.socket) -> None:
    seen(w, f"{HERE}:51820")
    port = await asked(w, own)
    own.sendto(NONCE, (HERE, port))
    await eventually(lambda: at_ease(w))
    await asked(w, own, OTHER)
    assert not at_ease(w)
    own.sendto(NONCE, (HERE, port))
    await arrived(w, port)
    assert not at_ease(w)


@pytest.mark.parametrize("endpoint", [None, "[2001:db8::9]:51820"], ids=["nowhere", "by IPv6"])
async def test_of_who_is_not_seen_by_ipv4_nothing_is_found_out(
    w: World, own: socket.socket, endpoint: str | None
) -> None:
    if endpoint is not None:
        seen(w, endpoint)
    assert await w.hub.strangers.ask(w.peer("ryo"), own.getsockname()[1], NONCE) is None


async def test_who_asks_without_end_is_refused_and_others_are_not(w: World, own: socket.socket) -> None:
    seen(w, f"{HERE}:51820")
    for _ in range(10):
        await asked(w, own)
    with pytest.raises(Refused) as refused:
        await asked(w, own)
    assert refused.value.code == "rate_limited"
    assert await w.hub.strangers.ask(w.peer("mari"), 9, OTHER) is None


async def test_nothing_is_known_of_who_was_shut_out(w: World, own: socket.socket) -> None:
    seen(w, f"{HERE}:51820")
    port = await asked(w, own)
    own.sendto(NONCE, (HERE, port))
    await eventually(lambda: at_ease(w))
    w.hub.strangers.forget(w.peer("ryo").id)
    assert not at_ease(w)
