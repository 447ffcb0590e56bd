"""What the agent hears of its host: netlink messages are looked at and never believed, whatever is in them."""

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from innerd.wireguard.watch import is_news, said

NEW_LINK, NEW_ADDRESS, GONE_ADDRESS, NEW_ROUTE, GONE_ROUTE, NEW_NEIGHBOUR = 16, 20, 21, 24, 25, 28
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5


@pytest.fixture(autouse=True, scope="module")
def bell() -> Iterator[None]:
    """Whoever loops for ever is rung out."""

    def ring(*_: object) -> None:
        raise AssertionError("it never ends")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(90)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def message(kind: int, body: bytes, length: int | None = None) -> bytes:
    """An nlmsghdr (netlink(7)) and what it carries, padded to four bytes."""
    head = struct.pack("=IHHII", 16 + len(body) if length is None else length, kind, 0, 0, 0)
    return head + body + b"\0" * (-len(body) % 4)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def address(index: int, kind: int = NEW_ADDRESS) -> bytes:
    return message(kind, struct.pack("=BBBBI", 2, 24, 0, 0, index) + attribute(1, bytes([192, 0, 2, 1])))


def route(index: int, length: int = 0, kind: int = NEW_ROUTE) -> bytes:
    head = struct.pack("=BBBBBBBBI", socket.AF_INET, length, 0, 0, 254, 4, 0, 1, 0)
    gateway = attribute(RTA_GATEWAY, bytes([192, 0, 2, 254]))
    return message(kind, head + gateway + attribute(RTA_OIF, struct.pack("=I", index)))


SAID = {
    "a new address": (address(7), [7]),
    "an address that went": (address(7, GONE_ADDRESS), [7]),
    "a new default route": (route(7), [7]),
    "a default route that went": (route(7, kind=GONE_ROUTE), [7]),
    "another route": (route(7, length=16), []),
    "a link": (message(NEW_LINK, bytes(16)), []),
    "a neighbour": (message(NEW_NEIGHBOUR, bytes(12)), []),
    "several": (
        address(1) + route(2, 24) + message(NEW_LINK, bytes(16)) + route(3) + address(4, GONE_ADDRESS),
        [1, 3, 4],
    ),
    "an index of four bytes": (address(0xFFFFFFFF), [0xFFFFFFFF]),
    "a default route to nowhere": (message(NEW_ROUTE, bytes(12)), []),
    "a message that is padded": (message(NEW_LINK, b"x") + address(7), [7]),
    "nothing": (b"", []),
    "an address that is too short": (message(NEW_ADDRESS, bytes(7)), []),
    "a route that is too short": (message(NEW_ROUTE, bytes(11)), []),
    "an index of two bytes": (message(NEW_ROUTE, bytes(12) + attribute(RTA_OIF, b"\1\0")), []),
    "an attribute longer than its message": (message(NEW_ROUTE, bytes(12) + struct.pack("=HH", 9000, RTA_OIF)), []),
    "an attribute of length 0": (message(NEW_ROUTE, bytes(12) + bytes(8)) + address(7), [7]),
    "a message of length 0": (message(NEW_ADDRESS, bytes(8), length=0) + address(7), []),
    "a message shorter than its head": (message(NEW_ADDRESS, bytes(8), length=15) + address(7), []),
    "a message longer than what came": (address(1) + message(NEW_ADDRESS, bytes(8), length=25), [1]),
    "a message of four gigabytes": (address(1) + message(NEW_ADDRESS, bytes(8), length=0xFFFFFFFF), [1]),
}


@pytest.mark.parametrize(("data", "links"), SAID.values(), ids=SAID)
def test_addresses_and_default_routes_are_heard_of_and_nothing_else(data: bytes, links: list[int]) -> None:
    assert [one.link for one in said(data) if one.is_way] == links


@pytest.mark.parametrize("cut", range(len(address(7) + route(8))))
def test_what_is_cut_short_is_heard_of_so_far_as_it_is_whole(cut: int) -> None:
    whole = len(address(7))
    assert [one.link for one in said((address(7) + route(8))[:cut])] == ([7] if cut >= whole else [])


def bounded(data: bytes) -> list[int]:
    """The links; whoever loops says more of them than there is room for."""
    found = []
    for one in said(data):
        found.append(one.link)
        assert len(found) <= len(data) // 8
    return found


lengths = st.one_of(st.integers(0, 64), st.integers(0, 0xFFFFFFFF))
kinds = st.sampled_from([NEW_ADDRESS, GONE_ADDRESS, NEW_ROUTE, GONE_ROUTE, NEW_LINK, 0xFFFF])
attributes = st.builds(lambda n, k, v: struct.pack("=HH", n, k) + v, st.integers(0, 40), st.integers(0, 6), st.binary())
bodies = st.one_of(st.binary(), st.builds(lambda parts: bytes(12) + b"".join(parts), st.lists(attributes)))
messages = st.builds(lambda k, body, n: message(k, body, n), kinds, bodies, st.one_of(st.none(), lengths))
garbage = st.one_of(st.binary(max_size=400), st.builds(b"".join, st.lists(messages, max_size=6)))


@settings(max_examples=1500, deadline=1000)
@given(garbage)
@example(bytes(1 << 16))
@example(b"\xff" * (1 << 16))
@example(message(NEW_ROUTE, bytes(12) + attribute(RTA_OIF, b"\1\0\0\0") * 4000))
def test_whatever_comes_it_is_read_to_its_end(data: bytes) -> None:
    assert all(0 <= index <= 0xFFFFFFFF for index in bounded(data))


# -- the real thing -------------------------------------------------------------------------------------------------

WATCHER = """
import asyncio, subprocess, sys
from innerd.wireguard import watch

def ip(*args):
    subprocess.run(["ip", *args], check=True)

async def settled():  # Linux tells late, when it has time, that a link can carry
    while subprocess.check_output(["ip", "-br", "link"], text=True).count(" UP ") < 4:
        await asyncio.sleep(0.01)

async def main():
    for name in ("own0", "eth0"):
        ip("link", "add", name, "type", "veth", "peer", "name", "x" + name)
        ip("link", "set", name, "addrgenmode", "none")
        ip("link", "set", "x" + name, "addrgenmode", "none")
        ip("link", "set", "x" + name, "up")
        ip("link", "set", name, "up")
    await settled()
    changes = watch.changes("own0")
    waiting = asyncio.ensure_future(anext(changes))
    while (await asyncio.wait((waiting,), timeout=1.0))[0]:  # what was late is told; it listens now
        waiting = asyncio.ensure_future(anext(changes))
    for deed in sys.argv[1:]:
        ip(*deed.split())
        found = set()
        while (await asyncio.wait((waiting,), timeout=0.6 if found else 1.5))[0]:  # until what belongs to it settled
            moved = waiting.result()
            found.add(f"{moved.host or ''} {'own' if moved.own else ''}".strip())
            waiting = asyncio.ensure_future(anext(changes))
        print("; ".join(sorted(found)) or "-")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

asyncio.run(main())
"""
CHANGED = "addresses or routes of this host changed"
DEEDS = {
    "address add 192.0.2.1/24 dev eth0": CHANGED,
    "address add 10.42.0.9/24 dev own0": "own",
    "route add 198.51.100.0/24 via 192.0.2.254": "-",
    "route add default via 192.0.2.254": CHANGED,
    "route add default dev own0 metric 9": "own",
    "address del 10.42.0.9/24 dev own0": "own",
    "link set own0 mtu 1300": "own",
    "-6 address add 2001:db8::1/64 dev eth0 nodad": CHANGED,
    "route del default via 192.0.2.254": CHANGED,
    "address del 192.0.2.1/24 dev eth0": CHANGED,
    "link del own0": "own",
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace")
def test_of_a_real_host_every_change_is_heard_and_whose_it_is() -> None:
    command = ["unshare", "--net", sys.executable, "-c", WATCHER, *DEEDS]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    heard = [line.strip() for line in done.stdout.splitlines()]
    assert dict(zip(DEEDS, heard, strict=True)) == DEEDS


def link(index: int, mtu: int, kind: int = NEW_LINK) -> bytes:
    return message(kind, struct.pack("=BBHiII", 0, 0, 1, index, 0, 0) + attribute(4, struct.pack("=I", mtu)))


def test_a_link_that_carries_another_mtu_is_news_once() -> None:
    known: dict[int, int] = {}

    def news(*messages: bytes) -> list[bool]:
        return [is_news(one, known) for one in said(b"".join(messages))]

    assert news(link(3, 1500), link(3, 1500), link(3, 1400), link(4, 1400)) == [True, False, True, True]
    assert news(address(3), link(3, 0, 17), link(3, 1400)) == [False, False, True]
    assert known == {3: 1400, 4: 1400}
