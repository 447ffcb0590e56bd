"""Names are looked up aside: who hangs keeps nobody waiting, and what a name server says is looked at first."""

import ipaddress
import threading
from collections.abc import Callable, Iterator

import pytest

from innerd.domain.values import Endpoint
from innerd.host import domains
from innerd.host.domains import Lookups, resolve, resolved
from tests.client.support import eventually

BLOCK = ipaddress.ip_network("10.42.0.0/16")
NAME, ADDRESS = Endpoint("vpn.example.com:1"), Endpoint("192.0.2.1:1")


class Resolver:
    """A host's resolver that says what it is told to, and nothing while it hangs."""

    def __init__(self) -> None:
        self.says: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.free = threading.Event()
        self.free.set()

    def getaddrinfo(self, name: str, *_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        self.asked.append(name)
        if name not in self.says:
            self.free.wait()
        return [(0, 0, 0, "", (address, 0)) for address in self.says.get(name, [])]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    found = Resolver()
    monkeypatch.setattr(domains.socket, "getaddrinfo", found.getaddrinfo)
    monkeypatch.setattr(domains, "_has_route", lambda endpoint: True)
    yield found
    found.free.set()


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1", "0.0.0.0", "::", "255.255.255.255"]
    + ["::ffff:127.0.0.1", "10.42.0.7"],
)
def test_a_name_leads_nowhere_that_no_peer_can_be(resolver: Resolver, address: str) -> None:
    resolver.says["vpn.example.com"] = [address, "192.0.2.1"]
    assert resolve(NAME, BLOCK) == [ADDRESS]


@pytest.mark.parametrize("name", ["a..b", "a" * 64 + ".example", "\udcff"])
def test_a_name_that_can_not_be_asked_for_has_no_addresses(name: str) -> None:
    assert resolve(Endpoint(f"{name}:1")) == []


def test_who_waits_says_how_long(resolver: Resolver) -> None:
    resolver.free.clear()
    assert resolved(NAME, 0.01) is None
    assert resolved(ADDRESS, 0.01) == [ADDRESS]


class Asked:
    """An asker of lookups, which counts what is news."""

    def __init__(self) -> None:
        self.news = 0
        self.lookups = Lookups(self._found)

    def _found(self) -> None:
        self.news += 1

    def want(self, *endpoints: Endpoint) -> None:
        self.lookups.want(endpoints, BLOCK)

    def knows(self, endpoint: Endpoint) -> Callable[[], bool]:
        return lambda: bool(self.lookups.of(endpoint)) and self.news > 0


async def test_a_name_is_known_when_it_was_found_and_not_asked_for_again(resolver: Resolver) -> None:
    asked = Asked()
    resolver.says["vpn.example.com"] = ["192.0.2.1"]
    asked.want(NAME, ADDRESS)
    await eventually(asked.knows(NAME))
    assert asked.lookups.of(NAME) == asked.lookups.of(ADDRESS) == [ADDRESS]
    asked.want(NAME)
    asked.lookups.wait(1)
    assert (resolver.asked, asked.news) == (["vpn.example.com"], 1)


async def test_what_was_known_stays_known_while_nobody_answers(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked()
    monkeypatch.setattr(domains, "_FRESH", 0.0)
    resolver.says["vpn.example.com"] = ["192.0.2.1"]
    asked.want(NAME)
    await eventually(asked.knows(NAME))
    resolver.says.clear()
    resolver.free.clear()
    asked.want(NAME)
    assert asked.lookups.of(NAME) == [ADDRESS]
    resolver.free.set()  # with no address
    asked.lookups.wait(1)
    assert asked.lookups.of(NAME) == [ADDRESS]


async def test_names_that_hang_are_few_at_a_time_and_all_have_their_turn(resolver: Resolver) -> None:
    asked = Asked()
    resolver.free.clear()
    names = [Endpoint(f"n{n}.example:1") for n in range(100)]
    for _ in range(10):
        asked.want(*names)
    assert len(resolver.asked) <= 4
    resolver.free.set()

    def all_were_asked() -> bool:
        asked.want(*names)
        return len(set(resolver.asked)) == 100

    await eventually(all_were_asked)
